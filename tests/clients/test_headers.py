from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from hf_synthlabels.clients.headers import exhausted_s, retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.25"}, 0.25),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "1e9"}, 3600.0),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_what_a_refusal_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_a_date_to_come_back_at() -> None:
    said = retry_after_s({"Retry-After": formatdate(time.time() + 30, usegmt=True)})
    assert said is not None
    assert 28 < said <= 30
    assert retry_after_s({"Retry-After": formatdate(time.time() - 30, usegmt=True)}) == 0.0


@pytest.mark.parametrize(
    ("remaining", "reset", "seconds"),
    [
        ("0", "6m0s", 360.0),
        ("0", "1h2m3.5s", 3600.0),
        ("0", "120ms", 0.12),
        ("0", "2.5", 2.5),
        ("0", "1m", 60.0),
        ("0", "later", None),
        ("0", None, None),
        ("3", "6m0s", None),
    ],
)
@pytest.mark.parametrize("unit", ["requests", "tokens"])
def test_how_long_nothing_is_left(unit: str, remaining: str, reset: str | None, seconds: float | None) -> None:
    headers = {f"x-ratelimit-remaining-{unit}": remaining}
    if reset is not None:
        headers[f"x-ratelimit-reset-{unit}"] = reset
    assert exhausted_s(headers) == seconds


def test_the_longer_of_two_waits_counts() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "2s",
    }
    assert exhausted_s(headers) == 2.0
