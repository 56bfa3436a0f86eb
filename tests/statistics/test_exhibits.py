"""Tables fit a terminal: too wide ones are printed in parts, and no number is broken."""

from __future__ import annotations

import re

import numpy as np
from datasets import Dataset

from hf_synthlabels.statistics import estimate, validate
from hf_synthlabels.statistics.exhibits import align, wrap

INTERVAL = re.compile(r"-?\d+\.\d+ \[-?\d+\.\d+, -?\d+\.\d+\]")


def test_parts_of_a_wide_table_repeat_the_first_column() -> None:
    rows = [("", "one", "two", "three"), ("a", "1", "2", "3"), ("long", "10", "20", "30")]
    expected = "      one\na       1\nlong   10\n\n      two\na     2\nlong  20\n\n      three\na     3\nlong  30"
    assert align(rows, {1}, 12) == expected
    assert align(rows, {1}, 21) == align(rows, {1})
    # One column and the first one are printed together, whatever their width.
    assert align(rows, {1}, 3).count("long") == 3


def test_reports_fit_a_terminal_and_intervals_stay_in_one_line() -> None:
    text = wrap("The share of the first class is " + "[0.123, 0.456], and so on. " * 3, 40)
    assert text.count("[0.123, 0.456]") == 3
    assert max(map(len, text.splitlines())) <= 40
    draw = np.random.default_rng(0)
    names = np.array([f"a class with the long name {place}" for place in "abc"])
    llm = draw.integers(0, 3, 300)
    human = np.where(draw.random(300) < 0.8, llm, draw.integers(0, 3, 300))
    columns = {"label": list(names[human][:150]) + [None] * 150, "llm_label": list(names[llm])}
    rows = Dataset.from_dict(columns)
    for report in (validate(rows, gate="macro_f1>=0.7", resamples=50), estimate(rows)):
        wide = str(report)
        assert max(map(len, wide.splitlines())) > 80
        for width in (80, 60):
            narrow = report.text(width)
            assert max(map(len, narrow.splitlines())) <= width
            assert sorted(INTERVAL.findall(narrow)) == sorted(INTERVAL.findall(wide))
