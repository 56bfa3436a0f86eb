"""The store: what is on disk when `add` returns, and what a killed process leaves."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from hf_synthlabels.errors import StoreError
from hf_synthlabels.review import DecisionStore
from hf_synthlabels.review.decision_store import Event


def event(key: str, row: int = 0, **more: object) -> Event:
    return Event(key, "ann", row, "d" * 16, "label", human_label="a", **more)  # type: ignore[arg-type]


def add(store: DecisionStore, event: Event) -> Event:
    return store.add_all([event])[0]


def test_events_come_back_in_their_order_with_all_that_was_said(tmp_path: Path) -> None:
    with DecisionStore(tmp_path / "new" / "store.sqlite") as store:
        first = add(store, event("one", note="why 🙂", seconds=1.5, llm_label=["x"], llm_shown=True))
        second = add(store, event("two", row=3))
        assert store.since() == [first, second]
        assert store.since(first.id) == [second]
    with DecisionStore(tmp_path / "new" / "store.sqlite") as again:
        assert again.since() == [first, second]
        assert (first.note, first.seconds, first.llm_label, first.llm_shown) == ("why 🙂", 1.5, ["x"], True)
        assert first.at > 1.7e9


def test_what_is_sent_twice_is_stored_once(tmp_path: Path) -> None:
    with DecisionStore(tmp_path / "store.sqlite") as store:
        first = add(store, event("one"))
        assert add(store, event("one", row=9)) == first
        assert len(store.since()) == 1


def test_several_events_are_stored_all_or_none(tmp_path: Path) -> None:
    with DecisionStore(tmp_path / "store.sqlite") as store:
        wrong = Event("two", "ann", 0, "d", "guess")  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="cannot be written"):
            store.add_all([event("one"), wrong])
        assert store.since() == []


def test_an_error_of_any_kind_leaves_no_transaction_open(tmp_path: Path) -> None:
    with DecisionStore(tmp_path / "store.sqlite") as store:
        with pytest.raises(TypeError):
            store.add_all([event("one"), Event("two", "ann", 0, "d", "label", human_label=object())])
        store._connection.execute("DROP TABLE facts")
        with pytest.raises(StoreError):
            store.remember({"a": 1})
        assert add(store, event("three")).id
        assert [each.key for each in store.since()] == ["three"]


def test_human_and_llm_labels_stand_in_columns_of_their_own(tmp_path: Path) -> None:
    with DecisionStore(tmp_path / "store.sqlite") as store:
        add(store, event("one", llm_label="b"))
    lines = sqlite3.connect(tmp_path / "store.sqlite").execute("SELECT human_label, llm_label, llm_shown FROM events")
    assert lines.fetchall() == [('"a"', '"b"', 0)]


def test_threads_and_two_openings_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with DecisionStore(path) as one, DecisionStore(path) as other:
        threads = [
            threading.Thread(target=lambda store=store, n=n: [add(store, event(f"{n}-{i}")) for i in range(10)])
            for n, store in enumerate([one, one, other, other])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(one.since()) == 40
        assert [each.id for each in one.since()] == sorted(each.id for each in other.since())


def test_a_killed_process_loses_nothing_that_was_added(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    child = os.fork()
    if child == 0:
        store = DecisionStore(path)
        for row in range(5):
            add(store, event(str(row), row))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with DecisionStore(path) as store:
        assert [each.row for each in store.since()] == [0, 1, 2, 3, 4]


def test_facts_are_kept_and_the_name_stays(tmp_path: Path) -> None:
    with DecisionStore(tmp_path / "store.sqlite") as store:
        store.remember({"options": {"text": ["a"]}})
        name = store.name
    with DecisionStore(tmp_path / "store.sqlite") as again:
        assert again.facts()["options"] == {"text": ["a"]}
        assert again.name == name


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_text("not a database " * 100)
    with pytest.raises(StoreError, match="cannot be opened: file is not a database"):
        DecisionStore(tmp_path / "store.sqlite")
    with DecisionStore(tmp_path / "newer.sqlite") as store:
        store.remember({"format": 99})
    with pytest.raises(StoreError, match="is of format 99, and this version reads 2"):
        DecisionStore(tmp_path / "newer.sqlite")
