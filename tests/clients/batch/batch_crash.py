"""What a kill between any two steps of a batch run costs: children are killed, run again, and the bill is counted."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2

from hf_synthlabels.clients import (
    BatchClient,
    BatchPolling,
    CachedClient,
    Message,
    Request,
    ResponseStore,
    list_batches,
    retry,
)
from hf_synthlabels.clients.batch.batch_journal import BatchJournal
from tests.servers.batches import BatchServer

ROWS = 7
PACE = BatchPolling(
    max_requests=4, initial_pause_s=0.01, max_pause_s=0.02, timeout_s=10.0, outage_timeout_s=10.0, listing_delay_s=0.1
)
MAX_S = 60.0

WRITES = ("claim", "advance", "take_over", "observe", "finish", "release")
"""What the journal does, each a transaction."""


@dataclass(frozen=True)
class Crash:
    """One kill, and what was found after running again."""

    step: int | str
    after: str
    """The last thing that was done before the kill."""
    complete: bool
    """Every row has the answer of an undisturbed run."""
    billed: int
    billed_twice: int
    batches: int
    adopted: int
    """Batches of the killed run that the next one took up."""
    left: int
    """Batches and input files that nobody is done with."""


class Steps:
    """Counts what a process does to the outside, and kills it at one of them."""

    def __init__(self, kill_at: int | str, pipe: Connection) -> None:
        self._kill_at = kill_at
        self._pipe = pipe
        self.done: list[str] = []
        for name in WRITES:
            setattr(BatchJournal, name, self._watched(f"journal.{name}", getattr(BatchJournal, name)))
        setattr(httpx2.Client, "send", self._watched_send(httpx2.Client.send))  # noqa: B010  mypy knows it as a method
        setattr(ResponseStore, "put", self._watched("store.put", ResponseStore.put))  # noqa: B010  as above

    def reach(self, name: str) -> None:
        """One more step; perhaps the last."""
        self.done.append(name)
        if self._kill_at in (name, len(self.done)):
            self._pipe.send(("killed", self.done))
            os.kill(os.getpid(), signal.SIGKILL)

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def watched(*arguments: Any, **keywords: Any) -> Any:
            self.reach(f"before {name}")
            result = call(*arguments, **keywords)
            self.reach(f"after {name}")
            return result

        return watched

    def _watched_send(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def watched(client: Any, request: Any, **keywords: Any) -> Any:
            name = f"{request.method} {_endpoint(request.url.path)}"
            self.reach(f"before {name}")
            result = call(client, request, **keywords)
            self.reach(f"after {name}")
            return result

        return watched


@contextmanager
def batch_log(listen: Callable[[str], None]) -> Iterator[None]:
    """Call `listen` with each line that batch runs log."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            listen(record.getMessage())

    logger, listener = logging.getLogger("hf_synthlabels.batches"), Listener()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)


def _endpoint(path: str) -> str:
    parts = path.removeprefix("/v1/").split("/")
    return "/".join([parts[0], *("ID" if number == 0 else part for number, part in enumerate(parts[1:]))])


def ask(key: int) -> Request:
    return Request(key, (Message("user", f"text {key}"),))


def child(path: str, base_url: str, kill_at: int | str, pipe: Connection) -> None:
    """Answer all rows in batches; killed at a step, or told to the end."""
    retry.INITIAL_BACKOFF_S = 0.01
    log_lines: list[str] = []
    steps = Steps(kill_at, pipe)
    with ResponseStore(path) as store:
        client = BatchClient(model="m", store=store, base_url=base_url, api_key_env=None, polling=PACE)
        with batch_log(log_lines.append):
            completions = list(CachedClient(client, store).complete(map(ask, range(ROWS))))
            client.collect()
    texts = {item.key: item.text if item.failure is None else item.failure.message for item in completions}
    pipe.send(("done", texts, sum("resumed" in line for line in log_lines), steps.done))


def start(path: Path, server: BatchServer, kill_at: int | str = 0) -> tuple[Any, Connection]:
    """Start a child; 0 kills it never."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.clients.batch.batch_crash"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(str(path), server.base_url, kill_at, there), daemon=True)
    process.start()
    there.close()
    return process, here


def outcome(process: Any, pipe: Connection) -> tuple[Any, ...]:
    """What a child came to, once it has ended."""
    if not pipe.poll(MAX_S):
        process.kill()
        raise TimeoutError("the child does not come to an end")
    message: tuple[Any, ...] = pipe.recv()
    process.join(MAX_S)
    return message


def flaky_server() -> BatchServer:
    """Two batches, and a third: one row is served at its second try only."""
    tried: list[str] = []

    def answer(body: dict[str, Any]) -> str | tuple[int, dict[str, Any]]:
        text = body["messages"][-1]["content"]
        tried.append(text)
        if text == "text 2" and tried.count(text) == 1:
            return 429, {"error": {"message": "later"}}
        return f"echo {text}"

    return BatchServer(answer)


def expected() -> dict[int, str]:
    return {key: f"echo text {key}" for key in range(ROWS)}


def undisturbed() -> list[str]:
    """The steps of a run that nobody kills."""
    with tempfile.TemporaryDirectory() as folder, flaky_server() as server:
        message = outcome(*start(Path(folder) / "responses.sqlite", server))
        assert message[1] == expected()
        return list(message[3])


def crash(*kills: int | str) -> Crash:
    """Kill one run after the other, each at its step, then run to the end."""
    with tempfile.TemporaryDirectory() as folder, flaky_server() as server:
        path = Path(folder) / "responses.sqlite"
        after = "the end"
        for kill_at in kills:
            message = outcome(*start(path, server, kill_at))
            if message[0] == "killed":
                after = message[1][-1]
        message = outcome(*start(path, server))
        assert message[0] == "done"
        return Crash(
            step=kills[-1],
            after=after,
            complete=message[1] == expected(),
            billed=sum(server.billed.values()),
            billed_twice=sum(count > 1 for count in server.billed.values()),
            batches=len(server.batches),
            adopted=message[2],
            left=len(list_batches(path)) + len(server.inputs()),
        )


def crash_table(*, at_once: int = 2) -> Iterator[Crash]:
    """A kill at every step, each in a run of its own; so many runs side by side."""
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(crash, range(1, len(undisturbed()) + 1))
