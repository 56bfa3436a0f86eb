from __future__ import annotations

import json
import math
from statistics import NormalDist

import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Gate, GateVerdict, Interval
from hf_synthlabels.statistics.intervals import wilson

FACTOR = (1 + NormalDist().inv_cdf(0.8) / NormalDist().inv_cdf(0.975)) ** 2
"""How many times as many rows settle a question with 80% power as with even odds."""

F1, MAE, ACCURACY = Gate("macro_f1", 0.7), Gate("mae", 0.7), Gate("accuracy", 0.7)


def interval(low: float, estimate: float, high: float, n: int = 100) -> Interval:
    return Interval(estimate, low, high, 0.95, "bootstrap", n)


def test_gates_are_parsed() -> None:
    for text in ("macro_f1>=0.7", " macro_f1 >= .70 ", "macro_f1>=7e-1"):
        assert Gate.parse(text) == F1
    for gate in (Gate("kappa", -0.25), MAE):
        assert Gate.parse(str(gate)) == gate


def test_invalid_gates_are_refused() -> None:
    for text, field in (
        ("macro_f1>0.7", "gate"),
        ("0.7", "gate"),
        ("macro_f1>=70%", "gate"),
        ("mae>=0.5", "gate"),
        ("macro_f1<=0.5", "gate"),
        ("macrof1>=0.7", "metric"),
        ("bias>=0", "metric"),
        ("accuracy>=70", "threshold"),
        ("accuracy>=-0.1", "threshold"),
        ("accuracy>=nan", "threshold"),
        ("mae<=-1", "threshold"),
        ("mae<=inf", "threshold"),
        ("hamming_loss<=2", "threshold"),
        ("icc>=-2", "threshold"),
    ):
        with pytest.raises(ConfigError, match=f"`{field}`"):
            Gate.parse(text)


def test_the_limits_decide_and_the_threshold_itself_passes() -> None:
    for gate, low, high, verdict in (
        (F1, 0.7, 0.9, "pass"),
        (F1, 0.5, 0.7, "too_few_human_labels"),
        (F1, 0.5, 0.699, "fail"),
        # An error passes below its threshold.
        (MAE, 0.5, 0.7, "pass"),
        (MAE, 0.7, 0.9, "too_few_human_labels"),
        (MAE, 0.71, 0.9, "fail"),
    ):
        assert gate.judge(interval(low, (low + high) / 2, high), 100).verdict == verdict


def test_a_verdict_shows_the_limit_that_decided() -> None:
    assert str(F1.judge(interval(0.72, 0.8, 0.9), 100)) == "macro_f1 >= 0.7: pass (lower limit 0.720, n = 100)"
    assert str(F1.judge(interval(0.5, 0.6, 0.65), 100)) == "macro_f1 >= 0.7: fail (upper limit 0.650, n = 100)"
    assert str(MAE.judge(interval(0.71, 0.8, 0.9), 100)) == "mae <= 0.7: fail (lower limit 0.710, n = 100)"
    assert str(MAE.judge(interval(0.5, 0.6, 0.65), 100)) == "mae <= 0.7: pass (upper limit 0.650, n = 100)"


def test_open_verdicts_of_shares_need_the_rows_of_the_wilson_formula() -> None:
    # 40 of 50 = .8 against .7, with 80% power: ((1.95996 x .45826 + .84162 x .4) / .1)^2 = 152.48.
    above = ACCURACY.judge(wilson(40, 50), 50, 152)
    assert (above.verdict, above.rows_needed, above.rows_to_fail) == ("too_few_human_labels", 153, None)
    assert "about 153 in all would pass with 80% power, more than the 152 rows of this table" in str(above)
    assert "more than" not in str(ACCURACY.judge(wilson(40, 50), 50, 153))
    below = ACCURACY.judge(wilson(30, 50), 50)
    assert (below.verdict, below.rows_needed, below.rows_to_fail) == ("too_few_human_labels", None, 172)
    assert "about 172 in all would show that it fails" in str(below)
    assert Gate("within_one", 0.7).judge(wilson(40, 50), 50).rows_needed == 153
    # Of answered rows only, the human-labeled rows are scaled.
    answered = wilson(40, 50)
    needed = Gate("accuracy_answered", 0.7).judge(answered, 100).rows_needed
    assert needed == math.ceil(100 * FACTOR * ((answered.estimate - answered.low) / 0.1) ** 2)


def test_open_verdicts_of_other_scores_scale_the_human_labeled_rows() -> None:
    # A half-width of .2 must become .1: four times the rows, and 2.0432 times as many for 80% power.
    below, above = MAE.judge(interval(0.5, 0.6, 0.8), 100), MAE.judge(interval(0.6, 0.8, 0.9), 100)
    assert (below.rows_needed, below.rows_to_fail) == (818, None)
    assert (above.rows_needed, above.rows_to_fail) == (None, 818)
    # 120 human-labeled rows, of which 100 are answered.
    assert Gate("kappa", 0.7).judge(interval(0.6, 0.8, 0.9), 120).rows_needed == 981


def test_an_undefined_score_neither_passes_nor_fails() -> None:
    verdict = Gate("kappa", 0.7).judge(interval(math.nan, math.nan, math.nan, 0), 10)
    assert (verdict.verdict, verdict.rows_needed, verdict.rows_to_fail) == ("too_few_human_labels", None, None)
    assert "more rows like these would not decide" in str(verdict)


def test_verdicts_are_written_and_read() -> None:
    for low in (0.72, 0.6, math.nan):
        verdict = F1.judge(interval(low, low + 0.1, low + 0.2), 100)
        text = json.dumps(verdict.to_dict(), allow_nan=False)
        assert GateVerdict.from_dict(json.loads(text)).to_dict() == verdict.to_dict()
