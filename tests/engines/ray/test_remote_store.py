"""Remote stores and BudgetActor: one store on disk and one budget for all workers."""

# ruff: noqa: ARG002  test doubles do not use all arguments

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients import (
    BudgetTracker,
    CachedClient,
    Message,
    Request,
    ResponseStore,
    Run,
    ScriptedClient,
    Usage,
)
from hf_synthlabels.clients.store.ledger import Allowance, UsageRecord
from hf_synthlabels.clients.store.write_groups import Writes
from hf_synthlabels.engines.ray import budget_actor
from hf_synthlabels.engines.ray.budget_actor import BudgetActor, Reply, gather_answers, merge_answers
from hf_synthlabels.engines.ray.job_files import Folder
from hf_synthlabels.engines.ray.remote_store import RemoteBackend
from hf_synthlabels.errors import StoreError

PAYLOAD = {"text": "film", "model": "tiny", "usage": {"prompt_tokens": 1}}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.at(str(tmp_path / "answers"))


@pytest.fixture
def keeper(tmp_path: Path, folder: Folder) -> Iterator[BudgetActor]:
    kept = BudgetActor(str(tmp_path / "responses.sqlite"), folder, num_workers=2)
    yield kept
    kept.close()


def remote_backend(actor: Any) -> RemoteBackend:
    """A backend whose actor is in this process."""
    return RemoteBackend(lambda method, *arguments: getattr(actor, method)(*arguments))


def remote_store(actor: Any) -> ResponseStore:
    return ResponseStore("elsewhere", remote_backend(actor))


def requests(texts: Sequence[str]) -> list[Request]:
    return [Request(number, (Message("user", text),), text=text) for number, text in enumerate(texts)]


def test_an_answer_paid_by_one_worker_serves_the_others(keeper: BudgetActor) -> None:
    asked: list[str] = []

    def answer(request: Request) -> str:
        asked.append(request.text)
        return request.text.upper()

    for texts in (["a", "b"], ["b", "c"]):
        store = remote_store(keeper)
        client = CachedClient(ScriptedClient(answer), store)
        actual = {completion.key: completion.text for completion in client.complete(requests(texts))}
        assert actual == {number: text.upper() for number, text in enumerate(texts)}
        store.close()
    assert asked == ["a", "b", "c"]


def test_an_answer_is_on_disk_when_its_commit_is_done(keeper: BudgetActor, tmp_path: Path) -> None:
    store = remote_store(keeper)
    store.put("k", PAYLOAD).result(10)
    with ResponseStore(tmp_path / "responses.sqlite") as other:
        assert other.get(["k"]) == {"k": PAYLOAD}


