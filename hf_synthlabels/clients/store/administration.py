"""Administration of the response store: spending, verification, removal of answers and runs."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.store.ledger import Run, is_alive
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.clients.store.sqlite_file import StoreReader
from hf_synthlabels.errors import DataError

KEYS_PER_STATEMENT = 500


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Usage and cost of one model for one recipe."""

    scope: str
    model: str
    runs: int
    requests: int
    """Answered requests."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float | None
    """None if no price was known."""
    unpriced_requests: int
    """Answered while no price was known; not in `usd`."""
    uncertain_requests: int
    """Sent without an answer; the server may have billed them."""
    uncertain_usd: float
    """The most that they can have cost."""
    killed_runs: int
    reserved_requests: int
    """Reserved by killed runs and never sent or never recorded: at most this many were billed and lost."""
    reserved_usd: float
    running_runs: int
    """Running, waiting for a batch, or on another machine."""


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """Result of checking a store."""

    answers: int
    """Readable entries, including damaged ones."""
    damaged: tuple[str, ...]
    """Keys with a wrong checksum; they count as missing and are requested again."""
    faults: tuple[str, ...]
    """Errors of the file itself."""

    @property
    def is_valid(self) -> bool:
        """Whether the file and all its entries are undamaged."""
        return not self.damaged and not self.faults


def ledger(store: ResponseStore) -> list[LedgerLine]:
    """Spending by recipe and model, the highest cost first."""
    lines = _lines(_runs(store))
    return sorted(lines, key=lambda line: (-(line.usd or 0.0), -line.requests, line.scope, line.model))


def size_bytes(store: ResponseStore) -> int:
    """Size of the file and its write-ahead log."""
    log = store.path.with_name(store.path.name + "-wal")
    return sum(file.stat().st_size for file in (store.path, log) if file.exists())


def verify(path: str | Path) -> StoreCheck:
    """Check every checksum and the file itself, without changing it.

    Raises:
        StoreError: there is no such file.
    """
    answers, damaged = 0, []
    with StoreReader(path) as reader:
        for answer in reader.answers():
            answers += 1
            if not answer.is_valid:
                damaged.append(answer.key)
        reader.check()
        return StoreCheck(answers, tuple(damaged), tuple(reader.faults))


def answer_keys(
    store: ResponseStore, *, older_than_s: float | None = None, model: str | None = None, damaged: bool = False
) -> list[str]:
    """Keys of the answers that match all conditions.

    Args:
        store: the store.
        older_than_s: minimum age in seconds.
        model: name of the model in the server's responses.
        damaged: only answers with a wrong checksum.

    Raises:
        DataError: there is no condition.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if older_than_s is not None:
        conditions.append("created_at < ?")
        values.append(time.time() - older_than_s)
    if model is not None:
        # A damaged payload may not be JSON.
        conditions.append("CASE WHEN json_valid(payload) THEN json_extract(payload, '$.model') END = ?")
        values.append(model)
    if not conditions and not damaged:
        raise DataError("`prune` needs a condition, for example `--older-than` or `--model`.")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    keys = [str(row[0]) for row in store.select(f"SELECT key FROM answers {where} ORDER BY key", values)]
    if not damaged:
        return keys
    with StoreReader(store.path) as reader:
        invalid = {answer.key for answer in reader.answers() if not answer.is_valid}
    return [key for key in keys if key in invalid]


def remove_answers(store: ResponseStore, keys: Iterable[str]) -> None:
    """Remove answers; they will be requested and paid for again."""
    _delete(store, "answers", "key", list(keys))


def reset_budget(
    store: ResponseStore, scope: str, *, older_than_s: float | None = None, model: str | None = None, dry_run: bool
) -> int:
    """Remove a recipe's runs from the ledger, so that its budget starts again; returns their number.

    Runs that may still be running stay.
    """
    started_before = None if older_than_s is None else time.time() - older_than_s
    runs = [
        run.id
        for run in _runs(store)
        if run.scope == scope
        and (model is None or run.model == model)
        and (started_before is None or run.started_at < started_before)
        and (run.ended_at is not None or run.is_killed)
    ]
    if not dry_run:
        _delete(store, "runs", "id", runs)
    return len(runs)


