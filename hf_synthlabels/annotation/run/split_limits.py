"""Sharing: the limits of one recipe, divided among the processes or actors that work on it."""

from __future__ import annotations

from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig

MIN_REQUESTS_PER_MINUTE = 60
MIN_TOKENS_PER_MINUTE = 60_000
"""The smallest parts. Each limiter lets a second's worth or one request go in advance, so that many small parts would
together let more go than the whole."""


def share(annotator: AnnotatorConfig, actors: int) -> list[AnnotatorConfig]:
    """Split an annotator's limits among actors; indivisible limits go to the first actor.

    Of money and of the tokens of a budget nothing is divided: all actors reserve from one account, so that no part
    is left over with one while another goes without.

    Args:
        annotator: the limits of all together.
        actors: wished; there are fewer where parts would be too small: one request on the way, 60 requests or
            60,000 tokens a minute.
    """
    client = annotator.client
    count = min(actors, client.max_in_flight)
    if client.requests_per_minute is not None:
        count = min(count, int(client.requests_per_minute // MIN_REQUESTS_PER_MINUTE))
    if client.tokens_per_minute is not None:
        count = min(count, int(client.tokens_per_minute // MIN_TOKENS_PER_MINUTE))
    count = max(1, count)
    each, more = divmod(client.max_in_flight, count)
    return [
        annotator.with_client(
            max_in_flight=each + (number < more),
            requests_per_minute=_part(client.requests_per_minute, count),
            tokens_per_minute=_part(client.tokens_per_minute, count),
        )
        for number in range(count)
    ]


def _part(limit: float | None, count: int) -> float | None:
    return None if limit is None else limit / count
