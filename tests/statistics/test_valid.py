"""EstimateReport from LLM labels against formulas and programs that are not ours."""

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
from hf_synthlabels.statistics.estimation.analyses import (
    estimate_difference,
    estimate_f1,
    estimate_mean,
    estimate_prevalence,
    estimate_regression,
)
from hf_synthlabels.statistics.estimation.estimands import Quantity, Regression, solve
from hf_synthlabels.statistics.estimation.estimators import ppi
from hf_synthlabels.statistics.estimation.label_rows import label_rows

Floats = NDArray[np.float64]
N, LABELLED = 480, 80


def formula() -> tuple[Floats, Floats, Floats, Floats]:
    """Two predictors, truth and guess of 480 rows: by a formula, so that any program can have the same."""
    i = np.arange(N)
    x1, x2 = np.sin(0.9 * i), np.cos(0.37 * i * i)
    y = 0.5 + 0.8 * x1 - 0.4 * x2 + np.sin(2.3 * i + 1)
    return x1, x2, y, 0.7 * y + 0.3 * np.cos(1.9 * i) + 0.2


def hidden(values: Floats, labelled: int = LABELLED) -> Floats:
    return np.where(np.arange(len(values)) < labelled, values, np.nan)


def test_means_are_those_of_ppi_mean() -> None:
    _, _, y, f = formula()
    chances = 0.1 + 0.2 * (np.arange(N) % 3)
    clusters = np.arange(N) // 4
    for more in (
        {},
        {"probabilities": chances},
        {"clusters": clusters},
        {"clusters": clusters, "probabilities": chances},
    ):
        ours: Any = estimate_mean(hidden(y), f, Inference(**more))["mean"]
        theirs = ppi_mean(hidden(y), f, method="student", **more)
        assert ours.lam == pytest.approx(theirs.lam[0], abs=1e-12)
        for mine, other in ((ours.ppi, theirs.interval), (ours.classical, theirs.classical)):
            assert (mine.estimate, mine.low, mine.high) == pytest.approx(
                (other.estimate, other.low, other.high), abs=1e-9
            )
        assert ours.effective_ppi == pytest.approx(theirs.effective_n, rel=1e-9)


def test_naive_and_human_regressions_are_those_of_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    x1, x2, y, f = formula()
    x, clusters = sm.add_constant(np.column_stack([x1, x2])), np.arange(N) // 4
    weights = 1 / (0.1 + 0.2 * (np.arange(N) % 3))
    first = slice(0, LABELLED)
    predictors = {"x1": x1, "x2": x2}

    def check(found: EstimateReport, column: str, fit: Any) -> None:
        ends = fit.conf_int()
        for place, each in enumerate(found):
            interval = getattr(each, column)
            assert interval.estimate == pytest.approx(fit.params[place], abs=1e-9)
            assert (interval.low, interval.high) == pytest.approx(tuple(ends[place]), abs=1e-9)

    found = estimate_regression(hidden(y), f, predictors)
    check(found, "naive", sm.OLS(f, x).fit(cov_type="HC1", use_t=True))
    check(found, "classical", sm.OLS(y[first], x[first]).fit(cov_type="HC1", use_t=True))

    # Effective sizes set the degrees of freedom with unequal chances, so that errors are compared.
    weighted = estimate_regression(hidden(y), f, predictors, inference=Inference(probabilities=1 / weights))
    fit = sm.WLS(y[first], x[first], weights=weights[first]).fit(cov_type="HC1")
    free = weights[first].sum() ** 2 / (weights[first] ** 2).sum() - 3
    for place, each in enumerate(weighted):
        half = (each.classical.high - each.classical.low) / 2
        assert each.classical.estimate == pytest.approx(fit.params[place], abs=1e-9)
        assert half == pytest.approx(stats.t.ppf(0.975, free) * fit.bse[place], abs=1e-9)

    grouped = estimate_regression(hidden(y), f, predictors, inference=Inference(clusters=clusters))
    for column, rows, values in (("naive", slice(0, N), f), ("classical", first, y)):
        kinds = {"cov_type": "cluster", "cov_kwds": {"groups": clusters[rows]}, "use_t": True}
        check(grouped, column, sm.OLS(values[rows], x[rows]).fit(**kinds))

    yes, said = (y > 0.4).astype(float), (f > 0.6).astype(float)
    logistic = estimate_regression(hidden(yes), said, predictors, family="logistic")
    for column, rows, values in (("naive", slice(0, N), said), ("classical", first, yes)):
        fit = sm.Logit(values[rows], x[rows]).fit(disp=0, cov_type="HC0", tol=1e-14, maxiter=200)
        n = len(values[rows])
        for place, each in enumerate(logistic):
            interval = getattr(each, column)
            half = stats.t.ppf(0.975, n - 3) * fit.bse[place] * math.sqrt(n / (n - 3))
            assert interval.estimate == pytest.approx(fit.params[place], abs=1e-9)
            assert (interval.low, interval.high) == pytest.approx(
                (fit.params[place] - half, fit.params[place] + half), abs=1e-9
            )


