from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hf_synthlabels.clients.openai.circuit_breaker import CircuitBreaker
from hf_synthlabels.errors import AllFailedError


class Clock:
    """Seconds that pass only when the breaker sleeps."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_opens_when_nine_of_ten_tries_fail_and_not_before(clock: Clock) -> None:
    breaker = CircuitBreaker(100, clock=clock, sleep=clock.sleep)
    for _ in range(19):
        breaker.record_failure("HTTP 500")
    assert not breaker.is_open
    breaker.record_failure("HTTP 500")
    assert breaker.is_open


def test_a_server_that_fails_half_the_time_is_never_given_up(clock: Clock) -> None:
    breaker = CircuitBreaker(1, clock=clock, sleep=clock.sleep)
    for _ in range(500):
        clock.now += 1
        breaker.record_failure("HTTP 500")
        breaker.record_success()
    assert not breaker.is_open


def opened(clock: Clock, outage_timeout_s: float = 1000) -> CircuitBreaker:
    breaker = CircuitBreaker(outage_timeout_s, clock=clock, sleep=clock.sleep)
    for _ in range(20):
        breaker.record_failure("HTTP 500")
    assert breaker.is_open
    return breaker


def test_while_open_one_probe_is_sent_at_a_time_and_an_answer_lets_all_pass(clock: Clock) -> None:
    breaker = opened(clock)
    probes: list[int] = []
    sent = asyncio.Event()

    async def worker(number: int) -> None:
        with await breaker.before_call():
            probes.append(number)
            await sent.wait()
            breaker.record_failure("HTTP 500")

    async def work() -> None:
        workers = [asyncio.create_task(worker(number)) for number in range(10)]
        for _ in range(50):
            await asyncio.sleep(0)
            # Requests that were on the way when the breaker opened fail late; they send no further probe.
            breaker.record_failure("HTTP 500")
        assert probes == [0]
        sent.set()
        await workers[0]
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(probes) > 1
        breaker.record_success()
        await asyncio.gather(*workers)

    asyncio.run(work())
    assert sorted(probes) == list(range(10))
    assert not breaker.is_open


async def is_answered(breaker: CircuitBreaker) -> None:
    breaker.record_success()


async def fails(breaker: CircuitBreaker) -> None:
    breaker.record_failure("HTTP 500")


async def is_not_sent(_: CircuitBreaker) -> None:
    return


async def ends_the_run(_: CircuitBreaker) -> None:
    raise AllFailedError("the key was rejected")


async def hangs(_: CircuitBreaker) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("probe", "cancelled_after"),
    [(is_answered, None), (fails, None), (is_not_sent, None), (ends_the_run, None), (hangs, 5), (hangs, 0)],
    ids=["answered", "failed", "not sent", "error", "cancelled on the way", "cancelled in its pause"],
)
def test_however_a_probe_ends_the_next_request_is_let_through(
    clock: Clock, probe: Callable[[CircuitBreaker], Awaitable[None]], cancelled_after: int | None
) -> None:
    breaker = opened(clock)

    async def send(request: Callable[[CircuitBreaker], Awaitable[None]]) -> None:
        with await breaker.before_call():
            await request(breaker)

    async def work() -> None:
        first = asyncio.create_task(send(probe))
        await asyncio.sleep(0)
        others = [asyncio.create_task(send(is_answered)) for _ in range(3)]
        if cancelled_after is not None:
            for _ in range(cancelled_after):
                await asyncio.sleep(0)
            first.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(first, return_exceptions=True)
            await asyncio.gather(*others)

    asyncio.run(work())


@pytest.mark.parametrize(("answered", "outage_timeout_s"), [(True, 100.0), (False, 25.0)])
def test_patience_ends_with_the_cause(clock: Clock, answered: bool, outage_timeout_s: float) -> None:
    breaker = CircuitBreaker(100, clock=clock, sleep=clock.sleep)
    if answered:
        breaker.record_success()
    for _ in range(30):
        breaker.record_failure("HTTP 502: bad gateway")
    assert breaker.is_open

    async def probe() -> None:
        while True:
            with await breaker.before_call():
                breaker.record_failure("HTTP 502: bad gateway")

    with pytest.raises(AllFailedError, match="HTTP 502: bad gateway"):
        asyncio.run(probe())
    # Pauses grow to a quarter of a minute, so it is told at most so much later.
    assert outage_timeout_s <= clock.now <= outage_timeout_s + 16
