"""EstimateReport about these rows alone: only the drawing is by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Inference
from hf_synthlabels.statistics.estimation.analyses import estimate_mean, estimate_prevalence, estimate_regression

FINITE = Inference(finite=True, splits=2)


def sampled(seed: int, rows: int, n: int) -> tuple[list[float | None], list[float], np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 1, size=rows)
    llm = truth + rng.normal(0.5, 0.4, size=rows)
    drawn = set(rng.choice(rows, size=n, replace=False).tolist())
    return [value if row in drawn else None for row, value in enumerate(truth.tolist())], llm.tolist(), truth


def test_human_labels_alone_have_the_textbooks_standard_error() -> None:
    human, llm, _ = sampled(0, 400, 100)
    known = np.array([value for value in human if value is not None])
    # Cochran 1977, theorem 2.2: (1 - n / N) s^2 / n.
    error = math.sqrt((1 - 100 / 400) * known.var(ddof=1) / 100)
    half = stats.t.ppf(0.975, 99) * error
    found = estimate_mean(human, llm, FINITE)["mean"].classical
    assert found.estimate == pytest.approx(known.mean())
    assert (found.low, found.high) == pytest.approx((known.mean() - half, known.mean() + half))


def test_ppi_is_the_difference_estimator_with_its_standard_error() -> None:
    human, llm, _ = sampled(1, 300, 90)
    mine = np.array([value is not None for value in human])
    y, f, every = np.array([v for v in human if v is not None]), np.array(llm)[mine], np.array(llm)
    slope = np.cov(y, f)[0, 1] / f.var(ddof=1)
    found = estimate_mean(human, llm, FINITE)["mean"]
    assert found.lam == pytest.approx(min(1, slope), rel=0.02)
    lam = found.lam
    # Cochran 1977, section 7.3: of a difference with a given slope the residuals' variance, (1 - n / N) s^2 / n.
    residual = y - lam * f
    assert found.ppi.estimate == pytest.approx(lam * every.mean() + residual.mean())
    half = stats.t.ppf(0.975, 88) * math.sqrt((1 - 90 / 300) * ((residual - residual.mean()) ** 2).sum() / 88 / 90)
    assert found.ppi.high - found.ppi.estimate == pytest.approx(half, rel=1e-6)


def test_no_number_of_labels_is_worth_more_than_a_label_of_every_row() -> None:
    human, llm, _ = sampled(2, 300, 100)
    found = estimate_mean(human, llm, FINITE)["mean"]
    assert 100 < found.effective_ppi < 300
    # As many human labels alone would have had its variance: (1 / n - 1 / N) s^2.
    one_row = found.classical.high - found.classical.estimate, found.ppi.high - found.ppi.estimate
    ratio = (one_row[1] / one_row[0]) ** 2
    expected = 1 / ((1 / 100 - 1 / 300) * ratio + 1 / 300)
    assert found.effective_ppi == pytest.approx(expected, rel=0.03)


def test_all_rows_labelled_leave_nothing_open() -> None:
    names = ["a"] * 30 + ["b"] * 20
    found = estimate_prevalence(names, ["a"] * 50, inference=FINITE)
    assert (found["a"].classical.low, found["a"].classical.high) == (0.6, 0.6)
    assert found["a"].dsl.low == pytest.approx(0.6)
    assert found["a"].dsl.high == pytest.approx(0.6)
    # Nor does a class that nobody gave, where every row was looked at.
    assert found["b"].naive.high == found["b"].naive.estimate == 0.0
    usual = estimate_prevalence(names, ["a"] * 50, inference=Inference(splits=2))
    assert usual["a"].classical.high > 0.7


def test_notes_say_what_the_question_is_of_and_clusters_do_not_go_with_it() -> None:
    human, llm, _ = sampled(0, 60, 20)
    notes = estimate_mean(human, llm, FINITE).notes
    assert any(note.startswith("Estimates are for these 60 rows") for note in notes)
    with pytest.raises(ConfigError, match="`clusters`"):
        Inference(finite=True, clusters=[1, 2])


@pytest.mark.slow
def test_intervals_hold_what_is_so_of_these_rows() -> None:
    held = dict.fromkeys(("classical", "ppi", "dsl"), 0)
    weighted = dict(held)
    regressed = dict(held)
    narrower = []
    runs = 200
    for seed in range(runs):
        human, llm, truth = sampled(seed, 300, 150)
        found = estimate_mean(human, llm, FINITE)["mean"]
        usual = estimate_mean(human, llm, Inference(splits=2))["mean"]
        narrower.append((found.classical.high - found.classical.low) / (usual.classical.high - usual.classical.low))
        rng = np.random.default_rng(seed)
        chances = np.clip(0.2 + 0.2 * np.abs(truth - 3), 0, 0.9)
        drawn = rng.random(300) < chances
        some = [value if mine else None for value, mine in zip(truth.tolist(), drawn, strict=True)]
        unequal = estimate_mean(some, llm, Inference(finite=True, splits=2, probabilities=chances.tolist()))["mean"]
        x = np.linspace(0, 1, 300)
        line = estimate_regression(human, llm, {"x": x.tolist()}, inference=FINITE)["x"]
        slope = np.polyfit(x, truth, 1)[0]
        for name in held:
            held[name] += getattr(found, name).low <= truth.mean() <= getattr(found, name).high
            weighted[name] += getattr(unequal, name).low <= truth.mean() <= getattr(unequal, name).high
            regressed[name] += getattr(line, name).low <= slope <= getattr(line, name).high
    for counts in (held, weighted, regressed):
        # 95 % of 200 less three standard errors.
        assert min(counts.values()) >= 0.95 * runs - 3 * math.sqrt(0.95 * 0.05 * runs), counts
    # sqrt(1 - 150 / 300)
    assert np.mean(narrower) == pytest.approx(math.sqrt(0.5), abs=0.01)
