"""Regressions at any magnitude and with any regular design, against statsmodels; text predictors as categories."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import estimate
from hf_synthlabels.statistics.estimation.analyses import estimate_mean
from tests.statistics.common import regress

api = pytest.importorskip("statsmodels.api")

N, LABELED = 500, 200
T = 1.972  # Student's quantile
SCALES = (1e-9, 1.0, 1e12)


def hidden(values: Any) -> Any:
    return np.where(np.arange(N) < LABELED, values, np.nan)


def half(interval: Any) -> float:
    return float(interval.high - interval.low) / 2


def test_means_and_least_squares_of_any_magnitude() -> None:
    rng = np.random.default_rng(1)
    x, other, noise, error = rng.normal(3, 1, N), *rng.normal(0, 1, (3, N))
    outcome = 2 + x + 0.5 * other + noise
    # In extreme units statsmodels would call the design singular: fitted in even ones and scaled.
    fit = api.OLS(outcome[:LABELED], api.add_constant(np.column_stack([x, other])[:LABELED])).fit(cov_type="HC1")
    for of_y in SCALES:
        y, llm = of_y * outcome, of_y * (outcome + 0.3 * error)
        mean = estimate_mean(hidden(y), llm)["mean"]
        assert mean.classical.estimate == pytest.approx(y[:LABELED].mean(), rel=1e-12)
        assert half(mean.classical) == pytest.approx(T * y[:LABELED].std(ddof=1) / math.sqrt(LABELED), rel=1e-3)
        assert half(mean.ppi) < half(mean.classical)
        for of_x in SCALES:
            report = regress(hidden(y), llm, {"x": of_x * x, "other": other})
            units = (of_y, of_y / of_x, of_y)
            for name, expected, unit in zip(("(intercept)", "x", "other"), fit.params, units, strict=True):
                assert report[name].classical.estimate == pytest.approx(expected * unit, rel=1e-8)
            assert half(report["x"].classical) == pytest.approx(T * fit.bse[1] * of_y / of_x, rel=0.002)


@pytest.mark.parametrize("family", ["linear", "logistic"])
def test_years_with_their_powers_fit_as_in_statsmodels(family: Any) -> None:
    rng = np.random.default_rng(2)
    year = rng.integers(1990, 2021, N).astype(float)
    centered = (year - 2005) / 10
    signal = 0.3 + centered - 0.5 * centered**2
    logistic = family == "logistic"
    y = (rng.random(N) < 1 / (1 + np.exp(-signal))).astype(float) if logistic else signal + rng.normal(size=N)
    llm = np.where(rng.random(N) < 0.9, y, 1 - y)
    for degree in (2, 3):
        powers = {f"year{k}": year**k for k in range(1, degree + 1)}
        report = regress(hidden(y), llm, powers, family=family)
        x = api.add_constant(np.column_stack([centered**k for k in range(1, degree + 1)])[:LABELED])
        fit = (api.Logit if logistic else api.OLS)(y[:LABELED], x).fit(cov_type="HC1", disp=0)
        # The leading coefficient has the same meaning in both parametrizations, except for units.
        top = report[f"year{degree}"].classical
        assert top.estimate == pytest.approx(fit.params[-1] / 10**degree, rel=1e-5)
        error = fit.bse[-1] / 10**degree
        if logistic:
            error *= math.sqrt(LABELED / (LABELED - 1)) * math.sqrt(LABELED / (LABELED - degree - 1))
        assert half(top) == pytest.approx(T * error, rel=0.01)
        # And so has the fitted value at a year.
        at = [report[name].classical.estimate * 2015.0**k for k, name in enumerate(["(intercept)", *powers])]
        assert sum(at) == pytest.approx(float(fit.params.sum()), abs=1e-4)


def test_the_label_as_a_predictor_of_incomes() -> None:
    rng = np.random.default_rng(3)
    year, label = rng.integers(1990, 2021, N).astype(float), (rng.random(N) < 0.5).astype(float)
    income = 25000 + 700 * (year - 2010) + rng.normal(0, 5000, N) + 1000 * label
    llm = np.where(rng.random(N) < 0.9, label, 1 - label)
    report = regress(hidden(label), llm, {"year": year}, outcome=income)
    fit = api.OLS(income[:LABELED], np.column_stack([np.ones(N), year, label])[:LABELED]).fit(cov_type="HC1")
    for name, expected, error in zip(("(intercept)", "year", "label"), fit.params, fit.bse, strict=True):
        assert report[name].classical.estimate == pytest.approx(expected, rel=1e-6, abs=1e-6 * error), name
        assert half(report[name].classical) / error == pytest.approx(T, rel=0.002), name
        assert all(math.isfinite(getattr(report[name], key).high) for key in ("naive", "ppi", "dsl")), name


def test_text_predictors_and_class_labels_are_categories() -> None:
    rng = np.random.default_rng(4)
    outlets = ["alternet", "breitbart", "reuters"]
    codes, year = rng.integers(0, 3, N), rng.integers(1990, 2021, N).astype(float)
    truth = rng.random(N) < 1 / (1 + np.exp(-(codes - 1 + (year - 2005) / 20)))
    llm = np.where(rng.random(N) < 0.9, truth, ~truth)
    names = np.where(truth, "biased", "fair")
    columns: dict[str, Any] = {
        "label": [str(name) if place < LABELED else None for place, name in enumerate(names)],
        "llm_label": np.where(llm, "biased", "fair").tolist(),
        "year": year.tolist(),
    }
    plain = {"label": Value("string"), "llm_label": Value("string"), "year": Value("float64")}
    x = np.column_stack([np.ones(N), year, codes == 1, codes == 2]).astype(float)[:LABELED]
    fit = api.Logit(truth[:LABELED].astype(float), x).fit(disp=0)
    terms = ["(intercept)", "year", "outlet = breitbart", "outlet = reuters"]
    for outlet, feature in (
        ([outlets[code] for code in codes], Value("string")),
        (codes.tolist(), ClassLabel(names=outlets)),
    ):
        rows = Dataset.from_dict({**columns, "outlet": outlet}, Features({**plain, "outlet": feature}))
        report = estimate(rows, formula="llm_label ~ year + outlet", positive="biased")
        assert [each.name for each in report] == terms
        assert [each.classical.estimate for each in report] == pytest.approx(list(fit.params), rel=1e-4)
        assert any("outlet = alternet" in note for note in report.notes)
        # Human labels of the category and of the reference level.
        assert report["outlet = reuters"].n == int((codes != 1)[:LABELED].sum())


def test_a_category_with_hardly_a_label_gets_no_interval() -> None:
    y = np.random.default_rng(5).normal(size=N)
    outlet = np.where(np.arange(N) % 2, "a", "b").astype(object)
    outlet[5], outlet[400:440] = "rare", "rare"
    report = regress(hidden(y), y, {"outlet": outlet.tolist()})
    assert report["outlet = rare"].too_few
    assert not report["outlet = b"].too_few


def test_unusable_categories_are_refused() -> None:
    y = np.arange(N, dtype=float)
    for values, message in (
        (["a"] * N, "1 categories"),
        ([str(place) for place in range(N)], "500 categories"),
        (["a", 1.0] * (N // 2), "250 rows, numbers"),
    ):
        with pytest.raises(DataError, match=f"`x`.*{message}"):
            regress(hidden(y), y, {"x": values})


def test_notes_give_the_reason_of_an_undefined_coefficient() -> None:
    x, y = np.random.default_rng(6).normal(size=(2, N))
    separated = (x > 0).astype(float)
    three = np.where(np.arange(N) < 3, y, np.nan)
    cases: list[tuple[str, Any, Any, dict[str, Any], dict[str, Any]]] = [
        ("again is a linear combination", hidden(y), y, {"x": x, "again": 3 - 2 * x}, {}),
        ("constant is a linear combination", hidden(y), y, {"constant": np.full(N, 0.1)}, {}),
        ("3 human labels are too few for 4 parameters", three, y, {"a": x, "b": x**2, "c": x**3}, {}),
        ("in the human-labeled rows", hidden(y), y, {"a": (np.arange(N) >= LABELED).astype(float)}, {}),
        ("separate the classes", hidden(separated), separated, {"x": 1e6 * x}, {"family": "logistic"}),
    ]
    for reason, human, llm, predictors, options in cases:
        assert reason in " ".join(regress(human, llm, predictors, **options).notes)
