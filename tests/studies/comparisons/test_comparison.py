"""A whole study with a tiny student: what is compared is what was asked for, and nothing is trained twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Value

from hf_synthlabels.annotation import Recipe, annotate
from hf_synthlabels.clients import ScriptedClient
from hf_synthlabels.errors import DataError, StudyError
from hf_synthlabels.studies import ComparisonStudy, RowSelection, StudyReport, compare
from tests.servers.chat import LabelServer

NAMES = ["film", "sport"]
Toy = Callable[..., Dataset]


PLAIN: dict[str, Any] = {
    "name": "toy",
    "source": {"path": "json"},
    "task": {"kind": "text-classification", "labels": NAMES, "human": "label"},
    "annotator": {"client": "embedding"},
}


def recipe(**task: Any) -> Recipe:
    return Recipe.from_dict({**PLAIN, "task": {**PLAIN["task"], **task}})


def study(encoder: str, **changes: Any) -> ComparisonStudy:
    content: dict[str, Any] = {
        "name": "toy",
        "recipe": "toy.yaml",
        "train": RowSelection(split="train"),
        "test": RowSelection(split="test"),
        "student": {
            "model": encoder,
            "learning_rate": 3e-3,
            "num_train_epochs": 2,
            "per_device_train_batch_size": 8,
            "max_length": 32,
            "use_cpu": True,
        },
        "seeds": [0, 1],
        "validation_rows": 20,
        "resamples": 200,
        "gate": "accuracy>=0.5",
    }
    return ComparisonStudy(**{**content, **changes})


def labelled(rows: Dataset, *, wrong_every: int, silent_every: int = 0) -> Dataset:
    """Rows whose annotator errs on every so many rows, and says nothing on some."""
    answers = []
    for number, code in enumerate(rows["label"]):
        right = NAMES[code] if number % wrong_every else NAMES[1 - code]
        answers.append("" if silent_every and number % silent_every == 1 else right)
    return annotate(rows, recipe(), client=ScriptedClient(answers))


@pytest.fixture(scope="module")
def report(encoder: str, toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_SYNTHLABELS_HOME", str(folder))
        train = labelled(toy(80), wrong_every=10, silent_every=20)
        test = labelled(toy(40, seed=1), wrong_every=4)
        return compare(study(encoder), recipe(), train, test)


def test_compare_trains_each_source_for_the_same_steps_and_seeds(report: StudyReport) -> None:
    human, llm, few = (report.arm(source) for source in ("human", "llm", "validation"))
    # 80 rows in batches of 8, two epochs: 20 steps for both, though 4 LLM rows (1, 21, 41, 61) have no label.
    assert (human.n_rows, human.n_unlabelled, human.steps) == (80, 0, 20)
    assert (llm.n_rows, llm.n_unlabelled, llm.steps) == (76, 4, 20)
    # 20 rows make 3 batches; 20 epochs of them would be 60 steps, so the others' 20 hold.
    assert (few.n_rows, few.steps) == (20, 20)
    assert all(len(arm.by_seed["accuracy"]) == 2 for arm in report.arms)


def test_compare_scores_the_annotator_on_the_same_test_rows(report: StudyReport) -> None:
    # It errs on every fourth of 40 rows.
    assert report.n_test == 40
    assert report.annotator.accuracy.estimate == pytest.approx(30 / 40)
    # Of the 80 training rows 8 are wrong and 4 silent; silence counts as wrong, and is told apart.
    assert report.train_agreement.accuracy.estimate == pytest.approx(68 / 80)
    assert report.train_agreement.accuracy_answered.estimate == pytest.approx(68 / 76)
    assert report.validation.n_human == 20


def test_compare_means_are_those_of_the_seeds_and_lie_in_their_intervals(report: StudyReport) -> None:
    for arm in report.arms:
        for score, interval in arm.scores.items():
            assert interval.estimate == pytest.approx(sum(arm.by_seed[score]) / 2)
            assert interval.low <= interval.estimate <= interval.high
        # Every answer of both seeds is in the confusion matrix.
        assert sum(map(sum, arm.confusion)) == 2 * 40
        right = sum(arm.confusion[code][code] for code in range(2))
        assert right / 80 == pytest.approx(arm.scores["accuracy"].estimate)


def test_compare_pairs_the_students_on_the_same_rows(report: StudyReport) -> None:
    human, llm = report.arm("human"), report.arm("llm")
    for seed, test in enumerate(report.paired):
        assert test.both + test.only_a + test.only_b + test.neither == 40
        assert (test.both + test.only_a) / 40 == pytest.approx(llm.by_seed["accuracy"][seed])
        assert (test.both + test.only_b) / 40 == pytest.approx(human.by_seed["accuracy"][seed])
    expected = llm.scores["accuracy"].estimate / human.scores["accuracy"].estimate
    assert report.ratio["accuracy"].estimate == pytest.approx(expected)


def test_compare_margins_are_paired_differences_of_macro_f1(report: StudyReport) -> None:
    llm = report.arm("llm").scores["macro_f1"].estimate
    assert report.margins["annotator"].estimate == pytest.approx(llm - report.annotator.macro_f1.estimate)
    small = report.arm("validation").scores["macro_f1"].estimate
    assert report.margins["validation"].estimate == pytest.approx(llm - small)


def test_columns_of_the_printed_table_are_aligned(report: StudyReport) -> None:
    head, *rows = str(report).splitlines()[:5]
    assert "encoder labels of the same rows" in rows[1]
    places = [head.index(name) for name in ("accuracy", "macro F1")]
    assert all(row[place].isdigit() and row[place - 1] == " " for row in rows for place in places)


def test_report_goes_to_json_and_back(report: StudyReport) -> None:
    again = StudyReport.from_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert str(again) == str(report)


def test_report_of_something_else_is_refused_in_one_line() -> None:
    for text in ("", "[]", '{"name": "x"}'):
        with pytest.raises(StudyError, match=r"`report` is not the report\.json of a study"):
            StudyReport.from_json(text)


def test_compare_again_trains_only_what_is_missing(
    encoder: str, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "home"))
    train, test = labelled(toy(40), wrong_every=10), labelled(toy(20, seed=1), wrong_every=4)
    plan = study(encoder, seeds=[0])
    first = compare(plan, recipe(), train, test, folder=tmp_path)
    cells = sorted((tmp_path / "cells").glob("*.json"))
    assert len(cells) == 3
    # As if the run had been killed while it wrote one, and before it reached another.
    cells[0].write_text(cells[0].read_text()[:20])
    cells[1].unlink()
    told: list[str] = []
    second = compare(plan, recipe(), train, test, folder=tmp_path, progress=told.append)
    students = [line for line in told if line.startswith("student")]
    assert sum(line.endswith("trained before") for line in students) == 1
    assert len(students) == 3
    # Equal inputs give equal outputs, so the report is the same but for times.
    assert first.ratio == second.ratio
    assert [arm.scores for arm in first.arms] == [arm.scores for arm in second.arms]
    # Another seed is another student.
    told.clear()
    compare(study(encoder, seeds=[5]), recipe(), train, test, folder=tmp_path, progress=told.append)
    assert not any("trained before" in line for line in told)


def test_compare_counts_test_rows_without_human_label_and_shared_texts(
    encoder: str, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "home"))
    train = labelled(toy(40), wrong_every=10)
    # The first ten test rows are training rows, and two of all have no human label.
    rows = toy(20).to_list()
    # Both mean that there is no label: a `ClassLabel` column has -1 where labels are kept secret.
    rows[3]["label"], rows[15]["label"] = None, -1
    test = annotate(Dataset.from_list(rows, features=toy(1).features), recipe(), client=ScriptedClient(["film"] * 20))
    result = compare(study(encoder, seeds=[0]), recipe(), train, test, folder=tmp_path)
    assert (result.n_test, result.n_test_unlabelled) == (18, 2)
    tested = {row["text"] for row in rows if row["label"] not in (None, -1)}
    shared = sum(text in tested for text in train["text"])
    assert shared > 0
    # What a student has learnt from says nothing of new texts, so these rows are left out unless the file keeps them.
    assert (result.n_shared_texts, result.n_train) == (shared, 40 - shared)
    assert str(shared) in result.summary()[0]
    kept = compare(study(encoder, seeds=[0], drop_shared=False), recipe(), train, test, folder=tmp_path)
    assert (kept.n_shared_texts, kept.n_train) == (shared, 40)
    assert kept.summary()[0].startswith("Warning")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no human column", "`task.human` is missing"),
        ("no human labels in train", "`human` 'label' has no label in any of the 40 training rows"),
        ("no human labels in test", "`human` 'label' has no label in any of the 20 test rows"),
        ("outside", "`label` holds opera, outside the labels: film, sport"),
    ],
)
def test_compare_refuses_what_it_can_not_compare(
    change: str, message: str, encoder: str, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "home"))
    train, test = labelled(toy(40), wrong_every=10), labelled(toy(20, seed=1), wrong_every=4)
    plan = recipe()
    if change == "no human column":
        plan = recipe(human=None)
    elif change == "no human labels in train":
        train = train.remove_columns("label").add_column("label", [None] * 40, feature=ClassLabel(names=NAMES))
    elif change == "no human labels in test":
        test = test.remove_columns("label").add_column("label", [None] * 20, feature=ClassLabel(names=NAMES))
    else:
        test = test.remove_columns("label").add_column("label", ["opera"] * 20, feature=Value("string"))
    with pytest.raises(DataError) as caught:
        compare(study(encoder), plan, train, test)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("before", [0, 30, 40])
def test_labels_cost_what_all_runs_paid_for_them(
    before: int, encoder: str, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many rows as `before` were labelled by an earlier run; each answer costs the same."""
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "home"))
    with LabelServer(lambda text: NAMES[len(text) % 2]) as server:
        annotator = {"client": "openai", "model": "m", "base_url": server.base_url, "api_key_env": None}
        price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
        asked = Recipe.from_dict({**PLAIN, "annotator": {**annotator, "price": price}})
        rows = toy(60)
        if before:
            annotate(rows.select(range(before)), asked)
        train, test = annotate(rows.select(range(40)), asked), annotate(rows.select(range(40, 60)), asked)
        result = compare(study(encoder, seeds=[0], drop_shared=False), asked, train, test)
    # The server counts 10 tokens of each prompt and 1 of each answer; rows with the same text are one request.
    assert result.arm("llm").label_usd == pytest.approx(len(set(rows["text"][:40])) * (10 * 1.0 + 1 * 2.0) / 1e6)


