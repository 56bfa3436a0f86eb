"""Estimates from LLM labels against formulas and independent programs."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import EstimateReport, Inference, ppi_difference, ppi_mean
from hf_synthlabels.statistics.estimation import estimators
from hf_synthlabels.statistics.estimation.analyses import (
    estimate_difference,
    estimate_f1,
    estimate_mean,
    estimate_prevalence,
)
from hf_synthlabels.statistics.estimation.estimands import Family, Quantity, Regression, solve
from hf_synthlabels.statistics.estimation.estimators import ppi
from hf_synthlabels.statistics.estimation.label_rows import label_rows
from tests.statistics.common import contains, regress

Floats = NDArray[np.float64]
N, LABELED = 480, 80
I = np.arange(N)  # noqa: E741
# Two predictors, human labels and LLM labels of 480 rows: by a formula, so that any program can have the same.
X1, X2 = np.sin(0.9 * I), np.cos(0.37 * I * I)
Y = 0.5 + 0.8 * X1 - 0.4 * X2 + np.sin(2.3 * I + 1)
F = 0.7 * Y + 0.3 * np.cos(1.9 * I) + 0.2
YES, SAID = (Y > 0.4).astype(float), (F > 0.6).astype(float)
PROBABILITIES, CLUSTERS = 0.1 + 0.2 * (I % 3), I // 4
FIRST = slice(0, LABELED)
DESIGN = np.column_stack([np.ones(N), X1, X2])
COEFFICIENTS = tuple(Quantity(str(k), tuple(row)) for k, row in enumerate(np.eye(3)))


def hidden(values: Floats, labeled: int = LABELED) -> Floats:
    return np.where(np.arange(len(values)) < labeled, values, np.nan)


def regression(family: Family = "linear") -> Regression:
    return Regression(COEFFICIENTS, lambda _: DESIGN, lambda labels: labels[:, 0], 3, family)


def test_means_equal_those_of_ppi_mean() -> None:
    designs: tuple[dict[str, Any], ...] = ({}, {"probabilities": PROBABILITIES}, {"clusters": CLUSTERS})
    for design in (*designs, {"clusters": CLUSTERS, "probabilities": PROBABILITIES}):
        ours = estimate_mean(hidden(Y), F, Inference(**design))["mean"]
        theirs = ppi_mean(hidden(Y), F, method="student", **design)
        assert ours.lam == pytest.approx(theirs.lam[0], abs=1e-12)
        for interval, other in ((ours.ppi, theirs.interval), (ours.classical, theirs.classical)):
            expected = (other.estimate, other.low, other.high)
            assert (interval.estimate, interval.low, interval.high) == pytest.approx(expected, abs=1e-9)
        assert ours.effective_ppi == pytest.approx(theirs.effective_n, rel=1e-9)


def check(report: EstimateReport, column: str, fit: Any, half_widths: Any) -> None:
    """Estimates and half widths of the intervals of a regression."""
    intervals = [getattr(each, column) for each in report]
    assert [each.estimate for each in intervals] == pytest.approx(list(fit.params), abs=1e-9)
    assert [(each.high - each.low) / 2 for each in intervals] == pytest.approx(list(half_widths), abs=1e-9)


def test_naive_and_classical_regressions_match_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    predictors = {"x1": X1, "x2": X2}
    everyone = slice(0, N)
    plain = regress(hidden(Y), F, predictors)
    grouped = regress(hidden(Y), F, predictors, inference=Inference(clusters=CLUSTERS))
    logistic = regress(hidden(YES), SAID, predictors, family="logistic")
    for column, rows, values, binary in (("naive", everyone, F, SAID), ("classical", FIRST, Y, YES)):
        model = sm.OLS(values[rows], DESIGN[rows])
        fit = model.fit(cov_type="HC1", use_t=True)
        check(plain, column, fit, np.ptp(fit.conf_int(), axis=1) / 2)
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": CLUSTERS[rows]}, use_t=True)
        check(grouped, column, fit, np.ptp(fit.conf_int(), axis=1) / 2)
        fit = sm.Logit(binary[rows], DESIGN[rows]).fit(disp=0, cov_type="HC0", tol=1e-14, maxiter=200)
        n = len(binary[rows])
        check(logistic, column, fit, stats.t.ppf(0.975, n - 3) * fit.bse * math.sqrt(n / (n - 3)))
    # With unequal probabilities the effective sample size sets the degrees of freedom.
    weights = 1 / PROBABILITIES[FIRST]
    fit = sm.WLS(Y[FIRST], DESIGN[FIRST], weights=weights).fit(cov_type="HC1")
    free = weights.sum() ** 2 / (weights**2).sum() - 3
    weighted = regress(hidden(Y), F, predictors, inference=Inference(probabilities=PROBABILITIES))
    check(weighted, "classical", fit, stats.t.ppf(0.975, free) * fit.bse)
    # The label as a predictor.
    predictor = regress(hidden(Y), F, {"x1": X1}, outcome=X2 + Y, label="tone")
    assert [each.name for each in predictor] == ["(intercept)", "x1", "tone"]
    fit = sm.OLS(X2 + Y, np.column_stack([np.ones(N), X1, F])).fit(cov_type="HC1", use_t=True)
    check(predictor, "naive", fit, np.ptp(fit.conf_int(), axis=1) / 2)


# By ppi-python 0.2.3 on the same rows: ppi_logistic_pointestimate and the upper limits of ppi_logistic_ci, with
# optimizer_options ftol=1e-15, gtol=1e-12. Its search ends some 1e-6 before the root.
PPI_LOGISTIC = {
    0.0: (
        [-0.052401364351802746, 1.914030017817507, -0.5754563288919359],
        [0.4808032875803484, 2.751407540398218, 0.13230408731378618],
    ),
    0.5: (
        [-0.04413978037464929, 1.849201260634803, -0.5312966611379214],
        [0.389847471646111, 2.5222296116883802, 0.0940660309570408],
    ),
    1.0: (
        [-0.03250853202524279, 1.79070459651635, -0.48606244472736937],
        [0.4864745805837913, 2.6173787852410437, 0.2598056731766093],
    ),
}


def mean_of(theta: Floats, *, logistic: bool) -> Floats:
    score = DESIGN @ theta
    return 1 / (1 + np.exp(-score)) if logistic else score


def ppi_python_errors(truth: Floats, guess: Floats, lam: float, theta: Floats, *, logistic: bool) -> Floats:
    """Standard errors as ppi_ols_ci and ppi_logistic_ci of ppi_py compute them, at a given root."""
    expected = mean_of(theta, logistic=logistic)
    bend = expected * (1 - expected) if logistic else np.ones(N)
    gradient, guessed = DESIGN * (expected - truth)[:, None], DESIGN * (expected - guess)[:, None]
    rows = N if lam else LABELED
    inverse = np.linalg.inv((DESIGN[:rows] * bend[:rows, None]).T @ DESIGN[:rows] / rows)
    spread = np.cov((gradient - lam * guessed)[FIRST].T)
    spread += LABELED / (N - LABELED) * np.cov(lam * guessed[LABELED:].T)
    errors: Floats = np.sqrt(np.diag(inverse @ spread @ inverse) / LABELED)
    return errors


def test_ppi_regressions_match_ppi_python() -> None:
    for lam, (logistic_point, logistic_high) in PPI_LOGISTIC.items():
        for logistic, truth, guess in ((True, YES, SAID), (False, Y, F)):
            rows = label_rows(hidden(truth)[:, None], guess[:, None], Inference())
            estimand = regression("logistic" if logistic else "linear")
            estimates = ppi(estimand, rows, Inference(), lam=lam)
            theta = np.array([each.interval.estimate for each in estimates])
            # The root of the paper's equation, without our weights.
            expected, others = mean_of(theta, logistic=logistic), slice(LABELED, N)
            gradient = DESIGN.T[:, FIRST] @ (expected - truth)[FIRST] / LABELED
            gradient += lam * DESIGN.T[:, others] @ (expected - guess)[others] / (N - LABELED)
            gradient -= lam * DESIGN.T[:, FIRST] @ (expected - guess)[FIRST] / LABELED
            assert np.abs(gradient).max() < 1e-12
            errors = ppi_python_errors(truth, guess, lam, theta, logistic=logistic)
            if lam:
                # Theirs is divided by n - 1, ours by n - k: the part of the labeled rows alone.
                ratio = np.array([math.sqrt(each.variance) for each in estimates]) / errors
                assert ((ratio >= 1) & (ratio <= math.sqrt(79 / 77))).all()
            if logistic:
                assert theta == pytest.approx(np.array(logistic_point), abs=2e-5)
                high = np.array(logistic_point) + stats.norm.ppf(0.975) * errors
                assert high == pytest.approx(np.array(logistic_high), abs=1e-4)


def test_ppi_variance_matches_its_formula() -> None:
    rows, lam = label_rows(hidden(Y)[:, None], F[:, None], Inference()), 0.5
    estimates = ppi(regression(), rows, Inference(), lam=lam)
    fitted = DESIGN @ np.array([each.interval.estimate for each in estimates])
    inverse = np.linalg.inv(DESIGN.T @ DESIGN / N)
    residual = DESIGN * (fitted - Y)[:, None] - lam * DESIGN * (fitted - F)[:, None]
    labeled = np.cov(residual[FIRST].T, ddof=3) / LABELED
    others = lam**2 * np.cov((DESIGN * (fitted - F)[:, None])[LABELED:].T) / (N - LABELED)
    expected = np.diag(inverse @ (labeled + others) @ inverse)
    assert [each.variance for each in estimates] == pytest.approx(list(expected), rel=1e-9)


def test_dsl_solves_the_equation_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    # With one split and a model that predicts the LLM's own label, the estimate is computed in a line.
    monkeypatch.setattr(estimators, "ridge", lambda features, labels, targets: targets[:, :1])  # noqa: ARG005
    drawn = I % 4 == 0
    human = np.where(drawn, Y, np.nan)
    inference = Inference(probabilities=PROBABILITIES, splits=1)
    pseudo = F + np.where(drawn, (Y - F) / PROBABILITIES, 0)
    assert estimate_mean(human, F, inference)["mean"].dsl.estimate == pytest.approx(pseudo.mean(), abs=1e-12)
    report = regress(human, F, {"x1": X1, "x2": X2}, inference=inference)
    theta = np.linalg.solve(DESIGN.T @ DESIGN, DESIGN.T @ pseudo)
    assert [each.dsl.estimate for each in report] == pytest.approx(list(theta), abs=1e-10)
    # The sandwich of pseudo-labels; the part of labeled rows times n / (n - k).
    sums = DESIGN * (pseudo - DESIGN @ theta)[:, None] @ np.linalg.inv(DESIGN.T @ DESIGN)
    n = drawn.sum()
    expected = np.sqrt((sums[drawn] ** 2).sum(axis=0) * n / (n - 3) + (sums[~drawn] ** 2).sum(axis=0))
    free = (1 / PROBABILITIES[drawn]).sum() ** 2 / (1 / PROBABILITIES[drawn] ** 2).sum() - 3
    halves = np.array([(each.dsl.high - each.dsl.low) / 2 for each in report])
    assert (stats.t.ppf(0.975, N) * expected <= halves * (1 + 1e-9)).all()
    assert (halves <= stats.t.ppf(0.975, free) * expected * (1 + 1e-9)).all()


def test_f1_has_the_delta_method_on_the_counts() -> None:
    human = ["a", "a", "b", "b", "a", "b"] * 10 + [None] * 60
    llm = ["a", "b", "b", "b", "a", "a"] * 20
    report = estimate_f1(human, llm)
    correct, predicted, truth, n = 20, 30, 30, 60
    f1 = 2 * correct / (predicted + truth)
    # Var(2T / S) by the gradient (2 / S, -2 T / S^2) and the covariance of the two sums.
    t, s = np.array([1, 0, 0, 0, 1, 0] * 10, dtype=float), np.array([2, 1, 0, 0, 2, 1] * 10, dtype=float)
    gradient = np.array([2 / s.sum(), -2 * correct / s.sum() ** 2])
    variance = gradient @ np.cov(np.array([t, s]), ddof=1) @ gradient * n
    classical = report["a"].classical
    assert classical.estimate == pytest.approx(f1, abs=1e-12)
    assert classical.high == pytest.approx(f1 + stats.t.ppf(0.975, n - 1) * math.sqrt(variance), abs=1e-9)
    assert report["a"].naive.estimate == 1
    macro = (classical.estimate + report["b"].classical.estimate) / 2
    assert report["macro F1"].classical.estimate == pytest.approx(macro)
    # With predictions of another model the LLM replaces humans.
    other = estimate_f1(human, llm, prediction=["a"] * 120)
    assert other["a"].naive.estimate == pytest.approx(2 * 60 / (120 + 60))
    assert other["b"].classical.estimate == 0


def test_differences_of_groups_are_those_of_ppi_difference() -> None:
    left = I % 3 == 0
    report = estimate_difference(hidden(Y), F, np.where(left, "left", "right").tolist())
    assert [each.name for each in report] == ["left", "right", "right - left"]
    sides = (hidden(Y)[~left], F[~left], hidden(Y)[left], F[left])
    expected = ppi_difference(*sides, paired=False, lam=0, method="student").interval
    difference = report["right - left"]
    assert difference.classical.estimate == pytest.approx(expected.estimate, abs=1e-12)
    assert difference.classical.high == pytest.approx(expected.high, rel=0.02)
    assert difference.naive.estimate == pytest.approx(F[~left].mean() - F[left].mean(), abs=1e-12)


def test_intervals_cover_where_probabilities_follow_llm_errors() -> None:
    # The LLM errs more where x is high, and more of those rows are labeled: unweighted means would be far off.
    covered = dict.fromkeys(("naive", "classical", "ppi", "dsl"), 0)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = rng.random(1500)
        y = (rng.random(1500) < 0.2 + 0.6 * x).astype(float)
        llm = np.where(rng.random(1500) < 0.05 + 0.35 * x, 1 - y, y)
        probabilities = 0.05 + 0.2 * x
        human = np.where(rng.random(1500) < probabilities, y, np.nan)
        mean = estimate_mean(human, llm, Inference(probabilities=probabilities, splits=1))["mean"]
        for name in covered:
            covered[name] += contains(getattr(mean, name), 0.5)
    # 300 draws: two and a half standard errors around .95 are .919 to .981.
    assert all(0.915 <= covered[name] / 300 <= 0.985 for name in ("classical", "ppi", "dsl")), covered
    assert covered["naive"] / 300 < 0.5


def test_rows_without_an_llm_label_have_the_mean_of_the_others() -> None:
    gaps = np.where(I % 5 == 0, np.nan, F)
    report = estimate_mean(hidden(Y), gaps)
    assert (report.n_labelled, report["mean"].naive.n) == (384, 384)
    assert any("96 rows have no LLM label" in note for note in report.notes)
    assert report["mean"].naive.estimate == pytest.approx(np.nanmean(gaps))
    assert abs(report["mean"].ppi.estimate - Y.mean()) < 0.3


def test_undefined_estimates_are_nan_with_a_note() -> None:
    collinear = regress(hidden(Y), F, {"x": X1, "again": 2 * X1})
    assert math.isnan(collinear["x"].classical.estimate)
    assert any(note.startswith("(intercept), x, again: no estimate") for note in collinear.notes)
    # A predictor that determines the label has no finite coefficient.
    label, llm = (X1 > 0).astype(float), (F > 0).astype(float)
    separated = regress(hidden(label), llm, {"x": X1}, family="logistic")
    assert math.isnan(separated["x"].classical.estimate)
    assert math.isnan(separated["x"].ppi.low)
    few = estimate_mean(hidden(Y, 5), F)
    assert math.isnan(few["mean"].dsl.estimate)
    assert not math.isnan(few["mean"].ppi.estimate)
    assert len(few.notes) == 2
    assert math.isnan(estimate_mean(hidden(Y, 1), F)["mean"].classical.low)
    everyone = estimate_mean(Y, F)["mean"]
    assert everyone.ppi.estimate == pytest.approx(Y.mean())
    assert everyone.dsl.estimate == pytest.approx(Y.mean())
    equal = estimate_mean([3.0] * 60 + [None] * 40, [float(k % 5) for k in range(100)])
    assert equal["mean"].classical.high == equal["mean"].classical.low == 3
    assert equal.notes[0].startswith("mean: all human-labeled rows are equal")


def test_the_seed_determines_the_report_and_its_json() -> None:
    first, again = (estimate_mean(hidden(Y), F, Inference(seed=3)) for _ in range(2))
    assert first == again != estimate_mean(hidden(Y), F, Inference(seed=4))
    written = json.loads(first.to_json())
    assert (written["n_human"], written["estimates"][0]["name"]) == (LABELED, "mean")
    assert json.loads(estimate_mean(hidden(Y, 1), F).to_json())["estimates"][0]["classical"]["low"] is None
    assert "PPI++" in str(first)


def test_newton_finds_the_root_of_a_line() -> None:
    design = np.column_stack([np.ones(4), [0.0, 1, 2, 3]])
    line = Regression((Quantity("a", (1, 0)),), lambda _: design, lambda labels: labels[:, 0], 2)
    theta = solve(line, [(np.ones(4), np.array([[1.0], [3], [5], [7]]))])
    assert theta == pytest.approx([1, 2], abs=1e-12)


def test_invalid_rows_are_refused() -> None:
    human = hidden(Y)
    cases: list[tuple[str, Any]] = [
        ("`human` has 480 rows and `llm` 479", lambda: estimate_mean(human, F[1:])),
        ("`human`", lambda: estimate_mean(human * np.nan, F)),
        ("`llm`", lambda: estimate_mean(human, F * np.nan)),
        ("`probabilities`", lambda: estimate_mean(human, F, Inference(probabilities=F * 0))),
        ("`probabilities`", lambda: estimate_mean(human, F, Inference(probabilities=[0.5]))),
        ("`features`", lambda: estimate_mean(human, F, Inference(features=np.ones(3)))),
        ("`features`", lambda: estimate_mean(human, F, Inference(features=F * np.nan))),
        ("`clusters`", lambda: estimate_mean(human, F, Inference(clusters=[1]))),
        ("`groups`", lambda: estimate_difference(human, F, ["a"] * 480)),
        ("`groups`", lambda: estimate_difference(human, F, [None] * 480)),
        ("`groups`", lambda: estimate_difference(human, F, ["a", "b"])),
        ("`human`", lambda: estimate_difference(human, F, ["a", "b"] * 240, positive="x")),
        ("`label`", lambda: regress(human, F, {"x": F}, family="logistic")),
        ("`prediction`", lambda: estimate_f1(["a"], ["a"], prediction=["a", "b"])),
        ("`human`", lambda: estimate_mean(["5"], ["6"])),
        ("`llm` has 1 rows", lambda: estimate_prevalence(["a"], ["b"], names=["a"])),
    ]
    for message, call in cases:
        with pytest.raises(DataError, match=message):
            call()


def test_invalid_options_are_refused() -> None:
    cases: list[tuple[str, Any]] = [
        ("level", lambda: Inference(level=2)),
        ("folds", lambda: Inference(folds=1)),
        ("splits", lambda: Inference(splits=0)),
        ("clusters", lambda: Inference(finite=True, clusters=[1, 2])),
        ("family", lambda: regress([1.0], [1.0], {}, family="probit")),
    ]
    for field, call in cases:
        with pytest.raises(ConfigError, match=f"`{field}`"):
            call()
