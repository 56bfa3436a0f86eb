"""Routing of a table, against a loop over thresholds and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.routing.route import route_labels
from hf_synthlabels.statistics.routing.routing_target import RoutingTarget
from hf_synthlabels.statistics.validation.table_variables import TableVariable
from tests.statistics.common import Columns

VARIABLE = TableVariable("llm_label", "label")


def table(seed: int, n: int = 300, n_human: int = 200, levels: int = 0) -> dict[str, list[Any]]:
    """Labels that are right with the probability of their confidence, some of them missing, for some of the rows."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(8, 1, n)
    confidence = np.round(confidence * levels) / levels if levels else confidence
    human = rng.choice(["a", "b"], n)
    llm = np.where(rng.random(n) < confidence, human, np.where(human == "a", "b", "a"))
    return {
        "llm_label": [str(label) if rng.random() < 0.95 else None for label in llm],
        "llm_label_confidence": [float(value) if rng.random() < 0.95 else None for value in confidence],
        "label": [str(label) if row < n_human else None for row, label in enumerate(human)],
    }


Row = tuple[str | None, float | None, str | None]


def is_covered(llm: str | None, target: RoutingTarget) -> bool:
    if llm is None or target.metric == "accuracy":
        return llm is not None
    return (llm == target.class_name) == (target.metric == "precision")


def is_kept(row: Row, threshold: float, target: RoutingTarget) -> bool:
    return is_covered(row[0], target) and row[1] is not None and row[1] >= threshold


def counts(rows: list[Row], threshold: float, target: RoutingTarget) -> tuple[int, int]:
    """Right rows, and all, of those that the metric counts."""
    n = right = 0
    for row in rows:
        kept = is_kept(row, threshold, target)
        if target.metric == "recall":
            n += row[2] == target.class_name
            right += row[2] == target.class_name and not kept
        elif kept and row[2] is not None:
            n += 1
            right += row[2] == row[0]
    return right, n


def p_value(right: int, n: int, target: float) -> float:
    return sum(math.comb(n, k) * target**k * (1 - target) ** (n - k) for k in range(right, n + 1))


def select(outcomes: list[tuple[int, int]], target: RoutingTarget, risk: float) -> int | None:
    """The last threshold of the sequence that is rejected."""
    n_starts = 1 if target.metric == "recall" else 3
    testable = [place for place, (_, n) in enumerate(outcomes) if target.value**n <= risk / n_starts]
    if not testable:
        return None
    first, last = testable[0], len(outcomes) - 1
    starts = {first} if n_starts == 1 else {first, round((first + last) / 2), last}
    level, selected = 0.0, None
    for place, (right, n) in enumerate(outcomes):
        level += risk / len(starts) if place in starts else 0
        if level and p_value(right, n, target.value) <= level:
            selected = place
        else:
            level = 0.0
    return selected


def oracle(columns: dict[str, list[Any]], target: RoutingTarget, risk: float) -> list[str | None]:
    """The route of each row, by loops."""
    rows: list[Row] = list(
        zip(*(columns[name] for name in ("llm_label", "llm_label_confidence", "label")), strict=True)
    )
    known = sorted((row[1] for row in rows if is_covered(row[0], target) and row[1] is not None), reverse=True)
    places = [math.ceil(step / 20 * len(known)) - 1 for step in range(1, 21)]
    thresholds = sorted({math.floor(known[place] * 1e6 + 1e-7) / 1e6 for place in places}, reverse=True)
    selected = select([counts(rows, threshold, target) for threshold in thresholds], target, risk)
    routes: list[str | None] = []
    for row in rows:
        if selected is not None and is_kept(row, thresholds[selected], target):
            routes.append("keep")
        else:
            routes.append("human" if row[0] is None or is_covered(row[0], target) else None)
    return routes


@pytest.mark.parametrize("text", ["accuracy>=0.8", "accuracy>=0.9", "precision[a]>=0.8", "recall[b]>=0.9"])
@pytest.mark.parametrize("levels", [0, 10])
def test_routes_are_those_of_a_loop(text: str, levels: int) -> None:
    target = RoutingTarget.parse(text)
    shares = []
    for seed in range(12):
        columns = table(seed, levels=levels)
        report, routes = route_labels(Columns(**columns), VARIABLE, target, risk=0.1)
        assert routes == oracle(columns, target, 0.1)
        shares.append(report.kept.estimate)
        assert report.n_kept == routes.count("keep")
        assert report.n_routed == routes.count("human")
    # Neither always nothing, nor always everything.
    assert 0 < np.mean(shares) < 0.95


