"""Batches through kills at every step, one after the other, side by side, and through Ctrl-C: nothing bought twice."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from hf_synthlabels.clients import list_batches
from tests.clients.batch.batch_crash import (
    ROWS,
    Crash,
    crash,
    crash_table,
    expected,
    flaky_server,
    outcome,
    start,
    undisturbed,
)
from tests.servers.batches import BatchServer

pytestmark = pytest.mark.slow


def is_clean(item: Crash) -> bool:
    return item.complete and item.billed == ROWS and item.billed_twice == 0 and item.left == 0


def test_a_kill_between_any_two_steps_buys_nothing_twice_and_loses_nothing() -> None:
    table = list(crash_table())
    assert [item for item in table if not is_clean(item)] == []
    # Each batch of the killed runs went on: none was made again.
    assert {item.batches for item in table} == {3}
    # Killed between making a batch and writing down its id: found in the provider's list.
    adopted = {item.after for item in table if item.adopted}
    assert adopted == {"after POST batches", "before journal.advance"}


def test_kills_one_after_the_other() -> None:
    for seed in range(4):
        draw = random.Random(seed)
        result = crash(*(draw.randint(1, 60) for _ in range(4)))
        assert is_clean(result), (seed, result)


def test_a_run_that_is_killed_while_it_discards_the_batch_of_another() -> None:
    # The first dies before it creates a batch; the second when it has deleted the input file, or is about to record it.
    for last in ("after DELETE files/ID", "before journal.finish"):
        result = crash("before POST batches", last)
        assert result.after == last
        assert is_clean(result), result


def test_two_processes_at_once_share_their_batches_even_when_one_is_killed(tmp_path: Path) -> None:
    for seed in range(4):
        path = tmp_path / str(seed) / "responses.sqlite"
        with flaky_server() as server:
            killed = start(path, server, random.Random(seed).randint(1, 60))
            other = start(path, server)
            outcome(*killed)
            assert outcome(*other)[1] == expected()
            assert outcome(*start(path, server))[1] == expected()
            assert set(server.billed.values()) == {1}
            assert len(server.billed) == ROWS
            assert list_batches(path) == []
            assert server.inputs() == []


@pytest.mark.parametrize("count", [2, 3])
def test_processes_that_start_together_make_no_batch_twice(tmp_path: Path, count: int) -> None:
    path = tmp_path / "responses.sqlite"
    with BatchServer(looks=8) as server:
        children = [start(path, server) for _ in range(count)]
        for child in children:
            assert set(outcome(*child)[1].values()) == {"good"}
        assert set(server.billed.values()) == {1}
        assert sum(len(batch.lines) for batch in server.batches.values()) == ROWS


def test_an_undisturbed_run_has_the_steps_that_are_killed_between() -> None:
    steps = undisturbed()
    assert steps.count("before POST batches") == 3
    assert steps.index("after journal.claim") < steps.index("before POST files")
    # Written down before it is bought.
    making = steps.index("before POST batches")
    assert steps[making - 1] == "after journal.advance"


def test_ctrl_c_while_waiting_leaves_the_batch_to_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    with BatchServer(looks=10_000) as server:
        process, _pipe = start(path, server)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and server.count("GET /v1/batches/") < 3:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        process.join(30)
        assert process.exitcode not in (None, 0)
        going = list_batches(path)
        assert [item.state for item in going] == ["submitted"] * 2
        # Nobody holds them, so the next run does not wait for the dead one.
        assert not any(item.has_live_owner for item in going)
        server.looks = 1
        assert set(outcome(*start(path, server))[1].values()) == {"good"}
        assert set(server.billed.values()) == {1}
        assert len(server.batches) == 2
