"""Sharing: the limits of one recipe, divided among the processes or actors that work on it."""

from __future__ import annotations

from hf_synthlabels.annotation.recipe.annotator_config import Teacher

LEAST_REQUESTS_PER_MINUTE = 60
LEAST_TOKENS_PER_MINUTE = 60_000
"""The smallest parts. Each limiter lets a second's worth or one request go in advance, so that many small parts would
together let more go than the whole."""


def share(teacher: Teacher, actors: int) -> list[Teacher]:
    """Each actor's part of a teacher's limits; their sum is the whole, and what can not be divided goes to the first.

    Of money and of the tokens of a budget nothing is divided: all actors reserve from one account, so that no part
    is left over with one while another goes without.

    Args:
        teacher: the limits of all together.
        actors: wished; there are fewer where parts would be too small: one request on the way, 60 requests or
            60,000 tokens a minute.
    """
    count = min(actors, teacher.max_in_flight)
    if teacher.requests_per_minute is not None:
        count = min(count, int(teacher.requests_per_minute // LEAST_REQUESTS_PER_MINUTE))
    if teacher.tokens_per_minute is not None:
        count = min(count, int(teacher.tokens_per_minute // LEAST_TOKENS_PER_MINUTE))
    count = max(1, count)
    each, more = divmod(teacher.max_in_flight, count)
    return [
        teacher.model_copy(
            update={
                "max_in_flight": each + (number < more),
                "requests_per_minute": _part(teacher.requests_per_minute, count),
                "tokens_per_minute": _part(teacher.tokens_per_minute, count),
            }
        )
        for number in range(count)
    ]


def _part(limit: float | None, count: int) -> float | None:
    return None if limit is None else limit / count
