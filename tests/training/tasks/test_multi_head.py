"""Multi-head students: the loss by hand, one head against a single-head student, saving, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.training import Student, StudentConfig, held_out_scores, train_student
from hf_synthlabels.training.data.features import IGNORED
from hf_synthlabels.training.data.variable_heads import VariableHead
from hf_synthlabels.training.tasks import student_task
from hf_synthlabels.training.tasks.multi_head import MultiHead

Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]

TONE = VariableHead("tone", LabelSchema(names=("bad", "good")))
TOPIC = VariableHead("topic", LabelSchema(names=("war", "trade", "art")), weight=2.0)
TAGS = VariableHead("tags", LabelSchema(kind="multi-label", names=("x", "y")), class_weights=(3.0, 1.0))


def three_variables(toy: Toy, count: int = 48) -> Dataset:
    """`tone` is told by the words, `topic` is missing in every third row, `tags` in every fourth; both follow tone."""
    rows = toy(count)
    topics, tags = [], []
    for row, tone in enumerate(rows["label"]):
        topics.append(None if row % 3 == 0 else ("war", "trade")[tone])
        tags.append(None if row % 4 == 0 else [["x"], ["y"]][tone])
    named = rows.rename_column("label", "tone").add_column("topic", topics)
    return named.add_column("tags", tags)


def softmax(values: list[float]) -> np.ndarray:
    powers = np.exp(np.array(values) - max(values))
    return np.asarray(powers / powers.sum())


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_that_of_the_labels_that_are_there(soft: bool, weighted: bool) -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(4, 7))
    # Codes of tone and topic, and two indicators of the tags; the last row has no label at all.
    labels = [[1, 2, 1, 0], [0, IGNORED, IGNORED, IGNORED], [IGNORED, 0, 0, 0], [IGNORED] * 4]
    probs = np.zeros((4, 7))
    probs[[0, 1], :2] = [[0.3, 0.7], [1.0, 0.0]]
    probs[[0, 2], 2:5] = [[0.1, 0.1, 0.8], [0.5, 0.5, 0]]
    row_weight = [1.0, 0.5, 2.0, 3.0] if weighted else [1.0] * 4

    def cross_entropy(values: Any, code: int, target: Any) -> float:
        log_probs = np.log(softmax(list(values)))
        return float(-log_probs[code] if not soft else -(np.asarray(target) * log_probs).sum())

    def binary(values: Any, indicators: list[int]) -> float:
        on = 1 / (1 + np.exp(-np.asarray(values)))
        each = [-w * np.log(p) if t else -np.log(1 - p) for p, t, w in zip(on, indicators, (3.0, 1.0), strict=True)]
        return float(np.mean(each))

    expected, totals = np.zeros(4), np.zeros(4)
    for row, (tone, topic, *tags) in enumerate(labels):
        if tone != IGNORED:
            expected[row] += cross_entropy(logits[row, :2], tone, probs[row, :2])
            totals[row] += 1
        if topic != IGNORED:
            expected[row] += 2 * cross_entropy(logits[row, 2:5], topic, probs[row, 2:5])
            totals[row] += 2
        if tags[0] != IGNORED:
            expected[row] += binary(logits[row, 5:], tags)
            totals[row] += 1
    batch = {"labels": torch.tensor(labels)}
    batch |= {"label_probs": torch.tensor(probs)} if soft else {}
    batch |= {"label_weight": torch.tensor(row_weight)} if weighted else {}
    values = torch.tensor(logits, requires_grad=True)
    objective = MultiHead((TONE, TOPIC, TAGS))
    losses = objective.row_losses({"logits": values}, batch)
    np.testing.assert_allclose(losses.detach(), expected * row_weight, rtol=1e-5)
    np.testing.assert_allclose(objective.row_weights(batch), totals * row_weight)
    losses.sum().backward()
    assert values.grad is not None
    # A missing label moves no output of its head.
    has_gradient = values.grad.ne(0).numpy()
    assert not has_gradient[1, 2:].any()
    assert not has_gradient[2, :2].any()
    assert not has_gradient[3].any()
    assert has_gradient[0].all()


def test_one_head_is_the_single_head_student(config: Config, toy: Toy) -> None:
    rows = toy(48).rename_column("label", "tone")
    test = toy(24, seed=1).rename_column("label", "tone")
    single = train_student(config(max_steps=8, label_column="tone"), rows, eval=test)
    multi = train_student(config(max_steps=8, heads=["tone"]), rows, eval=test)
    assert multi.metrics["train_loss"] == pytest.approx(single.metrics["train_loss"], rel=1e-6)
    for name in ("eval_loss", "eval_accuracy", "eval_f1_macro"):
        assert multi.metrics[name] == pytest.approx(single.metrics[name], rel=1e-6)
    (prediction,) = multi.predict_variables(test).values()
    np.testing.assert_allclose(prediction.probabilities, single.predict(test).probabilities, rtol=1e-5)
    assert prediction.labels == single.predict(test).labels


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 3e-3}, {"learning_rate": 1e-2, "lora_r": 4}], ids=["full", "lora"]
)
def test_variables_are_learned_saved_and_predicted(
    config: Config, toy: Toy, tmp_path: Path, changes: dict[str, Any]
) -> None:
    rows = three_variables(toy)
    student = train_student(config(heads=["tone", "topic", "tags"], num_train_epochs=16, **changes), rows, eval=rows)
    # Row 0 and every twelfth lack two labels, and none lacks all three.
    assert (len(student.rows), student.rows.n_unlabelled) == (48, 0)
    for name in ("tone_accuracy", "topic_accuracy", "tags_f1_micro"):
        assert student.metrics[f"eval_{name}"] >= 0.9, name
    assert student.metrics["eval_accuracy"] == pytest.approx(
        np.mean([student.metrics[f"eval_{name}_accuracy"] for name in ("tone", "topic", "tags")])
    )
    student.save(tmp_path / "saved")
    loaded = Student.from_pretrained(tmp_path / "saved")
    assert loaded.variables == ("tone", "topic", "tags")
    before, after = student.predict_variables(rows), loaded.predict_variables(rows)
    for name, prediction in before.items():
        np.testing.assert_allclose(after[name].probabilities, prediction.probabilities, rtol=1e-5, atol=1e-6)
        assert after[name].labels == prediction.labels
    scores = {score.column: score for score in held_out_scores(loaded, rows, [])}
    assert scores["topic"].rows == 32
    assert scores["topic"].scores["accuracy"].estimate == pytest.approx(student.metrics["eval_topic_accuracy"])
    labeled = loaded.label(rows.select_columns(["text"]), variables=["topic", "tags"], probabilities=True)
    assert labeled.features["topic"].names == ["trade", "war"]
    assert set(labeled.column_names) == {
        "text",
        *(f"{name}{end}" for name in ("topic", "tags") for end in ("", "_status", "_confidence", "_probs")),
    }
    prefixed = loaded.label(rows, "student", min_confidence=0.99)
    assert {"student_tone", "student_topic_status", "student_tags_confidence"} <= set(prefixed.column_names)
    with pytest.raises(ConfigError, match="`predict`"):
        loaded.predict(rows)
    with pytest.raises(ConfigError, match="`variable` is 'mood'"):
        loaded.predict_variables(rows, ["mood"])


def test_transformers_alone_loads_the_student(config: Config, toy: Toy, tmp_path: Path) -> None:
    rows = three_variables(toy)
    student = train_student(config(heads=["tone", "topic"], max_steps=6), rows)
    student.save(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings["architectures"] == ["BertForSequenceClassification"]
    assert settings["heads"]["topic"] == {
        "kind": "text-classification",
        "outputs": [2, 4],
        "label2id": {"trade": 0, "war": 1},
    }
    assert settings["id2label"] == {"0": "tone: film", "1": "tone: sport", "2": "topic: trade", "3": "topic: war"}
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    predictions = student.predict_variables(rows)
    with torch.no_grad():
        for row in (0, 1, 5):
            logits = model(**tokenizer(rows[row]["text"], return_tensors="pt")).logits[0].tolist()
            for name, start in (("tone", 0), ("topic", 2)):
                expected = softmax(logits[start : start + 2])
                np.testing.assert_allclose(predictions[name].probabilities[row], expected, rtol=1e-4)


def test_human_labels_replace_those_of_the_llm_and_soft_labels_are_used(config: Config, toy: Toy) -> None:
    rows = three_variables(toy, 12).remove_columns("tags")
    human: list[str | None] = [None] * 12
    human[1], human[3] = "film", "film"
    rows = rows.add_column("tone_human", human).add_column("topic_probs", [None, [0.25, 0.75], *[None] * 10])
    heads = {"tone": {"human": "tone_human"}, "topic": {"probs": "topic_probs"}}
    student = train_student(config(heads=heads, max_steps=1), rows, eval=rows)
    labels = dict(zip(student.rows.kept.tolist(), student.rows.labels, strict=True))
    # Row 1 is about sport: the LLM says 1, the human label 0. Row 3 has no topic.
    assert labels[1] == (0, 0)
    assert labels[3] == (0, None)
    assert labels[5] == (1, 0)
    assert student.rows.probs is not None
    np.testing.assert_allclose(student.rows.probs[1], [1, 0, 0.25, 0.75])
    np.testing.assert_allclose(student.rows.probs[3], [1, 0, 0, 0])
    np.testing.assert_allclose(student.rows.probs[5], [0, 1, 1, 0])
    # Two rows have a human tone; the other variable has eight labels.
    assert student.metrics["eval_rows"] == 9
    columns = [(score.column, score.rows) for score in held_out_scores(student, rows, [])]
    assert columns == [("tone", 12), ("tone_human", 2), ("topic", 8)]


def test_an_exported_student_has_the_same_heads(config: Config, toy: Toy, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from hf_synthlabels.training.saving.onnx import export_onnx

    student = train_student(config(heads=["tone", "tags"], max_steps=2), three_variables(toy))
    assert export_onnx(student, tmp_path).difference < 1e-3
    known = json.loads((tmp_path / "student.json").read_text())
    assert {name: head["names"] for name, head in known["heads"].items()} == {
        "tone": ["film", "sport"],
        "tags": ["x", "y"],
    }


@pytest.mark.parametrize(
    ("heads", "error", "field"),
    [
        (["tone", "nosuch"], ConfigError, "`variable` is 'nosuch'"),
        (["tone", "mood"], ConfigError, "`variable` 'mood'"),
        (["tone", "same"], DataError, "`same` is 'a'"),
        (["tone", "empty"], DataError, "`empty`"),
        ({"tone": {"kind": "text-scale"}}, ConfigError, "`variable` 'tone'"),
        ({"tone": {"names": ["film"]}}, DataError, "`tone`"),
        ({"tags": {"class_weights": [1.0]}}, ConfigError, "`heads.tags.class_weights`"),
        ({"tone": {"human": "nosuch"}}, DataError, "'nosuch'"),
        ({"tone": {"ask_if": {"variable": "topic", "is": ["war"]}}}, ConfigError, "`heads.tone.ask_if`"),
        (
            {
                "tone": {"ask_if": {"variable": "topic", "is": ["war"]}},
                "topic": {"ask_if": {"variable": "tone", "is": ["film"]}},
            },
            ConfigError,
            "`heads.tone.ask_if`",
        ),
    ],
)
def test_what_heads_cannot_learn_is_refused(
    config: Config, toy: Toy, heads: Any, error: type[Exception], field: str
) -> None:
    rows = three_variables(toy, 12).add_column("mood", [1.0, 2.0, 3.0] * 4)
    rows = rows.add_column("same", ["a"] * 12).add_column("empty", [None] * 12)
    with pytest.raises(error, match=field):
        train_student(config(heads=heads), rows)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"heads": []}, "`heads`"),
        ({"heads": ["a", "a"]}, "`heads`"),
        ({"heads": {"a": {"wrong": 1}}}, "`heads.a`"),
        ({"heads": {"a": {"weight": 0}}}, "`heads.a.weight`"),
        ({"heads": ["a"], "probs_column": "p"}, "`probs_column`"),
        ({"heads": ["a"], "label_column": "b"}, "`label_column`"),
        ({"heads": ["a"], "task": "multi-label"}, "`task`"),
    ],
)
def test_options_that_contradict_heads_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        StudentConfig(**options)


def test_heads_are_read_from_every_form() -> None:
    forms: list[Any] = [["a", "b"], {"a": None, "b": {}}, '{"a": {}, "b": {}}']
    for heads in forms:
        assert StudentConfig(heads=heads).heads == {"a": {}, "b": {}}
    assert StudentConfig(heads="a").label_columns == ["a"]
    config = StudentConfig(heads={"a": {"weight": 2}})
    assert StudentConfig(**config.to_dict()).heads == config.heads
    with pytest.raises(ConfigError, match=r"`heads\.a`"):
        student_task(config)