def test_answers_are_grouped_into_few_messages() -> None:
    class Slow:
        def __init__(self) -> None:
            self.sizes: list[int] = []
            self.go = threading.Event()

        def get(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
            return {}

        def write(self, worker: str, writes: Writes, stats: Mapping[str, Any] | None) -> Reply:
            assert self.go.wait(10)
            self.sizes.append(len(writes.answers) + len(writes.usage))
            return Reply()

    actor = Slow()
    store = remote_store(actor)
    run = Run("films")
    for number in range(100):
        store.put(str(number), PAYLOAD)
        store.commit_usage(run, UsageRecord(1, 2, 3))
    actor.go.set()
    store.flush()
    # All usage of a run is one call of each message.
    assert sum(actor.sizes) <= 100 + len(actor.sizes)
    assert len([size for size in actor.sizes if size]) <= 3
    store.close()


def test_workers_share_one_budget(keeper: BudgetActor, tmp_path: Path) -> None:
    # A request can cost at most 10 tokens in and 10 out; each comes to 2 in the end. The prompt's bound is 33.
    budget = 3000

    def spend(count: int) -> tuple[int, int]:
        store = remote_store(keeper)
        run = Run("films", budget_tokens=budget)
        tracker = BudgetTracker(store, run, cost_usd=None, max_tokens=10)
        sent = [0, 0]

        async def ask() -> None:
            tracker.attach()
            for request in requests(["x"] * count):
                reserved = await tracker.reserve(request)
                sent[reserved is None] += 1
                if reserved is not None:
                    tracker.commit_usage(reserved, Usage(15, 5))

        tracker.begin()
        asyncio.run(ask())
        tracker.end()
        store.close()
        return sent[0], sent[1]

    results: list[tuple[int, int]] = []
    threads = [threading.Thread(target=lambda: results.append(spend(100))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = 20 * sum(sent for sent, _ in results)
    assert spent <= budget
    # What was reserved and not spent by both is there for a third.
    more, _ = spend(200)
    assert budget - 60 < spent + 20 * more <= budget
    with ResponseStore(tmp_path / "responses.sqlite") as store:
        ((tokens, open_runs),) = store.select(
            "SELECT sum(prompt_tokens + completion_tokens), sum(ended_at IS NULL) FROM runs"
        )
    assert (tokens, open_runs) == (spent + 20 * more, 0)


def test_an_error_of_the_store_reaches_all_callers() -> None:
    class Full:
        def get(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
            return {}

        def write(self, worker: str, writes: Writes, stats: Mapping[str, Any] | None) -> Reply:
            raise StoreError("the disk is full")

    store = remote_store(Full())
    for hand_over in (lambda: store.put("k", PAYLOAD), lambda: store.reserve(Run("films"), Allowance(5, 1.0, 10))):
        with pytest.raises(StoreError, match="the disk is full"):
            hand_over().result(10)
    for use in (store.flush, lambda: store.put("l", PAYLOAD), lambda: store.begin_run(Run("films"))):
        with pytest.raises(StoreError, match="the disk is full"):
            use()


def test_a_closed_store_rejects_calls(keeper: BudgetActor) -> None:
    store = remote_store(keeper)
    store.close()
    for use in (store.flush, lambda: store.put("l", PAYLOAD), lambda: store.reserve(Run("films"), Allowance(1))):
        with pytest.raises(StoreError, match="closed"):
            use()


def test_a_stop_reaches_workers_without_writes(keeper: BudgetActor) -> None:
    backend = remote_backend(keeper)
    keeper.stop()
    deadline = time.monotonic() + 10
    while not backend.is_stopped and time.monotonic() < deadline:
        time.sleep(0.05)
    assert backend.is_stopped
    backend.close()


def test_total_stats_are_the_sum_over_workers(keeper: BudgetActor) -> None:
    for number in (3, 4):
        backend = remote_backend(keeper)
        backend.report({**_tally(), "rows": number, "statuses": {"labelled": number}})
        backend.commit(Writes())
        backend.close()
    total = keeper.total_stats()
    assert (total["rows"], total["statuses"]) == (7, {"labelled": 7})


def test_ranks_belong_to_workers_and_pass_to_their_successors(keeper: BudgetActor) -> None:
    assert keeper.num_started() == 0
    assert [keeper.worker_rank(name) for name in ("a", "b", "a", "b")] == [0, 1, 0, 1]
    assert keeper.num_started() == 2
    # Two new workers replace the two old ones.
    assert sorted(keeper.worker_rank(name) for name in ("c", "d")) == [0, 1]


def test_answers_are_copied_to_another_machine(tmp_path: Path, folder: Folder) -> None:
    first = BudgetActor(str(tmp_path / "first.sqlite"), folder)
    store = remote_store(first)
    for number in range(1200):
        store.put(f"k{number}", {**PAYLOAD, "text": f"t{number}"})
    store.close()
    first.close()
    with ResponseStore(tmp_path / "second.sqlite") as second:
        second.put("k7", {**PAYLOAD, "text": "own"})
        second.flush()
        assert gather_answers(folder, second) == 1199
        assert gather_answers(folder, second) == 0
        assert second.get(["k7", "k8"]) == {"k7": {**PAYLOAD, "text": "own"}, "k8": {**PAYLOAD, "text": "t8"}}


def test_answers_are_copied_regularly(tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_actor, "COPY_S", 0.02)
    keeper = BudgetActor(str(tmp_path / "responses.sqlite"), folder)
    store = remote_store(keeper)
    store.put("k", PAYLOAD)
    store.flush()
    for _ in range(200):
        if folder.names():
            break
        time.sleep(0.02)
    (name,) = folder.names()
    assert folder.read_table(name).to_pylist() == [{"key": "k", "payload": json.dumps(PAYLOAD)}]
    store.close()
    keeper.close()


def test_failed_copies_are_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_actor, "COPY_S", 0.02)
    place = tmp_path / "out"
    place.write_text("a file where the folder should be")
    folder = Folder.at(str(place))
    keeper = BudgetActor(str(tmp_path / "responses.sqlite"), folder)
    store = remote_store(keeper)
    store.put("k", PAYLOAD)
    store.flush()
    time.sleep(0.2)
    place.unlink()
    store.close()
    keeper.close()
    (name,) = folder.names()
    assert folder.read_table(name).num_rows == 1


def test_files_of_copies_are_merged(tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_actor, "ROWS_PER_FILE", 4)
    for number in range(6):
        budget_actor._write_answers(folder, [(f"k{number}", "{}"), ("same", "{}")])
    merge_answers(folder)
    assert len(folder.names()) == 2
    keys = [row["key"] for name in folder.names() for row in folder.read_table(name).to_pylist()]
    assert sorted(keys) == ["k0", "k1", "k2", "k3", "k4", "k5", "same"]


def _tally() -> dict[str, Any]:
    from hf_synthlabels.annotation import RunStats

    return RunStats().to_dict()
