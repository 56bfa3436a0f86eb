"""Journal of batches: each is recorded before it is created, so that no crash buys an answer twice."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.batch.batch_record import OPEN_STATES, BatchRecord, Claim, State
from hf_synthlabels.clients.protocol.endpoint import Endpoint
from hf_synthlabels.clients.store.budget import Reservation
from hf_synthlabels.clients.store.ledger import Allowance, Run, UsageRecord, commit_usage, end_run, reserve
from hf_synthlabels.clients.store.payloads import checksum
from hf_synthlabels.errors import StoreError

OPEN = f"state IN {OPEN_STATES}"

BUSY_TIMEOUT_S = 60.0

CREATE_TABLES = (
    """
CREATE TABLE IF NOT EXISTS batches (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, identity TEXT NOT NULL, model TEXT NOT NULL,
    base_url TEXT NOT NULL, api_key_env TEXT, state TEXT NOT NULL, status TEXT NOT NULL DEFAULT '',
    file_id TEXT, batch_id TEXT, requests INTEGER NOT NULL, note TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL, changed_at REAL NOT NULL, cancelled_at REAL,
    owner TEXT, pid INTEGER, host TEXT
)
""",
    # A request is in at most one open batch: this keeps two processes from buying it twice.
    """
CREATE TABLE IF NOT EXISTS batch_requests (
    key BLOB PRIMARY KEY, batch INTEGER NOT NULL
) WITHOUT ROWID
""",
    "CREATE INDEX IF NOT EXISTS batch_requests_of ON batch_requests (batch)",
)

# An average: only the sender, which may be gone, knows the maximum cost of each request.
UNCERTAIN_SHARE = """
UPDATE runs SET uncertain_usd = granted_usd * uncertain_requests / max(1, granted_requests),
    uncertain_tokens = granted_tokens * uncertain_requests / max(1, granted_requests)
