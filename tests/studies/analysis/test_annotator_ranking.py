"""Ways to ask, compared on the same human-labeled rows, with a real server that answers each in its own way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hf_synthlabels.cli.main import app
from hf_synthlabels.errors import RecipeError, StudyError
from hf_synthlabels.publishing.report import report_page
from hf_synthlabels.statistics.exhibits import Table
from hf_synthlabels.studies import Study, StudyRuns, run_study
from hf_synthlabels.studies.analysis.annotator_ranking import corrected_p_values, optimism_of_best, rank_annotators
from tests.servers.chat import LabelServer

WRONG_AT_ONCE = 10
"""Every so many-th row is labelled right only when reasons are asked for first."""


def answer(text: str) -> str:
    number = int(re.findall(r"\d+", text)[-1])
    return "film" if number % 2 else "sport"


def careless(text: str) -> str:
    number = int(re.findall(r"\d+", text)[-1])
    return answer(text) if number % WRONG_AT_ONCE else "film"


@pytest.fixture
def server() -> Iterator[LabelServer]:
    with LabelServer(careless) as running:
        plain = running.answer

        def by_prompt(text: str) -> str | tuple[int, str]:
            # Who is asked to reason, answers with care.
            system = running.bodies[-1]["messages"][0]["content"]
            return f"It is so.\n\nLabel: {answer(text)}" if "reason" in system.lower() else plain(text)

        running.answer = by_prompt
        yield running


def write(folder: Path, server: LabelServer, **study: Any) -> Path:
    rows: list[dict[str, str | None]] = [
        {"text": f"text {number}", "label": answer(f"text {number}")} for number in range(200)
    ]
    rows += [{"text": f"text {number}", "label": None} for number in range(200, 220)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    shown = [{"text": rows[number]["text"], "label": rows[number]["label"]} for number in (3, 4)]
    (folder / "shown.jsonl").write_text("\n".join(map(json.dumps, shown)) + "\n", encoding="utf-8")
    recipe = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "text": "text", "labels": ["film", "sport"], "human": "label"},
        "annotator": {
            "client": "openai",
            "model": "tiny",
            "base_url": server.base_url,
            "api_key_env": None,
            "response_format": "text",
            # One after the other: the server looks at the last body.
            "max_in_flight": 1,
        },
    }
    (folder / "films.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    content = {
        "name": "ways",
        "tasks": {"films": {"recipe": "films.yaml", "test": 150}},
        "prompts": {
            "at once": {},
            "reasons first": {"task": {"reasoning": True}},
            "two examples": {"annotator": {"examples": "shown.jsonl"}},
        },
        "students": {"annotator": "annotator"},
        **study,
    }
    path = folder / "ways.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def runs(tmp_path: Path, server: LabelServer) -> StudyRuns:
    return run_study(Study.from_yaml(write(tmp_path, server)), tmp_path / "out")


def test_annotators_label_the_same_human_labeled_rows(runs: StudyRuns, server: LabelServer) -> None:
    assert len(server.requests) == 450
    asked = [set(server.requests[start : start + 150]) for start in (0, 150, 300)]
    assert asked[0] == asked[1] == asked[2]
    # Rows without a human label, and those that are shown as examples, prove nothing.
    assert not asked[0] & ({"text 3", "text 4"} | {f"text {number}" for number in range(200, 220)})
    # Each tenth row has an even number, and "film" is wrong there.
    wrong = sum(int(text.split()[1]) % WRONG_AT_ONCE == 0 for text in asked[0])
    ranking = rank_annotators(runs.tasks[0], 0.95)
    assert ranking is not None
    first, second, third = ranking.annotators
    assert [each.name for each in ranking.annotators] == ["llm/at once", "llm/reasons first", "llm/two examples"]
    assert ranking.ranked[0] == second
    assert first.report.accuracy.estimate == pytest.approx(1 - wrong / 150)
    assert second.report.accuracy.estimate == 1
    assert second.difference is not None
    assert second.difference.estimate == pytest.approx(wrong / 150)
    assert second.difference.low > 0
    assert third.difference is not None
    assert third.difference.estimate == 0
    assert [each.place(0.95).split()[1] for each in (second, third)] == ["better", "not"]
    # 'at once' and 'two examples' give the same labels.
    assert ranking.agreement is not None
    assert (ranking.agreement.highest, ranking.agreement.pairs) == (1, 3)
    # 10 tokens in for each row, whenever it was requested.
    assert [each.cost["prompt_tokens"] for each in ranking.annotators] == [1500, 1500, 1500]


def test_page_ranks_annotators_and_trains_nothing(runs: StudyRuns) -> None:
    page = report_page(runs)
    exhibits = {exhibit.name: exhibit for section in page.sections for exhibit in section.exhibits}
    table = exhibits["annotators_1"]
    assert isinstance(table, Table)
    ranking = rank_annotators(runs.tasks[0], 0.95)
    assert ranking is not None
    assert [row[:3] for row in table.rows] == [
        (each.name, each.report.coverage, each.report.accuracy) for each in ranking.ranked
    ]
    assert "llm/reasons first" in page.summary[0]
    assert any(line.startswith("2 rows of films") for line in page.summary)
    assert {run.cell.student for run in runs.tasks[0].cells} == {"annotator"}
    assert not runs.tasks[0].train_truth


def test_rerun_sends_no_request(tmp_path: Path, server: LabelServer) -> None:
    path = write(tmp_path, server)
    planned = CliRunner().invoke(app, ["study", str(path), "--plan"])
    assert planned.output.count("150 requests") == 3
    first = CliRunner().invoke(app, ["study", str(path), "-o", str(tmp_path / "out"), "--yes"])
    assert first.exit_code == 0, first.output
    sent = len(server.requests)
    second = CliRunner().invoke(app, ["study", str(path), "-o", str(tmp_path / "out")])
    assert len(server.requests) == sent
    assert "written: " in second.output
    tail = first.output[first.output.index("task ") :]
    assert second.output.endswith(tail)


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"prompts": {"a": {}, "b": {"source": {}}}}, StudyError, "`prompts.b` changes source"),
        ({"prompts": {"a": {}, "b": {"task": {"labels": ["x", "y"]}}}}, StudyError, "prompts.b"),
        ({"prompts": {"a": {}, "b": {"task": {"reasonning": 1}}}}, RecipeError, "`task.reasonning`"),
        ({"prompt": {}}, StudyError, "`prompt` is not a key. Did you mean `prompts`?"),
    ],
)
def test_prompts_that_cannot_be_compared_name_their_field(
    tmp_path: Path, server: LabelServer, changes: dict[str, Any], error: type[Exception], field: str
) -> None:
    path = write(tmp_path, server, **changes)
    with pytest.raises(error, match=re.escape(field)):
        run_study(Study.from_yaml(path), tmp_path / "out")


@pytest.mark.parametrize(
    ("task", "values", "score"),
    [
        ({"kind": "text-scale", "scale": {"low": 1, "high": 5}}, [1, 2, 4, 5], "mae"),
        ({"kind": "multi-label", "labels": ["a", "b"]}, [["a"], ["a", "b"], ["b"], []], "micro_f1"),
        ({"kind": "text-generation"}, ["one", "two words", "three", "four"], "token_f1"),
    ],
)
def test_annotators_of_other_kinds_are_ranked(
    task: dict[str, Any], values: list[Any], score: str, tmp_path: Path
) -> None:
    rows = [
        {"text": f"text {row}", "label": values[row % 4], "right": values[row % 4], "other": values[(row + 1) % 4]}
        for row in range(40)
    ]
    recorded = [{**row, **{name: str(row[name]) for name in ("right", "other")}} for row in rows]
    if task["kind"] == "multi-label":
        recorded = [{**row, **{name: ", ".join(row[name]) or "none" for name in ("right", "other")}} for row in rows]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in recorded))
    recipe = {
        "name": "kinds",
        "source": {"path": "json", "data_files": {"train": "rows.jsonl"}},
        "task": {**task, "human": "label"},
        "annotator": {"client": "recorded", "column": "other"},
    }
    (tmp_path / "kinds.yaml").write_text(json.dumps(recipe))
    study = {
        "name": "kinds",
        "tasks": {"t": {"recipe": "kinds.yaml", "test": {}}},
        "sources": {"other": None, "right": {"annotator": {"column": "right"}}},
        "students": {"annotator": "annotator"},
        "resamples": 100,
    }
    found = run_study(Study.from_dict(study, folder=tmp_path), tmp_path / "out")
    ranking = rank_annotators(found.tasks[0], 0.95)
    assert ranking is not None
    assert ranking.ranked[0].name == "right"
    assert ranking.ranked[0].credit == 1
    assert score in ranking.ranked[0].report.scores
    assert report_page(found).sections[0].name == "comparison"


def test_equal_annotators_are_rarely_called_better_or_worse_and_the_best_of_them_is_optimistic() -> None:
    draw = np.random.default_rng(5)
    wrong, optimism, gaps = 0, [], []
    for seed in range(30):
        credits = [(draw.random(200) < 0.8).astype(float) for _ in range(30)]
        wrong += min(corrected_p_values(credits)) < 0.05
        optimism.append(optimism_of_best(credits, seed))
        gaps.append(max(float(one.mean()) for one in credits) - 0.8)
    # Of 30 studies 1.5 are expected to find something at all, more than 5 in one of 200.
    assert wrong <= 5
    # All are right in 0.8 of the rows, so what the best has above it is optimism alone.
    assert np.mean(optimism) == pytest.approx(np.mean(gaps), abs=0.015)


def test_p_values_are_exact_mcnemar_tests_with_holms_steps() -> None:
    first = np.array([0.0] * 10 + [1.0] * 30)
    better, alike = np.ones(40), first.copy()
    other = np.array([1.0, 1.0] + [0.0] * 8 + [0.0] + [1.0] * 29)
    # 10 against 0: 2 / 2 ** 10, the smallest of three; 2 against 1 and no difference at all are 1.
    assert corrected_p_values([first, better, other, alike]) == pytest.approx([3 * 2 / 2**10, 1.0, 1.0])