def test_with_the_label_as_a_predictor_naive_is_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    x1, x2, y, f = formula()
    found = estimate_regression(hidden(y), f, {"x1": x1}, outcome=x2 + y, label="tone")
    fit = sm.OLS(x2 + y, np.column_stack([np.ones(N), x1, f])).fit(cov_type="HC1", use_t=True)
    assert [each.name for each in found] == ["(intercept)", "x1", "tone"]
    assert [each.naive.estimate for each in found] == pytest.approx(list(fit.params), abs=1e-9)
    assert [each.naive.high for each in found] == pytest.approx(list(fit.conf_int()[:, 1]), abs=1e-9)


# ppi-python 0.2.3 on the same rows: ppi_logistic_pointestimate and ppi_logistic_ci with optimizer_options ftol=1e-15,
# gtol=1e-12. Its search ends some 1e-6 before the root.
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


def their_error(x: Floats, y: Floats, f: Floats, lam: float, theta: Floats, *, logistic: bool) -> Floats:
    """Standard errors as ppi_py's ppi_ols_ci and ppi_logistic_ci have them, at a given root."""
    score = x @ theta
    expected = 1 / (1 + np.exp(-score)) if logistic else score
    bend = expected * (1 - expected) if logistic else np.ones(N)
    gradient, guessed = x * (expected - y)[:, None], x * (expected - f)[:, None]
    rows = N if lam else LABELLED
    inverse = np.linalg.inv((x[:rows] * bend[:rows, None]).T @ x[:rows] / rows)
    mine, others = slice(0, LABELLED), slice(LABELLED, N)
    spread = np.cov((gradient - lam * guessed)[mine].T) + LABELLED / (N - LABELLED) * np.cov(lam * guessed[others].T)
    errors: Floats = np.sqrt(np.diag(inverse @ spread @ inverse) / LABELLED)
    return errors


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_ppi_regressions_follow_ppi_python(lam: float) -> None:
    x1, x2, y, f = formula()
    x = np.column_stack([np.ones(N), x1, x2])
    yes, said = (y > 0.4).astype(float), (f > 0.6).astype(float)
    quantities = tuple(Quantity(str(k), tuple(row)) for k, row in enumerate(np.eye(3)))
    for logistic, truth, guess in ((True, yes, said), (False, y, f)):
        rows = label_rows(hidden(truth)[:, None], guess[:, None], Inference())
        estimand = Regression(quantities, x, "logistic" if logistic else "linear")
        found = ppi(estimand, rows, Inference(), lam=lam)
        theta = np.array([each.interval.estimate for each in found])
        # The root of the paper's equation, by numbers and not by our weights.
        expected = 1 / (1 + np.exp(-(x @ theta))) if logistic else x @ theta
        mine, others = slice(0, LABELLED), slice(LABELLED, N)
        gradient = x.T[:, mine] @ (expected - truth)[mine] / LABELLED
        gradient += lam * x.T[:, others] @ (expected - guess)[others] / (N - LABELLED)
        gradient -= lam * x.T[:, mine] @ (expected - guess)[mine] / LABELLED
        assert np.abs(gradient).max() < 1e-12
        # Theirs is divided by n - 1, ours by n - k: the labelled rows' part alone.
        if lam:
            theirs = their_error(x, truth, guess, lam, theta, logistic=logistic)
            ratio = np.array([math.sqrt(each.variance) for each in found]) / theirs
            assert ((ratio >= 1) & (ratio <= math.sqrt(79 / 77))).all()
        if logistic:
            point, high = (np.array(values) for values in PPI_LOGISTIC[lam])
            assert theta == pytest.approx(point, abs=2e-5)
            errors = their_error(x, truth, guess, lam, theta, logistic=True)
            assert point + stats.norm.ppf(0.975) * errors == pytest.approx(high, abs=1e-4)