def test_a_table_by_hand() -> None:
    """50 rows with the confidence 0.9, all right; 50 with 0.5, of which half are right; 10 without a label."""
    columns: dict[str, Sequence[Any]] = {
        "llm_label": ["a"] * 100 + [None] * 10,
        "llm_label_confidence": [0.9] * 50 + [0.5] * 50 + [None] * 10,
        "label": ["a"] * 75 + ["b"] * 35,
    }
    report, routes = route_labels(Columns(**columns), VARIABLE, RoutingTarget.parse("accuracy>=0.9"))
    assert routes == ["keep"] * 50 + ["human"] * 60
    first, second = report.tests.tests
    assert (first.threshold, first.kept, first.share.n, first.guaranteed) == (0.9, 50, 50, True)
    assert first.p_value == pytest.approx(0.9**50)
    assert (second.kept, second.share.estimate, second.share.n, second.guaranteed) == (100, 0.75, 100, False)
    assert (report.threshold, report.n_human, report.n_routed_labeled) == (0.9, 100, 60)
    assert report.to_dict()["threshold"] == 0.9
    # Recall of b: its 25 rows with the LLM label a must not be kept, so the lower half is not.
    report, routes = route_labels(Columns(**columns), VARIABLE, RoutingTarget.parse("recall[b]>=0.9"))
    assert (routes, report.n_human) == (["keep"] * 50 + ["human"] * 60, 35)
    # The LLM gave the class b to no row: nothing to keep.
    with pytest.raises(DataError, match="confidence"):
        route_labels(Columns(**columns), VARIABLE, RoutingTarget.parse("precision[b]>=0.9"))


def test_unequal_probabilities_use_rows_with_equal_ones_only() -> None:
    columns = table(0, n=600, n_human=600)
    odd = [0.2 if row % 2 else 0.8 for row in range(600)]
    target = RoutingTarget.parse("accuracy>=0.8")
    report, _ = route_labels(Columns(**columns, inclusion_probability=odd), VARIABLE, target)
    everything, _ = route_labels(Columns(**columns), VARIABLE, target)
    # All rows with the probability 0.2 and a quarter of the others.
    assert report.n_human == pytest.approx(everything.n_human * 0.625, abs=30)
    assert any("seed 0" in note for note in report.notes)
    other, _ = route_labels(Columns(**columns, inclusion_probability=odd), VARIABLE, target, seed=1)
    assert other.tests != report.tests
    same, _ = route_labels(Columns(**columns, inclusion_probability=[0.5] * 600), VARIABLE, target)
    assert (same.tests, same.notes) == (everything.tests, ())


def test_rows_that_were_not_sent_have_no_route() -> None:
    columns: dict[str, Sequence[Any]] = {
        "llm_label": ["a"] * 60 + [None] * 2,
        "llm_label_status": ["labelled"] * 60 + ["skipped", "failed"],
        "llm_label_confidence": [0.9] * 60 + [None] * 2,
        "label": ["a"] * 62,
    }
    report, routes = route_labels(Columns(**columns), VARIABLE, RoutingTarget.parse("accuracy>=0.9"))
    assert routes == ["keep"] * 60 + [None, "human"]
    assert report.n_human == 60


def test_any_task_type_has_an_accuracy_and_only_classes_have_more() -> None:
    scale = TableVariable("llm_label", "label", "text-scale")
    columns: dict[str, Sequence[Any]] = {"llm_label": [1.0] * 60, "label": [1.0] * 60, "llm_label_confidence": [1] * 60}
    report, routes = route_labels(Columns(**columns), scale, RoutingTarget.parse("accuracy>=0.9"))
    assert (set(routes), report.threshold) == ({"keep"}, 1)
    with pytest.raises(ConfigError, match="target"):
        route_labels(Columns(**columns), scale, RoutingTarget.parse("recall[1]>=0.9"))


@pytest.mark.parametrize(
    "text", ["accuracy", "accuracy>0.9", "f1>=0.9", "accuracy>=1", "accuracy>=x", "recall>=0.9", "accuracy[a]>=0.9"]
)
def test_wrong_targets_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="target"):
        RoutingTarget.parse(text)


def test_class_names_may_have_any_characters() -> None:
    assert RoutingTarget.parse("precision[not >= [a]: b]>=0.9").class_name == "not >= [a]: b"


@pytest.mark.parametrize("risk", [0, -1, 0.6, math.nan])
def test_a_wrong_risk_is_refused(risk: float) -> None:
    with pytest.raises(ConfigError, match="risk"):
        route_labels(Columns(**table(0)), VARIABLE, RoutingTarget.parse("accuracy>=0.9"), risk=risk)
