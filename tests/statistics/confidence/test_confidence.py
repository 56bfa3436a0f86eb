"""Measures of confidence against hand-derived values, slow loops and scikit-learn."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig, validate
from hf_synthlabels.statistics.confidence.brier import brier_parts, multiclass_brier
from hf_synthlabels.statistics.confidence.calibration_error import calibration_error
from hf_synthlabels.statistics.confidence.confidence_report import ConfidenceReport, confidence_report
from hf_synthlabels.statistics.confidence.ranking import accuracy_by_coverage, area_under_risk_curve, auroc
from hf_synthlabels.statistics.confidence.reliability_table import ConfidentRows, bin_codes, reliability_table
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.statistics.validation.report import ValidationReport
from tests.statistics.common import Columns

FEW = BootstrapConfig(resamples=200)


def rows_of(seed: int, n: int = 80, *, weighted: bool = False, clustered: bool = False) -> ConfidentRows:
    """Random rows with ties among the confidences."""
    rng = np.random.default_rng(seed)
    confidence = rng.choice([0.5, 0.7, 0.75, 0.9, 1.0], n)
    weights = rng.choice([1.0, 2.0, 5.0], n) if weighted else None
    clusters = rng.integers(n // 4, size=n) if clustered else None
    design = SamplingDesign(weights, clusters) if weighted or clustered else None
    return ConfidentRows(confidence, rng.random(n) < confidence - 0.1, design)


def pairs_auroc(rows: ConfidentRows) -> float:
    over, under = 0.0, 0.0
    for i, j in itertools.product(np.flatnonzero(rows.correct), np.flatnonzero(~rows.correct)):
        weight = rows.weights[i] * rows.weights[j]
        gap = rows.confidence[i] - rows.confidence[j]
        over += weight * (1.0 if gap > 0 else 0.5 if gap == 0 else 0.0)
        under += weight
    return over / under


def threshold_aurc(rows: ConfidentRows) -> float:
    total = 0.0
    for confidence, weight in zip(rows.confidence, rows.weights, strict=True):
        kept = rows.confidence >= confidence
        total += weight * (rows.weights * ~rows.correct)[kept].sum() / rows.weights[kept].sum()
    return total / float(rows.weights.sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_auroc_and_aurc_equal_loops_over_pairs_and_thresholds(seed: int, weighted: bool) -> None:
    rows = rows_of(seed, weighted=weighted)
    assert auroc(rows).estimate == pytest.approx(pairs_auroc(rows))
    cells = np.column_stack([rows.confidence, rows.correct])
    assert area_under_risk_curve(rows.weights[None], cells)[0] == pytest.approx(threshold_aurc(rows))


def test_auroc_brier_and_isotonic_equal_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rows = rows_of(5, 300, weighted=True)
    report = confidence_report(rows, bootstrap=FEW)
    expected = metrics.roc_auc_score(rows.correct, rows.confidence, sample_weight=rows.weights)
    assert report.auroc.estimate == pytest.approx(expected)
    expected = metrics.brier_score_loss(rows.correct, rows.confidence, sample_weight=rows.weights)
    assert report.brier.score.estimate == pytest.approx(expected)
    assert report.brier.parts.total == pytest.approx(expected)


def test_auroc_interval_widens_with_clusters_and_is_finite_at_perfect_separation() -> None:
    rows = rows_of(1, 200)
    repeated = ConfidentRows(
        np.repeat(rows.confidence, 4), np.repeat(rows.correct, 4), SamplingDesign(None, np.repeat(np.arange(200), 4))
    )
    single, clustered = auroc(rows), auroc(repeated)
    assert clustered.estimate == pytest.approx(single.estimate)
    assert clustered.high - clustered.low == pytest.approx(single.high - single.low, rel=0.15)
    perfect = auroc(ConfidentRows(np.array([0.9, 0.8, 0.2]), np.array([True, True, False])))
    assert (perfect.estimate, perfect.high) == (1, 1)
    assert 0 < perfect.low < 0.8
    assert math.isnan(auroc(ConfidentRows(np.array([0.9]), np.array([True]))).estimate)


def test_brier_parts_by_hand() -> None:
    # Bin 0: confidences 0.2 and 0.4, outcomes 0 and 1. Bin 1: confidence 0.9 twice, outcomes 1 and 1.
    forecast, outcome = np.array([0.2, 0.4, 0.9, 0.9]), np.array([0.0, 1.0, 1.0, 1.0])
    parts = brier_parts(forecast, outcome, np.ones(4), np.array([0, 0, 1, 1]))
    assert parts.reliability == pytest.approx(((0.3 - 0.5) ** 2 + (0.9 - 1) ** 2) / 2)
    assert parts.resolution == pytest.approx(((0.5 - 0.75) ** 2 + (1 - 0.75) ** 2) / 2)
    assert parts.uncertainty == pytest.approx(0.75 * 0.25)
    # Deviations -0.1 and 0.1 of the confidence, -0.5 and 0.5 of the outcome.
    assert parts.within_bins == pytest.approx((2 * 0.01 - 2 * 2 * 0.05) / 4)
    assert parts.total == pytest.approx((0.04 + 0.36 + 0.01 + 0.01) / 4)


def test_multiclass_brier_is_the_sum_over_classes() -> None:
    rng = np.random.default_rng(0)
    probabilities, truth = rng.dirichlet(np.ones(3), 60), rng.integers(3, size=60)
    weights = rng.choice([1.0, 3.0], 60)
    score = multiclass_brier(probabilities, truth, SamplingDesign(weights), bootstrap=FEW)
    expected = (
        sum(
            weight * sum((row[name] - (name == label)) ** 2 for name in range(3))
            for row, label, weight in zip(probabilities, truth, weights, strict=True)
        )
        / weights.sum()
    )
    assert score.score.estimate == pytest.approx(expected)
    assert score.parts.total == pytest.approx(expected)
    assert score.score.low < expected < score.score.high <= 2
    with pytest.raises(DataError, match="`probabilities`"):
        multiclass_brier(probabilities * 2, truth)


@pytest.mark.parametrize(
    ("by", "bins", "expected"),
    [
        # Mid-ranks of the distinct values: 0.5, 2.5, 4.5 and 5.5 of 6.
        ("mass", 3, [0, 1, 1, 1, 2, 2]),
        ("mass", 2, [0, 0, 0, 0, 1, 1]),
        ("width", 2, [0, 1, 1, 1, 1, 1]),
        ("width", 10, [0, 1, 1, 1, 2, 3]),
    ],
)
def test_bins_never_split_equal_confidences(by: Any, bins: int, expected: list[int]) -> None:
    confidence = np.array([0.1, 0.5, 0.5, 0.5, 0.8, 1.0])
    assert bin_codes(confidence, np.ones(6), bins, by).tolist() == expected


def test_reliability_table_counts_and_weights() -> None:
    rows = ConfidentRows(
        np.array([0.6, 0.6, 0.9, 0.9]), np.array([True, False, True, True]), SamplingDesign(np.array([3.0, 1, 1, 1]))
    )
    first, second = reliability_table(rows, 2)
    assert first.n == 2
    assert (first.share, first.confidence) == pytest.approx((4 / 6, 0.6))
    assert first.accuracy.estimate == pytest.approx(3 / 4)
    assert second.accuracy.estimate == 1
    unweighted = reliability_table(ConfidentRows(rows.confidence, rows.correct), 2)
    assert unweighted[0].accuracy == wilson(1, 2)


def test_debiased_error_subtracts_the_variance_of_each_bin() -> None:
    rows = rows_of(3, 60)
    error = calibration_error(rows, 5, FEW)
    squared, plain = 0.0, 0.0
    for value in np.unique(rows.confidence):
        gaps = (rows.correct - rows.confidence)[rows.confidence == value]
        squared += len(gaps) / 60 * (gaps.mean() ** 2 - gaps.var(ddof=1) / len(gaps))
        plain += len(gaps) / 60 * abs(gaps.mean())
    assert error.bins == 5
    assert error.debiased.estimate == pytest.approx(math.sqrt(max(0, squared)))
    assert error.ece == pytest.approx(plain)
    assert error.ece_if_calibrated.low < error.ece_if_calibrated.estimate < error.ece_if_calibrated.high


def test_debiased_error_is_unbiased_where_plain_ece_is_not() -> None:
    rng = np.random.default_rng(0)
    squares, plain = [], []
    for _ in range(300):
        confidence = rng.uniform(0.5, 1, 100)
        rows = ConfidentRows(confidence, rng.random(100) < confidence)
        error = calibration_error(rows, 5, BootstrapConfig(resamples=1))
        squares.append(error.debiased.low == 0)
        plain.append(error.ece)
    assert np.mean(squares) > 0.95
    assert np.mean(plain) > 0.05


def test_accuracy_by_coverage_keeps_ties_together() -> None:
    rows = ConfidentRows(np.array([0.9, 0.9, 0.9, 0.5, 0.2]), np.array([True, True, False, True, False]))
    top, all_rows = accuracy_by_coverage(rows, (0.2, 1.0))
    assert (top.threshold, top.kept, top.accuracy) == (0.9, wilson(3, 5), wilson(2, 3))
    assert (all_rows.threshold, all_rows.accuracy) == (0.2, wilson(3, 5))
    with pytest.raises(ConfigError, match="`shares`"):
        accuracy_by_coverage(rows, (0.0,))


@pytest.mark.parametrize(
    ("confidence", "note"),
    [([0.9, 0.9, 0.9], "cannot rank"), ([0.1, 0.5, 0.9], "Only 1 of 3")],
)
def test_report_says_what_limits_it(confidence: list[float], note: str) -> None:
    report = confidence_report(ConfidentRows(np.array(confidence), np.array([True, True, False])), bootstrap=FEW)
    assert note in " ".join(report.notes)
    assert ConfidenceReport.from_dict(report.to_dict()) == report


@pytest.mark.parametrize("values", [[1.5, 0.2], [-0.1, 0.2], [math.nan, 0.2], []])
def test_confidences_must_be_shares(values: list[float]) -> None:
    with pytest.raises(DataError, match="`confidence`"):
        ConfidentRows(np.array(values), np.array([True] * len(values)))


def test_validate_reports_the_confidence_of_answered_rows() -> None:
    table = Columns(
        label=["a", "b", "a", "b", None, "a"],
        llm_label=["a", "b", "b", None, "a", "a"],
        llm_label_confidence=[0.9, 0.8, 0.6, None, 0.9, None],
        other=[0.5, 0.5, 0.5, None, 0.5, 0.5],
    )
    report = validate(table, resamples=200)
    assert report.confidence is not None
    assert (report.confidence.column, report.confidence.n, report.confidence.n_without) == (
        "llm_label_confidence",
        3,
        1,
    )
    assert report.confidence.auroc.estimate == 1
    assert ValidationReport.from_json(report.to_json()) == report
    assert validate(table, confidence="other").confidence.n == 4  # type: ignore[union-attr]
    assert validate(table, confidence=False).confidence is None
    with pytest.raises(DataError, match="`missing`"):
        validate(table, confidence="missing")


def test_a_default_column_without_confidences_gives_a_note_and_a_named_one_an_error() -> None:
    table = Columns(label=["a", "b"], llm_label=["a", "b"], llm_label_confidence=["high", "low"])
    report = validate(table, resamples=200)
    assert report.confidence is None
    assert "`llm_label_confidence`" in report.notes[-1]
    with pytest.raises(DataError, match="`llm_label_confidence`"):
        validate(table, confidence="llm_label_confidence")


def test_probabilities_give_the_confidence_of_the_label_and_a_score_of_all_classes() -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["a", "b", "c"])
    features = datasets.Features(
        {"label": names, "llm_label": names, "llm_label_probs": datasets.List(datasets.Value("float32"))}
    )
    columns = {"label": [0, 1, 2], "llm_label": [0, 0, -1], "llm_label_probs": [[0.8, 0.2, 0], [0.6, 0.3, 0.1], None]}
    table = datasets.Dataset.from_dict(columns, features=features)
    report = validate(table, resamples=200).confidence
    assert report is not None
    assert report.column == "llm_label_probs"
    assert report.mean == pytest.approx((0.8 + 0.6) / 2)
    assert report.classes is not None
    expected = ((0.2**2 + 0.2**2) + (0.6**2 + 0.7**2 + 0.1**2)) / 2
    assert report.classes.score.estimate == pytest.approx(expected)
