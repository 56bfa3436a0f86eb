"""Killed, interrupted and raced runs, full disks, damaged stores: as `python -m benchmarks.reliability`, but small."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from benchmarks.reliability.crash import Rows, disk_full, kills, race, undisturbed
from benchmarks.reliability.damage import damaged_stores

pytestmark = pytest.mark.slow

ROWS = 1000
IN_FLIGHT = 64


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), ROWS)


def test_killed_runs_end_with_the_same_labels_and_say_what_they_may_have_lost(tmp_path: Path, expected: Rows) -> None:
    for kill in kills(tmp_path, ROWS, 4, 11, expected):
        assert kill.first.status == -signal.SIGKILL
        assert kill.equal, kill.again.seen
        assert kill.billed == ROWS + kill.billed_twice
        assert kill.billed_twice <= IN_FLIGHT
        assert kill.reported >= kill.billed_twice
        # A reservation is in small chunks, so that little is said to be lost that was never sent.
        assert kill.reported <= 2 * IN_FLIGHT


def test_interrupted_runs_keep_what_is_on_the_way(tmp_path: Path, expected: Rows) -> None:
    for kill in kills(tmp_path, ROWS, 2, 12, expected, number=signal.SIGINT):
        assert kill.first.status == 130
        assert kill.equal, kill.again.seen
        assert (kill.billed_twice, kill.reported) == (0, 0)


def test_whoever_interrupts_is_told_that_everything_is_kept(tmp_path: Path, expected: Rows) -> None:
    (kill,) = kills(tmp_path, ROWS, 1, 13, expected, number=signal.SIGINT)
    assert kill.first.seen.startswith("hf-synthlabels: stopped.")


def test_two_processes_on_one_store_both_end_well(tmp_path: Path, expected: Rows) -> None:
    apart = race(tmp_path / "apart", ROWS, expected)
    assert apart.equal, apart.seen
    assert apart.billed_twice <= ROWS
    together = race(tmp_path / "together", ROWS, expected, caches=("one", "one"))
    assert together.equal, together.seen
    assert together.billed_twice == 0


def test_a_full_disk_ends_the_run_and_costs_what_was_on_the_way(tmp_path: Path, expected: Rows) -> None:
    full = disk_full(tmp_path, ROWS, expected)
    assert full.equal, full.seen
    assert "cannot be written" in full.seen
    assert full.billed_twice <= IN_FLIGHT


def test_a_damaged_store_never_mislabels(tmp_path: Path, expected: Rows) -> None:
    found = {one.name: one for one in damaged_stores(tmp_path, ROWS, 14, expected)}
    for one in found.values():
        assert one.equal, one
        assert one.mislabeled == 0
    assert found["20 answers with a flipped byte"].asked_again == 20
    # A file that SQLite cannot read is moved aside, never rebuilt.
    assert found["the file cut to half"].rescued
    assert found["its first 100 bytes zeroed"].rescued
    assert all("is damaged" in one.seen for one in found.values() if one.rescued)
