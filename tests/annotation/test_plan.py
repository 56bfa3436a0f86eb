"""What a recipe will cost is told before anything is spent."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import hf_synthlabels
from hf_synthlabels.annotation import Recipe, annotate_to_files, plan
from hf_synthlabels.annotation.planning.dry_run import first_prompt
from hf_synthlabels.clients import ResponseStore, Run
from hf_synthlabels.clients.store.ledger import Allowance, UsageRecord
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.resources import store_path
from tests.servers.chat import LabelServer


def recipe(
    folder: Path, base_url: str, count: int = 100, task: dict[str, Any] | None = None, **annotator: Any
) -> Recipe:
    rows = [{"id": number, "text": f"text number {number}"} for number in range(count)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    content = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"], **(task or {})},
        "annotator": {
            "client": "openai",
            "model": "tiny",
            "base_url": base_url,
            "api_key_env": None,
            "price": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2},
            **annotator,
        },
    }
    return Recipe.from_dict(content, folder=folder)


# The function has the name of its module.
PLANNING = import_module("hf_synthlabels.annotation.planning.plan")

URL = "http://127.0.0.1:9/v1"
"""Nobody listens there."""


def test_a_plan_asks_nobody(tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        made = plan(recipe(tmp_path, server.base_url))
    assert server.requests == []
    assert (made.rows, made.requests, made.stored, made.sampled) == (100, 100, 0, 100)
    # The system prompt has about a hundred tokens.
    assert 60 * 100 < made.prompt_tokens < 200 * 100
    assert made.high_answer_tokens == 256 * 100
    assert made.low_answer_tokens <= made.likely_answer_tokens <= made.high_answer_tokens
    assert made.likely_usd == pytest.approx((made.prompt_tokens + 2 * made.likely_answer_tokens) / 1e6, abs=1e-6)
    assert made.low_usd == pytest.approx((0.75 * made.prompt_tokens + 2 * made.low_answer_tokens) / 1e6, abs=1e-6)
    assert made.high_usd == pytest.approx((1.25 * made.prompt_tokens + 2 * 25_600) / 1e6, abs=1e-6)


def test_equal_arguments_make_equal_plans_and_the_seed_chooses(tmp_path: Path) -> None:
    made = recipe(tmp_path, URL, count=1000)
    texts = [{"id": number, "text": "word " * (number % 90 + 1)} for number in range(1000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, texts)), encoding="utf-8")
    assert plan(made, sample=20) == plan(made, sample=20)
    assert plan(made, sample=20).prompt_tokens != plan(made, sample=20, seed=2).prompt_tokens
    # Half of 90 words a row; 90 different texts are 90 requests.
    assert plan(made, sample=20).requests == 90
    assert plan(made, sample=20).notes == ("Rows without text are skipped, and equal rows are sent once.",)


def test_what_is_stored_is_not_paid_again_and_teaches_the_lengths(tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        annotate_to_files(recipe(tmp_path, server.base_url, count=30), tmp_path / "out.jsonl")
        asked = len(server.requests)
        made = plan(recipe(tmp_path, server.base_url, count=100))
        assert len(server.requests) == asked
    assert (made.requests, made.stored) == (100, 30)
    # The server counts ten tokens for each prompt and one for each answer.
    assert made.prompt_tokens == pytest.approx(700, abs=35)
    assert (made.low_answer_tokens, made.likely_answer_tokens) == (70, 70)
    assert made.likely_usd == pytest.approx((made.prompt_tokens + 2 * 70) / 1e6)
    assert made.low_usd == pytest.approx((0.97 * made.prompt_tokens + 2 * 70) / 1e6, abs=1e-6)
    assert made.seconds > 0
    assert made.pace.startswith("at the pace of the last run, ")


def test_when_all_is_stored_nothing_is_left_to_pay(tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        whole = recipe(tmp_path, server.base_url, count=30, budget_usd=1.0)
        annotate_to_files(whole, tmp_path / "out.jsonl")
        made = plan(whole)
    assert (made.requests, made.stored, made.prompt_tokens, made.likely_usd, made.high_usd) == (30, 30, 0, 0.0, 0.0)
    assert made.budget.endswith("are spent or reserved: nothing is left to ask")


def test_another_prompt_takes_the_length_of_answers_from_the_ledger(tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        annotate_to_files(recipe(tmp_path, server.base_url, count=30), tmp_path / "out.jsonl")
        made = plan(recipe(tmp_path, server.base_url, count=30, system="Choose film or sport."))
    assert (made.requests, made.stored) == (30, 0)
    assert made.likely_answer_tokens == 30


def test_rows_without_text_are_not_asked(tmp_path: Path) -> None:
    made = recipe(tmp_path, URL)
    rows = [{"text": "a film"}, {"text": ""}, {"text": None}, {"text": "a match"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert (plan(made).rows, plan(made).requests) == (4, 2)


def test_draws_and_rows_per_call(tmp_path: Path) -> None:
    assert plan(recipe(tmp_path, URL, num_samples=3, temperature=0.5)).requests == 300
    together = plan(recipe(tmp_path, URL, task={"rows_per_call": 30}))
    assert together.requests == 4
    # A name, its number and some brackets for each row.
    assert 100 * 4 < together.likely_answer_tokens < 120 * 15


def test_what_is_asked_for_makes_answers_longer(subtests: pytest.Subtests, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"reasoning": True}, {}),
        ({"candidates": 2}, {}),
        ({"questions": {"plot": {"ask": "Is there a plot?"}}}, {}),
        ({}, {"reasoning_model": True, "temperature": None}),
        ({"kind": "text-generation", "labels": []}, {}),
    ]
    for task, annotator in cases:
        with subtests.test(repr((task, annotator))):
            plain = plan(recipe(tmp_path, URL))
            longer = plan(recipe(tmp_path, URL, task=task, **annotator))
            assert longer.likely_answer_tokens > plain.likely_answer_tokens


@pytest.mark.parametrize("response_format", ["text", "json_schema"])
def test_shown_prompt_is_the_one_that_is_sent(tmp_path: Path, response_format: str) -> None:
    answer = "film" if response_format == "text" else '{"label": "film"}'
    with LabelServer(lambda _: answer) as server:
        shown = recipe(tmp_path, server.base_url, count=1, response_format=response_format)
        prompt = first_prompt(shown)
        assert server.bodies == []
        annotate_to_files(shown, tmp_path / "out.jsonl")
    (body,) = server.bodies
    parts = [f"--- {message['role']}\n{message['content']}" for message in body["messages"]]
    if response_format == "json_schema":
        parts.append(f"--- JSON schema of the answer\n{json.dumps(body['response_format']['json_schema']['schema'])}")
    assert prompt == "\n".join(parts)


def test_a_source_without_text_has_no_prompt(tmp_path: Path) -> None:
    empty = recipe(tmp_path, URL, count=1)
    (tmp_path / "rows.jsonl").write_text('{"text": ""}\n', encoding="utf-8")
    with pytest.raises(DataError, match="source"):
        first_prompt(empty)


@pytest.mark.parametrize("kind", ["multi-label", "text-scale", "token-classification"])
def test_every_kind_can_be_planned(tmp_path: Path, kind: str) -> None:
    keys = {"scale": {"low": 1, "high": 5}, "labels": []} if kind == "text-scale" else {}
    assert plan(recipe(tmp_path, URL, task={"kind": kind, **keys})).likely_answer_tokens > 0


def test_the_requests_of_chosen_examples_are_those_of_the_run(tmp_path: Path, encoder: str) -> None:
    examples = [
        {"text": f"{word} {word}", "label": "film" if word < "g" else "sport"} for word in ("actor", "goal", "plot")
    ]
    selection = {"method": "nearest", "count": 2, "encoder": encoder}
    with LabelServer(lambda _: "film") as server:
        made = recipe(tmp_path, server.base_url, count=12, examples=examples, example_selection=selection)
        annotate_to_files(made, tmp_path / "out.jsonl")
        assert (plan(made).requests, plan(made).stored) == (12, 12)


def test_a_large_source_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PLANNING.EXACT_ROWS == 100_000
    monkeypatch.setattr(PLANNING, "EXACT_ROWS", 1000)
    made = plan(recipe(tmp_path, URL, count=3000), sample=200)
    assert (made.rows, made.requests, made.sampled) == (3000, 3000, 200)
    assert made.notes == ("Requests and stored answers are extrapolated from 200 sampled rows.",)
    whole = plan(recipe(tmp_path, URL, count=1000))
    assert made.prompt_tokens == pytest.approx(3 * whole.prompt_tokens, rel=0.02)
    # Whole calls are drawn: 6 of 30 rows each are as near to 200 rows as it gets.
    together = plan(recipe(tmp_path, URL, count=3000, task={"rows_per_call": 30}), sample=200)
    assert (together.sampled, together.requests) == (180, 100)


def test_stored_answers_of_a_sampled_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PLANNING, "EXACT_ROWS", 100)
    with LabelServer(lambda _: "film") as server:
        annotate_to_files(recipe(tmp_path, server.base_url, count=600), tmp_path / "out.jsonl")
        made = plan(recipe(tmp_path, server.base_url, count=1200), sample=400)
    # Half of the rows are answered; 400 draws have a standard error of 2.5 percent.
    assert made.stored == pytest.approx(600, abs=100)


@pytest.mark.parametrize(
    ("limits", "seconds", "pace"),
    [
        ({}, 100 / 64, "if an answer takes 1 s, 64 at once"),
        ({"max_in_flight": 10}, 10.0, "if an answer takes 1 s, 10 at once"),
        ({"requests_per_minute": 10}, 600.0, "by `requests_per_minute`"),
    ],
)
def test_time_at_the_limits(tmp_path: Path, limits: dict[str, Any], seconds: float, pace: str) -> None:
    made = plan(recipe(tmp_path, URL, **limits))
    assert made.seconds == pytest.approx(seconds)
    assert made.pace == pace


def test_time_by_tokens_per_minute(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, URL, tokens_per_minute=600))
    assert made.seconds == pytest.approx((made.prompt_tokens + made.likely_answer_tokens) / 10)
    assert made.pace == "by `tokens_per_minute`"


# Whether the budget is enough


def test_whether_the_budget_is_enough(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, URL))
    assert (made.budget, made.affordable_rows) == ("", None)
    assert made.likely_usd is not None
    assert made.high_usd is not None
    enough = plan(recipe(tmp_path, URL, budget_usd=made.high_usd * 1.01))
    assert enough.budget.endswith(" USD, of which 0.0000 are spent or reserved: enough")
    assert enough.affordable_rows == 100
    likely = plan(recipe(tmp_path, URL, budget_usd=made.likely_usd * 1.5))
    assert likely.budget.endswith(": likely enough")
    short = plan(recipe(tmp_path, URL, budget_usd=made.likely_usd / 2))
    assert short.affordable_rows is not None
    assert short.budget.endswith(f": not enough, likely for {short.affordable_rows} of 100 requests")
    # Each request reserves more than it is likely to cost, so a little less than half of them.
    assert 35 < short.affordable_rows < 50


def test_the_rows_that_a_budget_is_enough_for_are_labelled(tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        # Twenty rows that teach what a request costs: ten tokens in, one out, so 12 millionths of a dollar.
        annotate_to_files(recipe(tmp_path, server.base_url, count=20), tmp_path / "out.jsonl")
        made = recipe(tmp_path, server.base_url, count=100, budget_usd=0.00024 + 0.0015)
        planned = plan(made)
        annotate_to_files(made, tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    labelled = sum(json.loads(line)["llm_label"] is not None for line in lines)
    assert planned.affordable_rows is not None
    assert 0 < planned.affordable_rows < 80
    assert labelled - 20 == pytest.approx(planned.affordable_rows, abs=4)


def test_a_budget_that_holds_no_request_is_told(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, URL, budget_usd=0.0001))
    assert ": not enough for one request, for which 0.00" in made.budget
    assert made.affordable_rows == 0


def test_a_budget_of_tokens(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, URL))
    assert plan(recipe(tmp_path, URL, budget_tokens=200_000)).budget == (
        "200,000 tokens, of which 0 are spent or reserved: enough"
    )
    half = (made.prompt_tokens + made.likely_answer_tokens) // 2
    both = plan(recipe(tmp_path, URL, budget_tokens=half, budget_usd=5))
    assert "USD, of which 0.0000 are spent or reserved: enough; " in both.budget
    assert both.affordable_rows is not None
    assert 35 < both.affordable_rows < 50


def test_what_was_spent_and_what_is_reserved_is_gone_from_the_budget(tmp_path: Path) -> None:
    made = recipe(tmp_path, URL, budget_usd=1.0)
    with ResponseStore(store_path()) as store:
        ended, killed = Run("films", "tiny"), Run("films", "tiny")
        for run in (ended, killed):
            store.begin_run(run)
            store.reserve(run, Allowance(10, 0.4, 1000))
            store.commit_usage(run, UsageRecord(1, 10, 1, 0, 0.1))
        store.end_run(ended)
    # 10 cents of the ended run, all of the 40 cents of the other.
    assert plan(made).budget.startswith("1 USD, of which 0.5000 are spent or reserved: ")


def test_what_killed_runs_hold_is_told(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with ResponseStore(store_path()) as store:
        for name in ("films", "books"):
            killed = Run(name, "tiny")
            store.begin_run(killed)
            store.reserve(killed, Allowance(10, 0.4, 1000))
            store.commit_usage(killed, UsageRecord(1, 10, 1, 0, 0.1))
            store.flush()
        store.execute("UPDATE runs SET pid = ?", (process.pid,))
    assert plan(recipe(tmp_path, URL, budget_usd=1)).notes == (
        "Killed runs hold 0.3000 USD for 9 requests that may have been billed: "
        "`hf-synthlabels cache prune --release-reservations` returns it.",
    )
    assert plan(recipe(tmp_path, URL)).notes == ()


def test_batches_cost_less_and_take_a_day(tmp_path: Path) -> None:
    prices = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2, "batch_price_factor": 0.5}
    single = plan(recipe(tmp_path, URL, price=prices))
    assert single.notes == ("With `batch: true` it costs 50% of this, answered within a day.",)
    together = plan(recipe(tmp_path, URL, price=prices, batch=True))
    assert single.likely_usd is not None
    assert together.likely_usd == pytest.approx(single.likely_usd / 2)
    assert (together.seconds, together.pace, together.notes) == (86_400, "at most, in batches", ())


def test_a_budget_that_can_not_be_kept_is_told(tmp_path: Path) -> None:
    assert plan(recipe(tmp_path, URL, budget_usd=5, price=None)).budget.endswith(
        "cannot be enforced without a price, so no request will be sent"
    )
    endless = plan(recipe(tmp_path, URL, budget_usd=5, max_tokens=None))
    assert endless.budget.endswith("cannot be enforced without `max_tokens`, so no request will be sent")
    assert (endless.high_answer_tokens, endless.high_usd) == (None, None)
    assert "unlimited high" in str(endless)


# What is said of the price


def test_an_unknown_price_is_said_and_is_not_zero(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, "https://models.example.org/v1", price=None))
    assert (made.low_usd, made.likely_usd, made.high_usd) == (None, None, None)
    assert "no list price of 'tiny' at https://models.example.org/v1 is known. Give `price`." in str(made)
    assert "cost          unknown" in str(made)


def test_a_server_on_this_machine_needs_no_price(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, URL, price=None))
    assert made.price == "no price: tokens only, for the server is on this machine"
    assert made.likely_usd is None


def test_a_list_price_says_its_day(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, "https://api.openai.com/v1", model="gpt-4.1-nano-2025-04-14", price=None))
    assert made.price == ("list price of 2026-11-21 (https://developers.openai.com/api/docs/models/gpt-4.1-nano)")
    # A tenth of a dollar in, four tenths out.
    assert made.likely_usd == pytest.approx((0.1 * made.prompt_tokens + 0.4 * made.likely_answer_tokens) / 1e6)


def test_a_probe_to_come_is_said(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, URL, response_format="auto"))
    assert made.notes == ("The endpoint is first probed for its response formats, with one or two small requests.",)


def test_a_schema_that_is_sent_is_part_of_the_prompt(tmp_path: Path) -> None:
    loose = plan(recipe(tmp_path, URL, response_format="json_object")).prompt_tokens
    assert plan(recipe(tmp_path, URL, response_format="json_schema")).prompt_tokens > loose + 100 * 20


def test_the_table_and_the_json(tmp_path: Path) -> None:
    made = hf_synthlabels.plan(recipe(tmp_path, URL))
    assert json.loads(made.to_json())["requests"] == 100
    lines = str(made).splitlines()
    assert lines[0] == "recipe films, model tiny"
    assert lines[2] == "  requests      100 to send, 0 of 100 are stored"
    assert [line.split()[0] for line in lines[1:]] == ["rows", "requests", "prompt", "answer", "cost", "price", "time"]


def test_a_annotator_without_a_server_is_free(tmp_path: Path) -> None:
    plain = recipe(tmp_path, URL)
    annotator = {"client": "recorded", "column": "text"}
    content = plain.model_dump(mode="json") | {"annotator": annotator}
    made = plan(Recipe.from_dict(content, folder=tmp_path))
    assert (made.likely_usd, made.price) == (0.0, "client 'recorded' asks no server")
    assert not made.is_sent
    assert [line.split()[0] for line in str(made).splitlines()[1:]] == ["rows", "requests", "cost"]


@pytest.mark.parametrize("sample", [0, -1])
def test_a_sample_of_nothing_is_refused(tmp_path: Path, sample: int) -> None:
    with pytest.raises(ConfigError, match="`sample`"):
        plan(recipe(tmp_path, URL), sample=sample)
