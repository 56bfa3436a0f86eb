"""Recalibration against scikit-learn, a search over a grid, and loops over the parts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig, validate
from hf_synthlabels.statistics.confidence.confidence_columns import ConfidenceCheck
from hf_synthlabels.statistics.confidence.recalibration import (
    Method,
    Recalibration,
    Steps,
    Temperature,
    fit_recalibration,
    recalibrate,
)
from hf_synthlabels.statistics.confidence.reliability_table import ConfidentRows
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.estimation.calibration import fold_numbers
from hf_synthlabels.statistics.validation.report import ValidationReport
from tests.statistics.common import Columns

FEW = BootstrapConfig(resamples=100)


def overconfident(n: int = 300, seed: int = 0, design: SamplingDesign | None = None) -> ConfidentRows:
    rng = np.random.default_rng(seed)
    confidence = rng.choice([0.6, 0.7, 0.8, 0.9, 0.97], n)
    return ConfidentRows(confidence, rng.random(n) < 0.5 + (confidence - 0.5) / 2, design)


def test_isotonic_fit_equals_scikit_learn_with_weights() -> None:
    isotonic = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(1)
    rows = overconfident(120, design=SamplingDesign(rng.choice([1.0, 4.0], 120)))
    fit = fit_recalibration(rows, "isotonic")
    expected = isotonic.IsotonicRegression(out_of_bounds="clip").fit(rows.confidence, rows.correct, rows.weights)
    new = np.linspace(0, 1, 41)
    assert fit(new) == pytest.approx(expected.predict(new))


def test_temperature_has_the_least_log_loss_of_a_grid() -> None:
    rows = overconfident(400)

    def loss(temperature: float) -> float:
        total = 0.0
        for confidence, is_right in zip(rows.confidence, rows.correct, strict=True):
            odds = math.log(confidence / (1 - confidence)) / temperature
            right = 1 / (1 + math.exp(-odds))
            total -= math.log(right if is_right else 1 - right)
        return total

    fit = fit_recalibration(rows, "temperature")
    assert isinstance(fit, Temperature)
    best = min(np.arange(0.5, 5, 0.02), key=loss)
    assert fit.temperature == pytest.approx(best, abs=0.02)
    assert fit.temperature > 1
    # Log-odds of 0.8 are ln 4, which a temperature of 2 halves: odds of 2.
    assert Temperature(2.0)([0.8, None]) == pytest.approx([2 / 3, math.nan], nan_ok=True)


@pytest.mark.parametrize("method", ["isotonic", "temperature"])
def test_each_row_is_recalibrated_by_the_other_parts(method: Method) -> None:
    rows = overconfident(100)
    result = recalibrate(rows, method, bootstrap=FEW)
    parts = fold_numbers(np.ones(100, dtype=np.bool_), None, 5, 0)
    squares = []
    for part in range(5):
        fit = fit_recalibration(rows.take(parts != part), method)
        own = rows.take(parts == part)
        squares += ((fit(own.confidence) - own.correct) ** 2).tolist()
    before = ((rows.confidence - rows.correct) ** 2).mean()
    assert result.after["Brier score"].estimate == pytest.approx(np.mean(squares))
    assert result.difference.estimate == pytest.approx(np.mean(squares) - before)
    assert (result.folds, result.n) == (5, 100)
    assert bool(result.notes) == (method == "isotonic")
    assert Recalibration.from_dict(result.to_dict()) == result


@pytest.mark.parametrize("method", ["isotonic", "temperature"])
def test_recalibration_lowers_the_error_of_overconfident_rows_and_keeps_that_of_calibrated_ones(method: Method) -> None:
    result = recalibrate(overconfident(1000), method, bootstrap=FEW)
    assert result.difference.high < 0
    assert result.after["calibration error"].high < result.before["calibration error"].low
    rng = np.random.default_rng(0)
    confidence = rng.choice([0.6, 0.75, 0.9], 1000)
    calibrated = recalibrate(ConfidentRows(confidence, rng.random(1000) < confidence), method, bootstrap=FEW)
    assert abs(calibrated.difference.estimate) < 0.002


def test_clusters_stay_in_one_part_and_widen_the_difference() -> None:
    rows = overconfident(150)
    clusters = SamplingDesign(None, np.repeat(np.arange(150), 3))
    repeated = ConfidentRows(np.repeat(rows.confidence, 3), np.repeat(rows.correct, 3), clusters)
    single, result = (
        recalibrate(rows, "temperature", bootstrap=FEW),
        recalibrate(repeated, "temperature", bootstrap=FEW),
    )
    assert result.difference.high - result.difference.low == pytest.approx(
        single.difference.high - single.difference.low, rel=0.2
    )


def test_unknown_methods_and_too_few_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="`recalibrate`"):
        recalibrate(overconfident(), "platt")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`folds`"):
        recalibrate(overconfident(), folds=1)
    with pytest.raises(DataError, match="`recalibrate`"):
        recalibrate(overconfident(4))
    table = Columns(label=["a", "b"], llm_label=["a", "a"])
    with pytest.raises(DataError, match="`recalibrate`"):
        validate(table, confidence=ConfidenceCheck(recalibrate="isotonic"))


def test_certain_and_constant_confidences_stay_finite() -> None:
    rows = ConfidentRows(np.array([1.0, 1.0, 0.0, 1.0]), np.array([True, False, False, True]))
    for method in ("isotonic", "temperature"):
        result = recalibrate(rows, method, folds=2, bootstrap=FEW)
        assert 0 <= result.after["Brier score"].estimate <= 1
    fit = fit_recalibration(rows, "isotonic")
    assert isinstance(fit, Steps)
    assert fit([1.0, 0.5]) == pytest.approx([2 / 3, 1 / 3])


def test_a_validation_keeps_its_recalibration_as_json() -> None:
    table = Columns(label=["a", "b"] * 20, llm_label=["a"] * 40, llm_label_confidence=[0.9, 0.6] * 20)
    report = validate(table, resamples=100, confidence=ConfidenceCheck(recalibrate="isotonic"))
    assert report.confidence is not None
    assert report.confidence.recalibrated is not None
    assert ValidationReport.from_json(report.to_json()) == report
