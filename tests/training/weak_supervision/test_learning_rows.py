from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.weak_supervision.learning_rows import evaluation_rows, learning_rows

NAMES = ("film", "sport")
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


def rows(**columns: list[Any]) -> Dataset:
    """Five rows: the human agrees, disagrees, labels alone, is silent, both are silent."""
    return Dataset.from_dict(
        {
            "text": list("abcde"),
            "llm": ["film", "sport", None, "sport", None],
            "human": ["film", "film", "sport", None, None],
            **columns,
        }
    )


@pytest.fixture
def both(config: Config) -> Config:
    return lambda **options: config(label_column="llm", human_column="human", **options)


def test_human_labels_stand_in_for_llm_ones(both: Config) -> None:
    learning = learning_rows(rows(), both(), NAMES)
    assert learning.rows.kept.tolist() == [0, 1, 2, 3]
    assert learning.rows.codes.tolist() == [0, 0, 1, 1]
    assert learning.human.tolist() == [True, True, True, False]
    assert learning.rows.n_unlabelled == 1
    assert learning.rows.weights is None
    assert learning.to_dict()["llm_rows"] == 1


def test_human_rows_after_leave_all_llm_labels_before(both: Config) -> None:
    learning = learning_rows(rows(), both(human_strategy="finetune"), NAMES)
    assert learning.rows.kept.tolist() == [0, 1, 3]
    assert learning.rows.codes.tolist() == [0, 1, 1]
    assert not learning.human.any()
    assert learning.second_stage is not None
    assert learning.second_stage.kept.tolist() == [0, 1, 2]
    assert learning.second_stage.codes.tolist() == [0, 0, 1]


def test_ignored_human_rows_only_estimate(both: Config) -> None:
    learning = learning_rows(rows(), both(human_strategy="none", correction="forward"), NAMES)
    assert learning.rows.codes.tolist() == [0, 1, 1]
    assert learning.second_stage is None
    assert learning.transition is not None
    # Rows 0 and 1 have both labels; of row 2 the LLM said nothing.
    assert learning.transition.counts.tolist() == [[1, 1], [0, 0]]
    assert learning.transition.n_unanswered == 1


def test_human_rows_weigh_more_and_confidence_is_of_llm_rows(both: Config) -> None:
    data = rows(c=[0.5, 0.5, None, 0.5, None], w=[2.0, 1.0, 1.0, 3.0, 1.0])
    chosen = both(human_weight=4.0, confidence_column="c", confidence_power=2.0, weight_column="w")
    weights = learning_rows(data, chosen, NAMES).rows.weights
    # Human rows 4 · w; the LLM row .5² · 3.
    assert weights is not None
    np.testing.assert_allclose(weights, [8, 4, 4, 0.75])


def test_confidence_counts_nothing_at_power_zero(config: Config) -> None:
    data = rows(c=[0.2, 0.9, None, 0.5, None])
    assert learning_rows(data, config(label_column="llm", confidence_column="c"), NAMES).rows.weights is None


def test_human_rows_are_certain_among_soft_ones(both: Config) -> None:
    data = rows(p=[[1.0, 0.0], [0.0, 1.0], None, [0.0, 1.0], None])
    chosen = both(probs_column="p", probs_draws=3)
    probs = learning_rows(data, chosen, NAMES).rows.probs
    # Three draws for sport: (0 + 1/2) / 4 and (3 + 1/2) / 4.
    assert probs is not None
    np.testing.assert_allclose(probs, np.array([[1, 0], [1, 0], [0, 1], [0.125, 0.875]]))


def test_temperature_is_fitted_on_rows_with_both_labels(both: Config) -> None:
    rng = np.random.default_rng(0)
    truth = rng.dirichlet([1, 1], 3000)
    human = [
        NAMES[int(draw > p[0])] if row < 2000 else None
        for row, (draw, p) in enumerate(zip(rng.random(3000), truth, strict=True))
    ]
    # Twice as sure as it should be.
    sure = truth**2 / (truth**2).sum(axis=1, keepdims=True)
    data = Dataset.from_dict(
        {
            "text": ["a"] * 3000,
            "llm": [NAMES[int(p[1] > p[0])] for p in truth],
            "human": human,
            "p": sure.tolist(),
        }
    )
    learning = learning_rows(data, both(probs_column="p", probs_temperature="fit", human_strategy="none"), NAMES)
    assert learning.temperature is not None
    assert learning.temperature.value.n == 2000
    assert learning.temperature.value.low < 2 < learning.temperature.value.high
    assert learning.rows.probs is not None
    assert np.abs(learning.rows.probs - truth).mean() < 0.02


def test_evaluation_is_held_to_human_labels(both: Config, config: Config) -> None:
    assert evaluation_rows(rows(), both(), NAMES).kept.tolist() == [0, 1, 2]
    assert evaluation_rows(rows(), config(label_column="llm"), NAMES).kept.tolist() == [0, 1, 3]


def test_invalid_label_sources_are_errors(both: Config, config: Config) -> None:
    chosen = config(label_column="llm", confidence_column="c", confidence_power=1.0)
    for confidence in (1.5, -0.1, float("nan"), True, "high"):
        with pytest.raises(DataError, match="`c`"):
            learning_rows(rows(c=[None, None, None, confidence, None]).select([3]), chosen, NAMES)
    for confidences in ([None] * 5, [0.0] * 5):
        with pytest.raises(DataError, match="`c`"):
            learning_rows(rows(c=confidences), chosen, NAMES)
    data = Dataset.from_dict({"text": ["a", "b"], "llm": ["film", None], "human": [None, "sport"]})
    with pytest.raises(DataError, match="0 rows with both labels"):
        learning_rows(data, both(correction="forward"), NAMES)
    with pytest.raises(DataError, match="`human_column`"):
        learning_rows(rows().remove_columns("human"), both(), NAMES)
    with pytest.raises(ConfigError, match="`human_column`"):
        both(task="text-scale", scale=[1, 5])


def test_student_tells_who_labelled_its_rows(both: Config, config: Config, toy: Toy, tmp_path: Path) -> None:
    data = toy(60)
    human = [NAMES[label] if row < 20 else None for row, label in enumerate(data["label"])]
    data = data.rename_column("label", "llm").add_column("human", human)
    student = train_student(both(max_steps=2, correction="forward"), data, names=NAMES, eval=data)
    assert student.learning is not None
    assert student.learning.to_dict()["human_rows"] == 20
    assert student.learning.transition is not None
    assert student.learning.transition.n == 20
    assert student.metrics["eval_rows"] == 20
    student.save(tmp_path / "saved")
    kept = json.loads((tmp_path / "saved" / "label_sources.json").read_text())
    assert (kept["llm_rows"], kept["human_rows"], kept["transition"]["n"]) == (40, 20, 20)
    # A student that knows of no human labels leaves none of another's.
    train_student(config(label_column="llm", max_steps=1), data, names=NAMES).save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "label_sources.json").exists()
