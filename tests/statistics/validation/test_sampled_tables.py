"""`validate` and `estimate` of tables with inclusion probabilities and other columns."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import ValidationReport, draw_sample, estimate, validate
from tests.statistics.common import contains


def skewed(seed: int) -> tuple[Dataset, float]:
    """Many a that are mostly correct, few b that are mostly incorrect, as many of each labeled by humans."""
    rng = np.random.default_rng(seed)
    llm = np.where(rng.random(2000) < 0.85, "a", "b")
    correct = rng.random(2000) < np.where(llm == "a", 0.95, 0.5)
    human = np.where(correct, llm, np.where(llm == "a", "b", "a"))
    sample = draw_sample(llm.tolist(), 200, design="stratified", allocation="equal", seed=seed)
    columns = {
        "label": [None if p is None else str(name) for p, name in zip(sample.probabilities, human, strict=True)],
        "llm_label": llm.tolist(),
        "inclusion_probability": list(sample.probabilities),
    }
    return Dataset.from_dict(columns), 0.85 * 0.95 + 0.15 * 0.5


def test_weighted_scores_cover_the_values_of_the_population() -> None:
    # Macro F1 of the population: a is .8075 of it correct, .85 predicted, .8825 human; b .075, .15 and .1175.
    f1 = (2 * 0.8075 / (0.85 + 0.8825) + 2 * 0.075 / (0.15 + 0.1175)) / 2
    covered = {"accuracy": 0, "macro_f1": 0, "unweighted": 0}
    for seed in range(60):
        rows, accuracy = skewed(seed)
        report = validate(rows, resamples=200)
        covered["accuracy"] += contains(report.scores["accuracy"], accuracy)
        covered["macro_f1"] += contains(report.scores["macro_f1"], f1)
        unweighted = validate(rows.remove_columns("inclusion_probability"), resamples=50)
        covered["unweighted"] += contains(unweighted.scores["accuracy"], accuracy)
    assert covered.pop("unweighted") == 0
    assert min(covered.values()) >= 53
    assert "unequal inclusion probabilities" in report.notes[0]
    assert report.scores["accuracy"].method == "wilson, weighted"
    assert ValidationReport.from_json(report.to_json()) == report
    assert estimate(rows)["a"].classical.estimate == pytest.approx(0.8825, abs=0.08)


def test_human_labels_of_rows_that_were_not_sampled_do_not_count() -> None:
    rows = Dataset.from_dict(
        {
            "label": ["a"] * 40 + [None] * 10 + ["b"] * 50 + [None] * 100,
            "llm_label": ["a", "b"] * 100,
            "inclusion_probability": [0.25] * 50 + [None] * 150,
        }
    )
    validation, estimates = validate(rows), estimate(rows)
    assert validation.scores["accuracy"].n == estimates.n_human == 40
    assert "50 rows have a human label and were not drawn" in validation.notes[0]
    assert "10 of 50 sampled rows have no human label" in validation.notes[1]
    assert estimates.equal_probabilities
    assert estimates.notes[:2] == validation.notes[:2]
    with pytest.raises(DataError, match="50 rows were drawn, and none of them has a human label"):
        validate(rows.remove_columns("label").add_column("label", [None] * 50 + ["a"] * 150))
    columns = {"label": [1.0, 2.0, 3.0], "llm_label": [1.0, 2.0, 2.0], "inclusion_probability": [0.5, 0.1, None]}
    numbers = Dataset.from_dict(columns)
    scale = validate(numbers, kind="text-scale")
    assert scale.scores["mae"].n == 2
    assert any("inclusion probabilities" in note for note in scale.notes)
    assert estimate(numbers)["mean"].naive.n == 3


def test_strata_with_different_response_rates_keep_their_weight() -> None:
    # 100 a and 100 b of 1,000 and 200 rows were sampled; 50 of a and all of b were labeled.
    rows = Dataset.from_dict(
        {
            "label": ["a"] * 50 + [None] * 950 + ["b"] * 100 + [None] * 100,
            "llm_label": ["a"] * 1000 + ["b"] * 200,
            "inclusion_probability": [0.1] * 100 + [None] * 900 + [0.5] * 100 + [None] * 100,
        }
    )
    assert estimate(rows)["b"].classical.estimate == pytest.approx(200 / 1200)


def test_estimate_reads_the_columns_of_its_options() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(3, 30, size=600).astype(float)
    truth = np.where(rng.random(600) < words / 40, "yes", "no")
    rows = Dataset.from_dict(
        {
            "label": [str(value) if place < 150 else None for place, value in enumerate(truth)],
            "llm_label": np.where(rng.random(600) < 0.85, truth, "no").tolist(),
            "llm_label_confidence": rng.random(600).tolist(),
            "words": words.tolist(),
            "side": np.where(np.arange(600) % 2, "left", "right").tolist(),
            "author": (np.arange(600) // 5).tolist(),
        }
    )
    regression = estimate(rows, formula="llm_label ~ words")
    assert [each.name for each in regression] == ["(intercept)", "words"]
    assert regression["words"].ppi.low > 0
    assert regression.what.startswith("logistic")
    predictor = estimate(rows, formula="words ~ llm_label")
    assert [each.name for each in predictor] == ["(intercept)", "llm_label = yes"]
    assert predictor["llm_label = yes"].dsl.low > 0
    assert estimate(rows, groups="side")["right - left"].ppi.n == 150
    assert estimate(rows, estimand="f1")["macro F1"].ppi.estimate > 0.7
    assert estimate(rows, clusters="author").n_clusters == 30
    with pytest.raises(ConfigError, match="`estimand`"):
        estimate(rows, estimand="median")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`formula`"):
        estimate(rows, groups="side", formula="llm_label ~ words")
    with pytest.raises(DataError, match="`lenght`"):
        estimate(rows, formula="llm_label ~ lenght")
