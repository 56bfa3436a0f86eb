"""StreamingWorker: tables of several threads share one annotator, and each thread gets its own labels."""

# ruff: noqa: ARG005  test doubles do not use all arguments

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest

from hf_synthlabels.annotation import Annotator, Prompt, RunStats, Strategy
from hf_synthlabels.annotation.columns import LabelColumns
from hf_synthlabels.annotation.recipe.recipe import Output
from hf_synthlabels.clients import Completion, Request, Usage
from hf_synthlabels.engines.ray import streaming_worker as worker_module
from hf_synthlabels.engines.ray.streaming_worker import StoppedError, StreamingWorker
from hf_synthlabels.errors import AllFailedError, ClientError, StoreError
from hf_synthlabels.labels import LabelSchema

SCHEMA = LabelSchema.from_labels(["film", "sport"])


class Client:
    """Has `width` requests on the way at once, each of which is answered by name; counts what it sees."""

    identity: Mapping[str, Any] = {}

    def __init__(self, width: int = 4, latency_s: float = 0.0) -> None:
        self.width = width
        self.latency_s = latency_s
        self.calls = 0
        self.together: list[set[str]] = []
        """Of each round: the tables, by the first word of their texts."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        self.calls += 1
        pending = iter(requests)
        while True:
            group = [request for _, request in zip(range(self.width), pending, strict=False)]
            if not group:
                return
            self.together.append({word for request in group for word in self._tables(request)})
            time.sleep(self.latency_s)
            for request in reversed(group):
                yield Completion(request.key, text=self.answer(request.text), usage=Usage(10, 1))

    def answer(self, text: str) -> str:
        return "film" if "film" in text else "sport"

    def _tables(self, request: Request) -> set[str]:
        return {line.split()[0] for line in request.messages[-1].content.splitlines() if line[:1] == "t"}


class Opener:
    """Opens annotators and counts them."""

    def __init__(self, client: Client, strategy: Strategy | None = None) -> None:
        self.client = client
        self.strategy = strategy or Strategy()
        self.open = self.opened = 0

    @contextmanager
    def __call__(self) -> Iterator[Annotator]:
        self.opened += 1
        self.open += 1
        try:
            yield Annotator(Prompt(SCHEMA, "What is it?", strategy=self.strategy), self.client)
            time.sleep(0.02)
        finally:
            self.open -= 1


def table(name: str, count: int) -> pa.Table:
    return pa.table({"text": [f"{name} {number} {'film' if number % 3 else 'match'}" for number in range(count)]})


def codes(count: int) -> list[int]:
    return [0 if number % 3 else 1 for number in range(count)]


def make_worker(opener: Opener, *, mixed: bool = True, **more: Any) -> StreamingWorker:
    return StreamingWorker(
        opener, ["text"], LabelColumns(SCHEMA, Output()), mixed=mixed, **({"on_progress": lambda _: None} | more)
    )


def test_each_thread_gets_its_own_labels() -> None:
    opener = Opener(Client())
    worker = make_worker(opener)
    counts = [5, 1, 17, 8, 3, 40]
    with ThreadPoolExecutor(3) as threads:
        actual = list(threads.map(lambda count: worker.label(table(f"t{count}", count)), counts))
    for count, (labels, tally) in zip(counts, actual, strict=True):
        assert labels.column("llm_label").to_pylist() == codes(count)
        assert tally["rows"] == count
    total = RunStats()
    for _, tally in actual:
        total.add(tally)
    assert (total.rows, total.requests, total.prompt_tokens) == (74, 74, 740)
    assert opener.open == 0


def test_the_next_table_starts_while_the_last_one_finishes() -> None:
    opener = Opener(Client(width=4, latency_s=0.02))
    worker = make_worker(opener)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda name: worker.label(table(name, 6)), ["ta", "tb", "tc", "td"]))
    assert any(len(names) == 2 for names in opener.client.together)
    # 24 rows, 4 at once: every round was full but perhaps the last of each call.
    assert len(opener.client.together) <= 6 + opener.client.calls


def test_requests_of_one_group_are_never_counted_for_another() -> None:
    opener = Opener(Client(width=4, latency_s=0.02))
    worker = make_worker(opener)
    # Of six and of seven rows, so that neither fills its rounds.
    asked = [("ta", 6, "train"), ("tb", 7, "test"), ("tc", 6, "train"), ("td", 7, "test")]
    with ThreadPoolExecutor(4) as threads:
        actual = list(threads.map(lambda item: worker.label(table(item[0], item[1]), item[2])[1], asked))
    of_group = {
        group: sum(tally["requests"] for tally, item in zip(actual, asked, strict=True) if item[2] == group)
        for group in ("train", "test")
    }
    assert of_group == {"train": 12, "test": 14}
    assert not any({"ta", "tb"} <= names or {"tc", "td"} <= names for names in opener.client.together)


def test_rows_of_two_tables_are_never_in_one_call() -> None:
    opener = Opener(Client(width=2, latency_s=0.01), Strategy(rows_per_call=4))
    opener.client.answer = lambda text: '["film", "film", "film", "film"]'  # type: ignore[method-assign]
    worker = make_worker(opener, mixed=False)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda name: worker.label(table(name, 8)), ["ta", "tb", "tc"]))
    assert all(len(names) == 1 for names in opener.client.together)


def test_nothing_is_open_when_the_last_table_is_returned() -> None:
    opener = Opener(Client())
    worker = make_worker(opener)
    for number in range(3):
        worker.label(table("ta", 3))
        assert (opener.open, opener.opened) == (0, number + 1)


def test_an_error_ends_all_tables_and_the_worker_can_be_used_again() -> None:
    class Broken(Client):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            next(iter(requests))
            raise StoreError("the disk is full")

    opener = Opener(Broken())
    worker = make_worker(opener)
    with ThreadPoolExecutor(3) as threads:
        for future in [threads.submit(worker.label, table("ta", 9)) for _ in range(3)]:
            with pytest.raises(StoreError, match="the disk is full"):
                future.result(timeout=10)
    opener.client = Client()
    assert worker.label(table("ta", 2))[0].num_rows == 2


def test_an_annotator_that_cannot_be_opened_is_an_error() -> None:
    def opener() -> Any:
        raise AllFailedError("no server")

    worker = StreamingWorker(opener, ["text"], LabelColumns(SCHEMA, Output()), on_progress=lambda _: None)
    with pytest.raises(AllFailedError, match="no server"):
        worker.label(table("ta", 2))


def test_progress_may_stop_it() -> None:
    seen: list[int] = []
    stopped = threading.Event()

    def on_progress(tally: RunStats) -> None:
        seen.append(tally.rows)
        if tally.rows == 5:
            stopped.set()
            raise StoppedError("enough")

    opener = Opener(Client(width=1))
    with pytest.raises(StoppedError):
        make_worker(opener, on_progress=on_progress).label(table("ta", 50))
    assert seen == [1, 2, 3, 4, 5]
    assert opener.open == 0


@pytest.mark.parametrize("fault", ["the annotator stops early", "the tally cannot be read"])
def test_a_lost_table_is_an_error_and_is_not_awaited(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    worker = make_worker(Opener(Client()))
    if fault == "the annotator stops early":
        monkeypatch.setattr(worker_module, "labelled_tables", lambda _, tables, *_more: iter(list(tables)[:0]))
    else:
        monkeypatch.setattr(worker, "_new_stats", dict[str, Any]().__getitem__)
    with ThreadPoolExecutor(1) as threads, pytest.raises((ClientError, TypeError)):
        threads.submit(worker.label, table("t", 5)).result(20)
