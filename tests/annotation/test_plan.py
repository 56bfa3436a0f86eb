"""What a recipe will cost is told before anything is spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hf_synthlabels
from hf_synthlabels.annotation import Recipe, annotate_to_files, load, plan
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.errors import DataError
from tests.annotation.label_server import LabelServer


def recipe(folder: Path, base_url: str, count: int = 100, task: dict[str, Any] | None = None, **teacher: Any) -> Recipe:
    rows = [{"id": number, "text": f"text number {number}"} for number in range(count)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    content = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"], **(task or {})},
        "teacher": {
            "client": "openai",
            "model": "tiny",
            "base_url": base_url,
            "api_key_env": None,
            "price": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2},
            **teacher,
        },
    }
    return Recipe.from_dict(content, folder=folder)


def test_a_plan_asks_nobody(tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        made = plan(recipe(tmp_path, server.base_url))
    assert server.requests == []
    assert (made.rows, made.requests, made.stored, made.sampled) == (100, 100, 0, 100)
    # The system prompt has about a hundred tokens.
    assert 60 * 100 < made.prompt_tokens < 200 * 100
    assert made.low_answer_tokens <= made.likely_answer_tokens <= made.high_answer_tokens == 256 * 100
    assert made.low_usd is not None
    assert made.likely_usd is not None
    assert made.high_usd is not None
    assert 0 < made.low_usd < made.likely_usd < made.high_usd
    assert made.likely_usd == pytest.approx((made.prompt_tokens + 2 * made.likely_answer_tokens) / 1e6)


def test_what_is_stored_is_not_paid_again_and_teaches_the_length_of_answers(tmp_path: Path) -> None:
    with LabelServer(lambda _: "film") as server:
        first = recipe(tmp_path, server.base_url, count=30)
        annotate_to_files(first, tmp_path / "out.jsonl")
        made = plan(recipe(tmp_path, server.base_url, count=100))
    assert (made.requests, made.stored) == (100, 30)
    # Each answer had one token.
    assert made.likely_answer_tokens == 70


def test_draws_and_rows_per_call(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/v1"
    assert plan(recipe(tmp_path, url, draws=3, temperature=0.5)).requests == 300
    assert plan(recipe(tmp_path, url, task={"rows_per_call": 30})).requests == 4


def test_a_large_source_is_sampled(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, "http://127.0.0.1:9/v1", count=30_000), sample=200)
    assert (made.rows, made.requests, made.sampled) == (30_000, 30_000, 200)
    assert made.notes == ("Of 30,000 rows a sample of 200 was rendered.",)
    whole = plan(recipe(tmp_path, "http://127.0.0.1:9/v1", count=15_000))
    assert made.prompt_tokens == pytest.approx(2 * whole.prompt_tokens, rel=0.02)


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [({}, 100 / 64), ({"max_in_flight": 10}, 10.0), ({"requests_per_minute": 10}, 600.0)],
)
def test_time_at_the_limits(tmp_path: Path, limits: dict[str, Any], seconds: float) -> None:
    assert plan(recipe(tmp_path, "http://127.0.0.1:9/v1", **limits)).seconds == pytest.approx(seconds)


def test_whether_the_budget_is_enough(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/v1"
    made = plan(recipe(tmp_path, url))
    assert made.likely_usd is not None
    assert made.high_usd is not None
    enough = plan(recipe(tmp_path, url, budget_usd=made.high_usd * 1.01)).budget
    likely = plan(recipe(tmp_path, url, budget_usd=made.likely_usd * 1.01)).budget
    short = plan(recipe(tmp_path, url, budget_usd=made.likely_usd / 2)).budget
    assert enough.endswith("0.0000 of it spent: enough at most")
    assert likely.endswith(": likely enough")
    assert short.endswith(": not enough; about 50% of the rows can be labelled")


def test_an_unknown_price_is_said_and_is_not_zero(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, "http://127.0.0.1:9/v1", price=None))
    assert (made.low_usd, made.likely_usd, made.high_usd) == (None, None, None)
    assert "no list price of 'tiny' at http://127.0.0.1:9/v1 is known; give `teacher.price`" in str(made)


def test_a_probe_to_come_is_said(tmp_path: Path) -> None:
    made = plan(recipe(tmp_path, "http://127.0.0.1:9/v1", response_format="auto"))
    assert made.notes == ("The endpoint will first be probed for its answer forms, with one or two small requests.",)


def test_the_table_and_the_json(tmp_path: Path) -> None:
    made = hf_synthlabels.plan(recipe(tmp_path, "http://127.0.0.1:9/v1"))
    assert json.loads(made.to_json())["requests"] == 100
    lines = str(made).splitlines()
    assert lines[0] == "recipe films, model tiny"
    assert " ".join(lines[2].split()) == "requests 100 to send (100 in all, 0 answers stored already)"


def test_a_teacher_without_a_server_is_free(tmp_path: Path) -> None:
    plain = recipe(tmp_path, "x")
    teacher = {"client": "recorded", "column": "text"}
    content = plain.model_dump(mode="json") | {"teacher": teacher}
    made = plan(Recipe.from_dict(content, folder=tmp_path))
    assert (made.likely_usd, made.price) == (0.0, "client 'recorded' asks no server")


# Answers that are taken along


def test_an_exported_run_is_repeated_without_a_server(tmp_path: Path) -> None:
    from hf_synthlabels.annotation import export_answers

    def answer(text: str) -> str:
        return "film" if int(text.split()[-1]) % 3 else "I do not know"

    with LabelServer(answer) as server:
        made = recipe(tmp_path, server.base_url, count=20, draws=2, temperature=0.5)
        labels = load(made)["train"]
    file = tmp_path / "answers.jsonl"
    assert export_answers(made, "id", file) == (40, 0)
    replay = made.model_dump(mode="json") | {
        "teacher": {"client": "recorded", "file": str(file), "key": "id", "draws": 2}
    }
    again = load(Recipe.from_dict(replay, folder=tmp_path))["train"]
    for column in ("llm_label", "llm_label_status", "llm_label_raw", "llm_label_confidence"):
        assert again[column] == labels[column]


def test_an_export_can_be_imported_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_synthlabels.annotation import export_answers, store_path
    from hf_synthlabels.clients.maintenance import restore

    with LabelServer(lambda _: "film") as server:
        made = recipe(tmp_path, server.base_url, count=20)
        annotate_to_files(made, tmp_path / "out.jsonl")
        export_answers(made, "id", tmp_path / "answers.jsonl")
        monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "elsewhere"))
        with ResponseStore(store_path()) as store:
            assert restore(store, tmp_path / "answers.jsonl") == (20, 0)
            assert restore(store, tmp_path / "answers.jsonl") == (0, 20)
        asked = len(server.requests)
        annotate_to_files(made, tmp_path / "again.jsonl")
        assert len(server.requests) == asked
    assert (tmp_path / "again.jsonl").read_text() == (tmp_path / "out.jsonl").read_text()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("number", r"`key` names the column 'number', which split 'train' has not"),
        ("same", r"'same' has 'x' in two rows"),
    ],
)
def test_a_key_must_tell_rows_apart(tmp_path: Path, key: str, message: str) -> None:
    from hf_synthlabels.annotation import export_answers

    made = recipe(tmp_path, "http://127.0.0.1:9/v1", count=3)
    rows = [{"id": number, "same": "x", "text": f"text {number}"} for number in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        export_answers(made, key, tmp_path / "answers.jsonl")
    assert not (tmp_path / "answers.jsonl").exists()
