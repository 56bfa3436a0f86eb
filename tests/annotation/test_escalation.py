"""Escalation: which annotator labels each row, what both cost together, and what a rerun sends again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels import annotate, plan, provenance
from hf_synthlabels.annotation import compile_recipe
from hf_synthlabels.annotation.planning.plan import plan_rows
from hf_synthlabels.clients import ScriptedClient
from hf_synthlabels.errors import AllFailedError, ConfigError, RecipeError
from hf_synthlabels.publishing.labeled_data import record_summary, records_summary
from tests.servers.chat import ChatServer, Reply, error

SMALL, LARGE = "small", "large"
PRICES = {
    SMALL: {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2},
    LARGE: {"input_usd_per_mtok": 10, "output_usd_per_mtok": 20},
}
COST = {SMALL: (7 * 1 + 2 * 2) / 1e6, LARGE: (7 * 10 + 2 * 20) / 1e6}
"""Of one answer, which the server counts as 7 prompt tokens and 2 answer tokens."""


class TwoModels:
    """The small model is sure of some texts, is of two minds about others, and fails on the rest."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.lock = threading.Lock()

    def __call__(self, body: dict[str, Any]) -> Reply:
        text = body["messages"][-1]["content"]
        if body["model"] == LARGE:
            return "bad"
        with self.lock:
            self.seen[text] += 1
            number = self.seen[text]
        if "torn" in text:
            return "good" if number % 2 else "bad"
        if "garbled" in text:
            return "???"
        return error(400, "no") if "broken" in text else "good"


class JointModels(TwoModels):
    """The same models, which give both variables of a codebook the same value."""

    def __call__(self, body: dict[str, Any]) -> Reply:
        answer = super().__call__(body)
        return answer if not isinstance(answer, str) else f"llm_label: {answer}\nother: {answer}"


CLASSES = {"kind": "text-classification", "labels": ["good", "bad"]}
BOTH = {"llm_label": CLASSES, "other": CLASSES}
KINDS = pytest.mark.parametrize(
    ("models_of", "task"), [(TwoModels, CLASSES), (JointModels, {"variables": BOTH})], ids=["recipe", "codebook"]
)


def recipe(url: str, escalate: dict[str, Any] | None = None, **annotator: Any) -> dict[str, Any]:
    server = {"base_url": f"{url}/v1", "api_key_env": None}
    return {
        "name": "cascade",
        "source": {"path": "json"},
        "task": CLASSES,
        "annotator": {
            "client": "openai",
            "model": SMALL,
            "temperature": 1,
            "num_samples": 2,
            "price": PRICES[SMALL],
            **server,
            "escalate": {
                "below": 0.9,
                "to": {"client": "openai", "model": LARGE, "price": PRICES[LARGE], **server},
                **(escalate or {}),
            },
            **annotator,
        },
    }


def models(server: ChatServer) -> Counter[str]:
    """Requests by model."""
    with server.lock:
        return Counter(body["model"] for body in server.bodies)


def statuses(rows: Dataset) -> list[str]:
    return [rows.features["llm_label_status"].int2str(code) for code in rows["llm_label_status"]]


TEXTS = ["sure one", "torn", "sure two", "garbled", "broken", ""]


def test_unsure_rows_go_to_the_second_annotator_and_columns_say_so() -> None:
    with ChatServer(TwoModels()) as server:
        rows = annotate([{"text": text} for text in TEXTS], recipe(server.url))
        asked = models(server)
    assert rows["llm_label_annotator"][:] == [SMALL, LARGE, SMALL, LARGE, LARGE, None]
    assert statuses(rows) == ["labelled"] * 5 + ["skipped"]
    assert [None if code is None else ["good", "bad"][code] for code in rows["llm_label"]] == [
        *("good", "bad", "good", "bad", "bad"),
        None,
    ]
    assert rows["llm_label_confidence"][0] == 1.0
    # Two samples of five texts, of which the broken one is not tried again, and one answer for three rows.
    assert asked == {SMALL: 10, LARGE: 3}
    (record,) = provenance(rows)
    assert record["annotator"]["model"] == SMALL
    second = record["escalate"]
    assert (second["annotator"]["model"], second["below"], second["rows"], second["requests"]) == (LARGE, 0.9, 3, 3)
    assert second["cost_usd"] == pytest.approx(3 * COST[LARGE])
    # The two refused requests have no tokens.
    assert record["cost_usd"] == pytest.approx(8 * COST[SMALL] + 3 * COST[LARGE])
    assert "second annotator large: 3 rows escalated, 3 requests" in record_summary(record)
    assert (record["tally"]["requests"], record["tally"]["statuses"]) == (13, {"labelled": 5, "skipped": 1})


