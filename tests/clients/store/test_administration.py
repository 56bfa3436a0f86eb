from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hf_synthlabels.clients import ResponseStore, Run
from hf_synthlabels.clients.store.administration import (
    answer_keys,
    compact,
    ledger,
    release_reservations,
    remove_answers,
    reset_budget,
    size_bytes,
    verify,
)
from hf_synthlabels.clients.store.ledger import Allowance, UsageRecord
from hf_synthlabels.errors import DataError, StoreError

USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "cached_tokens": 0}


def answer(text: str, model: str = "tiny-1") -> dict[str, object]:
    return {"text": text, "model": model, "usage": USAGE}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    # A name that a URI would read otherwise.
    path = tmp_path / "a folder?#%41" / "responses.sqlite"
    with ResponseStore(path) as store:
        for number in range(500):
            store.put(f"{number:064x}", answer(f"answer {number}", "tiny-1" if number % 5 else "tiny-2"))
    return path


@pytest.fixture
def store(path: Path) -> Iterator[ResponseStore]:
    with ResponseStore(path) as store:
        yield store


def change(path: Path, statement: str, values: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def damage(path: Path, *numbers: int) -> None:
    for number in numbers:
        change(
            path,
            "UPDATE answers SET payload = replace(payload, 'answer', 'Answer') WHERE key = ?",
            (f"{number:064x}",),
        )


# Whether the file is whole


def test_a_whole_store_is_valid(path: Path) -> None:
    result = verify(path)
    assert (result.answers, result.damaged, result.faults, result.is_valid) == (500, (), (), True)


def test_damaged_answers_are_named_and_left_as_they_are(path: Path) -> None:
    damage(path, 7, 9)
    before = path.read_bytes()
    result = verify(path)
    assert result.damaged == (f"{7:064x}", f"{9:064x}")
    assert not result.is_valid
    assert path.read_bytes() == before
    with ResponseStore(path) as store:
        assert set(store.get(f"{number:064x}" for number in range(6, 11))) == {f"{n:064x}" for n in (6, 8, 10)}


def test_an_answer_that_is_no_text_any_more_is_damaged(path: Path) -> None:
    change(path, "UPDATE answers SET payload = ? WHERE key = ?", (b"\xff\x00\xfe", f"{4:064x}"))
    assert verify(path).damaged == (f"{4:064x}",)
    with ResponseStore(path) as store:
        # Its model can not be read, and nothing fails for it.
        assert f"{4:064x}" not in answer_keys(store, model="tiny-1")


def test_a_store_is_checked_while_others_write_to_it(path: Path, store: ResponseStore) -> None:
    store.put("f" * 64, answer("the last"))
    store.flush()
    result = verify(path)
    assert (result.answers, result.is_valid) == (501, True)


def test_a_torn_file_and_a_file_of_something_else_are_told(path: Path, tmp_path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])
    result = verify(path)
    assert result.faults
    assert result.answers < 500
    (tmp_path / "other.sqlite").write_text("this is no database, but a text of some length " * 50)
    assert verify(tmp_path / "other.sqlite").faults == ("file is not a database",)
    (tmp_path / "empty.sqlite").touch()
    assert verify(tmp_path / "empty.sqlite").faults == ("no such table: answers",)
    with pytest.raises(StoreError, match="does not exist"):
        verify(tmp_path / "none.sqlite")


# What was spent


def killed_process() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def filled_ledger(store: ResponseStore) -> dict[str, Run]:
    runs = {
        name: Run("films", model)
        for name, model in (("dear", "large"), ("cheap", "small"), ("killed", "small"), ("running", "small"))
    }
    for run in runs.values():
        store.begin_run(run)
        store.reserve(run, Allowance(20, 1.0, 1000))
    store.commit_usage(runs["dear"], UsageRecord(10, 100, 20, 5, 0.5))
    store.commit_usage(runs["cheap"], UsageRecord(5, 50, 10, 0, 0.1, uncertain_requests=1, uncertain_usd=0.05))
    store.commit_usage(runs["killed"], UsageRecord(4, 40, 8, 0, 0.08))
    store.end_run(runs["dear"])
    store.end_run(runs["cheap"])
    store.flush()
    store.execute("UPDATE runs SET pid = ? WHERE id = ?", (killed_process(), runs["killed"].id))
    return runs


def test_the_ledger_by_recipe_and_model(store: ResponseStore) -> None:
    filled_ledger(store)
    large, small = ledger(store)
    assert (large.scope, large.model) == ("films", "large")
    assert (large.runs, large.requests, large.usd, large.cached_tokens) == (1, 10, 0.5, 5)
    assert (large.killed_runs, large.reserved_requests, large.reserved_usd, large.running_runs) == (0, 0, 0.0, 0)
    assert (small.runs, small.requests, small.prompt_tokens, small.completion_tokens) == (3, 9, 90, 18)
    assert small.usd == pytest.approx(0.18)
    assert (small.uncertain_requests, small.uncertain_usd) == (1, 0.05)
    # The killed run had 20 requests and a dollar reserved, and settled 4 and 8 cents of it; the running one is this
    # process's own.
    assert (small.killed_runs, small.reserved_requests) == (1, 16)
    assert small.reserved_usd == pytest.approx(0.92)
    assert small.running_runs == 1


