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
from hf_synthlabels.publishing.labeled_data import record_summary
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


def recipe(url: str, escalate: dict[str, Any] | None = None, **annotator: Any) -> dict[str, Any]:
    server = {"base_url": f"{url}/v1", "api_key_env": None}
    return {
        "name": "cascade",
        "source": {"path": "json"},
        "task": {"kind": "text-classification", "labels": ["good", "bad"]},
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


def test_the_order_of_rows_is_kept_over_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_synthlabels.annotation.run.escalation.CHUNK_ROWS", 7)
    texts = [f"{'torn' if number % 3 == 0 else 'sure'} {number}" for number in range(40)]
    with ChatServer(TwoModels()) as server:
        rows = annotate([{"text": text} for text in texts], recipe(server.url))
        assert models(server) == {SMALL: 80, LARGE: 14}
    assert rows["llm_label_annotator"][:] == [LARGE if text.startswith("torn") else SMALL for text in texts]


def test_both_annotators_share_one_budget() -> None:
    texts = [f"torn {number}" for number in range(30)]
    # Prompts are free and answers have the two tokens of the limit, so that nothing is reserved beyond the cost.
    small, large = ({"input_usd_per_mtok": 0, "output_usd_per_mtok": usd} for usd in (1, 10))
    budget = (60 * 2 * 1 + 10 * 2 * 10) / 1e6
    limits: dict[str, Any] = {"budget_usd": budget, "max_tokens": 2, "max_in_flight": 1, "price": small}
    with ChatServer(TwoModels()) as server:
        content = recipe(server.url, **limits)
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


def test_a_rerun_sends_nothing_again() -> None:
    texts = [{"text": text} for text in ("sure", "torn")]
    with ChatServer(TwoModels()) as server:
        first = annotate(texts, recipe(server.url))
        second = annotate(texts, recipe(server.url))
        assert models(server) == {SMALL: 4, LARGE: 1}
    assert first.to_dict() == second.to_dict()
    (record,) = provenance(second)
    assert (record["cost_usd"], record["tally"]["stored"], record["escalate"]["stored"]) == (0, 5, 1)
    assert record["escalate"]["cost_usd"] == 0


def test_no_second_annotator_is_paid_for_a_first_one_that_does_not_work() -> None:
    with ChatServer(TwoModels()) as server:
        with pytest.raises(AllFailedError):
            annotate([{"text": f"broken {number}"} for number in range(5)], recipe(server.url))
        assert LARGE not in models(server)


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


def test_codebooks_and_replaced_clients_are_refused() -> None:
    content = recipe("http://localhost:1")
    with pytest.raises(ConfigError, match="escalate"):
        annotate([{"text": "a"}], content, client=ScriptedClient(lambda _: "good"))
    content["task"] = {"variables": {"tone": {"kind": "text-classification", "labels": ["good", "bad"]}}}
    with pytest.raises(RecipeError, match="escalate"):
        compile_recipe(content)
    content = recipe("http://localhost:1") | {"engine": {"name": "ray"}}
    with pytest.raises(RecipeError, match="escalate"):
        compile_recipe(content)


def test_a_plan_prices_the_assumed_share(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"text": f"text {number}"}) + "\n" for number in range(100)))
    content = recipe("http://localhost:1", {"expected_share": 0.2})
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


@pytest.mark.slow
def test_a_killed_cascade_buys_at_most_what_was_in_flight_again(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_SYNTHLABELS_HOME": str(tmp_path / "home")}
    n, in_flight = 200, 8

    def answer(body: dict[str, Any]) -> Reply:
        time.sleep(0.01)
        return "bad" if body["model"] == LARGE else "???"

    with ChatServer(answer) as server:
        content = recipe(server.url, max_in_flight=in_flight, num_samples=2, keep_going=True)
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
