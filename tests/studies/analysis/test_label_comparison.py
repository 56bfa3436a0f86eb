"""Human labels against LLM labels: equal rows, seeds and steps; agreement with its gate; scores, ratios and costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from hf_synthlabels.annotation import Recipe, annotate, load_source
from hf_synthlabels.errors import StudyError
from hf_synthlabels.publishing.report import report_page
from hf_synthlabels.statistics.exhibits import Counts, Table
from hf_synthlabels.studies import Study, StudyReport, StudyRuns, run_study, study_report
from hf_synthlabels.studies.tasks.rows import SAMPLE_SEED, draw_rows
from tests.servers.chat import LabelServer

NAMES = ["film", "sport"]

RECIPE: dict[str, Any] = {
    "name": "toy",
    "source": {"path": "json", "data_files": {"train": "rows.jsonl"}},
    "task": {"kind": "text-classification", "labels": NAMES, "human": "label"},
    "annotator": {"client": "recorded", "column": "answer"},
}


def write(folder: Path, toy: Callable[..., Any], recipe: dict[str, Any] = RECIPE, train: int = 80) -> None:
    """Rows to train and to test on; the annotator errs on every tenth and fourth, and is silent on some."""
    rows = []
    for part, seed, wrong_every, count in (("train", 0, 10, train), ("test", 1, 4, train // 2)):
        for number, row in enumerate(toy(count, seed=seed).to_list()):
            code = row["label"] if number % wrong_every else 1 - row["label"]
            answer = "" if part == "train" and number % 20 == 1 else NAMES[code]
            rows.append({"text": row["text"], "label": NAMES[row["label"]], "answer": answer, "part": part})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "toy.yaml").write_text(yaml.safe_dump(recipe))


def study(folder: Path, student: Any, **changes: Any) -> Study:
    content: dict[str, Any] = {
        "name": "toy",
        "tasks": {
            "toy": {
                "recipe": "toy.yaml",
                "train": {"where": {"part": "train"}},
                "test": {"where": {"part": "test"}},
                "drop_shared": False,
            }
        },
        "sources": {"human": None, "llm": None, "few": {"labels": "human", "rows": 20}},
        "students": {"tiny": student},
        "seeds": [0, 1],
        "resamples": 200,
        "gate": "accuracy>=0.5",
    }
    return Study.from_dict({**content, **changes}, folder=folder)


@pytest.fixture(scope="module")
def runs(encoder: str, toy: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> StudyRuns:
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_SYNTHLABELS_HOME", str(folder / "home"))
        write(folder, toy)
        student = {
            "model": encoder, "learning_rate": 3e-3, "num_train_epochs": 2, "per_device_train_batch_size": 8,
            "max_length": 32, "use_cpu": True, "min_steps": 20,
        }  # fmt: skip
        found = run_study(study(folder, student), folder / "out")
        table = pq.read_table(folder / "out" / "predictions.parquet").to_pandas()
    accuracy = (table.prediction == table.human_label).groupby([table.source, table.seed]).mean()
    report = study_report(found).comparisons[0]
    assert len(table) == 3 * 2 * 40
    for arm in report.arms:
        assert accuracy[arm.source].tolist() == pytest.approx(arm.by_seed["accuracy"])
    return found


def test_sources_are_trained_for_the_same_steps_and_seeds(runs: StudyRuns) -> None:
    (comparison,) = study_report(runs).comparisons
    human, llm, few = comparison.arms
    assert (comparison.n_train, comparison.n_test, comparison.seeds) == (80, 40, (0, 1))
    # 80 rows in batches of 8, two epochs: 20 steps for both, though 4 LLM rows (1, 21, 41, 61) have no label.
    assert (human.source, human.n_rows, human.n_unlabelled, human.steps) == ("human", 80, 0, 20)
    assert (llm.source, llm.n_rows, llm.n_unlabelled, llm.steps) == ("llm", 76, 4, 20)
    # 20 rows make 3 batches; 20 epochs of them would be 60 steps, so `min_steps` holds.
    assert (few.source, few.n_rows, few.n_unlabelled, few.steps) == ("few", 20, 0, 20)
    for arm in comparison.arms:
        for score, interval in arm.scores.items():
            assert interval.estimate == pytest.approx(sum(arm.by_seed[score]) / 2)
            assert interval.low <= interval.estimate <= interval.high
        assert sum(map(sum, arm.confusion)) == 2 * 40
        assert sum(arm.confusion[code][code] for code in range(2)) / 80 == pytest.approx(
            arm.scores["accuracy"].estimate
        )
        assert sum(each.support for each in arm.classes) == 40


def test_labels_are_validated_on_every_part(runs: StudyRuns) -> None:
    (comparison,) = study_report(runs).comparisons
    assert comparison.annotator is not None
    assert comparison.train_agreement is not None
    assert comparison.validation is not None
    # The annotator errs on every fourth of 40 test rows; of the 80 training rows 8 are wrong and 4 silent.
    assert comparison.annotator.accuracy.estimate == pytest.approx(30 / 40)
    assert comparison.train_agreement.accuracy.estimate == pytest.approx(68 / 80)
    assert comparison.train_agreement.accuracy_answered.estimate == pytest.approx(68 / 76)
    # The validation rows are those that the third source is trained on, whatever the seed.
    assert comparison.validation.n_human == 20
    assert comparison.validation.gate is not None
    assert comparison.validation.gate.verdict == "pass"
    labels = runs.tasks[0].train_labels["llm"]
    drawn = draw_rows(runs.tasks[0].train_truth, 20, SAMPLE_SEED)
    right = sum(labels[row] == runs.tasks[0].train_truth[row] for row in drawn)
    assert comparison.validation.accuracy.estimate == pytest.approx(right / 20)


def test_comparisons_are_of_the_same_rows(runs: StudyRuns) -> None:
    (comparison,) = study_report(runs).comparisons
    human, llm, _ = comparison.arms
    for seed, test in enumerate(comparison.paired):
        assert test.both + test.only_a + test.only_b + test.neither == 40
        assert (test.both + test.only_a) / 40 == pytest.approx(llm.by_seed["accuracy"][seed])
        assert (test.both + test.only_b) / 40 == pytest.approx(human.by_seed["accuracy"][seed])
    estimates = {arm.source: arm.scores["macro_f1"].estimate for arm in comparison.arms}
    assert comparison.ratio["macro_f1"].estimate == pytest.approx(estimates["llm"] / estimates["human"])
    assert comparison.margins["few"].estimate == pytest.approx(estimates["llm"] - estimates["few"])
    assert comparison.annotator is not None
    own = comparison.annotator.macro_f1.estimate
    assert comparison.margins["annotator"].estimate == pytest.approx(estimates["llm"] - own)


def test_report_goes_to_json_and_back(runs: StudyRuns) -> None:
    report = study_report(runs)
    again = StudyReport.from_json(report.to_json())
    assert again == report
    assert report.of_model("other") == report
    head, *rows = str(report).splitlines()[1:5]
    places = [head.index(name) for name in ("accuracy", "macro F1")]
    assert all(row[place].isdigit() and row[place - 1] == " " for row in rows for place in places)
    assert "row" not in report.to_json().replace("rows", "").replace("n_", "")
    for text in ("", "[]", '{"name": "x"}'):
        with pytest.raises(StudyError, match="`report`"):
            StudyReport.from_json(text)


def test_page_shows_the_labels_and_the_errors(runs: StudyRuns) -> None:
    page = report_page(runs)
    exhibits = {exhibit.name: exhibit for section in page.sections for exhibit in section.exhibits}
    (comparison,) = study_report(runs).comparisons
    agreement, classes, errors = exhibits["label_agreement_1"], exhibits["student_classes"], exhibits["errors_2"]
    assert isinstance(agreement, Table)
    assert [row[1:3] for row in agreement.rows] == [("validation", 20), ("training", 80), ("test", 40)]
    assert agreement.rows[2][4] == comparison.annotator.accuracy  # type: ignore[union-attr]
    assert isinstance(classes, Table)
    assert [row[2:] for row in classes.rows] == [
        tuple(arm.classes[code].f1 for arm in comparison.arms) for code in range(2)
    ]
    assert isinstance(errors, Counts)
    assert errors.counts == comparison.arm("llm").confusion
    assert any("gate accuracy >= 0.5: pass" in section.answer for section in page.sections)
    assert len(page.summary) == 3


def test_page_of_sampled_labels_has_agreement_and_consistency(runs: StudyRuns) -> None:
    (task,) = runs.tasks
    sampled = replace(task, confidence={"llm": tuple(0.5 + row % 2 / 2 for row in range(80))})
    names = [section.name for section in report_page(replace(runs, tasks=(sampled,))).sections]
    assert {"consistency", "labels", "errors"} <= set(names)


@pytest.mark.parametrize("before", [0, 30, 40])
def test_labels_cost_what_all_runs_paid_for_them(
    before: int, toy: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many rows as `before` were labelled by an earlier run; each answer costs the same."""
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "home"))
    with LabelServer(lambda text: NAMES[len(text) % 2]) as server:
        price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
        annotator = {"client": "openai", "model": "m", "base_url": server.base_url, "api_key_env": None, "price": price}
        write(tmp_path, toy, {**RECIPE, "annotator": annotator}, train=40)
        rows = load_source(Recipe.from_yaml(tmp_path / "toy.yaml"))["train"]
        if before:
            annotate(rows.select(range(before)), Recipe.from_yaml(tmp_path / "toy.yaml"))
        found = run_study(study(tmp_path, "tfidf", costs={"human": {"usd": 0.5}}), tmp_path / "out")
    human, llm, few = study_report(found).comparisons[0].arms
    # The server counts 10 tokens of each prompt and 1 of each answer; rows with the same text are one request.
    assert llm.label_usd == pytest.approx(len(set(rows["text"][:40])) * (10 * 1.0 + 1 * 2.0) / 1e6)
    assert (human.label_usd, few.label_usd) == (0.5 * 40, 0.5 * 20)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"gate": "accuracy=0.5"}, "gate"),
        ({"sources": {"human": None, "llm": {"rows": 5}}}, "rows"),
        ({"sources": {"human": None, "few": {"labels": "human", "rows": 0}}}, "rows"),
    ],
)
def test_wrong_keys_name_their_field(changes: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=field) as caught:
        study(tmp_path, "tfidf", **changes)
    assert "\n" not in str(caught.value)