def test_requests_of_unknown_price_are_no_zero(store: ResponseStore) -> None:
    for usd in (None, 0.25):
        run = Run("films", "large")
        store.begin_run(run)
        store.commit_usage(run, UsageRecord(3, 30, 6, 0, usd))
        store.end_run(run)
    only = Run("books", "large")
    store.begin_run(only)
    store.commit_usage(only, UsageRecord(2, 20, 4))
    store.flush()
    films, books = ledger(store)
    assert (films.usd, films.requests, films.unpriced_requests) == (0.25, 6, 3)
    assert (books.usd, books.unpriced_requests) == (None, 2)


def test_size(store: ResponseStore) -> None:
    assert size_bytes(store) > 500 * 100


# Making it smaller


def test_answers_are_found_by_age_and_model(store: ResponseStore) -> None:
    assert len(answer_keys(store, model="tiny-2")) == 100
    assert answer_keys(store, older_than_s=3600) == []
    store.execute("UPDATE answers SET created_at = ? WHERE key < ?", (time.time() - 7200, f"{10:064x}"))
    assert answer_keys(store, older_than_s=3600) == [f"{number:064x}" for number in range(10)]
    # Both: 0 and 5.
    assert answer_keys(store, older_than_s=3600, model="tiny-2") == [f"{0:064x}", f"{5:064x}"]
    with pytest.raises(DataError, match="`prune`"):
        answer_keys(store)


def test_damaged_answers_are_found(path: Path, store: ResponseStore) -> None:
    damage(path, 7, 10)
    assert answer_keys(store, damaged=True) == [f"{7:064x}", f"{10:064x}"]
    assert answer_keys(store, damaged=True, model="tiny-2") == [f"{10:064x}"]


def test_removed_answers_are_gone_and_their_room_with_them(path: Path) -> None:
    with ResponseStore(path) as store:
        keys = answer_keys(store, model="tiny-1")
        remove_answers(store, keys)
        assert len(store) == 100
        assert store.get(keys) == {}
    before = path.stat().st_size
    assert compact(path)
    assert path.stat().st_size < before / 2
    assert verify(path).answers == 100


def test_only_what_killed_runs_had_reserved_is_given_back(store: ResponseStore) -> None:
    runs = filled_ledger(store)
    before = store.select("SELECT * FROM runs ORDER BY id")
    (line,) = release_reservations(store, dry_run=True)
    assert (line.scope, line.model, line.killed_runs, line.reserved_requests) == ("films", "small", 1, 16)
    assert line.reserved_usd == pytest.approx(0.92)
    assert store.select("SELECT * FROM runs ORDER BY id") == before
    assert release_reservations(store, dry_run=False) == [line]
    query = "SELECT granted_requests, granted_usd, ended_at IS NULL FROM runs WHERE id = ?"
    assert store.select(query, (runs["killed"].id,)) == [(4, 0.08, 0)]
    # This process is there, so its run may still spend what it reserved.
    assert store.select(query, (runs["running"].id,)) == [(20, 1.0, 1)]
    assert release_reservations(store, dry_run=False) == []


def test_runs_of_another_machine_count_as_killed_only_by_age(store: ResponseStore) -> None:
    run = filled_ledger(store)["running"]
    store.execute("UPDATE runs SET host = 'elsewhere', pid = 1 WHERE id = ?", (run.id,))
    store.execute("UPDATE runs SET started_at = ? WHERE id = ?", (time.time() - 7200, run.id))
    assert sum(line.killed_runs for line in release_reservations(store, dry_run=True)) == 1
    assert sum(line.killed_runs for line in release_reservations(store, older_than_s=86_400, dry_run=True)) == 1
    assert sum(line.killed_runs for line in release_reservations(store, older_than_s=3600, dry_run=False)) == 2
    # It had settled nothing, so nothing is left of it.
    assert store.select("SELECT * FROM runs WHERE id = ?", (run.id,)) == []


def test_a_recipes_runs_are_forgotten_but_for_those_that_go_on(store: ResponseStore) -> None:
    runs = filled_ledger(store)
    other = Run("books", "large")
    store.begin_run(other)
    store.commit_usage(other, UsageRecord(1, 1, 1))
    store.end_run(other)
    store.flush()
    assert reset_budget(store, "films", dry_run=True) == 3
    assert reset_budget(store, "films", model="large", dry_run=True) == 1
    assert reset_budget(store, "films", older_than_s=3600, dry_run=True) == 0
    assert len(store.select("SELECT id FROM runs")) == 5
    assert reset_budget(store, "films", dry_run=False) == 3
    assert {row[0] for row in store.select("SELECT id FROM runs")} == {runs["running"].id, other.id}


def test_a_run_is_this_process(store: ResponseStore) -> None:
    run = Run("films")
    store.begin_run(run)
    store.flush()
    assert store.select("SELECT pid, host FROM runs") == [(os.getpid(), socket.gethostname())]
