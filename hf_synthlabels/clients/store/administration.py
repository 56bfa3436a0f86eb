"""Administration of the response store: spending, verification, removal of answers and runs."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.store.ledger import Run, is_alive
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.clients.store.sqlite_file import StoreReader
from hf_synthlabels.errors import DataError

SPENDING = """
SELECT scope, coalesce(model, '?'), count(*), sum(requests), sum(prompt_tokens), sum(completion_tokens),
       sum(cached_tokens), sum(usd), sum(CASE WHEN usd IS NULL THEN requests ELSE 0 END), sum(uncertain_requests),
       sum(uncertain_usd), sum(killed), sum(killed * max(0, granted_requests - requests - uncertain_requests)),
       sum(killed * max(0, granted_usd - coalesce(usd, 0) - uncertain_usd)), sum(ended_at IS NULL) - sum(killed)
FROM (SELECT *, id IN (SELECT value FROM json_each(?1)) AS killed FROM runs) WHERE killed OR NOT ?2
GROUP BY 1, 2 ORDER BY coalesce(sum(usd), 0) DESC, 4 DESC, 1, 2
"""
"""Its columns are the fields of `LedgerLine`; the parameters are the killed runs, and whether to leave out others."""


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
    killed = [run for run, _, host, pid, _ in _unfinished(store) if _is_killed(host, pid)]
    return _spending(store, killed)


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
    if older_than_s is None and model is None and not damaged:
        raise DataError("`prune` needs a condition, for example `--older-than` or `--model`.")
    # A damaged payload may not be JSON.
    query = (
        "SELECT key FROM answers WHERE (?1 IS NULL OR created_at < ?1) AND "
        "(?2 IS NULL OR CASE WHEN json_valid(payload) THEN json_extract(payload, '$.model') END = ?2) ORDER BY key"
    )
    started_before = None if older_than_s is None else time.time() - older_than_s
    keys = [str(row[0]) for row in store.select(query, (started_before, model))]
    if not damaged:
        return keys
    with StoreReader(store.path) as reader:
        invalid = {answer.key for answer in reader.answers() if not answer.is_valid}
    return [key for key in keys if key in invalid]


def remove_answers(store: ResponseStore, keys: Iterable[str]) -> None:
    """Remove answers; they will be requested and paid for again."""
    store.execute_many("DELETE FROM answers WHERE key = ?", [(key,) for key in keys])


def reset_budget(
    store: ResponseStore, scope: str, *, older_than_s: float | None = None, model: str | None = None, dry_run: bool
) -> int:
    """Remove a recipe's runs from the ledger, so that its budget starts again; returns their number.

    Runs that may still be running stay.
    """
    running = [run for run, _, host, pid, _ in _unfinished(store) if not _is_killed(host, pid)]
    started_before = None if older_than_s is None else time.time() - older_than_s
    query = (
        "SELECT id FROM runs WHERE scope = ?1 AND (?2 IS NULL OR model = ?2) AND (?3 IS NULL OR started_at < ?3) "
        "AND id NOT IN (SELECT value FROM json_each(?4))"
    )
    runs = store.select(query, (scope, model, started_before, json.dumps(running)))
    if not dry_run:
        store.execute_many("DELETE FROM runs WHERE id = ?", runs)
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
    killed = {
        run: scope
        for run, scope, host, pid, started_at in _unfinished(store)
        if _is_killed(host, pid) or (host != socket.gethostname() and started_at < started_before)
    }
    lines = _spending(store, list(killed), others=False)
    if not dry_run:
        for run, scope in killed.items():
            store.end_run(Run(scope, id=run))
        store.flush()
    return lines


def compact(path: str | Path) -> bool:
    """Return the space of removed entries to the disk; False if other processes hold the file."""
    try:
        with closing(sqlite3.connect(path, timeout=5.0, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError:
        return False
    return True


def _unfinished(store: ResponseStore) -> list[tuple[Any, ...]]:
    """ID, scope, host, process and start of the runs that have not ended."""
    return store.select("SELECT id, scope, host, pid, started_at FROM runs WHERE ended_at IS NULL")


def _is_killed(host: str | None, pid: int | None) -> bool:
    """Whether a process is gone; those of other machines cannot be checked."""
    return host == socket.gethostname() and not is_alive(pid)


def _spending(store: ResponseStore, killed: Sequence[str], *, others: bool = True) -> list[LedgerLine]:
    return [LedgerLine(*row) for row in store.select(SPENDING, (json.dumps(killed), not others))]
