from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.clients import ResponseStore, Run
from hf_synthlabels.clients.store import sqlite_file
from hf_synthlabels.clients.store.ledger import Allowance, UsageRecord
from hf_synthlabels.clients.store.payloads import canonical_hash
from hf_synthlabels.clients.store.sqlite_backend import CALLS, SqliteBackend
from hf_synthlabels.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "answers.sqlite"


def test_what_was_put_is_there_after_flush(path: Path) -> None:
    with ResponseStore(path) as store:
        assert (len(store), store.get(["a"])) == (0, {})
        store.put("a", {"text": "gut ✓", "usage": {"n": 1}})
        store.put("b", {"text": "half of a pair: \ud83d"})
        store.flush()
        assert len(store) == 2
        assert store.get(["a", "b", "c"]) == {
            "a": {"text": "gut ✓", "usage": {"n": 1}},
            "b": {"text": "half of a pair: \ud83d"},
        }


def test_the_last_answer_to_a_key_stays(path: Path) -> None:
    with ResponseStore(path) as store:
        store.put("a", {"text": "first"})
        store.put("a", {"text": "second"})
        store.flush()
        assert len(store) == 1
        assert store.get(["a"]) == {"a": {"text": "second"}}


def test_many_keys_at_once(path: Path) -> None:
    with ResponseStore(path) as store:
        for number in range(1200):
            store.put(f"key {number}", {"text": str(number)})
        store.flush()
        actual = store.get(f"key {number}" for number in range(2000))
    assert actual == {f"key {number}": {"text": str(number)} for number in range(1200)}


def test_without_flush_it_is_written_by_itself(path: Path) -> None:
    with ResponseStore(path) as store:
        store.put("a", {"text": "good"})
        waited = threading.Event()
        for _ in range(100):
            if store.get(["a"]):
                break
            waited.wait(0.05)
        assert store.get(["a"]) == {"a": {"text": "good"}}


def test_closing_writes_what_is_pending(path: Path) -> None:
    store = ResponseStore(path)
    for number in range(250):
        store.put(str(number), {"text": "good"})
    store.close()
    store.close()
    with ResponseStore(path) as again:
        assert len(again) == 250


def test_answers_outlast_the_lock_of_another_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may hold the lock longer than SQLite waits for it, as when it compacts a large file."""
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_S", 0.05)
    with ResponseStore(path) as store:
        store.flush()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        kept = store.put("a" * 64, {"text": "paid"})
        with pytest.raises(TimeoutError):
            kept.result(timeout=0.5)
        other.execute("ROLLBACK")
        other.close()
        kept.result(timeout=30)
    with ResponseStore(path) as store:
        assert store.get(["a" * 64]) == {"a" * 64: {"text": "paid"}}


def test_a_closed_store_takes_nothing(path: Path) -> None:
    store = ResponseStore(path)
    store.close()
    with pytest.raises(StoreError, match="cannot be written: it is closed"):
        store.put("a", {"text": "good"})
    with pytest.raises(StoreError, match="cannot be written: it is closed"):
        store.flush()
    with pytest.raises(StoreError, match="cannot be read"):
        store.get(["a"])


def test_several_threads_write_at_once(path: Path) -> None:
    with ResponseStore(path) as store:

        def work(worker: int) -> None:
            for number in range(100):
                store.put(f"{worker}-{number}", {"text": str(number)})
                store.get([f"{worker}-{number}"])

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.flush()
        assert len(store) == 400


CHILD = """
import os, signal, sys
from hf_synthlabels.clients import ResponseStore
path, name, count, end = sys.argv[1:]
store = ResponseStore(path)
for number in range(int(count)):
    store.put(f"{name} {number}", {"text": str(number)})
    if number % 50 == 49:
        store.flush()
store.flush()
if end == "kill":
    store.put("too late", {"text": "perhaps"})
    os.kill(os.getpid(), signal.SIGKILL)
