"""Behavioral checks of a recipe: scripted annotators pass or fail each check by their rule."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_synthlabels.clients import Request, ScriptedClient
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.studies import CheckReport, check_recipe
from tests.command_line import command_line
from tests.servers.chat import ChatServer

TOPICS = {"war": "soldiers fight", "trade": "goods are sold", "sport": "a ball game"}
TONES = {"warm": "kind words", "cold": "harsh words"}
TEXTS = [
    *[f"{name} news {n}: {definition}, kind words, warm" for name, definition in TOPICS.items() for n in range(3)],
    "sport news 9: a ball game, harsh words, cold",
]

Rule = Callable[[str, list[tuple[str, str]]], str | None]
"""From the text and the listed classes with their definitions to a label; None to abstain."""


def by_definition(text: str, classes: list[tuple[str, str]]) -> str | None:
    return next((name for name, definition in classes if definition and definition in text), None)


def first_listed(_: str, classes: list[tuple[str, str]]) -> str | None:
    return classes[0][0]


def by_name(text: str, classes: list[tuple[str, str]]) -> str | None:
    return next((name for name, _ in classes if re.search(rf"\b{re.escape(name)}\b", text)), classes[0][0])


def replied(rule: Rule, system: str, schema: dict[str, Any], text: str) -> str:
    """The answer of an annotator that labels by the rule."""
    answer = {}
    for name in schema["properties"]:
        block = system if name == "label" else system[re.search(rf"^{name}: ", system, re.M).start() :]  # type: ignore[union-attr]
        listed = re.search(r"(?:^- .*\n)+", block, re.M)
        assert listed
        classes = [(left, right) for left, _, right in (line[2:].partition(": ") for line in listed[0].splitlines())]
        label = rule(text, classes)
        answer[name] = "abstain" if label is None and name == "label" else label
    return json.dumps(answer)


def scripted(rule: Rule) -> ScriptedClient:
    def answer(request: Request) -> str:
        return replied(rule, request.messages[0].content, dict(request.response_schema or {}), request.text)

    return ScriptedClient(answer)


def recipe(folder: Path, task: dict[str, Any], **annotator: Any) -> dict[str, Any]:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    keys = {"client": "openai", "model": "tiny", "response_format": "json_schema", **annotator}
    return {"name": "checked", "source": {"path": "json", "data_files": str(file)}, "task": task, "annotator": keys}


SINGLE: dict[str, Any] = {"kind": "text-classification", "labels": TOPICS, "abstain": True}
BOOK: dict[str, Any] = {
    "variables": {
        "topic": SINGLE,
        "tone": {
            "kind": "text-classification",
            "labels": TONES,
            "ask_if": {"variable": "topic", "is": ["war", "trade", "sport"]},
        },
    }
}


NOT_APPLICABLE = (-1, -1)


def passed(report: CheckReport) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (each.check.split()[0], each.variable): (each.passed, each.n) if each.is_applicable else NOT_APPLICABLE
        for each in report.results
        if each.variable
    }


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("rule", "order", "names", "recall", "nonsense"),
    [(by_definition, 10, 10, 3, 5), (first_listed, 0, 10, 1, 0), (by_name, 10, 3, 1, 0)],
)
def test_a_recipe_passes_what_its_annotator_does_by_rule(
    rule: Rule, order: int, names: int, recall: int, nonsense: int, tmp_path: Path
) -> None:
    report = check_recipe(recipe(tmp_path, SINGLE), rows=50, client=scripted(rule))
    assert report.rows == 10
    assert passed(report) == {
        ("reversed", "llm_label"): (order, 10),
        ("neutral", "llm_label"): (names, 10),
        ("definition", "llm_label"): (recall, 3),
        ("empty", "llm_label"): (nonsense, 5),
        ("nonsense", "llm_label"): (nonsense, 5),
        ("out-of-scope", "llm_label"): (nonsense, 5),
    }
    assert len(str(report).splitlines()) == 3 + len(report.results)


def test_a_codebook_is_checked_by_variable_in_joint_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = scripted(by_definition)
    report = check_recipe(recipe(tmp_path, BOOK), rows=50, client=client)
    assert passed(report) == {
        ("reversed", "topic"): (10, 10),
        ("reversed", "tone"): (10, 10),
        ("neutral", "topic"): (10, 10),
        ("neutral", "tone"): (10, 10),
        ("definition", "topic"): (3, 3),
        ("definition", "tone"): (2, 2),
        ("empty", "topic"): (5, 5),
        ("empty", "tone"): NOT_APPLICABLE,
        ("nonsense", "topic"): (5, 5),
        ("nonsense", "tone"): NOT_APPLICABLE,
        ("out-of-scope", "topic"): (5, 5),
        ("out-of-scope", "tone"): NOT_APPLICABLE,
    }
    # Three times ten rows, five definitions, and three times five texts without a label.
    assert len([each for each in client.requests if len((each.response_schema or {})["properties"]) == 2]) == 45
    monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "other"))
    report = check_recipe(recipe(tmp_path, BOOK), rows=50, client=scripted(by_name))
    results = passed(report)
    # Under neutral names this annotator takes the first class: `war` in three rows, `warm` in nine of ten.
    assert (results["neutral", "topic"], results["neutral", "tone"]) == ((3, 10), (9, 10))


def test_only_variables_that_may_abstain_are_shown_texts_without_a_label(tmp_path: Path) -> None:
    client = scripted(by_definition)
    task = {key: value for key, value in SINGLE.items() if key != "abstain"}
    report = check_recipe(recipe(tmp_path, task), rows=2, client=client)
    # Two rows in three versions and three definitions; no variable may abstain.
    assert len(client.requests) == 9
    results = [each for each in report.results if not each.is_applicable]
    assert [(each.check.split()[0], each.n, each.cost_usd, each.requests) for each in results] == [
        (check, 0, 0.0, 0) for check in ("empty", "nonsense", "out-of-scope")
    ]
    assert str(report).count("not applicable") == 3
    assert [each["rate"] for each in json.loads(report.to_json())["results"] if not each["is_applicable"]] == [None] * 3


def test_long_texts_of_a_codebook_are_checked(tmp_path: Path) -> None:
    topics = {"kind": "multi-label", "labels": TOPICS}
    limits = {"max_tokens": 20, "aggregate": {"multi-label": "majority"}}
    task = {"variables": {"topic": SINGLE, "topics": topics}, "long_text": limits}
    client = ScriptedClient(lambda request: json.dumps(dict.fromkeys((request.response_schema or {})["properties"])))
    report = check_recipe(recipe(tmp_path, task), rows=2, client=client)
    assert {each.check for each in report.results if each.variable == "topics"} >= {"definition gets its class"}


def test_out_of_scope_texts_can_be_given(tmp_path: Path) -> None:
    def rule(text: str, _: list[tuple[str, str]]) -> str | None:
        return None if "cake" in text else "war"

    given = ["Bake a cake.", "Eat the cake.", "Plant a tree."]
    report = check_recipe(recipe(tmp_path, SINGLE), rows=1, client=scripted(rule), out_of_scope=given)
    (result,) = [each for each in report.results if each.check.startswith("out-of-scope")]
    # Of 3 texts 2 pass; the interval is Wilson's: center (2 / 3 + z² / 6) / (1 + z² / 3), z = 1.96.
    assert (result.passed, result.n) == (2, 3)
    assert (result.rate.low, result.rate.high) == pytest.approx((0.2077, 0.9385), abs=1e-3)
    with pytest.raises(ConfigError, match="out_of_scope"):
        check_recipe(recipe(tmp_path, SINGLE), client=scripted(rule), out_of_scope=["  "])


def test_examples_guidelines_and_conditions_have_neutral_names_too(tmp_path: Path) -> None:
    topic = {**SINGLE, "guidelines": "Code `sport` if in doubt; sport is wide."}
    task = {"variables": {"topic": topic, "tone": {**BOOK["variables"]["tone"]}}}
    examples = [{"text": "a cup final", "labels": {"topic": "sport", "tone": "warm"}}]
    client = scripted(by_definition)
    check_recipe(recipe(tmp_path, task, examples=examples), rows=1, client=client)
    changed = next(each for each in client.requests if "label A" in each.messages[0].content)
    system, _, answer, _ = changed.messages
    assert json.loads(answer.content) == {"topic": "label C", "tone": "label A"}
    assert "Code `label C` if in doubt; sport is wide." in system.content
    assert "`topic` is 'label A' or 'label B' or 'label C'" in system.content


def test_recorded_answers_and_tasks_without_classes_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"annotator\.client"):
        check_recipe(recipe(tmp_path, SINGLE, client="recorded", column="text", model=None))
    with pytest.raises(ConfigError, match="task"):
        check_recipe(recipe(tmp_path, {"kind": "text-generation"}), client=scripted(first_listed))
    with pytest.raises(ConfigError, match="rows"):
        check_recipe(recipe(tmp_path, SINGLE), rows=0, client=scripted(first_listed))


def test_command_prints_the_plan_first_and_keeps_to_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = command_line(monkeypatch, capsys, with_next=True)

    def answer(body: dict[str, Any]) -> str:
        schema = body["response_format"]["json_schema"]["schema"]
        return replied(by_definition, body["messages"][0]["content"], schema, body["messages"][-1]["content"])

    with ChatServer(answer) as server:
        price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}
        content = recipe(tmp_path, SINGLE, base_url=server.base_url, api_key_env=None, price=price, budget_usd=1)
        runs = []
        for budget in (1, 1e-9):
            content["annotator"]["budget_usd"] = budget
            monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / f"home {budget}"))
            (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
            runs.append(run("plan", "recipe.yaml", "--check", "4"))
            if budget == 1:
                # Four rows in three versions, three definitions, three times five texts without a label.
                assert len(server.bodies) == 30
    (code, out, err), (_, out_without_budget, err_without_budget) = runs
    assert code == 0, err
    assert "checks: 30 requests" in err
    assert "Next: hf-synthlabels annotate recipe.yaml" in err
    assert re.search(r"neutral names of classes +llm_label +4 +4 +1\.000", out)
    assert len(server.bodies) == 30
    # Rows over the budget say nothing about the model.
    assert "not enough" in err_without_budget
    assert re.search(r"neutral names of classes +llm_label +0 +0 +-", out_without_budget)