def release_reservations(store: ResponseStore, *, older_than_s: float | None = None, dry_run: bool) -> list[LedgerLine]:
    """Return what killed runs had reserved to their budgets; returns the amounts by recipe and model.

    Do so once the bill shows that it was not spent. Runs of this machine with a running process stay.

    Args:
        store: the store.
        older_than_s: unfinished runs of other machines count as killed if they started this long ago.
        dry_run: change nothing.
    """
    started_before = float("-inf") if older_than_s is None else time.time() - older_than_s
    killed = [
        run
        for run in _runs(store)
        if run.is_killed or (run.ended_at is None and run.is_remote and run.started_at < started_before)
    ]
    if not dry_run:
        for run in killed:
            store.end_run(Run(run.scope, run.model, id=run.id))
        store.flush()
    return _lines(killed, all_killed=True)


def compact(path: str | Path) -> bool:
    """Return the space of removed entries to the disk; False if other processes hold the file."""
    try:
        with closing(sqlite3.connect(path, timeout=5.0, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Run:
    """A run in the ledger; the fields are columns of the table."""

    id: str
    scope: str
    model: str | None
    pid: int | None
    host: str | None
    started_at: float
    ended_at: float | None
    granted_requests: int
    granted_usd: float
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float | None
    uncertain_requests: int
    uncertain_usd: float

    @property
    def is_remote(self) -> bool:
        """Whether it belongs to another machine, so that its process cannot be checked."""
        return self.host != socket.gethostname()

    @property
    def is_killed(self) -> bool:
        """Whether its process is gone and did not end it."""
        return self.ended_at is None and not self.is_remote and not is_alive(self.pid)


def _runs(store: ResponseStore) -> list[_Run]:
    return [_Run(*values) for values in store.select(f"SELECT {', '.join(_Run.__slots__)} FROM runs")]


def _lines(runs: list[_Run], *, all_killed: bool = False) -> list[LedgerLine]:
    """Sums by recipe and model; with `all_killed`, all unfinished runs count as killed."""
    groups: dict[tuple[str, str], list[_Run]] = {}
    for run in runs:
        groups.setdefault((run.scope, run.model or "?"), []).append(run)
    lines = []
    for (scope, model), group in groups.items():
        unfinished = [run for run in group if run.ended_at is None]
        killed = unfinished if all_killed else [run for run in unfinished if run.is_killed]
        priced = [run.usd for run in group if run.usd is not None]
        line = LedgerLine(
            scope,
            model,
            runs=len(group),
            requests=sum(run.requests for run in group),
            prompt_tokens=sum(run.prompt_tokens for run in group),
            completion_tokens=sum(run.completion_tokens for run in group),
            cached_tokens=sum(run.cached_tokens for run in group),
            usd=sum(priced) if priced else None,
            unpriced_requests=sum(run.requests for run in group if run.usd is None),
            uncertain_requests=sum(run.uncertain_requests for run in group),
            uncertain_usd=sum(run.uncertain_usd for run in group),
            killed_runs=len(killed),
            reserved_requests=sum(
                max(0, run.granted_requests - run.requests - run.uncertain_requests) for run in killed
            ),
            reserved_usd=sum(max(0.0, run.granted_usd - (run.usd or 0.0) - run.uncertain_usd) for run in killed),
            running_runs=len(unfinished) - len(killed),
        )
        lines.append(line)
    return lines


def _delete(store: ResponseStore, table: str, column: str, values: list[str]) -> None:
    for start in range(0, len(values), KEYS_PER_STATEMENT):
        part = values[start : start + KEYS_PER_STATEMENT]
        store.execute(f"DELETE FROM {table} WHERE {column} IN ({','.join('?' * len(part))})", part)
