from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from hf_synthlabels.clients.retry import MAX_BACKOFF_S, backoff_s, rate_limit_reset_s, retry_after_s


def test_backoff_grows_with_jitter_to_a_limit_and_never_undercuts_the_server() -> None:
    for attempt, longest in ((1, 0.5), (2, 1.0), (5, 8.0), (1000, MAX_BACKOFF_S)):
        assert longest / 2 <= backoff_s(attempt) <= longest
        assert 7.0 <= backoff_s(attempt, 7.0) <= 7.7
    assert backoff_s(3, 0.0) == 0.0


def test_what_a_refusal_asks_to_wait(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, str], float | None]] = [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "-5"}, 0.0),
        # Seconds since 1970: in 2001, and the same in milliseconds.
        ({"Retry-After": "1e9"}, 0.0),
        ({"Retry-After": "1000000000000"}, 0.0),
        ({"Retry-After": "1m30s"}, 90.0),
        ({"Retry-After": "inf"}, None),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ]
    for headers, seconds in cases:
        with subtests.test(headers=headers, seconds=seconds):
            assert retry_after_s(headers) == seconds


def test_a_date_to_come_back_at(subtests: pytest.Subtests) -> None:
    cases: list[Callable[[float], str]] = [
        lambda time_s: formatdate(time_s, usegmt=True),
        lambda time_s: datetime.fromtimestamp(time_s, UTC).isoformat(),
        lambda time_s: datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None).isoformat(),
        lambda time_s: str(int(time_s)),
        lambda time_s: f"{time_s:.3f}",
        lambda time_s: str(int(1000 * time_s)),
    ]
    for date in cases:
        with subtests.test(date=date):
            for quota, wait_s in (("-requests", 30), ("-tokens", 86_400), ("", 30)):
                said = date(time.time() + wait_s)
                limits = {f"x-ratelimit-remaining{quota}": "0", f"x-ratelimit-reset{quota}": said}
                for seconds in (retry_after_s({"Retry-After": said}), rate_limit_reset_s(limits)):
                    assert seconds is not None
                    assert wait_s - 2 < seconds <= wait_s + 0.001
            assert retry_after_s({"Retry-After": date(time.time() - 30)}) == 0.0


def test_seconds_until_an_exhausted_limit_resets(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str | None, float | None]] = [
        ("0", "6m0s", 360.0),
        ("0", "1h2m3.5s", 3723.5),
        ("-1", "120ms", 0.12),
        ("0", "later", None),
        ("0", None, None),
        ("3", "6m0s", None),
    ]
    for remaining, reset, seconds in cases:
        with subtests.test(remaining=remaining, reset=reset, seconds=seconds):
            for unit in ("requests", "tokens"):
                headers = {f"x-ratelimit-remaining-{unit}": remaining}
                if reset is not None:
                    headers[f"x-ratelimit-reset-{unit}"] = reset
                assert rate_limit_reset_s(headers) == seconds


def test_the_longer_of_two_waits_counts() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "2s",
    }
    assert rate_limit_reset_s(headers) == 2.0
