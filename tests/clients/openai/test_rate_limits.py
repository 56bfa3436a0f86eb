from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from hf_synthlabels.clients.openai.rate_limits import Limiter
from hf_synthlabels.errors import ConfigError


class Clock:
    """Seconds that pass only when the limiter sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(bounded())


async def send(limiter: Limiter, count: int, tokens: int = 0, used: int | None = None) -> None:
    """So many requests, one after the other, each answered at once."""
    for _ in range(count):
        await limiter.acquire(tokens)
        limiter.release()
        if used is not None:
            limiter.refund(tokens - used)


def test_requests_per_minute_are_spread_evenly(clock: Clock) -> None:
    # 120 a minute are one in half a second, with one second's worth, two, in advance.
    began = clock.now
    run(send(Limiter(8, requests_per_minute=120, clock=clock, sleep=clock.sleep), 62))
    assert clock.now - began == pytest.approx(60 / 2, abs=0.6)


@pytest.mark.parametrize("per_minute", [3, 60, 600])
def test_no_minute_has_more_requests_than_allowed_and_a_second_in_advance(clock: Clock, per_minute: int) -> None:
    limiter = Limiter(4, requests_per_minute=per_minute, clock=clock, sleep=clock.sleep)
    times: list[float] = []

    async def work() -> None:
        for _ in range(4 * per_minute):
            await limiter.acquire(0)
            times.append(clock.now)
            limiter.release()

    run(work())
    for start in times:
        within = sum(start <= time < start + 60 - 1e-6 for time in times)
        assert within <= per_minute + max(1, per_minute / 60) + 1


def test_tokens_per_minute_count_what_was_really_used(clock: Clock) -> None:
    # 6,000 a minute are 100 a second; 1,000 are reserved each time, and 100 used.
    began = clock.now
    run(send(Limiter(8, tokens_per_minute=6000, clock=clock, sleep=clock.sleep), 61, tokens=1000, used=100))
    assert clock.now - began == pytest.approx(60, abs=12)


def test_a_request_larger_than_a_minute_is_sent_and_waited_off(clock: Clock) -> None:
    began = clock.now
    run(send(Limiter(8, tokens_per_minute=60, clock=clock, sleep=clock.sleep), 2, tokens=120))
    assert clock.now - began == pytest.approx(119, abs=2)


def test_the_number_at_once_is_never_more_than_allowed_and_turns_are_in_order(clock: Clock) -> None:
    limiter = Limiter(3, clock=clock, sleep=clock.sleep)
    order: list[int] = []
    active = peak = 0

    async def one(number: int) -> None:
        nonlocal active, peak
        await limiter.acquire(0)
        order.append(number)
        active += 1
        peak = max(peak, active)
        for _ in range(3):
            await asyncio.sleep(0.1)
        active -= 1
        limiter.release()

    async def work() -> None:
        await asyncio.gather(*(one(number) for number in range(20)))

    run(work())
    assert peak == 3
    assert order == list(range(20))


async def rounds(limiter: Limiter, count: int, at_once: int) -> None:
    """Rounds in which so many requests are on the way together, all answered."""
    for _ in range(count):
        sent = min(at_once, limiter.limit)
        for _ in range(sent):
            await limiter.acquire(0)
        for _ in range(sent):
            limiter.release()
            limiter.record_success(first_try=True)


def test_it_begins_low_and_doubles_with_each_round_until_the_most(clock: Clock) -> None:
    limiter = Limiter(100, clock=clock, sleep=clock.sleep)
    seen = []
    for _ in range(5):
        seen.append(limiter.limit)
        run(rounds(limiter, 1, at_once=1000))
        limiter.attach()
    assert seen == [16, 32, 64, 100, 100]


def test_a_limit_that_is_not_used_does_not_grow(clock: Clock) -> None:
    limiter = Limiter(100, clock=clock, sleep=clock.sleep)
    run(rounds(limiter, 40, at_once=8))
    assert limiter.limit == 16


def test_answers_to_repeated_requests_do_not_let_it_grow(clock: Clock) -> None:
    limiter = Limiter(100, clock=clock, sleep=clock.sleep)

    async def work() -> None:
        for _ in range(16):
            await limiter.acquire(0)
        for _ in range(100):
            limiter.record_success(first_try=False)

    run(work())
    assert limiter.limit == 16


def test_one_cut_for_an_episode_of_refusals_then_slow_growth(clock: Clock) -> None:
    limiter = Limiter(1000, clock=clock, sleep=clock.sleep)

    async def work() -> None:
        await rounds(limiter, 2, at_once=1000)
        assert limiter.limit == 64
        for _ in range(64):
            await limiter.acquire(0)
        for _ in range(64):
            limiter.record_throttled(None)
            limiter.release()
        # In the slow start one cut goes back to the half, which was borne before.
        assert limiter.limit == 32
        clock.now += 60
        limiter.record_throttled(None)

    run(work())
    # At the second episode nothing was on the way but the refused request: that was too much.
    assert limiter.limit == 1
    assert limiter.throttled == 65


def test_growth_after_a_cut_is_a_twentieth_or_one(clock: Clock) -> None:
    limiter = Limiter(1000, clock=clock, sleep=clock.sleep)

    async def work() -> list[int]:
        await rounds(limiter, 3, at_once=1000)
        for _ in range(100):
            await limiter.acquire(0)
        limiter.record_throttled(None)
        for _ in range(100):
            limiter.release()
        seen = [limiter.limit]
        for _ in range(3):
            await rounds(limiter, 1, at_once=1000)
            seen.append(limiter.limit)
        return seen

    assert run(work()) == [50, 52, 55, 57]


def test_retry_after_stops_all_sending(clock: Clock) -> None:
    limiter = Limiter(8, clock=clock, sleep=clock.sleep)

    async def work() -> float:
        await limiter.acquire(0)
        limiter.record_throttled(7.0)
        limiter.release()
        began = clock.now
        await limiter.acquire(0)
        return clock.now - began

    assert run(work()) == pytest.approx(7.0)


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_a_limit_must_be_positive(name: str) -> None:
    limits: dict[str, Any] = {name: 0}
    with pytest.raises(ConfigError, match=rf"`{name}` is 0\. Give a positive number\."):
        Limiter(8, **limits)
