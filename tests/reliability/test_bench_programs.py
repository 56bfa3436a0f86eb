"""The measuring of programs: what is counted is what they did."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.programs import BARE_LOOP, THIS_PACKAGE, Program, ProgramError, measure
from benchmarks.service import Options
from benchmarks.serving import serving


def test_a_program_that_fails_is_told_with_its_words(tmp_path: Path) -> None:
    with serving(Options()) as server, pytest.raises(ProgramError, match=r"no such: .*answers\.py"):
        measure(Program("no such", "answers.py"), server, rows=1, in_flight=1, folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True])
def test_this_package_labels_all_rows_with_one_request_each(tmp_path: Path, streamed: bool) -> None:
    with serving(Options(latency_s=0.01)) as server:
        found = measure(THIS_PACKAGE, server, rows=300, in_flight=32, folder=tmp_path, streamed=streamed)
        again = measure(THIS_PACKAGE, server, rows=300, in_flight=32, folder=tmp_path, streamed=streamed)
    assert (found.right, found.requests, found.billed) == (300, 300, 300)
    assert found.peak_in_flight <= 32
    assert found.disk_bytes > 300 * 50
    assert (again.right, again.requests) == (300, 0)


@pytest.mark.slow
def test_the_bare_loop_labels_all_rows(tmp_path: Path) -> None:
    with serving(Options(latency_s=0.01)) as server:
        found = measure(BARE_LOOP, server, rows=300, in_flight=32, folder=tmp_path)
    assert (found.right, found.requests, found.disk_bytes) == (300, 300, 0)