WHERE id = ?
"""


class BatchJournal:
    """Batches and the requests in them, in the file of the response store; safe for several processes.

    Each method is one transaction on a separate connection, and is on disk when it returns.

    Raises:
        StoreError: the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owner = uuid.uuid4().hex
        with self._transaction() as connection:
            for statement in CREATE_TABLES:
                connection.execute(statement)

    def claim(
        self,
        keys: Sequence[bytes],
        identity: str,
        model: str,
        endpoint: Endpoint,
        run: Run | None = None,
        most: Callable[[bytes], Reservation] | None = None,
    ) -> Claim:
        """Record a batch of the requests that have no answer, are in no other batch, and fit the budget.

        Their maximum cost is reserved in the same transaction, under a run with the batch's ID: it stays reserved until
        the batch ends, even if this process dies.
        """
        record_id, now = uuid.uuid4().hex, time.time()
        target = (identity, model, endpoint.base_url, endpoint.api_key_env)
        with self._transaction() as connection:
            number = connection.execute(
                "INSERT INTO batches (id, identity, model, base_url, api_key_env, state, requests, created_at, "
                "changed_at, owner, pid, host) VALUES (?, ?, ?, ?, ?, 'intended', ?, ?, ?, ?, ?, ?)",
                (record_id, *target, len(keys), now, now, *self._process()),
            ).lastrowid
            connection.executemany(
                "INSERT OR IGNORE INTO batch_requests VALUES (?, ?)", ((key, number) for key in keys)
            )
            free = _requests(connection, number)
            elsewhere = _batches_of(connection, [key for key in keys if key not in free])
            stored = _stored(connection, number)
            claimed, over_budget = [key for key in keys if key in free and key not in stored], list[bytes]()
            if run is not None and most is not None and claimed:
                claimed, over_budget = _reserve(connection, run, record_id, claimed, most)
            connection.executemany(
                "DELETE FROM batch_requests WHERE key = ?", ((key,) for key in (*stored, *over_budget))
            )
            if claimed:
                connection.execute("UPDATE batches SET requests = ? WHERE number = ?", (len(claimed), number))
            else:
                connection.execute("DELETE FROM batches WHERE number = ?", (number,))
        return Claim(self.get(record_id) if claimed else None, claimed, elsewhere, list(stored), over_budget)

    def advance(
        self, record: BatchRecord, state: State, *, file_id: str | None = None, batch_id: str | None = None
    ) -> BatchRecord | None:
        """Set the state of a batch; None if another call has taken it over, and the caller must leave it alone."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE batches SET state = ?, changed_at = ?, file_id = coalesce(?, file_id), "
                f"batch_id = coalesce(?, batch_id) WHERE number = ? AND owner = ? AND {OPEN}",
                (state, time.time(), file_id, batch_id, record.number, self.owner),
            ).rowcount
        return self.get(record.id) if changed else None

    def take_over(self, record: BatchRecord) -> BatchRecord | None:
        """Own a batch whose owner is gone; None if another call was faster."""
        with self._transaction() as connection:
            changed = connection.execute(
                f"UPDATE batches SET owner = ?, pid = ?, host = ? WHERE number = ? AND owner IS ? AND {OPEN}",
                (*self._process(), record.number, record.owner),
            ).rowcount
        return self.get(record.id) if changed else None

    def observe(self, record: BatchRecord, status: str, *, cancelled: bool = False) -> None:
        """Record the status that the provider reports, and when the batch was cancelled from here."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE batches SET status = ?, cancelled_at = coalesce(?, cancelled_at) WHERE number = ?",
                (status, time.time() if cancelled else None, record.number),
            )

    def finish(self, record: BatchRecord, state: State, *, note: str = "", usage: UsageRecord | None = None) -> bool:
        """End a batch, release its requests and commit its usage; False if another call has done so.

        The usage replaces the reservation; None means that nothing was bought. For uncertain requests, their share of
        the reservation stays counted.
        """
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE batches SET state = ?, note = ?, changed_at = ?, owner = NULL, pid = NULL, host = NULL "
                f"WHERE number = ? AND {OPEN}",
                (state, note, time.time(), record.number),
            ).rowcount
            if changed:
                connection.execute("DELETE FROM batch_requests WHERE batch = ?", (record.number,))
                run = Run(scope="", id=record.id)
                if usage is not None:
                    commit_usage(connection, run, usage)
                    connection.execute(UNCERTAIN_SHARE, (run.id,))
                end_run(connection, run)
        return bool(changed)

    def release(self) -> None:
        """Give up the ownership of all batches, so that the next call can work on them."""
        with self._transaction() as connection:
            connection.execute(
                f"UPDATE batches SET owner = NULL, pid = NULL, host = NULL WHERE owner = ? AND {OPEN}", (self.owner,)
            )

    def get(self, record_id: str) -> BatchRecord | None:
        """The batch with this ID."""
        return next(iter(self._records("id = ?", record_id)), None)

    def records(self, identity: str | None = None, *, include_final: bool = False) -> list[BatchRecord]:
        """Open batches of one identity or of all, the oldest first; with `include_final` those that ended, too."""
        condition = "identity = coalesce(?, identity)"
        return self._records(condition if include_final else f"{OPEN} AND {condition}", identity)

    def requests(self, record: BatchRecord) -> set[bytes]:
        """Digests of the requests in an open batch."""
        with self._connection() as connection:
            return _requests(connection, record.number)

    def _records(self, condition: str, *values: Any) -> list[BatchRecord]:
        columns = ", ".join(BatchRecord.__dataclass_fields__)
        with self._connection() as connection:
            rows = connection.execute(f"SELECT {columns} FROM batches WHERE {condition} ORDER BY number", values)
            return [BatchRecord(*row) for row in rows]

    def _process(self) -> tuple[str, int, str]:
        return self.owner, os.getpid(), socket.gethostname()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous=FULL")
                # A damaged answer fails its checksum; reading it as text must not fail first.
                connection.text_factory = lambda content: content.decode(errors="replace")
                yield connection
        except sqlite3.Error as error:
            raise StoreError(
                f"The batch journal in `{self.path}` cannot be read or written: {error}. "
                "Check the disk and the permissions, or set HF_SYNTHLABELS_HOME to another folder."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _requests(connection: sqlite3.Connection, number: int | None) -> set[bytes]:
    return {key for (key,) in connection.execute("SELECT key FROM batch_requests WHERE batch = ?", (number,))}


def _batches_of(connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[str, list[bytes]]:
    """IDs of the open batches that contain the requests."""
    query = "SELECT b.id FROM batch_requests r JOIN batches b ON b.number = r.batch WHERE r.key = ?"
    batches: dict[str, list[bytes]] = {}
    for key in keys:
        batches.setdefault(connection.execute(query, (key,)).fetchone()[0], []).append(key)
    return batches


def _stored(connection: sqlite3.Connection, number: int | None) -> set[bytes]:
    """Requests of a batch whose answers have been stored since they were looked up."""
    rows = connection.execute(
        "SELECT r.key, a.payload, a.checksum FROM batch_requests r "
        "JOIN answers a ON a.key = lower(hex(r.key)) WHERE r.batch = ?",
        (number,),
    )
    return {key for key, payload, mark in rows if checksum(payload) == mark}


def _reserve(
    connection: sqlite3.Connection,
    run: Run,
    record_id: str,
    keys: Sequence[bytes],
    most: Callable[[bytes], Reservation],
) -> tuple[list[bytes], list[bytes]]:
    """Reserve the maximum cost of the requests; returns those that fit the budget, and the others."""
    # Without a process: the money stays reserved while the batch is at the provider.
    connection.execute(
        "INSERT INTO runs (id, scope, model, base_url, started_at) VALUES (?, ?, ?, ?, ?)",
        (record_id, run.scope, run.model, run.base_url, time.time()),
    )
    batch_run = Run(run.scope, run.model, run.base_url, run.budget_usd, run.budget_tokens, id=record_id)
    costs = [most(key) for key in keys]
    requested = Allowance(len(keys), sum(cost.usd for cost in costs), sum(cost.tokens for cost in costs))
    granted = reserve(connection, batch_run, requested)
    paid, over_budget, usd, tokens = list[bytes](), list[bytes](), 0.0, 0
    for key, cost in zip(keys, costs, strict=True):
        if usd + cost.usd <= granted.usd + 1e-9 and tokens + cost.tokens <= granted.tokens:
            paid.append(key)
            usd, tokens = usd + cost.usd, tokens + cost.tokens
        else:
            over_budget.append(key)
    if paid:
        connection.execute(
            "UPDATE runs SET granted_requests = ?, granted_usd = ?, granted_tokens = ? WHERE id = ?",
            (len(paid), usd, tokens, record_id),
        )
    else:
        connection.execute("DELETE FROM runs WHERE id = ?", (record_id,))
    return paid, over_budget
