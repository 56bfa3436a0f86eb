from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.estimation.rogan_gladen import RoganGladen, rogan_gladen
from hf_synthlabels.statistics.intervals import wilson
from tests.statistics.common import contains

Count = tuple[int, int]


def corrected(p: Count, q0: Count, q1: Count, level: float = 0.95) -> RoganGladen:
    """From counts: yes of the test set, correct of the calibration set's no, and of its yes."""
    verdicts = [1] * p[0] + [0] * (p[1] - p[0])
    human = [0] * q0[1] + [1] * q1[1]
    judge = [0] * q0[0] + [1] * (q0[1] - q0[0]) + [1] * q1[0] + [0] * (q1[1] - q1[0])
    return rogan_gladen(verdicts, human, judge, level=level)


def test_intervals_match_the_authors_program() -> None:
    # By confidence_interval of UW-Madison-Lee-Lab/LLM-judge-reporting; the first is the example of its README:
    # p = .4 of 1,000, specificity .7 of 200, sensitivity .9 of 200.
    first = corrected((400, 1000), (140, 200), (180, 200))
    assert (first.interval.low, first.interval.high) == pytest.approx((0.05635072484161, 0.26273302578596), abs=1e-9)
    second = corrected((150, 200), (40, 50), (36, 40), 0.9).interval
    assert (second.low, second.high) == pytest.approx((0.68003367953405, 0.93339090082681), abs=1e-9)
    # (.4 + .7 - 1) / (.7 + .9 - 1)
    assert first.interval.estimate == pytest.approx(1 / 6)
    assert (first.raw, first.specificity, first.sensitivity) == (wilson(400, 1000), wilson(140, 200), wilson(180, 200))
    assert (first.interval.n, first.n_unscored, first.reason) == (1000, 0, None)


def test_perfect_and_poor_judges() -> None:
    perfect, raw = corrected((30, 100), (500, 500), (500, 500)).interval, wilson(30, 100)
    assert (perfect.estimate, perfect.low, perfect.high) == pytest.approx((0.3, raw.low, raw.high), abs=0.01)
    # A judge that is wrong in a fifth says yes in at least 20% and at most 80%: shares beyond are cut.
    for yes, estimate in ((10, 0.0), (95, 1.0)):
        cut = corrected((yes, 100), (80, 100), (80, 100)).interval
        assert cut.estimate == estimate
        assert 0 <= cut.low <= cut.estimate <= cut.high <= 1
    # One no of one is correct, 1 yes of 20: above 1 by the counts, but not when two rows are added to each.
    poor = corrected((50, 100), (1, 1), (1, 20)).interval
    assert (poor.low, poor.high) == (0, 1)


def test_undefined_shares_have_a_reason() -> None:
    for p, q0, q1, reason in (
        ((5, 10), (5, 10), (5, 10), "no better than chance: sensitivity 0.500 + specificity 0.500"),
        ((5, 10), (1, 10), (2, 10), "no better than chance"),
        ((0, 0), (9, 10), (9, 10), "no row of the test set"),
        ((5, 10), (0, 0), (9, 10), "no row to which humans say no"),
        ((5, 10), (9, 10), (0, 0), "no row to which humans say yes"),
    ):
        result = corrected(p, q0, q1)
        assert math.isnan(result.interval.low)
        assert reason in (result.reason or "")
        assert json.loads(json.dumps(result.to_dict()))["interval"]["estimate"] is None


def test_unscored_rows_are_left_out_and_counted() -> None:
    whole = rogan_gladen([1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0])
    more = rogan_gladen([1, None, 1, 0], [1, 1, 0, 0, 1], [1, 1, 0, 0, None])
    assert more.interval == whole.interval
    assert (more.n_unscored, whole.n_unscored) == (2, 0)
    assert rogan_gladen([True, True, False], [True, True, False, False], [True, True, False, False]) == whole


def test_intervals_cover_the_true_share() -> None:
    for share, q0, q1, rows in ((0.5, 0.8, 0.9, 1000), (0.9, 0.7, 0.95, 500)):
        rng, covered = np.random.default_rng(0), 0
        for _ in range(500):
            # Half of the calibration set is yes, whatever the share in the test set.
            truth, human = rng.random(rows) < share, rng.random(100) < 0.5
            test, judge = (
                np.where(yes, rng.random(len(yes)) < q1, rng.random(len(yes)) < 1 - q0) for yes in (truth, human)
            )
            covered += contains(rogan_gladen(test, human, judge).interval, share)
        # 500 draws: two standard errors around .95 are .931 to .969; the pseudo-rows make it a little wide.
        assert 0.93 <= covered / 500 <= 0.985


def test_invalid_arguments_are_refused() -> None:
    cases: list[tuple[str, Any]] = [
        ("verdicts", ([1, 2], [1], [1])),
        ("human", ([1], [1, None], [1, 1])),
        ("human", ([1], [1, 0], [1])),
        ("judge", ([1], [1, 0], ["yes", "no"])),
    ]
    for field, arguments in cases:
        with pytest.raises(DataError, match=f"`{field}`"):
            rogan_gladen(*arguments)
    with pytest.raises(ConfigError, match="`level`"):
        rogan_gladen([1], [1, 0], [1, 0], level=95)
