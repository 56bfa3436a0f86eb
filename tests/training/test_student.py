from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EvalPrediction,
)
from transformers.utils import logging

from hf_synthlabels.errors import ConfigError, DataError, TrainingError
from hf_synthlabels.training import Student, StudentConfig, train_student
from hf_synthlabels.training.base_model import load_base
from hf_synthlabels.training.tasks.sequence import classification_metrics

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


@pytest.fixture(scope="module")
def quick(encoder: str, toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Student:
    """A student after four steps, which tests do not change."""
    folder = str(tmp_path_factory.mktemp("quick"))
    chosen = StudentConfig(
        model=encoder, output_dir=folder, max_length=32, max_steps=4, per_device_eval_batch_size=4, use_cpu=True
    )
    return train_student(chosen, toy(40), names=NAMES)


def test_student_learns_a_separable_task(config: Config, toy: Toy) -> None:
    student = train_student(config(), toy(160), names=NAMES, eval=toy(60, seed=1))
    assert student.metrics["eval_accuracy"] >= 0.95
    assert student.metrics["eval_f1_macro"] >= 0.95
    assert student.metrics["eval_rows"] == 60
    # 160 rows in batches of 16 for 6 epochs.
    assert student.metrics["train_steps"] == 60
    test = toy(40, seed=2)
    prediction = student.predict(test)
    assert np.mean(prediction.codes == np.array(test["label"])) >= 0.95
    assert prediction.probabilities.shape == (40, 2)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1)


def test_training_changes_every_parameter(config: Config, toy: Toy) -> None:
    chosen = config(max_steps=3, num_train_epochs=1)
    before = dict(load_base(chosen, NAMES).model.named_parameters())
    after = dict(train_student(chosen, toy(48), names=NAMES).trainer.model.named_parameters())
    assert before.keys() == after.keys()
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_same_seed_gives_the_same_student(config: Config, toy: Toy) -> None:
    def probabilities(seed: int) -> np.ndarray:
        torch.manual_seed(99)
        return train_student(config(seed=seed, max_steps=6), toy(64), names=NAMES).predict(toy(20)).probabilities

    first = probabilities(1)
    np.testing.assert_array_equal(first, probabilities(1))
    assert not np.allclose(first, probabilities(2))


def test_max_steps_makes_conditions_train_equally_long(config: Config, toy: Toy) -> None:
    for rows in (40, 90):
        assert train_student(config(max_steps=7), toy(rows), names=NAMES).metrics["train_steps"] == 7


def test_rows_without_a_label_are_left_out_of_training_but_predicted(config: Config, toy: Toy) -> None:
    data = toy(40)
    labels = [None if row % 4 == 0 else label for row, label in enumerate(data["label"])]
    data = data.remove_columns("label").add_column("label", labels).cast_column("label", ClassLabel(names=NAMES))
    student = train_student(config(max_steps=2), data, names=NAMES, eval=data)
    assert (len(student.rows), student.rows.n_unlabelled) == (30, 10)
    assert (student.metrics["eval_rows"], student.metrics["eval_rows_unlabelled"]) == (30, 10)
    assert len(student.predict(data).codes) == 40


def test_predictions_are_of_each_row_alone_also_of_none_and_of_empty_texts(quick: Student, toy: Toy) -> None:
    test = toy(25, seed=3)
    turned = quick.predict(test.select(range(24, -1, -1))).probabilities[::-1]
    np.testing.assert_allclose(quick.predict(test).probabilities, turned, atol=1e-6)
    assert quick.predict(test.select([])).probabilities.shape == (0, 2)
    assert len(quick.predict(Dataset.from_dict({"text": [None, ""]})).codes) == 2


def test_names_decide_the_order_of_outputs(config: Config, toy: Toy) -> None:
    student = train_student(config(), toy(160), names=["sport", "film"])
    assert student.trainer.model.config.id2label == {0: "sport", 1: "film"}
    codes = student.predict(Dataset.from_dict({"text": ["the film of the actor", "the goal of the team"]})).codes
    assert [student.names[code] for code in codes] == ["film", "sport"]


def test_soft_labels_teach_what_they_say_and_not_the_label(config: Config, toy: Toy) -> None:
    data = toy(160)
    opposite = [[0.1, 0.9] if label == 0 else [0.9, 0.1] for label in data["label"]]
    student = train_student(config(probs_column="p"), data.add_column("p", opposite), names=NAMES)
    agreement = np.mean(student.predict(data).codes == np.array(data["label"]))
    assert agreement <= 0.05


def test_weights_of_zero_leave_wrong_rows_out(config: Config, toy: Toy) -> None:
    data = toy(240)
    # Every third row has the wrong label, and weighs nothing.
    labels = [1 - label if row % 3 == 0 else label for row, label in enumerate(data["label"])]
    weights = [0.0 if row % 3 == 0 else 2.0 for row in range(240)]
    wrong = data.remove_columns("label").add_column("label", labels).add_column("w", weights)
    student = train_student(config(weight_column="w"), wrong, names=NAMES)
    assert np.mean(student.predict(data).codes == np.array(data["label"])) >= 0.95


