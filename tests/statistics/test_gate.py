from __future__ import annotations

import json
import math
from statistics import NormalDist

import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Gate, GateVerdict, Interval
from hf_synthlabels.statistics.intervals import wilson

FACTOR = (1 + NormalDist().inv_cdf(0.8) / NormalDist().inv_cdf(0.975)) ** 2
"""How many times as many rows settle a question with 80 % power as do with even odds."""


def interval(low: float, estimate: float, high: float, n: int = 100) -> Interval:
    return Interval(estimate, low, high, 0.95, "bootstrap", n)


@pytest.mark.parametrize("text", ["macro_f1>=0.7", " macro_f1 >= .70 ", "macro_f1>=7e-1"])
def test_parse_reads_a_gate(text: str) -> None:
    assert Gate.parse(text) == Gate("macro_f1", 0.7)


def test_parse_reads_what_str_writes() -> None:
    gate = Gate("kappa", -0.25)
    assert Gate.parse(str(gate)) == gate


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("macro_f1>0.7", r"`gate`"),
        ("0.7", r"`gate`"),
        ("macrof1>=0.7", r"`metric`"),
        ("macro_f1>=70%", r"the threshold '70%': give a number from 0 to 1"),
        ("accuracy>=70", r"`threshold`"),
        ("accuracy>=-0.1", r"`threshold`"),
        ("accuracy>=nan", r"`threshold`"),
        ("mae>=0.5", r"`gate`"),
        ("macro_f1<=0.5", r"of macro_f1 more is better, so write 'macro_f1>=0.5'"),
        ("mae<=-1", r"`threshold`"),
        ("mae<=inf", r"`threshold`"),
        ("hamming_loss<=2", r"`threshold`"),
        ("icc>=-2", r"`threshold`"),
        ("bias>=0", r"`metric`"),
    ],
)
def test_parse_says_what_is_wrong(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Gate.parse(text)


def test_the_ends_decide_and_the_threshold_itself_passes() -> None:
    gate = Gate("macro_f1", 0.7)
    assert gate.judge(interval(0.7, 0.8, 0.9), 100).verdict == "pass"
    assert gate.judge(interval(0.5, 0.6, 0.7), 100).verdict == "too_few_human_labels"
    assert gate.judge(interval(0.5, 0.6, 0.699), 100).verdict == "fail"


def test_accuracy_above_the_threshold_needs_the_rows_of_the_wilson_formula() -> None:
    # 40 of 50 = .8 against .7, with 80 % power: ((1.95996 · .45826 + .84162 · .4) / .1)² = 152.48
    verdict = Gate("accuracy", 0.7).judge(wilson(40, 50), 50)
    assert (verdict.verdict, verdict.rows_needed, verdict.rows_to_fail) == ("too_few_human_labels", 153, None)
    assert "about 153 in all would pass with 80% power" in str(verdict)


def test_accuracy_below_the_threshold_needs_none_to_pass_but_some_to_fail() -> None:
    verdict = Gate("accuracy", 0.7).judge(wilson(30, 50), 50)
    assert (verdict.verdict, verdict.rows_needed, verdict.rows_to_fail) == ("too_few_human_labels", None, 172)
    assert "about 172 in all would show that it fails" in str(verdict)


def test_more_rows_than_there_are_decide_nothing() -> None:
    verdict = Gate("accuracy", 0.7).judge(wilson(40, 50), 50, 152)
    assert "about 153 in all would pass with 80% power, more than the 152 rows of this table" in str(verdict)
    assert "more than" not in str(Gate("accuracy", 0.7).judge(wilson(40, 50), 50, 153))


def test_a_share_of_all_rows_needs_the_rows_of_the_wilson_formula_whatever_its_name() -> None:
    assert Gate("within_one", 0.7).judge(wilson(40, 50), 50).rows_needed == 153
    # Of answered rows only, the human-labelled rows are scaled.
    answered = wilson(40, 50)
    needed = Gate("accuracy_answered", 0.7).judge(answered, 100).rows_needed
    assert needed == math.ceil(100 * FACTOR * ((answered.estimate - answered.low) / 0.1) ** 2)


def test_an_error_passes_below_its_threshold() -> None:
    gate = Gate.parse("mae <= 0.7")
    assert str(gate) == "mae <= 0.7"
    assert gate.judge(interval(0.5, 0.6, 0.7), 100).verdict == "pass"
    assert gate.judge(interval(0.7, 0.8, 0.9), 100).verdict == "too_few_human_labels"
    failed = gate.judge(interval(0.71, 0.8, 0.9), 100)
    assert failed.verdict == "fail"
    assert str(failed) == "mae <= 0.7: fail (lower limit 0.710, n = 100)"
    assert str(gate.judge(interval(0.5, 0.6, 0.65), 100)) == "mae <= 0.7: pass (upper limit 0.650, n = 100)"


def test_an_error_that_few_labels_leave_open_tells_the_rows() -> None:
    gate = Gate("mae", 0.7)
    # The upper half-width .2 must become .1: four times the rows, and 2.0432 times as many for 80 % power.
    open_below = gate.judge(interval(0.5, 0.6, 0.8), 100)
    assert (open_below.rows_needed, open_below.rows_to_fail) == (818, None)
    # The lower half-width .2 must become .1.
    open_above = gate.judge(interval(0.6, 0.8, 0.9), 100)
    assert (open_above.rows_needed, open_above.rows_to_fail) == (None, 818)
    assert GateVerdict.from_dict(open_above.to_dict()) == open_above


def test_kappa_of_answered_rows_is_reckoned_in_human_labelled_rows() -> None:
    # The lower half-width .2 must become .1: four times the 120 human-labelled rows, of which 100 are answered; with
    # 80 % power 2.0432 times as many.
    assert Gate("kappa", 0.7).judge(interval(0.6, 0.8, 0.9), 120).rows_needed == 981


def test_an_undefined_score_never_passes_or_fails() -> None:
    verdict = Gate("kappa", 0.7).judge(interval(math.nan, math.nan, math.nan, 0), 10)
    assert (verdict.verdict, verdict.rows_needed, verdict.rows_to_fail) == ("too_few_human_labels", None, None)
    assert "more rows like these would not decide" in str(verdict)


@pytest.mark.parametrize("low", [0.72, 0.6, math.nan], ids=["pass", "open", "undefined"])
def test_verdict_json_round_trip(low: float) -> None:
    score = interval(low, low + 0.1, low + 0.2)
    verdict = Gate("macro_f1", 0.7).judge(score, 100)
    text = json.dumps(verdict.to_dict(), allow_nan=False)
    assert GateVerdict.from_dict(json.loads(text)).to_dict() == verdict.to_dict()


def test_str_of_a_settled_verdict_shows_the_end_that_settled_it() -> None:
    gate = Gate("macro_f1", 0.7)
    assert str(gate.judge(interval(0.72, 0.8, 0.9), 100)) == "macro_f1 >= 0.7: pass (lower limit 0.720, n = 100)"
    assert str(gate.judge(interval(0.5, 0.6, 0.65), 100)) == "macro_f1 >= 0.7: fail (upper limit 0.650, n = 100)"