def test_labels_of_one_class_are_rejected_before_any_training(
    encoder: str, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "home"))
    train = annotate(toy(40), recipe(), client=ScriptedClient(["film"] * 40))
    steps: list[str] = []
    with pytest.raises(DataError, match="`llm_label`"):
        compare(study(encoder), recipe(), train, labelled(toy(20, seed=1), wrong_every=4), progress=steps.append)
    assert not any(step.startswith("student") for step in steps)


def test_the_table_holds_every_prediction(encoder: str, toy: Toy, tmp_path: Path) -> None:
    train, test = labelled(toy(40), wrong_every=10), labelled(toy(20, seed=1), wrong_every=4)
    result = compare(study(encoder, validation_rows=10), recipe(), train, test, folder=tmp_path)
    table = pq.read_table(tmp_path / "predictions.parquet").to_pandas()
    assert len(table) == 3 * 2 * 20
    correct = table.prediction == table.human_label
    accuracy = correct.groupby([table.source, table.seed]).mean()
    for condition in result.arms:
        assert accuracy[condition.source].tolist() == pytest.approx(condition.by_seed["accuracy"])
    sidecar = json.loads((tmp_path / "predictions.json").read_text())
    assert {cell["steps"] for cell in sidecar["cells"] if cell["source"] == "llm"} == {result.arm("llm").steps}
