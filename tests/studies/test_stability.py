"""Stability: scripted annotators move by a rule, so that every count is known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_synthlabels.clients import Request, ScriptedClient
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import krippendorff_alpha
from hf_synthlabels.studies.behavior.rewording import RULES, Rewording, rewordings
from hf_synthlabels.studies.behavior.stability import SOURCES, stability
from hf_synthlabels.studies.behavior.stability_report import StabilityReport, StabilityResult
from tests.command_line import command_line
from tests.servers.chat import ChatServer

LABELS = {"war": "soldiers fight", "sport": "a ball game"}
TEXTS = [f"text number {row} about {'war' if row % 2 else 'sport'}" for row in range(10)]
SINGLE: dict[str, Any] = {
    "kind": "text-classification",
    "labels": LABELS,
    "instructions": "Choose the topic that fits the text.",
}
BOOK: dict[str, Any] = {
    "instructions": "Read the news.",
    "variables": {
        "topic": {**SINGLE, "instructions": "Choose the topic."},
        "tone": {"kind": "text-scale", "scale": {"low": 1, "high": 5}, "instructions": "Rate the tone."},
    },
}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "home"))


def recipe(folder: Path, task: dict[str, Any], **annotator: Any) -> dict[str, Any]:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    keys = {"client": "openai", "model": "tiny", "response_format": "json_schema", **annotator}
    return {"name": "news", "source": {"path": "json", "data_files": str(file)}, "task": task, "annotator": keys}


def truth(text: str) -> str:
    return "war" if "war" in text else "sport"


def moved(system: str, text: str) -> str:
    """The label of a row; another one in row 3 if a human coder is named, and in rows 4 and 5 with a sentence after."""
    row = int(re.search(r"number (\d)", text)[1])  # type: ignore[index]
    changed = row == 3 and "experienced human coder" in system
    changed |= row in (4, 5) and "Base your answer only on what the text says" in system
    label = truth(text)
    return label if not changed else "sport" if label == "war" else "war"


def by(report: StabilityReport) -> dict[tuple[str, str], StabilityResult]:
    return {(each.source.split()[0], each.variable): each for each in report.results}


def test_rows_that_move_under_a_rewording_are_counted(tmp_path: Path) -> None:
    client = ScriptedClient(lambda request: json.dumps({"label": moved(request.messages[0].content, request.text)}))
    report = stability(recipe(tmp_path, SINGLE), rows=50, variants=5, client=client)
    assert report.n_rows == 10
    results = by(report)
    reworded = results["reworded", "llm_label"]
    # Rules 3 and 4 move rows 4 and 5, and row 3.
    assert (reworded.movement.moved, reworded.movement.compared, reworded.n_variants) == (3, 10, 6)
    assert [each.changed for each in reworded.variants] == [0, 0, 2, 1, 0]
    labels = [[truth(text)] * 6 for text in TEXTS]
    for row, place in ((4, 3), (5, 3), (3, 4)):
        labels[row][place] = "sport" if truth(TEXTS[row]) == "war" else "war"
    assert reworded.alpha.estimate == pytest.approx(krippendorff_alpha(labels))
    for source in ("shuffled", "repeated"):
        assert (results[source, "llm_label"].movement.moved, results[source, "llm_label"].alpha.estimate) == (0, 1)
    assert results["repeated", "llm_label"].n_variants == 5
    assert [each.source.split()[0] for each in report.costs] == ["recipe", "reworded", "shuffled", "repeated"]
    assert [each.requests for each in report.costs[:2]] == [10, 50]
    assert sum(each.requests for each in report.costs) == len(client.requests)
    text = report.text(100)
    assert "'a sentence after', 2 of 10" in text
    assert json.loads(report.to_json())["results"][0]["movement"]["moved"] == 3


def test_an_annotator_that_takes_the_first_class_moves_with_the_order(tmp_path: Path) -> None:
    def first(request: Request) -> str:
        listed = re.findall(r"^- (\w+):", request.messages[0].content, re.M)
        return json.dumps({"label": listed[0]})

    report = stability(recipe(tmp_path, SINGLE), variants=6, client=ScriptedClient(first), sources=["shuffled"])
    (result,) = report.results
    # An order of two classes is the recipe's own in all six draws with probability 1 / 64.
    assert result.movement.moved >= 8
    assert result.alpha.estimate < 0.2


def test_repeated_samples_move_with_the_sample(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def alternate(request: Request) -> str:
        seen[request.text] = seen.get(request.text, -1) + 1
        is_odd_row = "war" in request.text
        return json.dumps({"label": ("war", "sport")[seen[request.text] % 2] if is_odd_row else "sport"})

    client = ScriptedClient(alternate)
    report = stability(recipe(tmp_path, SINGLE), variants=4, client=client, sources=["repeated"])
    (result,) = report.results
    assert (result.movement.moved, result.movement.compared, result.n_variants) == (5, 10, 4)
    assert result.variants == ()
    assert "temperature 1" in report.notes[0]


def test_variables_of_a_codebook_are_measured_apart(tmp_path: Path) -> None:
    def answer(request: Request) -> str:
        system = request.messages[0].content
        tone = 5 if "Assess the tone" in system and "number 2" in request.text else 3 + int("war" in request.text)
        return json.dumps({"topic": truth(request.text), "tone": tone})

    report = stability(recipe(tmp_path, BOOK), variants=2, client=ScriptedClient(answer))
    results = by(report)
    assert (results["reworded", "topic"].movement.moved, results["reworded", "tone"].movement.moved) == (0, 1)
    # A scale has no order of classes.
    assert ("shuffled", "topic") in results
    assert ("shuffled", "tone") not in results
    numbers = [[3 + row % 2] * 3 for row in range(10)]
    numbers[2] = [3, 3, 5]
    assert results["reworded", "tone"].alpha.estimate == pytest.approx(krippendorff_alpha(numbers, "interval"))


def test_rules_reword_and_files_replace(tmp_path: Path) -> None:
    assert [rule.of("x", "Choose the label that fits the text.") for rule in RULES[:3]] == [
        "Read the text carefully before you answer. Choose the label that fits the text.",
        "Select the label that matches the text.",
        "Choose the label that fits the text. Base your answer only on what the text says.",
    ]
    assert RULES[0].of("task", "") == ""
    file = tmp_path / "texts.yaml"
    file.write_text("- Which topic?\n- {tone: 'How warm?'}\n")
    first, second = rewordings(5, file, ["topic", "tone"])
    assert (first.of("task", "a"), first.of("tone", "b"), second.of("tone", "b")) == ("Which topic?", "b", "How warm?")
    (only,) = rewordings(1, file, ["llm_label", "tone"])
    assert isinstance(only, Rewording)
    system = ScriptedClient(lambda request: json.dumps({"label": truth(request.text)}))
    single = tmp_path / "single.yaml"
    single.write_text("- Which topic is it?\n")
    stability(recipe(tmp_path, SINGLE), client=system, rewording_file=single, sources=["reworded"])
    assert {"Which topic is it?" in request.messages[0].content for request in system.requests} == {True, False}


@pytest.mark.parametrize("content", ["", "text", "- 1", "- {other: text}", "- {tone: 2}", "- [", "[]"])
def test_wrong_files_are_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "texts.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match="rewordings"):
        rewordings(2, file, ["topic", "tone"])
    with pytest.raises(ConfigError, match="rewordings"):
        rewordings(2, tmp_path / "missing.yaml", ["topic"])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"rows": 0}, "rows"),
        ({"variants": 0}, "variants"),
        ({"variants": 7}, "variants"),
        ({"sources": ["spelled"]}, "source"),
        ({"sources": []}, "source"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"`{field}`"):
        stability(recipe(tmp_path, SINGLE), client=ScriptedClient(lambda _: "{}"), **options)


def test_annotators_that_answer_no_prompt_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"annotator\.client"):
        stability(recipe(tmp_path, SINGLE, client="recorded", column="text", model=None, response_format="text"))
    with pytest.raises(ConfigError, match="task"):
        stability(recipe(tmp_path, {"kind": "text-generation"}), client=ScriptedClient(lambda _: "{}"))
    assert set(SOURCES) == {"reworded", "shuffled", "repeated"}


def test_command_prices_the_requests_and_prints_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = command_line(monkeypatch, capsys, with_next=True)

    def answer(body: dict[str, Any]) -> str:
        return json.dumps({"label": moved(body["messages"][0]["content"], body["messages"][-1]["content"])})

    with ChatServer(answer) as server:
        price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}
        content = recipe(tmp_path, SINGLE, base_url=server.base_url, api_key_env=None, price=price, budget_usd=1)
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        command = ("stability", "recipe.yaml", "-n", "8", "--variants", "4")
        code, _, planned = run(*command, "--plan")
        assert (code, len(server.bodies)) == (0, 0), planned
        assert re.search(r"stability, at most: \d+ requests to send, .* USD; budget: ", planned)
        assert "Next: hf-synthlabels stability recipe.yaml" in planned
        code, out, err = run(*command, "-o", "stability.json")
        assert code == 0, err
        n_sent = len(server.bodies)
        assert run(*command)[0] == 0
    # Orders of two classes repeat, so fewer requests are sent than planned.
    n_planned = int(re.search(r"(\d+) requests to send", planned)[1])  # type: ignore[index]
    assert n_planned == 8 * (1 + 4 + 4 + 4) > n_sent
    # The recipe's temperature is 0, at which samples are equal.
    assert sum(body["temperature"] == 1 for body in server.bodies) == 8 * 4
    assert re.search(r"reworded instructions +llm_label +5 +\d of 8 +\d\.\d+ \[", out)
    report = json.loads((tmp_path / "stability.json").read_text())
    assert sum(each["requests"] for each in report["costs"]) == n_sent
    # Every answer is stored, so that the same command costs nothing.
    assert len(server.bodies) == n_sent
