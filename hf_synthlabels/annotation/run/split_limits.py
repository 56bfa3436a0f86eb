"""Divides rate limits among processes."""

from __future__ import annotations

from hf_synthlabels.clients.config import ClientConfig

MIN_REQUESTS_PER_MINUTE = 60
MIN_TOKENS_PER_MINUTE = 60_000
"""The smallest parts. Each limiter allows bursts of a second, so that many small parts together exceed the limit."""


def split_rate_limits(config: ClientConfig, processes: int) -> list[ClientConfig]:
    """Divide a client's limits among processes; indivisible remainders go to the first ones.

    Budgets are not divided: all processes reserve from one account.

    Args:
        config: the limits of all processes together.
        processes: desired number; fewer if parts would be smaller than one request in flight, 60 requests or 60,000
            tokens per minute.
    """
    count = min(processes, config.max_in_flight)
    if config.requests_per_minute is not None:
        count = min(count, int(config.requests_per_minute // MIN_REQUESTS_PER_MINUTE))
    if config.tokens_per_minute is not None:
        count = min(count, int(config.tokens_per_minute // MIN_TOKENS_PER_MINUTE))
    count = max(1, count)
    each, more = divmod(config.max_in_flight, count)
    shared = {
        key: None if (limit := getattr(config, key)) is None else limit / count
        for key in ("requests_per_minute", "tokens_per_minute")
    }
    return [config.model_copy(update={**shared, "max_in_flight": each + (number < more)}) for number in range(count)]
