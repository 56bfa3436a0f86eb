"""Reliability and distances: against loops over pairs of votes, by hand, and by simulation of the design."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.statistics import krippendorff_alpha
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import bounded_mean
from hf_synthlabels.statistics.raters.distributions import distribution_distances, jensen_shannon, total_variation
from hf_synthlabels.statistics.raters.reliability import (
    class_agreement,
    interval_alpha,
    nominal_alpha,
    number_distance,
)
from hf_synthlabels.statistics.raters.row_means import bounded_row_mean, row_difference, row_mean, row_ratio

SIZE = 3


def counts_of(codes: Any, size: int = SIZE) -> Ints:
    return np.stack([(np.array(codes) == code).sum(axis=1) for code in range(size)], axis=1)


def some_codes(rows: int, seed: int) -> tuple[Ints, Ints]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(SIZE, size=rows)
    codes = np.where(rng.random((rows, 5)) < 0.7, truth[:, None], rng.integers(SIZE, size=(rows, 5)))
    codes[rng.random(codes.shape) < 0.3] = MISSING
    llm = np.where(rng.random(rows) < 0.8, truth, MISSING)
    return codes, llm


def votes_in(row: Any) -> list[int]:
    return [int(label) for label in row if label != MISSING]


def test_agreement_equals_loops_over_left_out_votes() -> None:
    codes, llm = some_codes(80, 0)
    pairs: list[tuple[float, float]] = []
    over: list[tuple[float, float]] = []
    for row, label in zip(codes, llm.tolist(), strict=True):
        votes = votes_in(row)
        if len(votes) < 2:
            continue
        agree = [a == b for a, b in itertools.permutations(votes, 2)]
        pairs.append((float(np.mean(agree)), float(np.mean([vote == label for vote in votes]))))
        for place, vote in enumerate(votes):
            others = votes[:place] + votes[place + 1 :]
            top = [each for each in set(others) if others.count(each) == max(map(others.count, others))]
            if len(top) == 1:
                over.append(((vote == top[0]) / len(votes), (label == top[0]) / len(votes)))
    compared = sum(1 / len(votes_in(row)) for row in codes for _ in _majorities(row))
    one, majority = class_agreement(counts_of(codes), llm)
    assert (one.raters.estimate, one.llm.estimate) == pytest.approx(tuple(np.mean(pairs, axis=0)))
    assert one.difference.estimate == pytest.approx(one.llm.estimate - one.raters.estimate)
    assert (majority.raters.estimate, majority.llm.estimate) == pytest.approx(tuple(np.sum(over, axis=0) / compared))


def _majorities(row: Any) -> list[int]:
    """Left-out votes whose others have a majority."""
    votes = votes_in(row)
    left = []
    for place in range(len(votes) if len(votes) > 1 else 0):
        others = votes[:place] + votes[place + 1 :]
        if sum(others.count(each) == max(map(others.count, others)) for each in set(others)) == 1:
            left.append(place)
    return left


def test_three_votes_by_hand() -> None:
    # a a b: leaving b out, the others agree on a. Leaving one a out, they disagree, so there is no comparison.
    codes = [[0, 0, 1], [0, 0, 0]]
    one, majority = class_agreement(counts_of(codes, 2), np.array([0, 1]))
    assert one.raters.estimate == pytest.approx((1 / 3 + 1) / 2)
    assert one.llm.estimate == pytest.approx((2 / 3 + 0) / 2)
    assert majority.raters.estimate == pytest.approx((0 + 3) / 4)
    assert majority.llm.estimate == pytest.approx(1 / 4)


def test_alpha_is_krippendorffs_and_keeps_a_width() -> None:
    codes, _ = some_codes(60, 1)
    table = np.where(codes == MISSING, np.nan, codes)
    assert nominal_alpha(counts_of(codes)).estimate == pytest.approx(krippendorff_alpha(table))
    assert interval_alpha(table).estimate == pytest.approx(krippendorff_alpha(table, "interval"))
    perfect = nominal_alpha(counts_of([[0, 0, 0]] * 25 + [[1, 1, 1]] * 25, 2))
    # Disagreement 0 of 50 rows has Wilson's limit z^2 / (n + z^2) = 0.0713; the expected one is 150 / 149 / 2.
    assert (perfect.estimate, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(1 - 0.07135 / (150 / 149 / 2), abs=1e-3)
    assert math.isnan(nominal_alpha(counts_of([[0, 0]] * 3)).estimate)
    assert math.isnan(nominal_alpha(counts_of([[0, MISSING]] * 3)).estimate)


@pytest.mark.parametrize("scale", ["nominal", "interval"])
def test_the_width_of_alphas_interval_is_that_of_a_bootstrap(scale: str) -> None:
    codes, _ = some_codes(400, 2)
    rng = np.random.default_rng(0)

    def alpha(rows: Ints) -> Any:
        if scale == "nominal":
            return nominal_alpha(counts_of(rows))
        return interval_alpha(np.where(rows == MISSING, np.nan, rows))

    values = [alpha(codes[rng.integers(400, size=400)]).estimate for _ in range(300)]
    interval = alpha(codes)
    assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(np.std(values), rel=0.15)


def test_weights_of_alpha_act_as_repeated_rows() -> None:
    codes, _ = some_codes(50, 3)
    times = np.random.default_rng(3).integers(1, 4, size=50)
    weighted = nominal_alpha(counts_of(codes), SamplingDesign(weights=times.astype(np.float64)))
    repeated = nominal_alpha(counts_of(np.repeat(codes, times, axis=0)))
    # The correction for few votes counts the votes that were given.
    assert weighted.estimate == pytest.approx(repeated.estimate, abs=0.005)


def slow_distances(codes: Ints, llm: Floats) -> list[tuple[float, float]]:
    """Mean total variation, Jensen-Shannon divergence and cross-entropy in loops over left-out votes."""
    rows: list[list[Any]] = [[], [], []]
    for row, q in zip(codes, llm, strict=True):
        votes = votes_in(row)
        if len(votes) < 2 or np.isnan(q).any():
            continue
        values: list[list[Any]] = [[], [], []]
        for place, vote in enumerate(votes):
            others = votes[:place] + votes[place + 1 :]
            p = np.array([others.count(k) / len(others) for k in range(SIZE)])
            point = np.eye(SIZE)[vote]
            values[0].append(tuple(sum(abs(x - y) for x, y in zip(each, p, strict=True)) / 2 for each in (point, q)))
            values[1].append(tuple(_slow_divergence(each, p) for each in (point, q)))
            smoothed = [(len(others) * each[vote] + 1 / SIZE) / (len(others) + 1) for each in (p, q)]
            values[2].append(tuple(-math.log2(each) for each in smoothed))
        for place, each in enumerate(values):
            rows[place].append(tuple(np.mean(each, axis=0)))
    return [tuple(np.mean(each, axis=0)) for each in rows]


def _slow_divergence(p: Floats, q: Floats) -> float:
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    terms = (a * math.log2(a / m) / 2 for side in (p, q) for a, m in zip(side, middle, strict=True) if a > 0)
    return float(sum(terms))


def test_distances_equal_loops_over_left_out_votes() -> None:
    codes, _ = some_codes(60, 4)
    rng = np.random.default_rng(4)
    llm = rng.dirichlet(np.ones(SIZE), size=60)
    llm[:5] = np.nan
    lines = distribution_distances(counts_of(codes), llm)
    for line, (raters, model) in zip(lines, slow_distances(codes, llm), strict=True):
        assert (line.raters.estimate, line.llm.estimate) == pytest.approx((raters, model)), line.measure
        assert line.ratio is not None
        assert line.ratio.estimate == pytest.approx(model / raters)


def test_distances_of_known_distributions() -> None:
    p, q = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), np.array([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(total_variation(p, q), [1, 0, 0.5])
    # Of a point and a fair coin: 1 - 0.75 log2 3 + 0.5 x 1.
    np.testing.assert_allclose(jensen_shannon(p, q), [1, 0, 1.5 - 0.75 * math.log2(3)])


def test_numbers_are_compared_with_the_mean_of_the_others() -> None:
    ratings = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, np.nan], [4.0, np.nan, np.nan]])
    (line,) = number_distance(ratings, np.array([2.0, 3.0, 1.0]))
    # The means of the others are 2.5, 2, 1.5 and 5, 5.
    assert line.raters.estimate == pytest.approx(((1.5 + 0 + 1.5) / 3 + 0) / 2)
    assert line.llm.estimate == pytest.approx(((0.5 + 0 + 0.5) / 3 + 2) / 2)
    assert line.llm.n == 2


def test_row_means_have_known_intervals() -> None:
    values = np.array([1.0] * 18 + [0.0] * 2)
    known = bounded_mean(values, 0, 1)
    mean = bounded_row_mean(values, None, 0.95)
    assert (mean.estimate, mean.low, mean.high) == pytest.approx((known.estimate, known.low, known.high))
    # Two copies of each row as a cluster tell as much as one.
    twice = bounded_row_mean(np.repeat(values, 2), SamplingDesign(clusters=np.repeat(np.arange(20), 2)), 0.95)
    assert twice.high - twice.low > known.high - known.low
    even = row_difference(np.zeros(50), None, 0.95)
    # Agresti & Min: one row in 52 differs, half in each direction.
    assert even.high == pytest.approx(1.96 * math.sqrt(1 / 52 / 52), rel=1e-3)
    assert row_mean(np.array([1.0]), None, 0.95).n == 1
    assert math.isnan(row_ratio(np.zeros(5), np.ones(5), None, 0.95).estimate)
    ratio = row_ratio(2 * values + 1, values + 0.5, None, 0.95)
    assert (ratio.low, ratio.high) == pytest.approx((2, 2))
