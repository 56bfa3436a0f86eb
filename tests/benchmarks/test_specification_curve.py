"""The benchmark of specification curves: limits, choices, and the tables of its page."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks import specification_curve as benchmark
from benchmarks.documents import Table, read_csv
from hf_synthlabels.statistics.intervals import Interval, wilson


def test_lower_limits_are_those_of_wilson() -> None:
    for correct, n, level in ((40, 50, 0.95), (0, 20, 0.9), (249, 250, 0.99375)):
        assert benchmark.wilson_low(correct, n, level) == pytest.approx(wilson(correct, n, level).low, abs=1e-12)


def test_variants_have_their_accuracy_and_share_difficult_rows() -> None:
    correct = benchmark._correct(50, 2000, 0.8, np.random.default_rng(0))
    assert correct.mean() == pytest.approx(0.8, abs=0.01)
    both = (correct[:, :, 0] & correct[:, :, 1]).mean()
    # Independent errors would give 0.64.
    assert 0.66 < both < 0.72


def test_the_most_significant_interval_is_farthest_in_its_own_widths() -> None:
    intervals = [Interval(0.6, low, high, 0.95, "", 9) for low, high in ((0.5, 0.7), (0.55, 0.65), (0.1, 0.2))]
    # Distances 0, 0.5 and 3 widths from 0.5.
    assert benchmark._most_significant(intervals, 0.5) == 2
    assert benchmark._most_significant(intervals[:2], 0.5) == 1


def test_one_world_reports_every_way_of_choosing() -> None:
    intervals = benchmark._world(0.5, 50, np.random.default_rng(0))
    assert len(intervals) == len(benchmark.CLAIMS)
    widths = [each.high - each.low for each in intervals]
    # Bonferroni and half of the labels are wider than the same choice without them.
    assert widths[6] > widths[4]
    assert widths[5] > widths[4]


@pytest.mark.parametrize("name", ["gate", "claim", "conclusions"])
def test_the_page_shows_numbers_of_its_files(name: str) -> None:
    head, rows = read_csv(benchmark.DOCUMENT.with_suffix("") / f"{name}.csv")
    places = [place for place, column in enumerate(head) if not column.endswith((" low", " high"))]
    table = Table([head[place] for place in places], [[row[place] for place in places] for row in rows])
    page = benchmark.DOCUMENT.read_text(encoding="utf-8")
    block = page.split(f"<!-- begin: {name} -->")[1].split(f"<!-- end: {name} -->")[0].strip()
    assert re.sub(r" \[[^]]*\]", "", block) == str(benchmark.shown(name, table))
