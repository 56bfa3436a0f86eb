"""Waiting before a retry: exponential backoff with jitter, and the times that a server asks for."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

INITIAL_BACKOFF_S = 0.5
MAX_BACKOFF_S = 60.0

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

EPOCH_S = 1e9
"""Larger numbers are dates in seconds since 1970: as durations they would exceed 30 years."""
EPOCH_MS = 1e11

QUOTAS = ("-requests", "-tokens", "")
"""Suffixes of rate limit headers; OpenRouter and GitHub use the last."""


def backoff_s(attempt: int, retry_after: float | None = None) -> float:
    """Seconds to wait before the next attempt, with jitter.

    Args:
        attempt: number of failed attempts so far, from 1.
        retry_after: seconds that the server asks to wait; the result is never shorter.
    """
    if retry_after is not None:
        # Spread out, so that waiting requests do not all return at the same instant.
        return retry_after * random.uniform(1.0, 1.1)
    return float(min(MAX_BACKOFF_S, INITIAL_BACKOFF_S * 2 ** min(attempt - 1, 10)) * random.uniform(0.5, 1.0))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that an error response asks to wait (`retry-after-ms` or `Retry-After`); None if it names no time."""
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return max(0.0, milliseconds / 1000)
    return _duration_s(headers.get("Retry-After", ""))


def rate_limit_reset_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until an exhausted rate limit (no requests or no tokens remaining) resets; None if none is exhausted."""
    waits = []
    for quota in QUOTAS:
        remaining = _number(headers.get(f"x-ratelimit-remaining{quota}", ""))
        if remaining is not None and remaining <= 0:
            waits.append(_duration_s(headers.get(f"x-ratelimit-reset{quota}", "")))
    return max((wait for wait in waits if wait is not None), default=None)


def _duration_s(text: str) -> float | None:
    """Seconds in `1.5`, `6m0s` or `120ms`, or until a date: Unix time in seconds or milliseconds, HTTP or ISO 8601."""
    text = text.strip()
    if (number := _number(text)) is not None:
        if number >= EPOCH_S:
            number = number / (1000 if number >= EPOCH_MS else 1) - time.time()
        return max(0.0, number)
    parts = DURATION.findall(text)
    if parts and "".join(amount + unit for amount, unit in parts) == text:
        return sum(float(amount) * UNIT_S[unit] for amount, unit in parts)
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            date = parse(text)
            return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _number(text: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