def test_ppi_variance_is_the_formula_to_nine_digits() -> None:
    x1, x2, y, f = formula()
    x, lam = np.column_stack([np.ones(N), x1, x2]), 0.5
    rows = label_rows(hidden(y)[:, None], f[:, None], Inference())
    quantities = tuple(Quantity(str(k), tuple(row)) for k, row in enumerate(np.eye(3)))
    found = ppi(Regression(quantities, x), rows, Inference(), lam=lam)
    theta = np.array([each.interval.estimate for each in found])
    inverse = np.linalg.inv(x.T @ x / N)
    residual = x * (x @ theta - y)[:, None] - lam * x * (x @ theta - f)[:, None]
    mine = np.cov(residual[:LABELLED].T, ddof=3) / LABELLED
    rest = lam**2 * np.cov((x * (x @ theta - f)[:, None])[LABELLED:].T) / (N - LABELLED)
    expected = np.diag(inverse @ (mine + rest) @ inverse)
    assert [each.variance for each in found] == pytest.approx(list(expected), rel=1e-9)


def test_dsl_is_the_equation_of_the_paper() -> None:
    """With one cut and a learner that guesses the LLM's own label, the estimate is computed in a line."""
    x1, x2, y, f = formula()
    chances = 0.1 + 0.2 * (np.arange(N) % 3)
    drawn = np.arange(N) % 4 == 0
    human = np.where(drawn, y, np.nan)

    def as_it_is(features: Floats, labels: Floats, wanted: Floats) -> Floats:
        return wanted[:, :1]

    how = Inference(probabilities=chances, splits=1, learner=as_it_is)
    pseudo = f + np.where(drawn, (y - f) / chances, 0)
    mean = estimate_mean(human, f, how)["mean"].dsl
    assert mean.estimate == pytest.approx(pseudo.mean(), abs=1e-12)
    x = np.column_stack([np.ones(N), x1, x2])
    found = estimate_regression(human, f, {"x1": x1, "x2": x2}, inference=how)
    theta = np.linalg.solve(x.T @ x, x.T @ pseudo)
    assert [each.dsl.estimate for each in found] == pytest.approx(list(theta), abs=1e-10)
    # The sandwich of pseudo-labels; each row's part, labelled rows' times n / (n - k).
    sums = x * (pseudo - x @ theta)[:, None] @ np.linalg.inv(x.T @ x)
    n, others = drawn.sum(), (~drawn).sum()
    expected = (sums[drawn] ** 2).sum(axis=0) * n / (n - 3) + (sums[~drawn] ** 2).sum(axis=0)
    assert others == 360
    free = (1 / chances[drawn]).sum() ** 2 / (1 / chances[drawn] ** 2).sum() - 3
    for place, each in enumerate(found):
        half = (each.dsl.high - each.dsl.low) / 2
        assert stats.t.ppf(0.975, N) * math.sqrt(expected[place]) <= half * (1 + 1e-9)
        assert half <= stats.t.ppf(0.975, free) * math.sqrt(expected[place]) * (1 + 1e-9)


def test_f1_is_the_delta_method_on_the_counts() -> None:
    human = ["a", "a", "b", "b", "a", "b"] * 10 + [None] * 60
    llm = ["a", "b", "b", "b", "a", "a"] * 20
    found = estimate_f1(human, llm)
    right, predicted, truly, n = 20, 30, 30, 60
    f1 = 2 * right / (predicted + truly)
    assert found["a"].classical.estimate == pytest.approx(f1, abs=1e-12)
    # Var(2T / S) by the gradient (2 / S, -2 T / S^2) and the covariance of the two sums.
    t = np.array([1, 0, 0, 0, 1, 0] * 10, dtype=float)
    s = np.array([2, 1, 0, 0, 2, 1] * 10, dtype=float)
    total = s.sum()
    gradient = np.array([2 / total, -2 * right / total**2])
    variance = gradient @ np.cov(np.array([t, s]), ddof=1) @ gradient * n
    half = stats.t.ppf(0.975, n - 1) * math.sqrt(variance)
    assert found["a"].classical.high == pytest.approx(f1 + half, abs=1e-9)
    assert found["a"].naive.estimate == 1
    macro = found["macro F1"]
    assert macro.classical.estimate == pytest.approx(
        (found["a"].classical.estimate + found["b"].classical.estimate) / 2
    )
    # With predictions of another model the LLM stands in for humans.
    other = estimate_f1(human, llm, prediction=["a"] * 120)
    assert other["a"].naive.estimate == pytest.approx(2 * 60 / (120 + 60))
    assert other["b"].classical.estimate == 0


