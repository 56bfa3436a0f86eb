"""What a server says in its headers of when to come back."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

__all__ = ["exhausted_s", "retry_after_s"]

LONGEST_WAIT_S = 3600.0

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a refusal asks to wait: `retry-after-ms`, or `Retry-After` as a number or a date; else None."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return _bounded(milliseconds / 1000)
    said = headers.get("Retry-After")
    if said is None:
        return None
    if (seconds := _number(said)) is not None:
        return _bounded(seconds)
    try:
        return _bounded(parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def exhausted_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the server takes requests again, when an answer says that none or no tokens are left."""
    waits = []
    for unit in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{unit}") == "0":
            waits.append(_duration_s(headers.get(f"x-ratelimit-reset-{unit}", "")))
    known = [wait for wait in waits if wait is not None]
    return _bounded(max(known)) if known else None


def _duration_s(text: str) -> float | None:
    """Seconds in `6m0s`, `120ms` or `1.5`; None when it is none of these."""
    if (seconds := _number(text)) is not None:
        return seconds
    parts = DURATION.findall(text)
    return sum(float(amount) * UNIT_S[unit] for amount, unit in parts) if parts else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and number == number else None


def _bounded(seconds: float) -> float:
    return min(LONGEST_WAIT_S, max(0.0, seconds))
