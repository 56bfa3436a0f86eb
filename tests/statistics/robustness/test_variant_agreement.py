"""Agreement among variants: alpha with an interval against the plain coefficient, and rows whose label moves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig, krippendorff_alpha
from hf_synthlabels.statistics.robustness.variant_agreement import (
    AlphaScale,
    alpha_interval,
    groups_by_choice,
    moved_rows,
)

NAMES = ("a", "b", "c")


def labels(scale: AlphaScale, rows: int = 40, variants: int = 4, gaps: float = 0.2, seed: int = 1) -> np.ndarray:
    """Labels that mostly repeat those of the first variant, with gaps."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=rows)
    codes = np.where(rng.random((rows, variants)) < 0.7, truth[:, None], rng.integers(3, size=(rows, variants)))
    cells = codes * 1.5 + 10 if scale == "interval" else np.array(NAMES, dtype=object)[codes]
    table = np.array(cells, dtype=object)
    table[rng.random((rows, variants)) < gaps] = None
    return table


@pytest.mark.parametrize("scale", ["nominal", "interval"])
@pytest.mark.parametrize("gaps", [0.0, 0.3, 0.8])
def test_alpha_is_that_of_all_rows(scale: AlphaScale, gaps: float) -> None:
    table = labels(scale, gaps=gaps)
    interval = alpha_interval(table, scale)
    assert interval.estimate == pytest.approx(krippendorff_alpha(table, scale), abs=1e-12)
    assert interval.low <= interval.estimate <= interval.high
    assert interval.n == sum(sum(cell is not None for cell in row) > 1 for row in table.tolist())


@pytest.mark.parametrize("scale", ["nominal", "interval"])
def test_the_interval_is_that_of_resampled_rows(scale: AlphaScale) -> None:
    table = labels(scale, gaps=0.0)
    bootstrap = BootstrapConfig(0.9, resamples=60, seed=3)
    counts = np.random.default_rng(3).multinomial(len(table), np.full(len(table), 1 / len(table)), size=60)
    values = [krippendorff_alpha(np.repeat(table, each, axis=0), scale) for each in counts]
    interval = alpha_interval(table, scale, bootstrap=bootstrap)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])), abs=1e-9)


def test_groups_have_the_mean_of_their_alphas() -> None:
    table = labels("nominal", gaps=0.1)
    groups = [[0, 1], [2, 3]]
    expected = np.mean([krippendorff_alpha(table[:, group]) for group in groups])
    assert alpha_interval(table, groups=groups).estimate == pytest.approx(expected)
    # A group in which nothing varies has no alpha and does not count.
    constant = np.column_stack([table[:, :2], np.full((len(table), 2), "a", dtype=object)])
    assert alpha_interval(constant, groups=groups).estimate == pytest.approx(krippendorff_alpha(table[:, :2]))


def test_alpha_is_undefined_without_variation_or_pairs() -> None:
    assert math.isnan(alpha_interval([["a", "a"], ["a", "a"]]).estimate)
    assert math.isnan(alpha_interval([["a", None], [None, "b"]]).estimate)
    with pytest.raises(DataError, match="groups"):
        alpha_interval([["a", "b"]], groups=[[0]])


def test_moved_rows_have_two_labels() -> None:
    table = [["a", "a", "a"], ["a", "b", "a"], ["a", None, None], [None, "b", "b"], ["a", None, "c"]]
    movement = moved_rows(table)
    assert (movement.moved, movement.compared) == (2, 4)
    assert movement.share.estimate == 0.5
    assert moved_rows([["a", None]]).compared == 0


def test_groups_by_choice_differ_in_it_alone() -> None:
    choices = [{"prompt": "p", "model": "m"}, {"prompt": "q", "model": "m"}, {"prompt": "p", "model": "n"}]
    assert groups_by_choice(choices) == {"prompt": [[0, 1]], "model": [[0, 2]]}
    assert groups_by_choice([{}, {}]) == {}
