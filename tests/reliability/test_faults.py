"""Faulty servers, answers and clocks: a small version of `python -m benchmarks.reliability --parts faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability.faults import CASES, Case, outcomes

pytestmark = pytest.mark.slow

ROWS = 150
TRIES = 6
"""Of one row, by default."""

# A server that never answers is waited for half a minute; the breaker's own tests do that with a clock of theirs.
QUICK = [case for case in CASES if case.faults != ("http500:1",)]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_no_row_is_lost_or_mislabelled(case: Case, tmp_path: Path) -> None:
    (found,) = outcomes(tmp_path, ROWS, [case])
    assert found.as_promised, found
    assert found.requests <= ROWS * TRIES
    if not case.ends:
        assert sum(found.statuses.values()) == ROWS
        assert found.statuses.get(case.status, 0) >= found.struck
    if all(fault.endswith(":row") for fault in case.faults) and not case.server and case.annotator == {}:
        # What is said to an answer is no reason to ask again.
        assert found.wasted <= 0