def test_text_pairs_are_read_as_pairs(config: Config, toy: Toy) -> None:
    data = toy(20).add_column("other", ["the plot"] * 20)
    chosen = config(max_steps=1, text_columns=["text", "other"])
    features = train_student(chosen, data, names=NAMES).trainer.train_dataset
    assert max(features[0]["token_type_ids"]) == 1


def test_runs_of_different_precision_follow_each_other(config: Config, toy: Toy) -> None:
    # Both configs are made before either trains, as a study does.
    arms = [config(max_steps=2, bf16=bf16) for bf16 in (False, True, False)]
    outcomes = [train_student(arm, toy(32), names=NAMES).predict(toy(8)).probabilities for arm in arms]
    np.testing.assert_array_equal(outcomes[0], outcomes[2])
    np.testing.assert_allclose(outcomes[0], outcomes[1], atol=0.05)


def test_saved_student_loads_in_transformers_and_predicts_the_same(
    config: Config, quick: Student, toy: Toy, tmp_path: Path
) -> None:
    quick.save(tmp_path / "saved")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    text = toy(1)["text"][0]
    with torch.no_grad():
        expected = model.eval()(**tokenizer(text, return_tensors="pt")).logits.softmax(-1).numpy()
    np.testing.assert_allclose(quick.predict(toy(1)).probabilities, expected, atol=1e-6)
    assert model.config.id2label == {0: "film", 1: "sport"}
    # A second stage starts from it and keeps its head.
    again = load_base(config(model=str(tmp_path / "saved")), NAMES).model
    torch.testing.assert_close(again.classifier.weight, model.classifier.weight)
    # A head for other labels is replaced.
    other = load_base(config(model=str(tmp_path / "saved")), ["a", "b", "c"]).model
    assert other.classifier.out_features == 3


def test_training_is_silent_unless_asked(
    config: Config, toy: Toy, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    verbosity = logging.get_verbosity()
    train_student(config(max_steps=2), toy(20), names=NAMES, eval=toy(10)).save(tmp_path / "saved")
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == verbosity
    train_student(config(max_steps=2, disable_tqdm=False), toy(20), names=NAMES)
    assert "2/2" in capfd.readouterr().err


def test_nothing_is_written_but_what_is_saved(config: Config, toy: Toy) -> None:
    chosen = config(max_steps=2)
    student = train_student(chosen, toy(20), names=NAMES)
    assert list(Path(str(chosen.output_dir)).iterdir()) == []
    # A study keeps many students.
    assert student.trainer.optimizer is None


def test_rows_that_cannot_train_are_rejected(config: Config, toy: Toy) -> None:
    data = toy(20)
    cases = (
        (data.rename_column("text", "body"), "`text_columns`"),
        (data.rename_column("label", "gold"), "`label_column`"),
        # One class.
        (data.select(range(0, 20, 2)), "`label`"),
    )
    for rows, field in cases:
        with pytest.raises(DataError, match=field):
            train_student(config(), rows, names=NAMES)


def test_configs_that_cannot_train_are_rejected_in_one_line(
    config: Config, toy: Toy, subtests: pytest.Subtests
) -> None:
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"model": None}, ConfigError, r"`model` is missing"),
        ({"model": "/no/such"}, TrainingError, r"`model` is '/no/such', which could not"),
        ({"model": "a b c"}, TrainingError, r"`model` is 'a b c', which could not"),
        ({"max_length": 65}, ConfigError, r"`max_length` is 65, but .* reads 64"),
        ({"learning_rate": 1e30, "max_grad_norm": 0}, TrainingError, r"`learning_rate` is 1e\+30"),
        ({"eval_strategy": "epoch"}, ConfigError, "`eval_strategy`"),
    ]
    for changes, error, message in cases:
        with subtests.test(**changes), pytest.raises(error, match=message) as caught:
            train_student(config(**changes), toy(40), names=NAMES)
        assert "\n" not in str(caught.value)


def test_metrics_count_the_classes_that_occur() -> None:
    # Codes 0 0 1 1, guesses 0 1 1 1: F1 of 0 is 2/(1+2), of 1 is 4/(3+2); the third class does not occur.
    logits = np.eye(3)[[0, 1, 1, 1]]
    metrics = classification_metrics(EvalPrediction((logits,), np.array([0, 0, 1, 1])))
    assert metrics == pytest.approx({"accuracy": 0.75, "f1_macro": (2 / 3 + 4 / 5) / 2})


def test_evaluation_during_training_reports_every_epoch(config: Config, toy: Toy) -> None:
    chosen = config(eval_strategy="epoch", num_train_epochs=3)
    student = train_student(chosen, toy(48), names=NAMES, eval=toy(20, seed=1))
    losses = [log["eval_loss"] for log in student.trainer.state.log_history if "eval_loss" in log]
    assert len(losses) == 4
    assert losses[-1] < losses[0]


def test_names_are_those_of_the_label_column_by_default(config: Config, toy: Toy) -> None:
    assert train_student(config(max_steps=1), toy(20)).names == ("film", "sport")
    words = Dataset.from_dict({"text": toy(8)["text"][:], "label": ["b", "a", None, "b"] * 2})
    assert train_student(config(max_steps=1), words).names == ("a", "b")