def test_one_annotator_leaves_no_trace_of_a_second() -> None:
    content = recipe("http://localhost:1")
    del content["annotator"]["escalate"]
    job = compile_recipe(content)
    assert "llm_label_annotator" not in job.label_columns.features
    assert "escalate" not in job.recipe.annotator.model_dump()


@KINDS
def test_the_order_of_rows_is_kept_over_chunks(
    monkeypatch: pytest.MonkeyPatch, models_of: type[TwoModels], task: dict[str, Any]
) -> None:
    monkeypatch.setattr("hf_synthlabels.annotation.run.escalation.CHUNK_ROWS", 7)
    texts = [f"{'torn' if number % 3 == 0 else 'sure'} {number}" for number in range(40)]
    with ChatServer(models_of()) as server:
        rows = annotate([{"text": text} for text in texts], recipe(server.url) | {"task": task})
        assert models(server) == {SMALL: 80, LARGE: 14}
    assert rows["llm_label_annotator"][:] == [LARGE if text.startswith("torn") else SMALL for text in texts]


@KINDS
def test_both_annotators_share_one_budget(models_of: type[TwoModels], task: dict[str, Any]) -> None:
    texts = [f"torn {number}" for number in range(30)]
    # Prompts are free and answers have the two tokens of the limit, so that nothing is reserved beyond the cost.
    small, large = ({"input_usd_per_mtok": 0, "output_usd_per_mtok": usd} for usd in (1, 10))
    budget = (60 * 2 * 1 + 10 * 2 * 10) / 1e6
    limits: dict[str, Any] = {"budget_usd": budget, "max_tokens": 2, "max_in_flight": 1, "price": small}
    with ChatServer(models_of()) as server:
        content = recipe(server.url, **limits) | {"task": task}
        content["annotator"]["escalate"]["to"] |= {"max_tokens": 2, "max_in_flight": 1, "price": large}
        rows = annotate([{"text": text} for text in texts], content)
        asked = models(server)
    assert asked[SMALL] == 60
    # The first annotator still holds what it reserved in advance.
    assert 5 < asked[LARGE] <= 10
    assert Counter(statuses(rows)) == {"labelled": asked[LARGE], "over_budget": 30 - asked[LARGE]}
    # A label below the threshold is not kept because the budget is spent; the note tells what it was.
    missing = [
        note for note, status in zip(rows["llm_label_note"], statuses(rows), strict=True) if status != "labelled"
    ]
    assert all("confidence 0.500" in note for note in missing)


@KINDS
def test_a_rerun_sends_nothing_again(models_of: type[TwoModels], task: dict[str, Any]) -> None:
    texts = [{"text": text} for text in ("sure", "torn")]
    with ChatServer(models_of()) as server:
        content = recipe(server.url) | {"task": task}
        first = annotate(texts, content)
        second = annotate(texts, content)
        assert models(server) == {SMALL: 4, LARGE: 1}
    assert first.to_dict() == second.to_dict()
    for record in provenance(second):
        assert (record["cost_usd"], record["tally"]["stored"], record["escalate"]["stored"]) == (0, 5, 1)
        assert record["escalate"]["cost_usd"] == 0