def test_differences_of_groups_are_ppi_differences() -> None:
    _, _, y, f = formula()
    groups = np.where(np.arange(N) % 3 == 0, "left", "right")
    found = estimate_difference(hidden(y), f, groups.tolist())
    assert [each.name for each in found] == ["left", "right", "right - left"]
    left = groups == "left"
    classical = ppi_difference(
        hidden(y)[~left], f[~left], hidden(y)[left], f[left], paired=False, lam=0, method="student"
    ).interval
    assert found["right - left"].classical.estimate == pytest.approx(classical.estimate, abs=1e-12)
    assert found["right - left"].classical.high == pytest.approx(classical.high, rel=0.02)
    assert found["right - left"].naive.estimate == pytest.approx(f[~left].mean() - f[left].mean(), abs=1e-12)


def coverage(question: Any, truth: float, draws: int = 300) -> dict[str, float]:
    held = dict.fromkeys(("naive", "classical", "ppi", "dsl"), 0)
    for draw in range(draws):
        found = question(np.random.default_rng(draw))
        for name in held:
            interval = getattr(found, name)
            held[name] += interval.low <= truth <= interval.high
    return {name: count / draws for name, count in held.items()}


def test_intervals_hold_the_truth_where_chances_follow_the_mistakes() -> None:
    """The LLM errs more where x is high, and more of those rows are labelled: plain means would be far off."""

    def question(rng: np.random.Generator) -> Any:
        x = rng.random(1500)
        y = (rng.random(1500) < 0.2 + 0.6 * x).astype(float)
        said = np.where(rng.random(1500) < 0.05 + 0.35 * x, 1 - y, y)
        chances = 0.05 + 0.2 * x
        human = np.where(rng.random(1500) < chances, y, np.nan)
        return estimate_mean(human, said, Inference(probabilities=chances, splits=1))["mean"]

    held = coverage(question, 0.5)
    # 300 draws: two and a half standard errors around .95 are .919 to .981.
    assert all(0.915 <= held[name] <= 0.985 for name in ("classical", "ppi", "dsl")), held
    assert held["naive"] < 0.5


def test_missing_llm_labels_are_told_and_do_no_harm() -> None:
    _, _, y, f = formula()
    gaps = np.where(np.arange(N) % 5 == 0, np.nan, f)
    found = estimate_mean(hidden(y), gaps)
    assert found.n_labelled == 384
    assert any("96 rows have no LLM label" in note for note in found.notes)
    assert found["mean"].naive.n == 384
    assert found["mean"].naive.estimate == pytest.approx(np.nanmean(gaps))
    assert abs(found["mean"].ppi.estimate - y.mean()) < 0.3


def test_what_can_not_be_said_is_nan_with_a_note() -> None:
    x1, _, y, f = formula()
    same = estimate_regression(hidden(y), f, {"x": x1, "again": 2 * x1})
    assert math.isnan(same["x"].classical.estimate)
    assert any(note.startswith("(intercept), x, again: no estimate") for note in same.notes)
    # A predictor that tells the label for sure has no finite coefficient.
    sure = estimate_regression(hidden((x1 > 0).astype(float)), (f > 0).astype(float), {"x": x1}, family="logistic")
    assert math.isnan(sure["x"].classical.estimate)
    assert math.isnan(sure["x"].ppi.low)
    few = estimate_mean(hidden(y, 5), f)
    assert math.isnan(few["mean"].dsl.estimate)
    assert not math.isnan(few["mean"].ppi.estimate)
    assert len(few.notes) == 2
    one = estimate_mean(hidden(y, 1), f)
    assert math.isnan(one["mean"].classical.low)
    everyone = estimate_mean(y, f)
    assert everyone["mean"].ppi.estimate == pytest.approx(y.mean())
    assert everyone["mean"].dsl.estimate == pytest.approx(y.mean())


