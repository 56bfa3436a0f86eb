"""A recipe with `batch: true`: the same labels for less, through interruptions, from Python and the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.annotation import annotate, plan, provenance, read_recipe
from hf_synthlabels.annotation.compiler import compile_variable
from hf_synthlabels.clients import BatchClient, BatchPolling, Request, ResponseStore, factory, list_batches
from hf_synthlabels.clients.factory import tracked_budget
from hf_synthlabels.errors import RecipeError
from hf_synthlabels.labels import STATUSES
from hf_synthlabels.resources import store_path
from tests.servers.batches import BatchServer
from tests.servers.chat import QUOTED

PACE = BatchPolling(initial_pause_s=0.01, max_pause_s=0.02, listing_delay_s=0.1, outage_timeout_s=5.0)

PRICE = {"input_usd_per_mtok": 1000.0, "output_usd_per_mtok": 1000.0, "batch_price_factor": 0.5}


def label(body: dict[str, Any]) -> str:
    found = QUOTED.search(body["messages"][-1]["content"])
    assert found is not None
    return "sport" if "match" in found[1] else "film"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are looked at often."""
    monkeypatch.setattr(factory, "BatchClient", partial(BatchClient, polling=PACE))


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(label) as server:
        yield server


def recipe(server: BatchServer, **annotator: Any) -> dict[str, Any]:
    keys = {"client": "openai", "model": "tiny", "base_url": server.base_url, "api_key_env": None, "batch": True}
    return {
        "name": "films",
        "source": {"path": "json"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"]},
        "annotator": keys | annotator,
    }


def data(*numbers: int) -> Dataset:
    return Dataset.from_dict({"text": [f"{'match' if number % 3 == 0 else 'film'} {number}" for number in numbers]})


def test_labels_are_those_of_single_requests_and_neither_asks_what_the_other_has(server: BatchServer) -> None:
    in_batches = annotate(data(*range(6)), recipe(server))
    one_by_one = annotate(data(*range(8)), recipe(server, batch=False))
    again = annotate(data(*range(8)), recipe(server))
    assert in_batches["llm_label"] == [1, 0, 0, 1, 0, 0]
    assert one_by_one["llm_label"] == again["llm_label"] == [1, 0, 0, 1, 0, 0, 1, 0]
    assert len(server.batches) == 1
    assert server.online == 2


def test_provenance_and_plan_know_the_price_of_batches(server: BatchServer) -> None:
    keys = recipe(server, price=PRICE)
    (record,) = provenance(annotate(data(*range(4)), keys))
    # Nine tokens each, at half of a thousandth of a dollar.
    assert record["cost_usd"] == pytest.approx(4 * 9 * 0.0005)
    assert record["annotator"]["batch"] is True


def test_the_plan_of_batches_costs_their_share(server: BatchServer, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": f"film {number}"}) + "\n" for number in range(20)))
    costs = []
    for batch in (False, True):
        keys = recipe(server, price=PRICE, batch=batch)
        file = tmp_path / f"{batch}.yaml"
        file.write_text(json.dumps(keys | {"source": {"path": "json", "data_files": str(rows)}}))
        likely = plan(str(file)).likely_usd
        assert likely is not None
        costs.append(likely)
    assert costs[1] == pytest.approx(costs[0] / 2)


def test_a_budget_holds_for_whole_batches(server: BatchServer) -> None:
    plain = read_recipe(recipe(server, price=PRICE))
    prompt = compile_variable(plain).prompt()
    with ResponseStore(store_path()) as store, tracked_budget(plain.client(), plain.name, store) as budget:
        most = budget.max_cost(Request(0, prompt.messages("match 29"), response_schema=prompt.response_schema)).usd
    # Each comes to 0.0045, so the budget holds one at a time, ten times over.
    found = annotate(data(*range(30)), recipe(server, price=PRICE, budget_usd=most + 10 * 9 * 0.0005))
    statuses = [STATUSES[code] for code in found["llm_label_status"]]
    assert set(statuses) == {"labelled", "over_budget"}
    assert sum(server.billed.values()) == statuses.count("labelled")
    with ResponseStore(store_path()) as store:
        (spent,) = store.select("SELECT sum(usd) FROM runs")[0]
    assert spent == pytest.approx(statuses.count("labelled") * 9 * 0.0005)
    assert list_batches(store_path()) == []


def test_many_stored_rows_among_the_new_ones_do_not_split_the_batch(server: BatchServer) -> None:
    stored = range(4200)
    annotate(data(*stored), recipe(server))
    assert len(server.batches) == 1
    found = annotate(data(9000, *stored, 9001), recipe(server))
    assert [len(batch.lines) for batch in server.batches.values()] == [4200, 2]
    assert found["llm_label"][0] == 1


def test_more_rows_than_may_wait_go_in_several_batches(server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "BATCH_WINDOW_ROWS", 10)
    found = annotate(data(*range(25)), recipe(server))
    assert [code == 1 for code in found["llm_label"]] == [number % 3 == 0 for number in range(25)]
    assert sum(len(batch.lines) for batch in server.batches.values()) == 25
    assert set(server.billed.values()) == {1}


def test_batches_are_for_servers_alone() -> None:
    with pytest.raises(RecipeError, match="`batch`"):
        annotate(data(1), {"name": "x", "task": {"kind": "text-classification", "labels": ["a", "b"]},
                           "source": {"path": "json"},
                            "annotator": {"client": "embedding", "batch": True}})  # fmt: skip


@pytest.mark.slow
def test_ctrl_c_while_waiting_says_that_the_batch_goes_on_and_it_is_taken_up(
    server: BatchServer, tmp_path: Path, home: Path
) -> None:
    server.looks = 10_000
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": f"match {number}"}) + "\n" for number in range(4)))
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe(server) | {"source": {"path": "json", "data_files": str(rows)}}))
    command = [sys.executable, "-c", "from hf_synthlabels.cli.main import main; main()", "annotate", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.count("GET /v1/batches/") < 1:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "batch_1: validating, 4 requests" in told
    assert "1 batches continue at the provider (batch_1)" in told
    assert "Traceback" not in told
    listed = [*command[:3], "batches", "list"]
    shown = subprocess.run(listed, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "batch_1, " in shown
    assert "4 requests to tiny at" in shown
    server.looks = 1
    done = subprocess.run([*command, "-o", str(tmp_path / "out.jsonl")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    labels = [json.loads(line)["llm_label"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert labels == ["sport"] * 4
    assert len(server.batches) == 1
    assert set(server.billed.values()) == {1}
    shown = subprocess.run(listed, capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown == "no open batches\n"