@KINDS
def test_no_second_annotator_is_paid_for_a_first_one_that_does_not_work(
    models_of: type[TwoModels], task: dict[str, Any]
) -> None:
    content = {"task": task}
    with ChatServer(models_of()) as server:
        with pytest.raises(AllFailedError):
            annotate([{"text": f"broken {number}"} for number in range(5)], recipe(server.url) | content)
        assert LARGE not in models(server)


VARIABLES: dict[str, Any] = {
    "tone": CLASSES,
    "cause": {
        "kind": "text-classification",
        "labels": ["war", "trade"],
        "ask_if": {"variable": "tone", "is": ["bad"]},
    },
    "size": {"kind": "text-classification", "labels": ["long", "short"]},
}
FIRST = {
    "sure": ("good", None, "short"),
    "torn tone": ("good bad", "war", "short"),
    "torn size": ("bad", "trade", "short long"),
    "garbled": ("bad", "war", "???"),
    "broken": (),
}
"""Values of the small model; of two, each sample has the other one."""
SECOND = {
    "torn tone": ("bad", "trade", "long"),
    # The second annotator changes the value on which the condition rests.
    "torn size": ("good", None, "long"),
    "garbled": ("bad", "trade", "long"),
    "broken": ("good", None, "short"),
}


class CodebookModels:
    """Answers joint requests and those for one variable, which its labels identify."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, ...]] = Counter()
        self.asked: Counter[tuple[str, str]] = Counter()
        """By text and variable, of the large model."""
        self.lock = threading.Lock()

    def __call__(self, body: dict[str, Any]) -> Reply:
        content = body["messages"][-1]["content"]
        text = content.split("<text>\n")[1].split("\n</text>")[0]
        if text == "broken" and body["model"] == SMALL:
            return error(400, "no")
        properties = body["response_format"]["json_schema"]["schema"]["properties"]
        own = [name for name, each in VARIABLES.items() if all(label in str(properties) for label in each["labels"])]
        given = dict(zip(VARIABLES, (FIRST if body["model"] == SMALL else SECOND)[text], strict=True))
        with self.lock:
            self.seen[text, *own, body["model"]] += 1
            number = self.seen[text, *own, body["model"]]
            if body["model"] == LARGE:
                self.asked.update((text, name) for name in own)
        values = {
            name: value if value is None else value.split()[-number % len(value.split())]
            for name, value in given.items()
        }
        return json.dumps({"label": values[own[0]]} if len(own) == 1 else {name: values[name] for name in own})


@pytest.mark.parametrize("group", ["joint", "separate"])
def test_a_row_of_a_codebook_is_labeled_by_one_annotator(group: str) -> None:
    models_of_codebook = CodebookModels()
    with ChatServer(models_of_codebook) as server:
        content = recipe(server.url, {}, response_format="json_schema")
        content["annotator"]["escalate"]["to"]["response_format"] = "json_schema"
        content["task"] = {"variables": VARIABLES, "group": group}
        rows = annotate([{"text": text} for text in [*FIRST, ""]], content)
        asked = models(server)
    labels = {
        name: [None if code is None else rows.features[name].int2str(code) for code in rows[name]] for name in VARIABLES
    }
    assert labels == {
        "tone": ["good", "bad", "good", "bad", "good", None],
        "cause": [None, "trade", None, "trade", None, None],
        "size": ["short", "long", "long", "long", "short", None],
    }
    # A variable whose condition does not hold was coded by nobody.
    assert {name: rows[f"{name}_annotator"][:] for name in VARIABLES} == {
        "tone": [SMALL, *[LARGE] * 4, None],
        "cause": [None, LARGE, None, LARGE, None, None],
        "size": [SMALL, *[LARGE] * 4, None],
    }
    # A joint request states the condition; a separate one is only sent where it holds.
    conditional = {text for text, (tone, *_) in SECOND.items() if group == "joint" or tone == "bad"}
    assert models_of_codebook.asked == {
        (text, name): 1 for text in SECOND for name in VARIABLES if name != "cause" or text in conditional
    }
    assert asked[LARGE] == (4 if group == "joint" else 10)
    records = provenance(rows)
    for record in records:
        second = record["escalate"]
        assert (second["annotator"]["model"], second["rows"], second["requests"]) == (LARGE, 4, asked[LARGE])
    assert sum(record["escalate"]["cost_usd"] for record in records) == pytest.approx(asked[LARGE] * COST[LARGE])
    # Refused requests have no tokens.
    paid = asked[SMALL] - (2 if group == "joint" else 4)
    total = paid * COST[SMALL] + asked[LARGE] * COST[LARGE]
    assert sum(record["cost_usd"] for record in records) == pytest.approx(total)
    assert records_summary(records).count(f"second annotator large: 4 rows escalated, {asked[LARGE]} requests") == 1
    assert [record["tally"]["statuses"] for record in records] == [
        {"labelled": 5, "skipped": 1},
        {"labelled": 2, "skipped": 4},
        {"labelled": 5, "skipped": 1},
    ]


def test_a_variable_that_is_too_long_to_send_escalates_no_row() -> None:
    task = {
        "variables": {**BOTH, "llm_label": {**CLASSES, "aggregate": "majority"}},
        "long_text": {"max_tokens": 10},
        "group": "separate",
    }
    with ChatServer(TwoModels()) as server:
        rows = annotate([{"text": "I am sure of that. " * 9}], recipe(server.url) | {"task": task})
        assert models(server).keys() == {SMALL}
    assert statuses(rows) == ["labelled"]
    assert [rows[f"{name}_annotator"][0] for name in BOTH] == [SMALL, None]
    assert rows.features["other_status"].int2str(rows["other_status"][0]) == "failed"


@pytest.mark.parametrize(
    ("escalate", "annotator", "field"),
    [
        ({"below": 0}, {}, "below"),
        ({"above": 1}, {}, "above"),
        ({"to": {"client": "openai"}}, {}, "model"),
        ({"to": {"client": "embedding"}}, {}, "to.client"),
        ({"to": {"client": "openai", "model": LARGE, "budget_usd": 1}}, {}, "annotator.budget_usd"),
        ({"to": {"client": "openai", "model": LARGE, "batch": True}}, {}, "batch"),
        ({"to": {"client": "openai", "model": LARGE, "examples": []}}, {}, "examples"),
        ({}, {"num_samples": 1}, "logprobs"),
    ],
)
def test_wrong_keys_are_refused(escalate: dict[str, Any], annotator: dict[str, Any], field: str) -> None:
    with pytest.raises(RecipeError, match=field):
        compile_recipe(recipe("http://localhost:1", escalate, **annotator))


@pytest.mark.parametrize(
    ("to", "annotator", "field"),
    [
        ({"system": "Label it."}, {}, "annotator.escalate.to.system"),
        ({"client": "transformers", "scoring": True}, {}, "annotator.escalate.to.scoring"),
        ({}, {"num_samples": 1}, "task.variables.llm_label"),
        # Log-probabilities say nothing about a list of classes.
        ({}, {"num_samples": 1, "logprobs": True}, "task.variables.topics.*task.confidence"),
    ],
)
def test_wrong_keys_of_codebooks_are_refused(to: dict[str, Any], annotator: dict[str, Any], field: str) -> None:
    content = recipe("http://localhost:1", {"to": {"client": "openai", "model": LARGE, **to}}, **annotator)
    content["task"] = {"variables": {**BOTH, "topics": {**CLASSES, "kind": "multi-label"}}}
    with pytest.raises(RecipeError, match=field):
        compile_recipe(content)


def test_both_annotators_of_a_codebook_have_room_for_all_values() -> None:
    content = recipe("http://localhost:1", {"to": {"client": "openai", "model": LARGE, "logprobs": True}})
    content["task"] = {"variables": {**BOTH, "topics": {**CLASSES, "kind": "multi-label"}}}
    job = compile_recipe(content)
    assert job.second is not None
    single = compile_recipe(recipe("http://localhost:1"))
    room, usual = job.client.max_answer_tokens, single.client.max_answer_tokens
    assert room is not None
    assert usual is not None
    assert job.second.client.max_answer_tokens == room > usual


@KINDS
def test_replaced_clients_and_engines_are_refused(models_of: type[TwoModels], task: dict[str, Any]) -> None:
    content = recipe("http://localhost:1") | {"task": task}
    with pytest.raises(ConfigError, match="escalate"):
        annotate([{"text": "a"}], content, client=ScriptedClient(lambda _: "good"))
    with pytest.raises(RecipeError, match=r"escalate|engine"):
        compile_recipe(content | {"engine": {"name": "ray"}})


@KINDS
def test_a_plan_prices_the_assumed_share(tmp_path: Path, models_of: type[TwoModels], task: dict[str, Any]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"text": f"text {number}"}) + "\n" for number in range(100)))
    content = recipe("http://localhost:1", {"expected_share": 0.2}) | {"task": task}
    content["source"] = {"path": "json", "data_files": str(file)}
    planned = plan(content)
    first = plan({**content, "annotator": {**content["annotator"], "escalate": None}})
    large = {**content["annotator"], **content["annotator"]["escalate"]["to"], "num_samples": 1, "escalate": None}
    second = plan({**content, "annotator": large})
    assert (first.requests, second.requests, planned.requests) == (200, 100, 220)
    assert planned.low_usd == first.low_usd
    assert first.likely_usd is not None
    assert second.likely_usd is not None
    assert planned.likely_usd == pytest.approx(first.likely_usd + 0.2 * second.likely_usd)
    assert "20%" in str(planned)
    assert plan_rows(content, Dataset.from_json(str(file))).requests == 220
    # An assumption of the plan changes no label, so it changes no cached table.
    assert compile_recipe(content).cache_key() == compile_recipe(recipe_with_share(content, 0.9)).cache_key()


def recipe_with_share(content: dict[str, Any], share: float) -> dict[str, Any]:
    escalate = {**content["annotator"]["escalate"], "expected_share": share}
    return {**content, "annotator": {**content["annotator"], "escalate": escalate}}


PROGRAM = """
import json, sys
from datasets import Dataset
from hf_synthlabels import annotate
table = Dataset.from_list([{"text": f"torn {n}"} for n in range(int(sys.argv[2]))])
annotate(table, json.loads(sys.argv[1])).to_json(sys.argv[3])
"""


ABSTAINING = {**CLASSES, "abstain": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "unsure", "sure"),
    [
        (CLASSES, "???", "bad"),
        (
            {"variables": {"llm_label": ABSTAINING, "other": ABSTAINING}},
            "llm_label: null\nother: null",
            "llm_label: bad\nother: bad",
        ),
    ],
    ids=["recipe", "codebook"],
)
def test_a_killed_cascade_buys_at_most_what_was_in_flight_again(
    tmp_path: Path, task: dict[str, Any], unsure: str, sure: str
) -> None:
    environment = {**os.environ, "HF_SYNTHLABELS_HOME": str(tmp_path / "home")}
    n, in_flight = 200, 8

    def answer(body: dict[str, Any]) -> Reply:
        time.sleep(0.01)
        return sure if body["model"] == LARGE else unsure

    with ChatServer(answer) as server:
        content = recipe(server.url, max_in_flight=in_flight, num_samples=2, keep_going=True) | {"task": task}
        content["annotator"]["escalate"]["to"]["max_in_flight"] = in_flight
        output = tmp_path / "labels.jsonl"
        command = [sys.executable, "-c", PROGRAM, json.dumps(content), str(n), str(output)]
        # In the first annotator's part, then in the second's.
        for kill_at in (100, 500):
            process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
            while len(server.bodies) < kill_at and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        subprocess.run(command, env=environment, check=True, capture_output=True)
        assert models(server)[SMALL] <= 2 * n + 2 * in_flight
        assert models(server)[LARGE] <= n + in_flight
    labels = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["text"] for row in labels] == [f"torn {number}" for number in range(n)]
    assert {row["llm_label_annotator"] for row in labels} == {LARGE}
