from __future__ import annotations

import json
import shutil
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
    BertConfig,
    BertForSequenceClassification,
    EvalPrediction,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    OPTConfig,
    RobertaConfig,
    XLNetConfig,
)
from transformers.utils import logging

from hf_synthlabels.errors import ConfigError, DataError, TrainingError
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.base_model import load_base
from hf_synthlabels.training.tasks.sequence import classification_metrics

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


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


@pytest.mark.parametrize("rows", [40, 90])
def test_max_steps_makes_arms_train_equally_long(config: Config, toy: Toy, rows: int) -> None:
    assert train_student(config(max_steps=7), toy(rows), names=NAMES).metrics["train_steps"] == 7


def test_rows_without_a_label_are_left_out_of_training_but_predicted(config: Config, toy: Toy) -> None:
    data = toy(40)
    labels = [None if row % 4 == 0 else label for row, label in enumerate(data["label"])]
    data = data.remove_columns("label").add_column("label", labels).cast_column("label", ClassLabel(names=NAMES))
    student = train_student(config(max_steps=2), data, names=NAMES, eval=data)
    assert (len(student.rows), student.rows.n_unlabelled) == (30, 10)
    assert (student.metrics["eval_rows"], student.metrics["eval_rows_unlabelled"]) == (30, 10)
    assert len(student.predict(data).codes) == 40


def test_prediction_does_not_depend_on_the_order_of_rows(config: Config, toy: Toy) -> None:
    student = train_student(config(max_steps=4, per_device_eval_batch_size=4), toy(40), names=NAMES)
    test = toy(25, seed=3)
    turned = student.predict(test.select(range(24, -1, -1))).probabilities[::-1]
    np.testing.assert_allclose(student.predict(test).probabilities, turned, atol=1e-6)


def test_prediction_of_no_rows_and_of_empty_texts(config: Config, toy: Toy) -> None:
    student = train_student(config(max_steps=1), toy(20), names=NAMES)
    assert student.predict(toy(4).select([])).probabilities.shape == (0, 2)
    assert len(student.predict(Dataset.from_dict({"text": [None, ""]})).codes) == 2


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


def test_saved_student_loads_in_transformers_and_predicts_the_same(config: Config, toy: Toy, tmp_path: Path) -> None:
    student = train_student(config(max_steps=4), toy(40), names=NAMES)
    student.save(tmp_path / "saved")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    text = toy(1)["text"][0]
    with torch.no_grad():
        expected = model.eval()(**tokenizer(text, return_tensors="pt")).logits.softmax(-1).numpy()
    np.testing.assert_allclose(student.predict(toy(1)).probabilities, expected, atol=1e-6)
    assert model.config.id2label == {0: "film", 1: "sport"}
    # A second stage starts from it and keeps its head.
    again = load_base(config(model=str(tmp_path / "saved")), NAMES).model
    torch.testing.assert_close(again.classifier.weight, model.classifier.weight)


