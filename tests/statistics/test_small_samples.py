"""Few labels: groups by their own n, shares near 0 and 1, and an LLM without an observed error."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.statistics import BootstrapConfig, Inference, ppi_mean
from hf_synthlabels.statistics.agreement.scale import scale_agreement
from hf_synthlabels.statistics.estimation.analyses import estimate_difference, estimate_f1, estimate_prevalence
from hf_synthlabels.statistics.intervals import bounded_mean, score_interval, wilson

FOUR = ("naive", "classical", "ppi", "dsl")
CORRECTED = FOUR[1:]


def grouped(labels: dict[str, list[str]]) -> tuple[list[str | None], list[str], list[str]]:
    """Human labels of every fourth part of each group; the LLM agrees with them and alternates elsewhere."""
    human: list[str | None] = []
    llm: list[str] = []
    groups: list[str] = []
    for name, given in labels.items():
        rows = 4 * len(given)
        human += [*given, *[None] * (rows - len(given))]
        llm += [*given, *(["a", "b"] * rows)[: rows - len(given)]]
        groups += [name] * rows
    return human, llm, groups


def test_each_group_has_the_interval_of_its_own_labels() -> None:
    human, llm, groups = grouped({"big": ["a", "b"] * 120, "one": ["b"], "twelve": ["b"] * 12})
    found = estimate_difference(human, llm, groups, positive="a")
    assert [each.n for each in found] == [240, 1, 12, 241, 252]
    for name in ("one", "one - big"):
        assert found[name].too_few
        assert all(math.isnan(getattr(found[name], key).high) for key in CORRECTED)
    # 0 of 12, not 0 of 253.
    assert found["twelve"].classical.high == pytest.approx(wilson(0, 12).high)
    assert all(getattr(found["twelve"], key).high > 0.15 for key in CORRECTED)
    difference = found["twelve - big"].ppi
    assert difference.high - difference.low > 0.2
    assert "too few" in str(found)
    assert any("one, one - big" in note for note in found.notes)
    written = json.loads(found.to_json())["estimates"][1]
    assert (written["n"], written["too_few"], written["ppi"]["high"]) == (1, True, None)


def test_a_small_group_that_was_drawn_whole_is_known_where_no_other_rows_are_asked_about() -> None:
    human = ["a", "b", "b", "b", *["a", "b", None, None] * 50]
    llm = ["a", "b"] * 102
    groups = ["small"] * 4 + ["x"] * 200
    how = Inference(finite=True, probabilities=[1.0] * 4 + [0.5] * 200)
    found = estimate_difference(human, llm, groups, positive="a", inference=how)
    assert (found["small"].classical.low, found["small"].classical.high) == (0.25, 0.25)
    assert estimate_difference(human, llm, groups, positive="a")["small"].too_few


def test_a_class_of_which_hardly_a_row_was_labelled_has_no_f1() -> None:
    human, llm, _ = grouped({"all": ["a", "b"] * 60 + ["c"]})
    found = estimate_f1(human, llm)
    assert found["c"].too_few
    assert not found["a"].too_few
    assert found["a"].n == 60
    # Right in 60 of 60: the Jaccard share may be as low as that of Wilson.
    assert found["a"].classical.low < 0.99


@pytest.mark.parametrize("n", [7.5, 40, 1000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_the_score_interval_solves_its_equation(share: float, n: float) -> None:
    low, high = score_interval(share, n, 2.1)
    for end in (low, high):
        if 0 < end < 1:
            assert abs(share - end) == pytest.approx(2.1 * math.sqrt(end * (1 - end) / n))


def test_a_share_of_human_labels_is_wilsons_with_students_quantile() -> None:
    human = ["a"] * 3 + ["b"] * 97 + [None] * 400
    found = estimate_prevalence(human, ["b"] * 500)["a"].classical
    expected = score_interval(0.03, 99, float(stats.t.ppf(0.975, 99)))
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)


def test_rare_classes_are_named() -> None:
    human = ["a"] * 3 + ["b"] * 97 + [None] * 400
    notes = estimate_prevalence(human, ["b"] * 499 + ["a"]).notes
    assert any("a (3)" in note for note in notes)


@pytest.mark.parametrize("labelled", [50, 200])
def test_no_observed_error_is_no_proof_of_none(labelled: int) -> None:
    names = ["a", "b"] * 1000
    human = [name if place < labelled else None for place, name in enumerate(names)]
    found = estimate_prevalence(human, names)
    each = found["a"]
    # z^2 / 2 pseudo-errors, each of which changes the share by 1 / n.
    added = stats.norm.ppf(0.975) ** 2 / 2 / labelled**2
    for interval in (each.ppi, each.dsl):
        assert interval.high - interval.low > 2 * 1.96 * math.sqrt(added)
    # The upper end of 0 errors in n rows is 3.84 / (n + 3.84); no plain interval of n labels is as wide.
    assert each.ppi.high - each.ppi.estimate >= 0.75 * wilson(0, labelled).high
    assert each.effective_ppi < 12 * labelled
    assert any("labels are equal in all" in note for note in found.notes)


def test_ppi_mean_does_the_same_as_estimate_prevalence() -> None:
    scores = np.tile([0.0, 1.0], 1000)
    human = np.where(np.arange(2000) < 60, scores, np.nan)
    found = ppi_mean(human, scores)
    added = stats.norm.ppf(0.975) ** 2 / 2 / 60**2
    assert found.interval.high - found.interval.low > 2 * 1.96 * math.sqrt(added)
    assert any("by the same amount" in note for note in found.notes)
    # Ratings: a pseudo-error is a change from one rating to another.
    ratings = np.tile([1.0, 3.0, 5.0], 400)
    few = ppi_mean(np.where(np.arange(1200) < 60, ratings, np.nan), ratings)
    assert few.interval.high - few.interval.low > 0.1


def test_many_errors_leave_the_formula_as_it_is() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(1000) < 0.5
    said = np.where(rng.random(1000) < 0.8, truth, ~truth)
    human = np.where(np.arange(1000) < 200, truth.astype(float), np.nan)
    plain: Any = ppi_mean(human, said.astype(float), method="student").interval
    names = [None if math.isnan(value) else str(int(value)) for value in human]
    share = estimate_prevalence(names, [str(int(value)) for value in said], inference=Inference())["1"].ppi
    # The score interval and Student's differ by little in the middle of the scale.
    assert share.low == pytest.approx(plain.low, abs=0.002)
    assert share.high == pytest.approx(plain.high, abs=0.002)


def test_exact_ratings_do_not_prove_that_there_is_no_bias() -> None:
    """3 % of all ratings are 4 points too high: 50 rows often show none of them."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        human = rng.integers(1, 6, 50).astype(float)
        llm = np.where(rng.random(50) < 0.03, 5.0, human)
        # Under the design above: .03 x mean(5 - rating) = .06.
        found = scale_agreement(
            human.tolist(), llm.tolist(), low=1, high=5, bootstrap=BootstrapConfig(resamples=2)
        ).scores["bias"]
        covered += found.low <= 0.06 <= found.high
    assert covered >= 186


def test_the_mean_of_equal_credits_lies_within_its_scale() -> None:
    found = bounded_mean([0.1, 0.1, 0.1], 0, 1)
    # (0.3 + 1.92) / 6.84 +- 1.96 x sqrt(variance / 6.84), with two pseudo-values at each end, nearly.
    assert (found.estimate, found.low, found.high) == pytest.approx((0.1, 0.0067, 0.643), abs=2e-3)
