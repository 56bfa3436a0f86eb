from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.correction.rogan_gladen import RoganGladen, rogan_gladen
from hf_synthlabels.statistics.intervals import wilson


def corrected(p: tuple[int, int], q0: tuple[int, int], q1: tuple[int, int], level: float = 0.95) -> RoganGladen:
    """From counts: yes of the test set, right of the calibration set's no, and of its yes."""
    verdicts = [1] * p[0] + [0] * (p[1] - p[0])
    human = [0] * q0[1] + [1] * q1[1]
    judge = [0] * q0[0] + [1] * (q0[1] - q0[0]) + [1] * q1[0] + [0] * (q1[1] - q1[0])
    return rogan_gladen(verdicts, human, judge, level=level)


# What confidence_interval of the authors' repository (UW-Madison-Lee-Lab/LLM-judge-reporting) gives; the first is the
# example of its README: p = .4 of 1,000, specificity .7 of 200, sensitivity .9 of 200.
@pytest.mark.parametrize(
    ("p", "q0", "q1", "level", "low", "high"),
    [
        ((400, 1000), (140, 200), (180, 200), 0.95, 0.05635072484161, 0.26273302578596),
        ((150, 200), (40, 50), (36, 40), 0.9, 0.68003367953405, 0.93339090082681),
    ],
)
def test_intervals_match_the_authors_program(
    p: tuple[int, int], q0: tuple[int, int], q1: tuple[int, int], level: float, low: float, high: float
) -> None:
    found = corrected(p, q0, q1, level).interval
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_share_by_hand() -> None:
    found = corrected((400, 1000), (140, 200), (180, 200))
    # (.4 + .7 - 1) / (.7 + .9 - 1)
    assert found.interval.estimate == pytest.approx(1 / 6)
    assert found.raw == wilson(400, 1000)
    assert (found.specificity, found.sensitivity) == (wilson(140, 200), wilson(180, 200))
    assert (found.interval.n, found.n_unscored, found.reason) == (1000, 0, None)


def test_a_perfect_judge_is_believed() -> None:
    found = corrected((30, 100), (500, 500), (500, 500)).interval
    assert found.estimate == pytest.approx(0.3)
    raw = wilson(30, 100)
    assert (found.low, found.high) == pytest.approx((raw.low, raw.high), abs=0.01)


@pytest.mark.parametrize(("yes", "estimate"), [(10, 0.0), (95, 1.0)])
def test_shares_beyond_the_ends_are_cut(yes: int, estimate: float) -> None:
    # A judge that is wrong about a fifth says yes to at least 20 %, and to at most 80 %.
    found = corrected((yes, 100), (80, 100), (80, 100)).interval
    assert found.estimate == estimate
    assert 0 <= found.low <= found.estimate <= found.high <= 1


@pytest.mark.parametrize(
    ("p", "q0", "q1", "reason"),
    [
        ((5, 10), (5, 10), (5, 10), "no better than chance: sensitivity 0.500 + specificity 0.500"),
        ((5, 10), (1, 10), (2, 10), "no better than chance"),
        ((0, 0), (9, 10), (9, 10), "no row of the test set"),
        ((5, 10), (0, 0), (9, 10), "no row to which humans say no"),
        ((5, 10), (9, 10), (0, 0), "no row to which humans say yes"),
    ],
)
def test_what_can_not_be_corrected_is_told(
    p: tuple[int, int], q0: tuple[int, int], q1: tuple[int, int], reason: str
) -> None:
    found = corrected(p, q0, q1)
    assert math.isnan(found.interval.estimate)
    assert math.isnan(found.interval.low)
    assert reason in (found.reason or "")
    assert json.loads(json.dumps(found.to_dict()))["interval"]["estimate"] is None


def test_a_judge_that_is_hardly_better_than_chance_says_nothing() -> None:
    # One no of one is right, 1 yes of 20: 1.05 of the counts, but not when two rows are added to each.
    found = corrected((50, 100), (1, 1), (1, 20)).interval
    assert (found.low, found.high) == (0, 1)


def test_unscored_rows_are_left_out_and_counted() -> None:
    whole = rogan_gladen([1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0])
    more = rogan_gladen([1, None, 1, 0], [1, 1, 0, 0, 1], [1, 1, 0, 0, None])
    assert more.interval == whole.interval
    assert (more.n_unscored, whole.n_unscored) == (2, 0)
    assert rogan_gladen([True, True, False], [True, True, False, False], [True, True, False, False]) == whole


@pytest.mark.parametrize(
    ("share", "q0", "q1", "rows", "calibrated"), [(0.5, 0.8, 0.9, 1000, 100), (0.9, 0.7, 0.95, 500, 100)]
)
def test_intervals_hold_the_truth_as_often_as_they_say(
    share: float, q0: float, q1: float, rows: int, calibrated: int
) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(500):
        # Half of the calibration set is yes, whatever the share in the test set.
        truth, human = rng.random(rows) < share, rng.random(calibrated) < 0.5
        test, judge = (
            np.where(yes, rng.random(len(yes)) < q1, rng.random(len(yes)) < 1 - q0) for yes in (truth, human)
        )
        found = rogan_gladen(test, human, judge).interval
        held += found.low <= share <= found.high
    # 500 draws: two standard errors around .95 are .931 to .969; the pseudo-rows make it a little wide.
    assert 0.93 <= held / 500 <= 0.985


def test_wrong_input_is_told() -> None:
    with pytest.raises(DataError, match="`verdicts`"):
        rogan_gladen([1, 2], [1], [1])
    with pytest.raises(DataError, match="`human`"):
        rogan_gladen([1], [1, None], [1, 1])
    with pytest.raises(DataError, match="`human` has 2 rows and `judge` 1"):
        rogan_gladen([1], [1, 0], [1])
    with pytest.raises(DataError, match="`judge`"):
        rogan_gladen([1], [1, 0], ["yes", "no"])
    with pytest.raises(ConfigError, match="`level`"):
        rogan_gladen([1], [1, 0], [1, 0], level=95)
