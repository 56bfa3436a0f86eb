"""What judgments come to: mean, interval, coverage, bounds; numbers derived by hand or by simulation."""

from __future__ import annotations

import json
import math
from array import array

import numpy as np
import pytest

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.clients import Price
from hf_synthlabels.judging import Judgment, read_rubric
from hf_synthlabels.judging.summary import ScoreCount, mean_interval
from hf_synthlabels.statistics.intervals import wilson

FIVE = read_rubric("score_1_5")
YES = read_rubric("correctness")


def counted(*scores: float | None) -> ScoreCount:
    count = ScoreCount(FIVE)
    for score in scores:
        count.add(Judgment(score, "unparsed" if score is None else "scored", None if score is None else "line"))
    return count


def test_mean_coverage_and_bounds() -> None:
    found = counted(5, 4, None, 2).summary(RunStats())
    assert found.mean.estimate == pytest.approx(11 / 3)
    assert found.unit_mean == pytest.approx((11 / 3 - 1) / 4)
    assert (found.n, found.n_scored, found.coverage) == (4, 3, 0.75)
    # The missing one may be a 1 or a 5.
    assert (found.lowest_mean, found.highest_mean) == (12 / 4, 16 / 4)
    assert (found.n_unscored, found.parse_methods) == ({"unparsed": 1}, {"line": 3})


def test_all_scored_leaves_nothing_open() -> None:
    found = counted(5, 4, 2).summary(RunStats())
    assert found.lowest_mean == found.highest_mean == found.mean.estimate


def test_nothing_scored_is_nan_and_not_zero() -> None:
    found = counted(None, None).summary(RunStats())
    assert math.isnan(found.mean.estimate)
    assert math.isnan(found.unit_mean)
    assert (found.coverage, found.lowest_mean, found.highest_mean) == (0, 1, 5)
    assert str(found).startswith("no scores; 0 of 2 scored; 2 unparsed")


def test_the_dictionary_is_plain() -> None:
    found = (
        counted(5, 4, None).summary(RunStats(requests=2, prompt_tokens=10, completion_tokens=4), Price(1, 1)).as_dict()
    )
    assert json.loads(json.dumps(found)) == found
    assert found["cost_usd"] == pytest.approx(14e-6)
    assert {type(value) for value in found.values()} <= {float, int, str, dict}


def test_cost_is_unknown_without_a_price_and_nothing_where_nothing_was_asked() -> None:
    assert counted(5).summary(RunStats(requests=1)).cost_usd is None
    assert counted(5).summary(RunStats(stored=1)).cost_usd == 0


def test_a_share_has_wilsons_interval() -> None:
    found = mean_interval(YES, array("d", [1.0] * 7 + [0.0] * 3))
    assert (found.low, found.high, found.method) == (wilson(7, 10).low, wilson(7, 10).high, "wilson")


def test_the_interval_of_a_mean_is_agresti_and_coulls() -> None:
    # Scores 1 and 5 are 0 and 1 of the unit: for 7 of 10 p~ = (7 + z^2 / 2) / (10 + z^2).
    z = 1.959963984540054
    found = mean_interval(FIVE, array("d", [5.0] * 7 + [1.0] * 3))
    centre = (7 + z * z / 2) / (10 + z * z)
    half = z * math.sqrt(centre * (1 - centre) / (10 + z * z))
    assert found.low == pytest.approx(1 + 4 * (centre - half))
    assert found.high == pytest.approx(1 + 4 * (centre + half))
    assert found.estimate == pytest.approx(1 + 4 * 0.7)


@pytest.mark.parametrize("score", [1.0, 3.0, 5.0])
def test_scores_that_are_all_alike_leave_something_open(score: float) -> None:
    few, many = (mean_interval(FIVE, array("d", [score] * n)) for n in (5, 5000))
    assert few.low <= score <= few.high
    assert few.high - few.low > 0.3
    assert many.high - many.low < 0.01


def test_intervals_hold_the_true_mean_as_often_as_they_say(subtests: pytest.Subtests) -> None:
    distributions: list[tuple[float, ...]] = [
        (0.05, 0.05, 0.1, 0.3, 0.5),
        (0.2, 0.2, 0.2, 0.2, 0.2),
        (0.0, 0.0, 0.02, 0.08, 0.9),
    ]
    ns: list[int] = [30, 200]
    for n in ns:
        for shares in distributions:
            with subtests.test(repr((shares, n))):
                rng = np.random.default_rng(1)
                truth = float(np.dot(np.arange(1, 6), shares))
                held = 0
                for scores in rng.choice(np.arange(1.0, 6.0), p=shares, size=(1000, n)):
                    found = mean_interval(FIVE, array("d", scores))
                    held += found.low <= truth <= found.high
                assert held >= 930


def test_a_wider_level_is_wider() -> None:
    scores = array("d", [1, 2, 5, 4, 4])
    assert mean_interval(FIVE, scores, 0.99).low < mean_interval(FIVE, scores, 0.8).low
