from __future__ import annotations

import asyncio

import pytest

from hf_synthlabels.clients.breaker import Breaker
from hf_synthlabels.errors import AllFailedError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        await real_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return clock


def test_it_opens_when_nine_of_ten_tries_fail_and_not_before(clock: Clock) -> None:
    breaker = Breaker(100, clock=clock)
    for _ in range(19):
        breaker.failed("HTTP 500")
    assert not breaker.is_open
    breaker.failed("HTTP 500")
    assert breaker.is_open


def test_a_server_that_fails_half_the_time_is_never_given_up(clock: Clock) -> None:
    breaker = Breaker(1, clock=clock)
    for _ in range(500):
        clock.now += 1
        breaker.failed("HTTP 500")
        breaker.answered()
    assert not breaker.is_open


def test_while_open_one_asks_at_a_time_and_an_answer_lets_all_pass(clock: Clock) -> None:
    breaker = Breaker(1000, clock=clock)
    for _ in range(20):
        breaker.failed("HTTP 500")
    passed: list[int] = []

    async def worker(number: int) -> None:
        await breaker.passed()
        passed.append(number)

    async def work() -> None:
        workers = [asyncio.create_task(worker(number)) for number in range(10)]
        for _ in range(50):
            await asyncio.sleep(0)
        assert passed == [0]
        breaker.failed("HTTP 500")
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(passed) == 2
        breaker.answered()
        await asyncio.gather(*workers)

    asyncio.run(work())
    assert sorted(passed) == list(range(10))
    assert not breaker.is_open


@pytest.mark.parametrize(("answered", "patience_s"), [(True, 100.0), (False, 25.0)])
def test_patience_ends_with_the_cause(clock: Clock, answered: bool, patience_s: float) -> None:
    breaker = Breaker(100, clock=clock)
    if answered:
        breaker.answered()
    for _ in range(30):
        breaker.failed("HTTP 502: bad gateway")
    assert breaker.is_open

    async def probe() -> None:
        while True:
            await breaker.passed()
            breaker.failed("HTTP 502: bad gateway")

    with pytest.raises(AllFailedError, match=r"answered nothing for \d+ s; the last try: HTTP 502: bad gateway\."):
        asyncio.run(probe())
    # Pauses grow to a quarter of a minute, so it is told at most so much later.
    assert patience_s <= clock.now <= patience_s + 16
