"""Estimates for these rows only: only the selection of rows is random."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.statistics import Inference
from hf_synthlabels.statistics.estimation.analyses import estimate_mean, estimate_prevalence
from tests.statistics.common import contains, regress

FINITE = Inference(finite=True, splits=2)


def sampled(seed: int, rows: int, n: int) -> tuple[list[float | None], list[float], np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 1, size=rows)
    llm = truth + rng.normal(0.5, 0.4, size=rows)
    drawn = set(rng.choice(rows, size=n, replace=False).tolist())
    return [value if row in drawn else None for row, value in enumerate(truth.tolist())], llm.tolist(), truth


def test_classical_mean_has_the_textbook_standard_error() -> None:
    human, llm, _ = sampled(0, 400, 100)
    known = np.array([value for value in human if value is not None])
    # Cochran 1977, theorem 2.2: (1 - n / N) s^2 / n.
    half = stats.t.ppf(0.975, 99) * math.sqrt((1 - 100 / 400) * known.var(ddof=1) / 100)
    report = estimate_mean(human, llm, FINITE)
    classical = report["mean"].classical
    expected = (known.mean(), known.mean() - half, known.mean() + half)
    assert (classical.estimate, classical.low, classical.high) == pytest.approx(expected)
    assert any(note.startswith("Estimates are for these 400 rows") for note in report.notes)


def test_ppi_is_the_difference_estimator_with_its_standard_error() -> None:
    human, llm, _ = sampled(1, 300, 90)
    labeled = np.array([value is not None for value in human])
    y, f, every = np.array([v for v in human if v is not None]), np.array(llm)[labeled], np.array(llm)
    mean = estimate_mean(human, llm, FINITE)["mean"]
    assert mean.lam == pytest.approx(min(1, np.cov(y, f)[0, 1] / f.var(ddof=1)), rel=0.02)
    # Cochran 1977, section 7.3: of a difference with a given slope the residuals' variance, (1 - n / N) s^2 / n.
    residual = y - mean.lam * f
    assert mean.ppi.estimate == pytest.approx(mean.lam * every.mean() + residual.mean())
    half = stats.t.ppf(0.975, 88) * math.sqrt((1 - 90 / 300) * ((residual - residual.mean()) ** 2).sum() / 88 / 90)
    assert mean.ppi.high - mean.ppi.estimate == pytest.approx(half, rel=1e-6)
    # The effective sample size of (1 / n - 1 / N) s^2 is below N.
    assert 90 < mean.effective_ppi < 300
    ratio = ((mean.ppi.high - mean.ppi.estimate) / (mean.classical.high - mean.classical.estimate)) ** 2
    assert mean.effective_ppi == pytest.approx(1 / ((1 / 90 - 1 / 300) * ratio + 1 / 300), rel=0.03)


def test_a_complete_sample_leaves_no_uncertainty() -> None:
    names = ["a"] * 30 + ["b"] * 20
    report = estimate_prevalence(names, ["a"] * 50, inference=FINITE)
    assert (report["a"].classical.low, report["a"].classical.high) == (0.6, 0.6)
    assert (report["a"].dsl.low, report["a"].dsl.high) == pytest.approx((0.6, 0.6))
    # Nor of a class that nobody gave, if every row was labeled.
    assert report["b"].naive.high == report["b"].naive.estimate == 0.0
    assert estimate_prevalence(names, ["a"] * 50, inference=Inference(splits=2))["a"].classical.high > 0.7


@pytest.mark.slow
def test_intervals_cover_the_value_of_these_rows() -> None:
    covered = {design: dict.fromkeys(("classical", "ppi", "dsl"), 0) for design in ("equal", "unequal", "regression")}
    ratios, runs = [], 200
    x = np.linspace(0, 1, 300)
    for seed in range(runs):
        human, llm, truth = sampled(seed, 300, 150)
        equal = estimate_mean(human, llm, FINITE)["mean"]
        usual = estimate_mean(human, llm, Inference(splits=2))["mean"]
        ratios.append((equal.classical.high - equal.classical.low) / (usual.classical.high - usual.classical.low))
        probabilities = np.clip(0.2 + 0.2 * np.abs(truth - 3), 0, 0.9)
        drawn = np.random.default_rng(seed).random(300) < probabilities
        some = [value if chosen else None for value, chosen in zip(truth.tolist(), drawn, strict=True)]
        inference = Inference(finite=True, splits=2, probabilities=probabilities.tolist())
        unequal = estimate_mean(some, llm, inference)["mean"]
        line = regress(human, llm, {"x": x.tolist()}, inference=FINITE)["x"]
        slope = np.polyfit(x, truth, 1)[0]
        cases = (("equal", equal, truth.mean()), ("unequal", unequal, truth.mean()), ("regression", line, slope))
        for design, estimate, value in cases:
            for name in covered[design]:
                covered[design][name] += contains(getattr(estimate, name), value)
    # 95% of 200 less three standard errors.
    least = 0.95 * runs - 3 * math.sqrt(0.95 * 0.05 * runs)
    assert all(min(counts.values()) >= least for counts in covered.values()), covered
    # sqrt(1 - 150 / 300)
    assert np.mean(ratios) == pytest.approx(math.sqrt(0.5), abs=0.01)
