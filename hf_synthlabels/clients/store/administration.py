"""Looking after the response store: what was spent, whether it is whole, making it smaller."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.store.ledger import Run
from hf_synthlabels.clients.store.processes import is_alive
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.clients.store.salvage import StoreReader
from hf_synthlabels.errors import DataError

KEYS_PER_STATEMENT = 500


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What one model was asked and paid for one recipe, on one day or on all."""

    scope: str
    model: str
    day: str | None
    """On which the runs began, UTC; None for all days together."""
    runs: int
    requests: int
    """That were answered."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float | None
    """None where no price was known for any of it."""
    unpriced_requests: int
    """Answered while no price was known; they are not in `usd`."""
    uncertain_requests: int
    """Sent without an answer; the server may have billed them."""
    uncertain_usd: float
    """The most that they can have cost."""
    killed_runs: int
    unsettled_requests: int
    """Reserved by killed runs and never settled: so many at most were billed and lost."""
    unsettled_usd: float
    running_runs: int
    """That go on, or are on another machine and may."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much a store holds."""

    answers: int
    bytes: int
    """Of the file and its write-ahead log."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check of the file came to."""

    answers: int
    """That could be read, damaged ones as well."""
    damaged: tuple[str, ...]
    """Keys whose checksum does not hold; they count as absent and are asked again."""
    faults: tuple[str, ...]
    """What is wrong with the file itself; none when it is whole."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damaged and not self.faults


def ledger(store: ResponseStore, *, by_day: bool = False) -> list[LedgerLine]:
    """What was spent, by recipe and model, the dearest first; by day as well, the last first, where that is wished."""
    groups: dict[tuple[str, str, str | None], list[_Run]] = {}
    for run in _runs(store):
        day = datetime.fromtimestamp(run.started_at, UTC).date().isoformat() if by_day else None
        groups.setdefault((run.scope, run.model or "?", day), []).append(run)
    lines = [_line(key, runs) for key, runs in groups.items()]
    lines.sort(key=lambda line: (-(line.usd or 0.0), -line.requests, line.scope, line.model))
    lines.sort(key=lambda line: line.day or "", reverse=True)
    return lines


def size(store: ResponseStore) -> Size:
    """How much a store holds."""
    log = store.path.with_name(store.path.name + "-wal")
    total = sum(file.stat().st_size for file in (store.path, log) if file.exists())
    return Size(len(store), total)


def verify(path: str | Path) -> Findings:
    """Check every answer's checksum and the file itself; changes nothing, and reads what a torn file still gives.

    Raises:
        StoreError: there is no such file.
    """
    answers, damaged = 0, []
    with StoreReader(path) as reader:
        for entry in reader.answers():
            answers += 1
            if not entry.is_whole:
                damaged.append(entry.key)
        reader.check()
        return Findings(answers, tuple(damaged), tuple(reader.faults))


def answer_keys(
    store: ResponseStore, *, older_than_s: float | None = None, model: str | None = None, damaged: bool = False
) -> list[str]:
    """The keys of the answers to which all that is said applies.

    Args:
        store: the store.
        older_than_s: made longer ago.
        model: of this model, as the server called it.
        damaged: whose checksum does not hold.

    Raises:
        DataError: nothing is said.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if older_than_s is not None:
        conditions.append("created_at < ?")
        values.append(time.time() - older_than_s)
    if model is not None:
        # A damaged payload may be no JSON any more.
        conditions.append("CASE WHEN json_valid(payload) THEN json_extract(payload, '$.model') END = ?")
        values.append(model)
    if not conditions and not damaged:
        raise DataError("`prune` has nothing to go by. Say which answers, for example by `--older-than` or `--model`.")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    keys = [str(row[0]) for row in store.select(f"SELECT key FROM answers {where} ORDER BY key", values)]
    if not damaged:
        return keys
    with StoreReader(store.path) as reader:
        broken = {entry.key for entry in reader.answers() if not entry.is_whole}
    return [key for key in keys if key in broken]


def remove_answers(store: ResponseStore, keys: Iterable[str]) -> None:
    """Take answers out of a store; they will be asked and paid for again."""
    wanted = list(keys)
    for start in range(0, len(wanted), KEYS_PER_STATEMENT):
        part = wanted[start : start + KEYS_PER_STATEMENT]
        store.execute(f"DELETE FROM answers WHERE key IN ({','.join('?' * len(part))})", part)