store.close()
"""


def start(path: Path, name: str, count: int, end: str = "close") -> subprocess.Popen[bytes]:
    # The package is imported from where this process found it.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    return subprocess.Popen([sys.executable, "-c", CHILD, str(path), name, str(count), end], env=environment)


def test_kill_after_flush_loses_nothing(path: Path) -> None:
    child = start(path, "child", 120, "kill")
    assert child.wait(30) == -signal.SIGKILL
    with ResponseStore(path) as store:
        actual = store.get(f"child {number}" for number in range(120))
        assert actual == {f"child {number}": {"text": str(number)} for number in range(120)}
        store.put("after", {"text": "good"})
        store.flush()
        assert store.get(["after"]) == {"after": {"text": "good"}}


def test_processes_that_write_at_once_lose_nothing_and_see_each_other(path: Path) -> None:
    children = [start(path, name, 300) for name in ("left", "right")]
    with ResponseStore(path) as store:
        for number in range(300):
            store.put(f"here {number}", {"text": str(number)})
        store.flush()
        assert [child.wait(60) for child in children] == [0, 0]
        assert len(store) == 900
        for name in ("left", "right", "here"):
            actual = store.get(f"{name} {number}" for number in range(300))
            assert actual == {f"{name} {number}": {"text": str(number)} for number in range(300)}


def test_stores_opened_at_once_on_a_new_file_do_not_disturb_each_other(path: Path) -> None:
    errors: list[BaseException] = []
    ready = threading.Barrier(6)

    def work(number: int) -> None:
        try:
            ready.wait()
            with ResponseStore(path) as store:
                store.put(str(number), {"text": "good"})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with ResponseStore(path) as store:
        assert len(store) == 6


@pytest.mark.parametrize(
    "change",
    [
        """UPDATE answers SET payload = '{"text": "bad"}' WHERE key = 'a'""",
        "UPDATE answers SET payload = CAST(x'7b22fffe227d' AS TEXT) WHERE key = 'a'",
        "UPDATE answers SET payload = x'00ff' WHERE key = 'a'",
        "UPDATE answers SET checksum = '0' WHERE key = 'a'",
    ],
)
def test_a_damaged_answer_counts_as_absent(path: Path, change: str) -> None:
    with ResponseStore(path) as store:
        store.put("a", {"text": "good"})
        store.put("b", {"text": "fine"})
    connection = sqlite3.connect(path)
    assert connection.execute(change).rowcount == 1
    connection.commit()
    connection.close()
    with ResponseStore(path) as store:
        assert store.get(["a", "b"]) == {"b": {"text": "fine"}}
        store.put("a", {"text": "again"})
        store.flush()
        assert store.get(["a"]) == {"a": {"text": "again"}}


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be opened: .*HF_SYNTHLABELS_HOME") as caught:
        ResponseStore(tmp_path / "file" / "answers.sqlite")
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        ResponseStore(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("when", ["opened", "read", "written"])
def test_a_damaged_file_is_moved_aside_and_the_message_names_it(path: Path, when: str) -> None:
    with ResponseStore(path) as store:
        for number in range(500):
            store.put(f"{number:064x}", {"text": "paid", "filler": "x" * 100})
    content = path.read_bytes()
    # The first page holds the schema, so that the store still opens.
    path.write_bytes(b"no database, " * 500 if when == "opened" else content[:4096] + b"\xff" * (len(content) - 4096))

    def use() -> None:
        with ResponseStore(path) as store:
            if when == "read":
                store.get([f"{7:064x}"])
            store.put("a" * 64, {"text": "new"}).result(10)

    with pytest.raises(StoreError, match="moved to") as caught:
        use()
    assert len(str(caught.value).splitlines()) == 1
    (moved,) = (file for file in path.parent.glob("*.damaged-*") if not file.name.endswith(("-wal", "-shm")))
    assert str(moved) in str(caught.value)
    assert moved.stat().st_size
    with ResponseStore(path) as store:
        assert len(store) == 0


def test_a_new_store_is_not_moved_for_the_damage_of_the_old_one(path: Path) -> None:
    backend = SqliteBackend(path)
    path.rename(path.with_name("moved"))
    path.touch()
    error = sqlite3.DatabaseError("malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    assert "moved to" not in str(backend._error("read", error))
    assert path.exists()
    backend.close()


def test_a_table_that_is_gone_shows_in_get_put_and_flush(path: Path) -> None:
    store = ResponseStore(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE answers")
    connection.close()
    with pytest.raises(StoreError, match="cannot be read: no such table"):
        store.get(["a"])
    store.put("a", {"text": "good"})
    with pytest.raises(StoreError, match="cannot be written: no such table"):
        store.flush()
    with pytest.raises(StoreError, match="cannot be written: no such table"):
        store.put("b", {"text": "good"})
    with pytest.raises(StoreError, match="cannot be written: no such table"):
        store.close()


@pytest.mark.parametrize("fails", ["before the grant", "after the grant"])
def test_a_group_that_cannot_be_written_is_an_error_for_all_who_wait_for_it(
    path: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResponseStore(path)
    run = Run("films", budget_usd=1.0)
    store.begin_run(run)
    store.flush()
    writing, full = threading.Event(), threading.Event()

    def busy(_: sqlite3.Connection) -> None:
        writing.set()
        assert full.wait(10)

    monkeypatch.setitem(CALLS, "busy", busy)
    store._writer.call("busy")
    assert writing.wait(10)
    # The writer is busy, so all of these are one group.
    if fails == "before the grant":
        store._writer.call("execute", "INSERT INTO no_such_table VALUES (1)", [()])
    granted = store.reserve(run, Allowance(1, 0.1, 10))
    answer = store.put("a", {"text": "good"})
    store.commit_usage(run, UsageRecord(1, 2, 3))
    if fails == "after the grant":
        store._writer.call("execute", "INSERT INTO no_such_table VALUES (1)", [()])
    answer.add_done_callback(lambda _: 1 // 0)
    done = threading.Event()
    answer.add_done_callback(lambda _: done.set())
    full.set()
    for waiting in (granted, answer):
        with pytest.raises(StoreError, match="no such table"):
            waiting.result(10)
    # A callback that raises keeps no other from running.
    assert done.wait(10)
    with pytest.raises(StoreError, match="no such table"):
        store.flush()
    connection = sqlite3.connect(path)
    ((reserved,),) = connection.execute("SELECT granted_usd FROM runs").fetchall()
    connection.close()
    # Nothing of the group is on disk, so nothing of it was granted.
    assert reserved == 0.0


def test_what_is_handed_over_while_it_closes_is_refused_and_never_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResponseStore(path)
    run = Run("films", budget_usd=1.0)
    writing, go = threading.Event(), threading.Event()

    def busy(_: sqlite3.Connection) -> None:
        writing.set()
        assert go.wait(10)

    monkeypatch.setitem(CALLS, "busy", busy)
    store._writer.call("busy")
    assert writing.wait(10)
    closer = threading.Thread(target=store.close)
    closer.start()
    while not store._writer._closed:
        time.sleep(0.001)
    for use in (store.flush, lambda: store.put("a", {}), lambda: store.reserve(run, Allowance(1))):
        with pytest.raises(StoreError, match="it is closed"):
            use()
    go.set()
    closer.join(10)
    assert not closer.is_alive()


def test_the_key_of_a_request_by_hand() -> None:
    # printf '{"a":[1,"ä"],"b":null}' | sha256sum
    content = {"b": None, "a": [1, "ä"]}
    assert canonical_hash(content) == "09d06402b1598786e7403149b3c484b8ab826d83c444852812290076db12646b"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_the_key_does_not_depend_on_the_order_of_fields(content: dict[str, Any]) -> None:
    backwards = dict(reversed(content.items()))
    assert canonical_hash(content) == canonical_hash(backwards)
    assert canonical_hash(content) != canonical_hash({**content, "another field": 1})


@given(left=JSON, right=JSON)
def test_different_contents_have_different_keys(left: Any, right: Any) -> None:
    same = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    assert (canonical_hash({"x": left}) == canonical_hash({"x": right})) == same
