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
from hf_synthlabels.studies import AnnotatorReport, AnnotatorStudy, compare_annotators, read_study
from hf_synthlabels.studies.comparisons.annotator_ranking import corrected_p_values, optimism_of_best
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
        "recipe": "films.yaml",
        "annotators": {
            "at once": {},
            "reasons first": {"task": {"reasoning": True}},
            "two examples": {"annotator": {"examples": "shown.jsonl"}},
        },
        "human_rows": 150,
        **study,
    }
    path = folder / "ways.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def report(tmp_path: Path, server: LabelServer) -> AnnotatorReport:
    study = read_study(write(tmp_path, server))
    assert isinstance(study, AnnotatorStudy)
    return compare_annotators(study)


def test_each_way_labels_the_same_human_labelled_rows(report: AnnotatorReport, server: LabelServer) -> None:
    assert (report.n_rows, report.n_shown, report.kind) == (150, 2, "text-classification")
    assert len(server.requests) == 450
    asked = [set(server.requests[start : start + 150]) for start in (0, 150, 300)]
    assert asked[0] == asked[1] == asked[2]
    # Rows without a human label, and those that are shown as examples, prove nothing.
    assert not asked[0] & ({"text 3", "text 4"} | {f"text {number}" for number in range(200, 220)})
    # Each tenth row has an even number, and "film" is wrong there.
    wrong = sum(int(text.split()[1]) % WRONG_AT_ONCE == 0 for text in asked[0])
    first, second, third = report.results
    assert first.report.accuracy.estimate == pytest.approx(1 - wrong / 150)
    assert second.report.accuracy.estimate == 1
    assert second.difference.estimate == pytest.approx(wrong / 150)
    assert third.difference.estimate == 0
    assert first.record["tally"]["requests"] == 150
    assert second.record["strategy"] == {"reasoning": True}


def test_the_report_says_what_the_rows_can_tell(report: AnnotatorReport) -> None:
    shown = str(report)
    assert "Best on these rows: 'reasons first'" in shown
    assert "Of 2 others, 1 are better and 0 worse than 'at once', and 1 do not differ significantly" in shown
    assert report.ranked[0].name == "reasons first"
    # 'at once' and 'two examples' give the same labels.
    assert report.agreement is not None
    assert (report.agreement.highest, report.agreement.pairs) == (1, 3)
    assert AnnotatorReport.from_json(report.to_json()) == report
    assert "2 rows were left out: they are shown to an annotator as examples." in shown
    assert "150 human-labeled rows, drawn at random; 95% intervals." in shown
    content = json.loads(report.to_json())
    assert [one["name"] for one in content["annotators"]] == ["at once", "reasons first", "two examples"]
    assert content["annotators"][1]["difference"]["low"] > 0


def test_asked_again_it_pays_for_nothing(tmp_path: Path, server: LabelServer) -> None:
    path = write(tmp_path, server)
    first = CliRunner().invoke(app, ["study", str(path), "-o", str(tmp_path / "out")])
    assert first.exit_code == 0, first.output
    asked = len(server.requests)
    second = CliRunner().invoke(app, ["study", str(path), "-o", str(tmp_path / "out")])
    assert len(server.requests) == asked
    assert "written: " in second.output
    written = json.loads((tmp_path / "out" / "annotators.json").read_text())
    assert [one["provenance"]["tally"]["stored"] for one in written["annotators"]] == [150, 150, 150]
    # 10 tokens in for each row, whenever it was asked.
    assert [one["cost"]["prompt_tokens"] for one in written["annotators"]] == [1500, 1500, 1500]
    assert first.output.splitlines()[-12:-3] == second.output.splitlines()[-12:-3]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"annotators": {"a": {}}}, StudyError, "`annotators`"),
        ({"annotators": {"a": {}, "b": {"source": {}}}}, StudyError, "`annotators.b` changes source. Only `task`"),
        ({"annotators": {"a": {}, "b": {"task": {"labels": ["x", "y"]}}}}, StudyError, "`annotators.b` gives other"),
        ({"annotators": {"a": {}, "b": {"task": {"reasonning": 1}}}}, RecipeError, "annotators.b: `task.reasonning`"),
        ({"human_row": 3}, StudyError, "`human_row` is not a key. Did you mean `human_rows`?"),
    ],
)
def test_what_can_not_be_compared_is_told(
    tmp_path: Path, server: LabelServer, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = write(tmp_path, server, **changes)
    with pytest.raises(error, match=re.escape(message)):
        compare_annotators(AnnotatorStudy.from_yaml(path))


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
