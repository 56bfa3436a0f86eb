"""Regressions by formula, with LLM labels on both sides, against statsmodels, formulaic and loops over rows."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from benchmarks.coverage_formulas import DESIGNS, ESTIMATORS, TRUTH, coverage_of_terms
from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import Inference
from hf_synthlabels.statistics.estimation import estimators
from hf_synthlabels.statistics.regression.coefficients import RegressionReport
from hf_synthlabels.statistics.regression.formula_regression import estimate_formula

Floats = NDArray[np.float64]
N = 400
RNG = np.random.default_rng(7)
YEAR = RNG.integers(-15, 16, N).astype(float)  # from 2005 on
WORDS = RNG.integers(3, 90, N).astype(float)
OUTLET = RNG.choice(["daily", "mail", "sun"], N)
TOPIC = RNG.choice(["art", "law", "war"], N)
TONE = 2 + 0.05 * YEAR + (TOPIC == "law") - (TOPIC == "war") + RNG.normal(size=N)
LEFT = np.where(RNG.random(N) < 1 / (1 + np.exp(-(TONE - 2))), "left", "right")
LLM_TOPIC = np.where(RNG.random(N) < 0.85, TOPIC, "art")
LLM_TONE = 0.7 * TONE + 0.6 * (TOPIC == "war") + RNG.normal(0, 0.4, N)
LLM_LEFT = np.where(RNG.random(N) < 0.6, LEFT, "left")
KNOWN: dict[str, Any] = {"year": YEAR, "words": WORDS, "outlet": OUTLET.tolist()}
FORMULAS = (
    "topic * year",
    "C(topic, Treatment('law')) + outlet:year",
    "0 + topic + np.log(words) + outlet",
    "topic : outlet + I(year / 10) ** 2",
    "(topic + year + outlet) ** 2 - year:outlet",
    "C(topic) + I((year - 5) ** 2) + np.sqrt(words)",
)


def shown(values: Any, labeled: Any) -> list[Any]:
    """The values of labeled rows, None elsewhere."""
    return [value if mine else None for value, mine in zip(values.tolist(), labeled, strict=True)]


def fit(right: str, labeled: Any, *, classes: bool = False, inference: Inference | None = None) -> RegressionReport:
    outcome = (LLM_LEFT.tolist(), shown(LEFT, labeled)) if classes else (LLM_TONE, np.where(labeled, TONE, np.nan))
    variables = {"bias": outcome, "topic": (LLM_TOPIC.tolist(), shown(TOPIC, labeled))}
    return estimate_formula(
        f"bias ~ {right}", KNOWN, variables, positive="left" if classes else None, inference=inference
    )


def values(report: RegressionReport, estimator: str) -> Floats:
    """Estimates and standard errors, shape (terms, 2)."""
    numbers: Floats = np.array([[each.estimate, each.se] for each in report.coefficients([estimator])])
    return numbers


@pytest.mark.parametrize("right", FORMULAS)
@pytest.mark.parametrize("classes", [False, True])
def test_human_labels_of_all_rows_give_the_regression_of_statsmodels(right: str, classes: bool) -> None:
    sm, pandas, formulaic = (pytest.importorskip(name) for name in ("statsmodels.api", "pandas", "formulaic"))
    report = fit(right, np.ones(N, dtype=bool), classes=classes)
    sides = {"naive": (LLM_TOPIC, LLM_LEFT, LLM_TONE), "human": (TOPIC, LEFT, TONE)}
    for side, (topic, left, tone) in sides.items():
        x = formulaic.model_matrix(right, pandas.DataFrame({**KNOWN, "topic": topic}))
        assert len(report.estimates) == x.shape[1]
        if classes:
            fitted = sm.Logit((left == "left").astype(float), x).fit(disp=0, cov_type="HC0", tol=1e-14, maxiter=300)
            errors = fitted.bse * math.sqrt(N / (N - x.shape[1]))
        else:
            fitted = sm.WLS(tone, x).fit(cov_type="HC1")
            errors = fitted.bse
        expected = np.column_stack([fitted.params, errors])
        for estimator in ("classical", "ppi", "dsl") if side == "human" else ("naive",):
            scale = np.abs(expected).max(axis=1, keepdims=True)
            assert np.abs((values(report, estimator) - expected) / scale).max() < 1e-6, estimator


def test_clusters_and_inclusion_probabilities_are_those_of_statsmodels() -> None:
    smf, pandas = pytest.importorskip("statsmodels.formula.api"), pytest.importorskip("pandas")
    labeled, clusters = np.arange(N) < 200, np.arange(N) // 4
    probabilities = 0.1 + 0.2 * (np.arange(N) % 3)
    rows = pandas.DataFrame({"bias": TONE, "topic": TOPIC, "year": YEAR})[labeled]
    fitted = smf.wls("bias ~ topic * year", rows, weights=1 / probabilities[labeled]).fit(cov_type="HC1")
    ours = values(fit("topic * year", labeled, inference=Inference(probabilities=probabilities)), "classical")
    theirs = np.column_stack([fitted.params, fitted.bse])
    assert np.sort(ours, axis=0) == pytest.approx(np.sort(theirs, axis=0), rel=1e-6)
    fitted = smf.ols("bias ~ topic * year", rows).fit(cov_type="cluster", cov_kwds={"groups": clusters[labeled]})
    ours = values(fit("topic * year", labeled, inference=Inference(clusters=clusters)), "classical")
    assert np.sort(ours, axis=0) == pytest.approx(
        np.sort(np.column_stack([fitted.params, fitted.bse]), axis=0), rel=1e-6
    )


SMALL, SMALL_LABELED = 160, 70
SMALL_PROBABILITIES = np.where(np.arange(N) % 2, 0.3, 0.6)[:SMALL]


def row_moment(theta: Floats, row: int, *, human: bool, logistic: bool) -> Floats:
    """The moment of one row of `bias ~ topic * z`, written out."""
    topic = TOPIC[row] if human else LLM_TOPIC[row]
    law, war, z = float(topic == "law"), float(topic == "war"), YEAR[row] / 10
    x = np.array([1.0, law, war, z, law * z, war * z])
    score = float(x @ theta)
    if logistic:
        residual = float((LEFT if human else LLM_LEFT)[row] == "left") - 1 / (1 + math.exp(-score))
    else:
        residual = float((TONE if human else LLM_TONE)[row]) - score
    moment: Floats = x * residual
    return moment


def root(total: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
    """The root of summed moments, and their derivative by differences."""
    found = optimize.root(total, np.zeros(6), method="hybr", options={"xtol": 1e-13})
    step = 1e-6
    slope = np.column_stack([(total(found.x + d) - total(found.x - d)) / (2 * step) for d in step * np.eye(6)])
    return np.asarray(found.x, dtype=np.float64), slope


def small(*, logistic: bool, probabilities: Floats | None = None) -> RegressionReport:
    labeled = np.arange(SMALL) < SMALL_LABELED
    topic = (LLM_TOPIC[:SMALL].tolist(), shown(TOPIC[:SMALL], labeled))
    bias = (
        (LLM_LEFT[:SMALL].tolist(), shown(LEFT[:SMALL], labeled))
        if logistic
        else (LLM_TONE[:SMALL], np.where(labeled, TONE[:SMALL], np.nan))
    )
    return estimate_formula(
        "bias ~ topic * z",
        {"z": YEAR[:SMALL] / 10},
        {"bias": bias, "topic": topic},
        positive="left" if logistic else None,
        inference=Inference(splits=1, probabilities=probabilities),
    )


@pytest.mark.parametrize("logistic", [False, True])
def test_ppi_is_the_root_of_its_moments_row_by_row(logistic: bool) -> None:
    report = small(logistic=logistic)
    n, others = SMALL_LABELED, SMALL - SMALL_LABELED

    def parts(theta: Floats, lam: float) -> tuple[list[Floats], list[Floats]]:
        corrected, llm = [], []
        for row in range(SMALL):
            said = row_moment(theta, row, human=False, logistic=logistic)
            if row < n:
                corrected.append(row_moment(theta, row, human=True, logistic=logistic) - lam * said)
            else:
                llm.append(lam * said)
        return corrected, llm

    def mean(theta: Floats, lam: float) -> Floats:
        corrected, llm = parts(theta, lam)
        total: Floats = np.sum(corrected, axis=0) / n + np.sum(llm, axis=0) / others
        return total

    for place, each in enumerate(report):
        theta, slope = root(functools.partial(mean, lam=each.lam))
        corrected, llm = parts(theta, each.lam)
        inverse = np.linalg.inv(slope)
        # Tuning costs one degree of freedom.
        labeled = np.cov(np.array(corrected).T, ddof=0) / (n - 6 - 1)
        variance = inverse @ (labeled + np.cov(np.array(llm).T) / others) @ inverse.T
        assert 0 < each.lam < 1
        assert each.ppi.estimate == pytest.approx(theta[place], abs=1e-7)
        assert each.errors["ppi"].error == pytest.approx(math.sqrt(variance[place, place]), rel=1e-5)


@pytest.mark.parametrize("logistic", [False, True])
def test_dsl_is_the_root_of_its_moments_row_by_row(logistic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # The LLM's own labels stand for predicted ones, so that every term can be written out.
    monkeypatch.setattr(estimators, "ridge", lambda features, labels, targets: targets[:, : labels.shape[1]])  # noqa: ARG005
    report = small(logistic=logistic, probabilities=SMALL_PROBABILITIES)

    def moments(theta: Floats) -> list[Floats]:
        rows = []
        for row in range(SMALL):
            moment = row_moment(theta, row, human=False, logistic=logistic)
            if row < SMALL_LABELED:
                human = row_moment(theta, row, human=True, logistic=logistic)
                moment = moment + (human - moment) / SMALL_PROBABILITIES[row]
            rows.append(moment)
        return rows

    theta, slope = root(lambda theta: np.sum(moments(theta), axis=0))
    inverse, variance = np.linalg.inv(slope), np.zeros((6, 6))
    for row, moment in enumerate(moments(theta)):
        factor = SMALL_LABELED / (SMALL_LABELED - 6) if row < SMALL_LABELED else 1
        variance += factor * np.outer(inverse @ moment, inverse @ moment)
    assert [each.dsl.estimate for each in report] == pytest.approx(list(theta), abs=1e-7)
    errors = [each.errors["dsl"].error for each in report]
    assert errors == pytest.approx(list(np.sqrt(np.diag(variance))), rel=1e-5)


def test_p_values_and_odds_ratios_follow_from_estimate_and_error() -> None:
    report = fit("topic + year", np.arange(N) < 200, classes=True)
    for each in report.coefficients(["classical"]):
        t = abs(each.estimate) / each.se
        assert each.p == pytest.approx(2 * stats.t.sf(t, 200 - 4), rel=1e-9)
        assert (each.p < 0.05) == (not each.low <= 0 <= each.high)
        assert (each.odds_ratio, each.odds_ratio_high) == pytest.approx((math.exp(each.estimate), math.exp(each.high)))
    linear = fit("topic + year", np.arange(N) < 200).coefficients(["dsl"])
    assert all(math.isnan(each.odds_ratio) for each in linear)
    # Human labels of each level and of the reference level.
    expected = int(np.isin(TOPIC[:200], ["art", "law"]).sum())
    assert [each.n_human for each in linear] == [200, expected, int((TOPIC[:200] != "law").sum()), 200]


def test_a_row_counts_as_labeled_only_with_every_human_label() -> None:
    both = np.arange(N) < 200
    variables = {
        "bias": (LLM_TONE, np.where(np.arange(N) < 260, TONE, np.nan)),
        "topic": (LLM_TOPIC.tolist(), shown(TOPIC, both)),
    }
    partly = estimate_formula("bias ~ topic + year", KNOWN, variables)
    assert any(note.startswith("60 rows have a human label of some") for note in partly.notes)
    assert partly.estimates == fit("topic + year", both).estimates
    with pytest.raises(DataError, match="`formula`"):
        estimate_formula(
            "bias ~ topic", {}, {"bias": (LLM_TONE, np.where(both, np.nan, TONE)), "topic": variables["topic"]}
        )


def test_rows_with_missing_predictors_are_left_out_and_counted() -> None:
    labeled, missing = np.arange(N) < 200, np.arange(N) % 10 == 0
    year = np.where(missing, np.nan, YEAR)
    variables: Any = {"bias": (LLM_TONE, np.where(labeled, TONE, np.nan))}
    design = Inference(probabilities=np.full(N, 0.5), clusters=np.arange(N) // 2, features=WORDS)
    report = estimate_formula("bias ~ year", {"year": year}, variables, inference=design)
    assert any("40 of 400 rows are left out" in note and "`year` (40)" in note for note in report.notes)
    kept = ~missing
    rest = {"bias": (LLM_TONE[kept], variables["bias"][1][kept])}
    part = Inference(probabilities=np.full(360, 0.5), clusters=(np.arange(N) // 2)[kept], features=WORDS[kept])
    assert report.estimates == estimate_formula("bias ~ year", {"year": YEAR[kept]}, rest, inference=part).estimates


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS[:2], ids=lambda design: design.family)
def test_intervals_cover_where_labels_with_errors_are_on_both_sides(design: Any) -> None:
    worlds = 500
    hits, widths = coverage_of_terms(design, worlds, seed=0)
    shares = {key: count / worlds for key, count in hits.items()}
    for term in TRUTH:
        assert all(shares[term, estimator] >= 0.93 for estimator in ESTIMATORS[1:]), (term, shares)
        assert all(widths[term, estimator] < widths[term, "classical"] for estimator in ("ppi", "dsl"))
    # The LLM finds too much of one tone for topic c, and too little of topic b.
    assert shares["topic = c", "naive"] < 0.1
    assert shares["topic = b", "naive"] < 0.6
