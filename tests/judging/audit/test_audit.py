"""The audit: comparisons with baselines, verdicts, and reasons for what is not computed."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest

from benchmarks.perturbations import Source, perturbed_rows
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.audit.audit import audit_metric
from hf_synthlabels.judging.audit.audit_options import AuditOptions
from hf_synthlabels.judging.audit.report import Comparison, decide
from hf_synthlabels.statistics import BootstrapConfig, Interval
from tests.judging.audit.audit_data import made, of_task

FEW = AuditOptions(BootstrapConfig(resamples=200))


def noisy(human: list[float], noise: float, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    return list(np.clip(np.array(human) + noise * rng.standard_normal(len(human)), 0, 1))


def test_a_good_metric_passes_against_a_bad_one_and_the_bad_one_fails() -> None:
    columns = made(1, items=40)
    good, bad = noisy(columns.human, 0.05, 1), noisy(columns.human, 0.6, 2)
    places: dict[str, Any] = {"items": columns.items, "systems": columns.systems}
    found = audit_metric(good, columns.human, columns.tasks, **places, baselines={"bad": bad}, options=FEW)
    assert found.verdicts == {"cit": "pass", "cat": "pass", "tfa": "not_computed"}
    assert {each.statistic for each in found.comparisons} == {
        *("cit_kendall", "cat_offset", "cat_transfer", "cat_dr2", "cat_cross_excess")
    }
    assert all(each.difference.low > 0 for each in found.comparisons)
    other = audit_metric(bad, columns.human, columns.tasks, **places, baselines={"good": good}, options=FEW)
    assert other.verdicts["cit"] == "fail"
    # The differences are the same draws, turned around.
    for ours, theirs in zip(found.comparisons, other.comparisons, strict=True):
        assert ours.difference.estimate == pytest.approx(-theirs.difference.estimate)
        assert ours.difference.low == pytest.approx(-theirs.difference.high)


def test_differences_are_paired_so_equal_metrics_are_never_apart() -> None:
    columns = made(2)
    twin = list(columns.scores)
    found = audit_metric(
        columns.scores, columns.human, columns.tasks, items=columns.items, baselines={"twin": twin}, options=FEW
    )
    for each in found.comparisons:
        assert (each.difference.low, each.difference.high) == (0, 0), each.statistic
    assert found.verdicts["cit"] == "open"


def test_unscored_rows_are_coverage_and_comparisons_use_the_rows_of_both() -> None:
    columns = made(3, items=10)
    scores: list[float | None] = list(columns.scores)
    for place in range(0, 40, 4):
        scores[place] = None  # of task 0's 40 rows, 30 have a score
    found = audit_metric(
        scores, columns.human, columns.tasks, items=columns.items, baselines={"all": columns.scores}, options=FEW
    )
    first, second, _ = found.metric.tasks
    assert (first.coverage.estimate, first.coverage.n) == (0.75, 40)
    assert second.coverage.estimate == 1
    assert found.metric.coverage.n == 120
    assert found.metric.task_share == pytest.approx(2 / 3)
    assert found.reasons["coverage:task 0"] == "only 75.0% of 40 rows have a score"
    # On the rows of both, the two are the same.
    assert {each.difference.estimate for each in found.comparisons} == {0.0}
    assert found.baselines["all"].coverage.estimate == 1


def test_rows_without_a_human_score_are_left_out_and_counted() -> None:
    columns = made(4)
    human: list[float | None] = list(columns.human)
    human[0], human[1] = None, math.nan
    found = audit_metric(columns.scores, human, columns.tasks, options=FEW)
    assert found.n_unreferenced == 2
    assert found.metric.coverage.n == len(human) - 2


def test_lengths_are_a_baseline_that_is_not_held_against_human_scores() -> None:
    columns = made(5)
    lengths = [float(100 + place % 7) for place in range(len(columns.scores))]
    found = audit_metric(columns.scores, columns.human, columns.tasks, lengths=lengths, options=FEW)
    assert math.isnan(found.baselines["length"].scores["cat_offset"].estimate)
    assert "not in [0, 1]" in found.baselines["length"].reasons["cat_offset"]
    offset = [each for each in found.comparisons if each.statistic == "cat_offset"]
    assert [each.verdict for each in offset] == ["not_computed"]


def test_perturbed_answers_show_exact_match_failing_and_a_blind_judge_passing() -> None:
    random.seed(0)
    sources = [Source(f"q{place}", ["positive", "negative"][place % 2]) for place in range(40)]
    rows = perturbed_rows(sources, "classification")
    exact = [float(row.prediction == row.reference) for row in rows]
    judge = [min(1.0, max(0.0, (0.8 if row.right else 0.2) + random.gauss(0, 0.1))) for row in rows]
    human, tasks = [float(row.right) for row in rows], ["sst2"] * len(rows)
    places: dict[str, Any] = {"items": [row.item for row in rows], "formats": [row.form for row in rows]}
    found = audit_metric(judge, human, tasks, **places, baselines={"exact_match": exact}, options=FEW)
    assert found.verdicts["tfa"] == "pass"
    # One of six forms matches: AUC = 1/6 + 5/6 / 2.
    assert found.baselines["exact_match"].scores["tfa_auc"].estimate == pytest.approx(7 / 12)
    assert found.metric.formats["json"].mean_right.estimate == pytest.approx(0.8, abs=0.05)
    turned = audit_metric(exact, human, tasks, **places, baselines={"judge": judge}, options=FEW)
    assert turned.verdicts["tfa"] == "fail"


def test_a_baseline_that_the_format_can_not_reach_is_not_compared_by_format() -> None:
    # Two prompts of a judge on the same answers: the answers' lengths are the same under both.
    rng = np.random.default_rng(0)
    human = list(rng.random(20).round(2))
    scores = noisy(human, 0.1, 1) + noisy(human, 0.1, 2)
    lengths = [float(place) for place in range(20)]
    items = [str(place) for place in range(20)]
    found = audit_metric(
        scores,
        human * 2,
        ["t"] * 40,
        items=items * 2,
        formats=["a"] * 20 + ["b"] * 20,
        lengths=lengths * 2,
        options=FEW,
    )
    assert not [each for each in found.comparisons if each.statistic.startswith("tfa")]
    assert found.verdicts["tfa"] == "no_baseline"


def test_per_task_numbers_and_formats_are_there() -> None:
    columns = made(6)
    found = audit_metric(columns.scores, columns.human, columns.tasks, items=columns.items, options=FEW)
    task = found.metric.tasks[1]
    scores, human = of_task(columns, "task 1")
    assert task.name == "task 1"
    assert task.scores["offset"].estimate == pytest.approx(scores.mean() - human.mean())
    assert task.scores["offset"].n == len(scores)
    assert task.scores["offset"].low < task.scores["offset"].estimate < task.scores["offset"].high
    assert "8 clusters" in task.scores["offset"].method


def test_equal_inputs_give_equal_outputs_and_json_holds_all() -> None:
    columns = made(7)
    one, two = (
        audit_metric(columns.scores, columns.human, columns.tasks, lengths=columns.scores, options=FEW)
        for _ in range(2)
    )
    text = json.dumps(one.to_dict(), allow_nan=False)
    assert text == json.dumps(two.to_dict(), allow_nan=False)
    assert set(json.loads(text)) == {"metric", "baselines", "comparisons", "verdicts", "n_unreferenced"}


NOTHING: list[tuple[str, list[float | None], list[float | None], list[str], str, str]] = [
    ("empty", [], [], [], "all", "no row has both"),
    ("all unscored", [None, None], [0.5, 0.7], ["a", "b"], "all", "no row has both"),
    ("constant", [0.5] * 4, [0.1, 0.2, 0.3, 0.4], ["a", "a", "b", "b"], "all", "all scores are 0.5"),
    ("one task", [0.1, 0.2, 0.3], [0.1, 0.2, 0.3], ["a"] * 3, "cat", "only one task"),
    ("one row", [0.1], [0.1], ["a"], "intervals", "all rows belong to one item"),
    ("no formats", [0.1, 0.2], [0.1, 0.2], ["a", "b"], "tfa", "`formats` is missing"),
    ("humans constant", [0.1, 0.2], [1, 1], ["a", "a"], "cit:a", "all human scores of the task are equal"),
]


def test_what_can_not_be_computed_is_nan_with_the_reason(subtests: pytest.Subtests) -> None:
    for case in NOTHING:
        with subtests.test(repr(case)):
            _, scores, human, tasks, key, reason = case
            found = audit_metric(scores, human, tasks, baselines={"other": list(human)}, options=FEW)
            assert reason in found.reasons[key]
            assert found.verdicts["tfa"] == "not_computed"
            json.dumps(found.to_dict(), allow_nan=False)


def comparison(statistic: str, low: float, high: float) -> Comparison:
    return Comparison(statistic, "length", Interval((low + high) / 2, low, high, 0.95, "", 10))


def test_a_property_passes_only_when_every_comparison_does() -> None:
    scores = {name: Interval(0.5, 0.4, 0.6, 0.95, "", 10) for name in ("cat_transfer", "cat_dr2")}
    better, unclear, worse = (0.1, 0.2), (-0.1, 0.2), (-0.2, -0.1)
    assert decide(scores, [comparison("cat_transfer", *better), comparison("cat_dr2", *better)])["cat"] == "pass"
    assert decide(scores, [comparison("cat_transfer", *better), comparison("cat_dr2", *unclear)])["cat"] == "open"
    assert decide(scores, [comparison("cat_transfer", *worse), comparison("cat_dr2", *better)])["cat"] == "fail"
    assert decide(scores, [])["cat"] == "no_baseline"
    assert decide({}, [])["cat"] == "not_computed"
    # A lower end of exactly 0 is no pass.
    assert decide(scores, [comparison("cat_transfer", 0.0, 0.2)])["cat"] == "open"


def test_wrong_columns_and_options_are_named() -> None:
    with pytest.raises(DataError, match="`tasks` has 1 rows"):
        audit_metric([0.1, 0.2], [0.1, 0.2], ["a"])
    with pytest.raises(DataError, match=r"`scores` has 4.0 in row 1: give scores from 0 \(worst\) to 1"):
        audit_metric([0.1, 4], [0.1, 0.2], ["a", "a"])
    with pytest.raises(DataError, match="`human` has 'high' in row 0: give numbers"):
        audit_metric([0.1], ["high"], ["a"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="`tasks` has None in row 0"):
        audit_metric([0.1], [0.1], [None])
    with pytest.raises(DataError, match="`rouge` has 1 rows"):
        audit_metric([0.1, 0.2], [0.1, 0.2], ["a", "a"], baselines={"rouge": [0.1]})
    with pytest.raises(ConfigError, match="`baselines` has 'length'"):
        audit_metric([0.1], [0.1], ["a"], lengths=[1], baselines={"length": [1]})
    with pytest.raises(ConfigError, match="`reference_format` is 'json'"):
        audit_metric([0.1], [0.1], ["a"], options=AuditOptions(reference_format="json"))
    with pytest.raises(ConfigError, match="`threshold` is 6: give a number from 0 to 1"):
        AuditOptions(threshold=6)
