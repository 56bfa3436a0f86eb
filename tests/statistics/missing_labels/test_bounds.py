"""Bounds for missing labels: by hand, by trying all labels, and the quantile between one-sided and two-sided."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import EstimateReport, Inference, estimate, validate
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.estimation.analyses import estimate_prevalence
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.statistics.missing_labels.bounds import Bounds, bounds_quantile, share_bounds
from hf_synthlabels.statistics.validation.report import ValidationReport
from tests.statistics.common import Columns


@pytest.mark.parametrize(("width", "quantile"), [(0.0, 1.959964), (100.0, 1.644854)])
def test_quantile_is_two_sided_without_missing_labels_and_one_sided_with_many(width: float, quantile: float) -> None:
    assert bounds_quantile(width, 1.0) == pytest.approx(quantile, abs=1e-5)
    assert bounds_quantile(width, 0.0) == pytest.approx(quantile, abs=1e-5)


@pytest.mark.parametrize("width", [0.1, 0.5, 1.0, 3.0])
def test_quantile_solves_the_equation_of_imbens_and_manski(width: float) -> None:
    c = bounds_quantile(width, 0.7, 0.9)
    normal = NormalDist()
    assert normal.cdf(c + width / 0.7) - normal.cdf(-c) == pytest.approx(0.9, abs=1e-7)


def test_bounds_of_a_share_by_hand() -> None:
    # 60 hits, 20 others, 20 unknown rows.
    hits = np.arange(100) < 60
    known = np.arange(100) < 80
    bounds = share_bounds(hits, known, None)
    assert (bounds.low, bounds.high, bounds.n, bounds.n_missing) == (0.6, 0.8, 100, 20)
    assert bounds.at_random.estimate == 0.75
    c = bounds_quantile(0.2, math.sqrt(0.6 * 0.4 / 100))
    level = 2 * NormalDist().cdf(c) - 1
    assert bounds.interval_low == pytest.approx(wilson(60, 100, level).low)
    assert bounds.interval_high == pytest.approx(wilson(80, 100, level).high)
    assert Bounds.from_dict(bounds.to_dict()) == bounds
    weighted = share_bounds(hits, known, SamplingDesign(weights=np.where(known, 1.0, 4.0)))
    assert (weighted.low, weighted.high) == pytest.approx((60 / 160, 140 / 160))


def some_table(seed: int = 0, *, missing_llm: int = 0, missing_human: int = 0, n: int = 40) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    llm: list[Any] = ["yes" if value else "no" for value in np.where(rng.random(n) < 0.8, truth, ~truth)]
    human: list[Any] = ["yes" if value else "no" for value in truth]
    probability: list[Any] = [0.5 if row < n // 2 else None for row in range(n)]
    for row in range(n):
        if row >= n // 2 or row < missing_human:
            human[row] = None
        if n // 2 - missing_llm <= row < n // 2:
            llm[row] = None
    return {"llm_label": llm, "label": human, "inclusion_probability": probability, "group": list("ab" * (n // 2))}


@pytest.mark.parametrize("estimator", ["classical", "ppi"])
def test_estimates_with_any_labels_in_missing_rows_are_within_the_bounds(estimator: str) -> None:
    table = some_table(missing_human=4)
    report = estimate(Columns(**table))
    (bounds,) = [each.bounds for each in report.bounds if (each.name, each.estimator) == ("yes", estimator)]
    values = []
    for labels in itertools.product(("no", "yes"), repeat=4):
        human = [*labels, *table["label"][4:]]
        complete = estimate_prevalence(human, table["llm_label"], names=["no", "yes"])
        values.append(getattr(complete["yes"], estimator).estimate)
    assert (bounds.low, bounds.high) == pytest.approx((values[0], values[-1]))
    assert bounds.low <= min(values)
    assert max(values) <= bounds.high
    assert bounds.interval_low < bounds.low <= bounds.at_random.estimate <= bounds.high < bounds.interval_high
    assert (bounds.n, bounds.n_missing) == (20, 4)


def test_missing_llm_labels_bound_the_naive_estimate_only() -> None:
    report = estimate(Columns(**some_table(missing_llm=4)))
    assert {each.estimator for each in report.bounds} == {"naive"}
    (bounds,) = [each.bounds for each in report.bounds if each.name == "yes"]
    yes = some_table(missing_llm=4)["llm_label"].count("yes")
    assert (bounds.low, bounds.high) == pytest.approx((yes / 40, (yes + 4) / 40))
    assert estimate(Columns(**some_table())).bounds == ()


def test_differences_of_groups_take_opposite_labels() -> None:
    table = some_table(missing_human=6, n=80)
    report = estimate(Columns(**table), groups="group", positive="yes")
    classical = {each.name: each.bounds for each in report.bounds if each.estimator == "classical"}
    assert classical["b - a"].low == pytest.approx(classical["b"].low - classical["a"].high)
    assert classical["b - a"].high == pytest.approx(classical["b"].high - classical["a"].low)


def test_means_have_the_observed_ends_of_the_scale() -> None:
    table = Columns(
        llm_label=[1.0, 2.0, 3.0, 4.0] * 5,
        label=[1.0, 2.0, 4.0, 4.0] * 2 + [None] * 12,
        inclusion_probability=[0.5] * 10 + [None] * 10,
    )
    report = estimate(table, estimand="mean")
    (bounds,) = [each.bounds for each in report.bounds if each.estimator == "classical"]
    assert (bounds.low, bounds.high) == pytest.approx(((22 + 2 * 1) / 10, (22 + 2 * 4) / 10))


def test_reports_keep_bounds_as_text_and_json() -> None:
    report = estimate(Columns(**some_table(missing_human=4)), inference=Inference(level=0.9))
    assert isinstance(report, EstimateReport)
    assert "90% interval" in report.text(80)
    assert max(map(len, report.text(80).splitlines())) <= 80
    assert len(report.to_dict()["bounds"]) == 4


def test_accuracy_counts_missing_rows_as_wrong_and_as_right() -> None:
    table = some_table(missing_llm=3, missing_human=4)
    report = validate(Columns(**table))
    assert report.bounds is not None
    rows = range(4, 17)
    right = sum(table["label"][row] == table["llm_label"][row] for row in rows)
    assert (report.bounds.low, report.bounds.high) == pytest.approx((right / 20, (right + 7) / 20))
    assert report.bounds.at_random.estimate == pytest.approx(right / 13)
    assert (report.bounds.n, report.bounds.n_missing) == (20, 7)
    assert ValidationReport.from_json(report.to_json()) == report
    assert "Imbens & Manski" in report.text(80)
    assert validate(Columns(**some_table())).bounds is None


def test_disputed_rows_enter_as_shares_of_their_votes() -> None:
    votes = [["yes", "yes"]] * 8 + [["yes", "no"]] * 4 + [["no", "no"]] * 8
    table = Columns(llm_label=["yes"] * 20 + ["no"] * 20, human_votes=votes + [None] * 20)
    report = estimate(table)
    assert report["yes"].classical.estimate == pytest.approx((8 + 4 / 2) / 20)
    assert report.n_human == 20
    assert any("4 rows" in note for note in report.notes)
    # Labels that are there are kept, such as adjudicated ones; with `soft` all votes count.
    adjudicated: list[Any] = ["yes"] * 12 + ["no"] * 8 + [None] * 20
    kept = Columns(llm_label=table.columns["llm_label"], label=adjudicated, human_votes=votes + [None] * 20)
    assert estimate(kept)["yes"].classical.estimate == pytest.approx(12 / 20)
    assert estimate(kept, soft=True)["yes"].classical.estimate == pytest.approx(10 / 20)


def test_disputed_numbers_have_the_mean_of_their_votes() -> None:
    votes: list[Any] = [[1, 1], [1, 2], [3, 3], [2, 4]] * 5
    table = Columns(llm_label=[1.0, 2.0, 3.0, 3.0] * 10, label_votes=votes + [[]] * 20)
    assert estimate(table, estimand="mean")["mean"].classical.estimate == pytest.approx((1 + 1.5 + 3 + 3) / 4)


def test_votes_that_are_not_class_names_are_refused() -> None:
    table = Columns(llm_label=["yes", "no"], label_votes=[[["yes"]], ["no"]])
    with pytest.raises(DataError, match="`label_votes`"):
        estimate(table)
