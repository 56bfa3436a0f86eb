"""Few labels: groups by their own n, shares near 0 and 1, and an LLM without an observed error."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.statistics import Inference, ppi_mean
from hf_synthlabels.statistics.estimation.analyses import estimate_difference, estimate_f1, estimate_prevalence
from hf_synthlabels.statistics.intervals import score_interval, wilson

CORRECTED = ("classical", "ppi", "dsl")
Z = float(stats.norm.ppf(0.975))


def grouped(labels: dict[str, list[str]]) -> tuple[list[str | None], list[str], list[str]]:
    """Human labels of a quarter of each group; the LLM agrees with them and alternates elsewhere."""
    human: list[str | None] = []
    llm: list[str] = []
    groups: list[str] = []
    for name, known in labels.items():
        rows = 4 * len(known)
        human += [*known, *[None] * (rows - len(known))]
        llm += [*known, *(["a", "b"] * rows)[: rows - len(known)]]
        groups += [name] * rows
    return human, llm, groups


def test_each_group_has_the_interval_of_its_own_labels() -> None:
    human, llm, groups = grouped({"big": ["a", "b"] * 120, "one": ["b"], "twelve": ["b"] * 12})
    report = estimate_difference(human, llm, groups, positive="a")
    assert [each.n for each in report] == [240, 1, 12, 241, 252]
    for name in ("one", "one - big"):
        assert report[name].too_few
        assert all(math.isnan(getattr(report[name], key).high) for key in CORRECTED)
    # 0 of 12, not 0 of 253.
    assert report["twelve"].classical.high == pytest.approx(wilson(0, 12).high)
    assert all(getattr(report["twelve"], key).high > 0.15 for key in CORRECTED)
    difference = report["twelve - big"].ppi
    assert difference.high - difference.low > 0.2
    assert "too few" in str(report)
    assert any("one, one - big" in note for note in report.notes)
    written = json.loads(report.to_json())["estimates"][1]
    assert (written["n"], written["too_few"], written["ppi"]["high"]) == (1, True, None)


def test_a_small_group_that_was_labeled_completely_is_known_in_a_finite_population() -> None:
    human = ["a", "b", "b", "b", *["a", "b", None, None] * 50]
    llm = ["a", "b"] * 102
    groups = ["small"] * 4 + ["x"] * 200
    inference = Inference(finite=True, probabilities=[1.0] * 4 + [0.5] * 200)
    small = estimate_difference(human, llm, groups, positive="a", inference=inference)["small"]
    assert (small.classical.low, small.classical.high) == (0.25, 0.25)
    assert estimate_difference(human, llm, groups, positive="a")["small"].too_few


def test_a_class_with_hardly_a_label_has_no_f1() -> None:
    human, llm, _ = grouped({"all": ["a", "b"] * 60 + ["c"]})
    report = estimate_f1(human, llm)
    assert (report["c"].too_few, report["a"].too_few, report["a"].n) == (True, False, 60)
    # Correct in 60 of 60: the Jaccard share may be as low as Wilson's limit.
    assert report["a"].classical.low < 0.99


def test_classical_shares_have_the_score_interval_with_students_quantile() -> None:
    human = ["a"] * 3 + ["b"] * 97 + [None] * 400
    report = estimate_prevalence(human, ["b"] * 499 + ["a"])
    classical = report["a"].classical
    expected = score_interval(0.03, 99, float(stats.t.ppf(0.975, 99)))
    assert (classical.low, classical.high) == pytest.approx(expected, abs=1e-9)
    assert any("a (3)" in note for note in report.notes)
    none = estimate_prevalence([None if each is None else "b" for each in human], ["a", "b"] * 250)["a"].classical
    assert none.low == 0
    assert none.high == pytest.approx(Z**2 / (100 + Z**2))


def test_no_observed_error_does_not_give_certainty() -> None:
    names = ["a", "b"] * 1000
    for labeled in (50, 200):
        human = [name if place < labeled else None for place, name in enumerate(names)]
        report = estimate_prevalence(human, names)
        # z^2 / 2 pseudo-errors, each of which changes the share by 1 / n.
        added = Z**2 / 2 / labeled**2
        for interval in (report["a"].ppi, report["a"].dsl):
            assert interval.high - interval.low > 2 * 1.96 * math.sqrt(added)
        # The upper limit of 0 errors in n rows is 3.84 / (n + 3.84).
        assert report["a"].ppi.high - report["a"].ppi.estimate >= 0.75 * wilson(0, labeled).high
        assert report["a"].effective_ppi < 12 * labeled
        assert any("labels are equal in all" in note for note in report.notes)
    # The same for ppi_mean; for ratings a pseudo-error is a change from one rating to another.
    scores, ratings = np.tile([0.0, 1.0], 1000), np.tile([1.0, 3.0, 5.0], 400)
    binary, rated = (
        ppi_mean(np.where(np.arange(len(each)) < 60, each, np.nan), each).interval for each in (scores, ratings)
    )
    assert binary.high - binary.low > 2 * 1.96 * math.sqrt(Z**2 / 2 / 60**2)
    assert rated.high - rated.low > 0.1


def test_many_errors_leave_the_normal_approximation() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(1000) < 0.5
    llm = np.where(rng.random(1000) < 0.8, truth, ~truth)
    human = np.where(np.arange(1000) < 200, truth.astype(float), np.nan)
    mean = ppi_mean(human, llm.astype(float), method="student").interval
    names = [None if math.isnan(value) else str(int(value)) for value in human]
    share = estimate_prevalence(names, [str(int(value)) for value in llm])["1"].ppi
    # The score interval and Student's differ by little in the middle of the scale.
    assert (share.low, share.high) == pytest.approx((mean.low, mean.high), abs=0.002)
