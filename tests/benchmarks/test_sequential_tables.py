"""The tables on looking early are those of their files, and the simulated intervals are those of the package."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.documents import read_csv
from benchmarks.sequential import DOCUMENT, FIRST, FOLDER, TABLES, block, share_errors
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, share_interval
from hf_synthlabels.statistics.sequential.betting import anytime_interval


def test_the_page_shows_the_files() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    for name in TABLES:
        assert block(name) in page


def test_the_files_keep_what_the_page_promises() -> None:
    head, rows = read_csv(FOLDER / "false_passes.csv")
    passes, low = head.index("--sequential: passes"), head.index("--sequential: passes low")
    assert max(float(row[passes]) for row in rows) <= 0.025
    assert max(float(row[low]) for row in rows) <= 0.025
    assert min(float(row[head.index("finished sample: passes")]) for row in rows) > 0.1
    # Wrong fails agree with 0.025 within their Monte Carlo intervals.
    assert max(float(row[head.index("fails low")]) for row in rows) <= 0.025


@pytest.mark.parametrize("weighted", [False, True])
def test_simulated_looks_are_those_of_the_package(weighted: bool) -> None:
    rng = np.random.default_rng(4)
    right = (rng.random((6, 45)) < 0.8).astype(float)
    weights = rng.choice([0.5, 2.0], right.shape) if weighted else np.ones(right.shape)
    for truth in (0.5, 0.7, 0.8, 0.95):
        expected: list[list[bool]] = [[], [], [], []]
        for hits, row_weights in zip(right, weights, strict=True):
            fixed = [
                share_interval(hits[:n] == 1, None, SamplingDesign(row_weights[:n]), 0.95) for n in range(FIRST, 46)
            ]
            ever = [anytime_interval(hits[:n], weights=row_weights[:n], max_weight=2.0) for n in range(1, 46)]
            for place, sides in enumerate((fixed, ever)):
                expected[2 * place].append(any(side.low > truth for side in sides))
                expected[2 * place + 1].append(any(side.high < truth for side in sides))
        errors = share_errors(right, weights, 2.0, truth)
        assert [side.tolist() for side in errors] == expected
