from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_synthlabels.clients import ResponseStore, Run
from hf_synthlabels.clients.ledger import Grant, Settlement
from hf_synthlabels.clients.maintenance import dump, ledger, prune, restore, size, verify
from hf_synthlabels.errors import DataError, StoreError

USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "cached_tokens": 0}


def answer(text: str, model: str = "tiny-1") -> dict[str, object]:
    return {"text": text, "model": model, "usage": USAGE}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "responses.sqlite"
    with ResponseStore(path) as store:
        for number in range(500):
            store.put(f"{number:064x}", answer(f"answer {number}", "tiny-1" if number % 5 else "tiny-2"))
    return path


@pytest.fixture
def store(path: Path) -> Iterator[ResponseStore]:
    with ResponseStore(path) as store:
        yield store


def damage(path: Path, key: int) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE answers SET payload = replace(payload, 'answer', 'Answer') WHERE key = ?", (f"{key:064x}",)
        )


def test_a_whole_store_is_whole(path: Path) -> None:
    found = verify(path)
    assert (found.answers, found.damaged, found.faults, found.is_whole) == (500, (), (), True)


def test_damaged_answers_are_named_and_left_as_they_are(path: Path) -> None:
    damage(path, 7)
    damage(path, 9)
    before = path.read_bytes()
    found = verify(path)
    assert found.damaged == (f"{7:064x}", f"{9:064x}")
    assert not found.is_whole
    assert path.read_bytes() == before
    with ResponseStore(path) as store:
        assert set(store.get(f"{number:064x}" for number in range(6, 11))) == {f"{n:064x}" for n in (6, 8, 10)}


def test_a_torn_file_is_told_and_what_reads_can_be_saved(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    found = verify(path)
    assert found.faults
    saved = dump(path, tmp_path / "saved.jsonl")
    assert 0 <= saved < 500
    with ResponseStore(tmp_path / "new.sqlite") as store:
        assert restore(store, tmp_path / "saved.jsonl") == (saved, 0)
        for key, payload in store.get(f"{number:064x}" for number in range(500)).items():
            assert payload["text"] == f"answer {int(key, 16)}"


def test_a_file_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.sqlite").write_text("this is no database, but a text of some length " * 50)
    assert verify(tmp_path / "other.sqlite").faults
    with pytest.raises(StoreError, match=r"is not there\. Set HF_SYNTHLABELS_HOME"):
        verify(tmp_path / "none.sqlite")


def test_everything_goes_out_and_comes_back(path: Path, tmp_path: Path) -> None:
    assert dump(path, tmp_path / "all.jsonl") == 500
    assert not (tmp_path / "all.jsonl.part").exists()
    with ResponseStore(path) as old, ResponseStore(tmp_path / "new.sqlite") as new:
        assert restore(new, tmp_path / "all.jsonl") == (500, 0)
        assert restore(new, tmp_path / "all.jsonl") == (0, 500)
        keys = [f"{number:064x}" for number in range(500)]
        assert new.get(keys) == old.get(keys)


def test_another_answer_to_the_same_request_is_refused(store: ResponseStore, tmp_path: Path) -> None:
    line = {"request": f"{3:064x}", **answer("something else")}
    (tmp_path / "other.jsonl").write_text(json.dumps(line))
    with pytest.raises(DataError, match=r"request 000000000000 has another answer in the store\. Prune that one first"):
        restore(store, tmp_path / "other.jsonl")
    assert store.get([f"{3:064x}"])[f"{3:064x}"]["text"] == "answer 3"


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"request": "x"}', '{"text": "x"}', '{"request": "x", "text": "y", "usage": 3}']
)
def test_a_line_that_is_no_answer_is_named(store: ResponseStore, tmp_path: Path, line: str) -> None:
    good = json.dumps({"request": "a" * 64, **answer("good")})
    (tmp_path / "bad.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(DataError, match=r"`bad\.jsonl`, line 2: expected an exported answer"):
        restore(store, tmp_path / "bad.jsonl")


def test_pruning_counts_first_and_takes_out_only_when_told(store: ResponseStore) -> None:
    assert prune(store, model="tiny-2") == (100, 0)
    assert len(store) == 500
    assert prune(store, model="tiny-2", dry_run=False) == (100, 0)
    assert len(store) == 400
    assert prune(store, older_than_s=3600) == (0, 0)
    assert prune(store, older_than_s=-1, model="tiny-1") == (400, 0)
    with pytest.raises(DataError, match="`prune` has nothing to go by"):
        prune(store)


def test_the_ledger_by_recipe_and_model(store: ResponseStore) -> None:
    dear, cheap, killed = Run("films", "large"), Run("films", "small"), Run("films", "small")
    for run in (dear, cheap, killed):
        store.begin_run(run)
        store.grant(run, Grant(20, 1.0, 1000), lambda _: None)
    store.settle(dear, Settlement(10, 100, 20, 5, 0.5))
    store.settle(cheap, Settlement(5, 50, 10, 0, 0.1, uncertain_requests=1, uncertain_usd=0.05))
    store.settle(killed, Settlement(4, 40, 8, 0, 0.08))
    store.end_run(dear)
    store.end_run(cheap)
    store.flush()
    large, small = ledger(store)
    assert (large.model, large.runs, large.requests, large.usd) == ("large", 1, 10, 0.5)
    assert (large.unsettled_requests, large.unsettled_usd) == (0, 0.0)
    assert (small.runs, small.requests, small.prompt_tokens, small.completion_tokens) == (2, 9, 90, 18)
    assert small.usd == pytest.approx(0.18)
    assert (small.uncertain_requests, small.uncertain_usd) == (1, 0.05)
    # The killed run had 20 requests and a dollar reserved, and settled 4 and 8 cents of it.
    assert (small.unsettled_requests, small.unsettled_usd) == (16, pytest.approx(0.92))
    assert prune(store, unsettled=True, dry_run=False) == (0, 1)
    assert [line.unsettled_requests for line in ledger(store)] == [0, 0]
    assert size(store).answers == 500
    assert size(store).bytes > 500 * 100
