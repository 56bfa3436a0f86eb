"""Waiting times in the headers of a reply."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

EPOCH_S = 1e9
"""Larger numbers are dates: in seconds they lie after 2001. As durations they would be longer than 30 years."""
EPOCH_MS = 1e11

QUOTAS = ("-requests", "-tokens", "")
"""Ends of the names of rate limit headers; OpenRouter and GitHub have the last."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that an error asks to wait, from `retry-after-ms` or `Retry-After`; None if it names no time."""
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return max(0.0, milliseconds / 1000)
    return _wait_s(headers.get("Retry-After", ""))


def exhausted_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until a rate limit is reset, if the reply says that no requests or no tokens are left."""
    waits = []
    for quota in QUOTAS:
        remaining = _number(headers.get(f"x-ratelimit-remaining{quota}", ""))
        if remaining is not None and remaining <= 0:
            waits.append(_wait_s(headers.get(f"x-ratelimit-reset{quota}", "")))
    return max((wait for wait in waits if wait is not None), default=None)


def _wait_s(text: str) -> float | None:
    """Seconds in `1.5`, `6m0s`, `120ms`, or until a date: seconds or milliseconds since 1970, HTTP or ISO 8601."""
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
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