def test_a_head_for_other_labels_is_replaced(config: Config, toy: Toy, tmp_path: Path) -> None:
    train_student(config(max_steps=1), toy(20), names=NAMES).save(tmp_path / "saved")
    assert load_base(config(model=str(tmp_path / "saved")), ["a", "b", "c"]).model.classifier.out_features == 3


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda data: data.rename_column("text", "body"), "`text_columns`", id="no text"),
        pytest.param(lambda data: data.rename_column("label", "gold"), "`label_column`", id="no label"),
        pytest.param(lambda data: data.select(range(0, 20, 2)), "`label`", id="one class"),
    ],
)
def test_rows_that_can_not_train_are_refused(
    config: Config, toy: Toy, change: Callable[[Dataset], Dataset], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        train_student(config(), change(toy(20)), names=NAMES)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"model": None}, ConfigError, r"`model` is missing", id="no model"),
        pytest.param({"model": "/no/such"}, TrainingError, r"`model` is '/no/such', which could not", id="no folder"),
        pytest.param({"model": "a b c"}, TrainingError, r"`model` is 'a b c', which could not", id="no name"),
        pytest.param({"max_length": 65}, ConfigError, r"`max_length` is 65, but .* reads 64", id="too long"),
        pytest.param(
            {"learning_rate": 1e30, "max_grad_norm": 0}, TrainingError, r"`learning_rate` is 1e\+30", id="nan"
        ),
    ],
)
def test_configs_that_can_not_train_are_refused_in_one_line(
    config: Config, toy: Toy, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        train_student(config(**changes), toy(40), names=NAMES)
    assert "\n" not in str(caught.value)


def test_evaluation_during_training_without_rows_is_refused(config: Config, toy: Toy) -> None:
    with pytest.raises(ConfigError, match="`eval_strategy`"):
        train_student(config(eval_strategy="epoch"), toy(20), names=NAMES)


def test_folders_that_miss_a_part_are_refused(config: Config, toy: Toy, encoder: str, tmp_path: Path) -> None:
    def refusal(folder: Path) -> str:
        with pytest.raises(TrainingError) as caught:
            train_student(config(model=str(folder)), toy(20), names=NAMES)
        return str(caught.value)

    bare = tmp_path / "bare"
    BertForSequenceClassification(BertConfig(vocab_size=20, hidden_size=8, num_attention_heads=1)).save_pretrained(bare)
    ModernBertConfig().save_pretrained(tmp_path / "modern")
    shutil.copytree(encoder, tmp_path / "typed")
    wrong = json.loads((tmp_path / "typed" / "config.json").read_text()) | {"hidden_size": "large"}
    (tmp_path / "typed" / "config.json").write_text(json.dumps(wrong))
    shutil.copytree(encoder, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").unlink()
    shutil.copytree(encoder, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")
    shutil.copytree(encoder, tmp_path / "other")
    kind = json.loads((tmp_path / "other" / "config.json").read_text()) | {"model_type": "nosuch"}
    (tmp_path / "other" / "config.json").write_text(json.dumps(kind))
    assert "whose tokenizer has only 5 tokens" in refusal(bare)
    assert "whose weights could not be loaded" in refusal(tmp_path / "cut")
    assert "which has no tokenizer that could be loaded" in refusal(tmp_path / "modern")
    assert "whose weights could not be loaded" in refusal(tmp_path / "broken")
    assert "which could not be loaded" in refusal(tmp_path / "other")
    assert "which could not be loaded" in refusal(tmp_path / "typed")


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


POSITIONS: dict[str, tuple[Any, int]] = {
    # RoBERTa's first position is behind that of the padding token.
    "roberta": (RobertaConfig(max_position_embeddings=66, pad_token_id=1), 64),
    "padding token 0": (RobertaConfig(max_position_embeddings=66, pad_token_id=0), 65),
    "bert": (BertConfig(max_position_embeddings=66), 66),
    "gpt2": (GPT2Config(n_positions=66, bos_token_id=1, eos_token_id=2, pad_token_id=0), 66),
    "opt": (OPTConfig(max_position_embeddings=66, word_embed_proj_dim=8, ffn_dim=8), 66),
    "llama": (LlamaConfig(max_position_embeddings=66), 66),
    "no limit": (XLNetConfig(), 1000),
}


@pytest.mark.parametrize("kind", POSITIONS)
@pytest.mark.parametrize("limit", [None, 40])
def test_max_length_is_what_the_model_has_positions_for(
    config: Config, encoder: str, tmp_path: Path, kind: str, limit: int | None
) -> None:
    settings, longest = POSITIONS[kind]
    shape = {"vocab_size": 20, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
    shape |= {"hidden_size": 8, "n_layer": 1, "n_head": 1, "d_inner": 8, "intermediate_size": 8}
    changed = settings.to_dict() | {name: value for name, value in shape.items() if hasattr(settings, name)}
    changed |= {"d_model": 8, "d_head": 8} if kind == "no limit" else {}
    model = AutoModelForSequenceClassification.from_config(type(settings)(**changed))
    model.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    # Many tokenizers name no limit, and some a smaller one than the model has.
    tokenizer.model_max_length = limit or int(1e30)
    tokenizer.save_pretrained(tmp_path)
    if kind == "no limit":
        longest = limit or 1000
    base = load_base(config(model=str(tmp_path), max_length=longest), NAMES)
    ids = torch.full((1, longest), 3)
    assert base.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.shape == (1, 2)
    if kind != "no limit" or limit:
        with pytest.raises(ConfigError, match="`max_length`"):
            load_base(config(model=str(tmp_path), max_length=longest + 1), NAMES)