def test_an_llm_that_was_right_in_all_labelled_rows_is_not_certain() -> None:
    names = ["yes", "no", "no", "no"] * 100
    human = [name if place < 80 else None for place, name in enumerate(names)]
    found = estimate_prevalence(human, names)["yes"]
    assert found.ppi.high - found.ppi.low > 0.05
    nothing = estimate_prevalence([None if each is None else "no" for each in human], names)["yes"]
    assert nothing.classical.low == 0
    assert nothing.classical.high == pytest.approx(stats.norm.ppf(0.975) ** 2 / (80 + stats.norm.ppf(0.975) ** 2))


def test_rows_that_are_all_alike_are_told() -> None:
    found = estimate_mean([3.0] * 60 + [None] * 40, [float(k % 5) for k in range(100)])
    assert found["mean"].classical.high == found["mean"].classical.low == 3
    assert found.notes[0].startswith("mean: all human-labeled rows are equal")


def test_equal_seeds_give_equal_results_and_json_comes_back() -> None:
    _, _, y, f = formula()
    first, again = (estimate_mean(hidden(y), f, Inference(seed=3)) for _ in range(2))
    assert first == again
    assert first != estimate_mean(hidden(y), f, Inference(seed=4))
    assert EstimateReport.from_json(first.to_json()) == first
    json.loads(estimate_mean(hidden(y, 1), f).to_json())
    assert "PPI++" in str(first)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda y, f: estimate_mean(y, f[1:]), "`human` has 480 rows and `llm` 479"),
        (lambda y, f: estimate_mean(y * np.nan, f), "`human`"),
        (lambda y, f: estimate_mean(y, f * np.nan), "`llm`"),
        (lambda y, f: estimate_mean(y, f, Inference(probabilities=f * 0)), "`probabilities`"),
        (lambda y, f: estimate_mean(y, f, Inference(probabilities=[0.5])), "`probabilities`"),
        (lambda y, f: estimate_mean(y, f, Inference(features=np.ones(3))), "`features`"),
        (lambda y, f: estimate_mean(y, f, Inference(features=f * np.nan)), "`features`"),
        (lambda y, f: estimate_mean(y, f, Inference(clusters=[1])), "`clusters`"),
        (lambda y, f: estimate_difference(y, f, ["a"] * 480), "`groups`"),
        (lambda y, f: estimate_difference(y, f, [None] * 480), "`groups`"),
        (lambda y, f: estimate_difference(y, f, ["a", "b"]), "`groups`"),
        (lambda y, f: estimate_difference(y, f, ["a", "b"] * 240, positive="x"), "`human`"),
        (lambda y, f: estimate_regression(y, f, {"x": y}), "`x`"),
        (lambda y, f: estimate_regression(y, f, {"x": f}, family="logistic"), "`human`"),
        (lambda *_: estimate_f1(["a"], ["a"], prediction=["a", "b"]), "`prediction`"),
        (lambda *_: estimate_mean(["5"], ["6"]), "`human`"),
        (lambda *_: estimate_prevalence(["a"], ["b"], names=["a"]), "`llm` has 1 rows whose label is not in `names`"),
    ],
)
def test_wrong_rows_are_told(call: Any, said: str) -> None:
    _, _, y, f = formula()
    with pytest.raises(DataError) as caught:
        call(hidden(y), f)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Inference(level=2), "`level`"),
        (lambda: Inference(folds=1), "`folds`"),
        (lambda: Inference(splits=0), "`splits`"),
        (lambda: estimate_regression([1.0], [1.0], {}, family="probit"), "`family`"),  # type: ignore[arg-type]
        (lambda: estimate_regression([1.0], [1.0], {"label": [1.0]}), "`predictors`"),
    ],
)
def test_wrong_arguments_are_told(call: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert said in str(caught.value)


def test_newton_finds_what_is_there() -> None:
    x = np.column_stack([np.ones(4), [0.0, 1, 2, 3]])
    regression = Regression((Quantity("a", (1, 0)),), x)
    theta = solve(regression, [(np.ones(4), np.array([[1.0], [3], [5], [7]]))])
    assert theta == pytest.approx([1, 2], abs=1e-12)