def reset_budget(
    store: ResponseStore, scope: str, *, older_than_s: float | None = None, model: str | None = None, dry_run: bool
) -> int:
    """Take a recipe's runs out of the ledger, so that its budget begins anew; returns how many.

    Runs that may go on stay.
    """
    began_before = None if older_than_s is None else time.time() - older_than_s
    gone = [
        run.id
        for run in _runs(store)
        if run.scope == scope
        and (model is None or run.model == model)
        and (began_before is None or run.started_at < began_before)
        and (run.ended_at is not None or run.is_killed)
    ]
    for start in range(0, 0 if dry_run else len(gone), KEYS_PER_STATEMENT):
        part = gone[start : start + KEYS_PER_STATEMENT]
        store.execute(f"DELETE FROM runs WHERE id IN ({','.join('?' * len(part))})", part)
    return len(gone)


def release_reservations(store: ResponseStore, *, older_than_s: float | None = None, dry_run: bool) -> list[LedgerLine]:
    """Give back to their budgets what killed runs had reserved; returns what it was, by recipe and model.

    Whoever does so has seen on the bill that it was not spent, or takes the risk. Runs of this machine whose process
    is there stay.

    Args:
        store: the store.
        older_than_s: runs of other machines that began longer ago count as killed too; nobody knows it otherwise.
        dry_run: change nothing.
    """
    began_before = None if older_than_s is None else time.time() - older_than_s
    killed = [
        run
        for run in _runs(store)
        if run.is_killed
        or (run.ended_at is None and run.is_elsewhere and began_before is not None and run.started_at < began_before)
    ]
    groups: dict[tuple[str, str, str | None], list[_Run]] = {}
    for run in killed:
        groups.setdefault((run.scope, run.model or "?", None), []).append(run)
        if not dry_run:
            _end(store, run)
    return [_line(key, runs, killed=True) for key, runs in groups.items()]


def compact(path: str | Path) -> bool:
    """Give the room of removed entries back to the disk; False where other processes hold the file."""
    try:
        with closing(sqlite3.connect(path, timeout=5.0, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Run:
    """A run as it stands in the ledger; its fields are the table's columns."""

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
    def is_elsewhere(self) -> bool:
        """Whether it belongs to another machine, so that nobody here knows whether it goes on."""
        return self.host != socket.gethostname()

    @property
    def is_killed(self) -> bool:
        """Whether its process is gone without having ended it."""
        return self.ended_at is None and not self.is_elsewhere and not is_alive(self.pid)


def _runs(store: ResponseStore) -> list[_Run]:
    return [_Run(*values) for values in store.select(f"SELECT {', '.join(_Run.__slots__)} FROM runs")]


def _line(key: tuple[str, str, str | None], runs: list[_Run], *, killed: bool = False) -> LedgerLine:
    """The sum of some runs; `killed` says of those that have not ended that they were killed."""
    open_runs = [run for run in runs if run.ended_at is None]
    dead = open_runs if killed else [run for run in open_runs if run.is_killed]
    priced = [run.usd for run in runs if run.usd is not None]
    return LedgerLine(
        *key,
        runs=len(runs),
        requests=sum(run.requests for run in runs),
        prompt_tokens=sum(run.prompt_tokens for run in runs),
        completion_tokens=sum(run.completion_tokens for run in runs),
        cached_tokens=sum(run.cached_tokens for run in runs),
        usd=sum(priced) if priced else None,
        unpriced_requests=sum(run.requests for run in runs if run.usd is None),
        uncertain_requests=sum(run.uncertain_requests for run in runs),
        uncertain_usd=sum(run.uncertain_usd for run in runs),
        killed_runs=len(dead),
        unsettled_requests=sum(max(0, run.granted_requests - run.requests - run.uncertain_requests) for run in dead),
        unsettled_usd=sum(max(0.0, run.granted_usd - (run.usd or 0.0) - run.uncertain_usd) for run in dead),
        running_runs=len(open_runs) - len(dead),
    )


def _end(store: ResponseStore, run: _Run) -> None:
    store.end_run(Run(run.scope, run.model, id=run.id))
    store.flush()
