"""Regressions at any magnitude and with any regular design, against statsmodels; text predictors as categories."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import estimate
from hf_synthlabels.statistics.estimation.analyses import estimate_mean, estimate_regression

api = pytest.importorskip("statsmodels.api")

N, LABELLED = 500, 200
SCALES = [1e-9, 1e-3, 1.0, 1e6, 1e12]


def hidden(values: Any) -> Any:
    return np.where(np.arange(N) < LABELLED, values, np.nan)


def check(found: Any, names: list[str], fit: Any) -> None:
    """Estimates and HC1 standard errors of the human labels alone."""
    for name, expected, error in zip(names, fit.params, fit.bse, strict=True):
        interval = found[name].classical
        half = (interval.high - interval.low) / 2
        assert interval.estimate == pytest.approx(expected, rel=1e-6, abs=1e-6 * error), name
        assert half / error == pytest.approx(1.972, rel=0.002), name
        for key in ("naive", "ppi", "dsl"):
            assert math.isfinite(getattr(found[name], key).high), (name, key)


@pytest.mark.parametrize("scale", SCALES)
def test_means_of_any_magnitude(scale: float) -> None:
    rng = np.random.default_rng(0)
    truth = scale * rng.normal(5, 1, N)
    found = estimate_mean(hidden(truth), truth + scale * rng.normal(0, 0.3, N))["mean"]
    assert found.classical.estimate == pytest.approx(truth[:LABELLED].mean(), rel=1e-12)
    error = truth[:LABELLED].std(ddof=1) / math.sqrt(LABELLED)
    assert found.classical.high - found.classical.estimate == pytest.approx(1.972 * error, rel=1e-3)
    assert found.ppi.high - found.ppi.low < found.classical.high - found.classical.low


@pytest.mark.parametrize("of_x", SCALES)
@pytest.mark.parametrize("of_y", SCALES)
def test_least_squares_of_any_magnitude(of_x: float, of_y: float) -> None:
    rng = np.random.default_rng(1)
    x, other = rng.normal(3, 1, N), rng.normal(0, 1, N)
    y = of_y * (2 + x + 0.5 * other + rng.normal(0, 1, N))
    found = estimate_regression(hidden(y), y + of_y * rng.normal(0, 0.3, N), {"x": of_x * x, "other": other})
    # In these units statsmodels would call the design singular: fitted in even ones and scaled.
    fit = api.OLS(y[:LABELLED] / of_y, api.add_constant(np.column_stack([x, other])[:LABELLED])).fit(cov_type="HC1")
    for name, expected, unit in zip(("(intercept)", "x", "other"), fit.params, (of_y, of_y / of_x, of_y), strict=True):
        assert found[name].classical.estimate == pytest.approx(expected * unit, rel=1e-8)
    half = (found["x"].classical.high - found["x"].classical.low) / 2
    assert half == pytest.approx(1.972 * fit.bse[1] * of_y / of_x, rel=0.002)


def years(rng: np.random.Generator) -> Any:
    return rng.integers(1990, 2021, N).astype(float)


@pytest.mark.parametrize("family", ["linear", "logistic"])
@pytest.mark.parametrize("degree", [2, 3])
def test_years_with_their_powers_fit_as_in_statsmodels(family: Any, degree: int) -> None:
    rng = np.random.default_rng(2)
    year = years(rng)
    centred = (year - 2005) / 10
    signal = 0.3 + centred - 0.5 * centred**2
    y = (
        (rng.random(N) < 1 / (1 + np.exp(-signal))).astype(float)
        if family == "logistic"
        else signal + rng.normal(size=N)
    )
    powers = {f"year{k}": year**k for k in range(1, degree + 1)}
    said = np.where(rng.random(N) < 0.9, y, 1 - y)
    found = estimate_regression(hidden(y), said, powers, family=family)
    x = api.add_constant(np.column_stack([centred**k for k in range(1, degree + 1)])[:LABELLED])
    fit = (api.Logit if family == "logistic" else api.OLS)(y[:LABELLED], x).fit(cov_type="HC1", disp=0)
    # The leading coefficient has the same meaning in both parametrisations, but for units.
    top = found[f"year{degree}"].classical
    assert top.estimate == pytest.approx(fit.params[-1] / 10**degree, rel=1e-5)
    error = fit.bse[-1] / 10**degree * (1 if family == "linear" else math.sqrt(LABELLED / (LABELLED - 1)))
    correction = math.sqrt(LABELLED / (LABELLED - degree - 1)) if family == "logistic" else 1.0
    assert (top.high - top.low) / 2 == pytest.approx(1.972 * error * correction, rel=0.01)
    # And so has the fit: the value at a year.
    at = [found[name].classical.estimate * 2015.0**k for k, name in enumerate(["(intercept)", *powers])]
    assert sum(at) == pytest.approx(float(fit.params @ [1.0, *(1.0**k for k in range(1, degree + 1))]), abs=1e-4)


def test_the_label_as_a_predictor_of_incomes() -> None:
    rng = np.random.default_rng(3)
    year, label = years(rng), (rng.random(N) < 0.5).astype(float)
    income = 25000 + 700 * (year - 2010) + rng.normal(0, 5000, N) + 1000 * label
    said = np.where(rng.random(N) < 0.9, label, 1 - label)
    found = estimate_regression(hidden(label), said, {"year": year}, outcome=income)
    x = np.column_stack([np.ones(N), year, label])[:LABELLED]
    check(found, ["(intercept)", "year", "label"], api.OLS(income[:LABELLED], x).fit(cov_type="HC1"))


@pytest.mark.parametrize("as_classes", [False, True])
def test_text_predictors_are_categories(as_classes: bool) -> None:
    rng = np.random.default_rng(4)
    outlets = ["alternet", "breitbart", "reuters"]
    codes, year = rng.integers(0, 3, N), years(rng)
    truth = rng.random(N) < 1 / (1 + np.exp(-(codes - 1 + (year - 2005) / 20)))
    said = np.where(rng.random(N) < 0.9, truth, ~truth)
    names = np.where(truth, "biased", "fair")
    columns: dict[str, Any] = {
        "label": [str(name) if place < LABELLED else None for place, name in enumerate(names)],
        "llm_label": np.where(said, "biased", "fair").tolist(),
        "year": year.tolist(),
        "outlet": codes.tolist() if as_classes else [outlets[code] for code in codes],
    }
    feature = ClassLabel(names=outlets) if as_classes else Value("string")
    features = Features(
        {"label": Value("string"), "llm_label": Value("string"), "year": Value("float64"), "outlet": feature}
    )
    found = estimate(Dataset.from_dict(columns, features), regress=["year", "outlet"], positive="biased")
    x = np.column_stack([np.ones(N), year, codes == 1, codes == 2]).astype(float)[:LABELLED]
    fit = api.Logit(truth[:LABELLED].astype(float), x).fit(disp=0)
    terms = ["(intercept)", "year", "outlet = breitbart", "outlet = reuters"]
    assert [each.name for each in found] == terms
    for name, expected in zip(terms, fit.params, strict=True):
        assert found[name].classical.estimate == pytest.approx(expected, rel=1e-4)
    assert any("'alternet'" in note for note in found.notes)
    # Human labels of the category and of the reference level.
    assert found["outlet = reuters"].n == int(((codes == 2) | (codes == 0))[:LABELLED].sum())


def test_a_category_of_which_hardly_a_row_was_labelled_gets_no_interval() -> None:
    rng = np.random.default_rng(5)
    y = rng.normal(size=N)
    outlet = np.where(np.arange(N) % 2, "a", "b").astype(object)
    outlet[5], outlet[400:440] = "rare", "rare"
    found = estimate_regression(hidden(y), y, {"outlet": outlet.tolist()})
    assert found["outlet = rare"].too_few
    assert not found["outlet = b"].too_few


@pytest.mark.parametrize(
    ("predictors", "said"),
    [
        ({"x": ["a"] * N}, "1 categories"),
        ({"x": [str(place) for place in range(N)]}, "500 categories"),
        ({"x": ["a", 1.0] * (N // 2)}, "250 rows, numbers"),
        ({"x": ["a", None] * (N // 2)}, "missing in 250 rows"),
    ],
)
def test_unusable_categories_are_refused(predictors: Any, said: str) -> None:
    y = np.arange(N, dtype=float)
    with pytest.raises(DataError) as caught:
        estimate_regression(hidden(y), y, predictors)
    assert said in str(caught.value)


def test_notes_give_the_reason() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=N), rng.normal(size=N)

    def reason(*arguments: Any, **more: Any) -> str:
        return " ".join(estimate_regression(*arguments, **more).notes)

    assert "again is a linear combination" in reason(hidden(y), y, {"x": x, "again": 3 - 2 * x})
    assert "constant is a linear combination" in reason(hidden(y), y, {"constant": np.full(N, 0.1)})
    few = np.where(np.arange(N) < 3, y, np.nan)
    assert "3 human labels are too few for 4 parameters" in reason(few, y, {"a": x, "b": x**2, "c": x**3})
    unlabelled = (np.arange(N) >= LABELLED).astype(float)
    assert "in the human-labeled rows" in reason(hidden(y), y, {"a": unlabelled})
    apart = (x > 0).astype(float)
    assert "separate the classes" in reason(hidden(apart), apart, {"x": 1e6 * x}, family="logistic")
