"""The journal of batches: what is about to be bought is written down before it is, so that no crash buys it twice."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.batch.batch_record import OPEN_STATES, BatchRecord, Claim, Endpoint, State
from hf_synthlabels.clients.store.budget import Reservation
from hf_synthlabels.clients.store.ledger import Allowance, Run, UsageRecord, commit_usage, end_run, reserve
from hf_synthlabels.clients.store.payloads import is_usable
from hf_synthlabels.clients.store.response_store import checksum
from hf_synthlabels.errors import StoreError

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
    # A request is in one open intent at most: that is what keeps two processes from buying it twice.
    """
CREATE TABLE IF NOT EXISTS batch_requests (
    key BLOB PRIMARY KEY, batch INTEGER NOT NULL
) WITHOUT ROWID
""",
    "CREATE INDEX IF NOT EXISTS batch_requests_of ON batch_requests (batch)",
)

# An average: what each of them can have cost is known to whoever sent it, who may be gone.
UNCERTAIN_SHARE = """
UPDATE runs SET uncertain_usd = granted_usd * uncertain_requests / max(1, granted_requests),
    uncertain_tokens = granted_tokens * uncertain_requests / max(1, granted_requests)
WHERE id = ?
"""

OPEN = f"state IN {OPEN_STATES}"


class BatchJournal:
    """Intents and the requests in them, in the response store's file; safe for several processes.

    Each method is one transaction on a connection of its own, and is on disk when it returns.

    Args:
        path: the response store's file, in which its tables are.
        owner: who writes; each call of the client has a name of its own.

    Raises:
        StoreError: the file can not be read or written.
    """

    def __init__(self, path: Path, owner: str | None = None) -> None:
        self.path = path
        self.owner = owner or uuid.uuid4().hex
        with self._transaction() as connection:
            for statement in CREATE_TABLES:
                connection.execute(statement)

    def claim(
        self,
        keys: Sequence[bytes],
        endpoint: Endpoint,
        run: Run | None = None,
        most: Callable[[bytes], Reservation] | None = None,
    ) -> Claim:
        """Begin an intent with those of the requests that nobody else buys, that nobody has, and that can be paid.

        The most that they can cost is reserved in the ledger in the same transaction, in an entry of the intent's own:
        it stays reserved as long as the batch goes on, whoever dies meanwhile.

        Args:
            keys: the digests of the requests, each once.
            endpoint: where the batch is made.
            run: scope and budget; None for no account at all.
            most: the most that a request can cost.
        """
        name, now = uuid.uuid4().hex, time.time()
        with self._transaction() as connection:
            number = connection.execute(
                "INSERT INTO batches (id, identity, model, base_url, api_key_env, state, requests, created_at, "
                "changed_at, owner, pid, host) VALUES (?, ?, ?, ?, ?, 'intended', ?, ?, ?, ?, ?, ?)",
                (name, *astuple(endpoint), len(keys), now, now, *self._me()),
            ).lastrowid
            connection.executemany(
                "INSERT OR IGNORE INTO batch_requests VALUES (?, ?)", ((key, number) for key in keys)
            )
            mine = _claimed(connection, number)
            elsewhere = _holders(connection, [key for key in keys if key not in mine])
            stored = _stored(connection, number)
            wished = [key for key in keys if key in mine and key not in stored]
            paid, short = wished, list[bytes]()
            if run is not None and most is not None and wished:
                paid, short = _reserve(connection, run, name, wished, most)
            connection.executemany("DELETE FROM batch_requests WHERE key = ?", ((key,) for key in (*stored, *short)))
            if paid:
                connection.execute("UPDATE batches SET requests = ? WHERE number = ?", (len(paid), number))
            else:
                connection.execute("DELETE FROM batches WHERE number = ?", (number,))
        return Claim(self.get(name) if paid else None, paid, elsewhere, list(stored), short)

    def advance(
        self, intent: BatchRecord, state: State, *, file_id: str | None = None, batch_id: str | None = None
    ) -> BatchRecord | None:
        """Note how far an intent has come; None when it has been taken from the caller, who must then leave it."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE batches SET state = ?, changed_at = ?, file_id = coalesce(?, file_id), "
                f"batch_id = coalesce(?, batch_id) WHERE number = ? AND owner = ? AND {OPEN}",
                (state, time.time(), file_id, batch_id, intent.number, self.owner),
            ).rowcount
        return self.get(intent.id) if changed else None

    def take_over(self, intent: BatchRecord) -> BatchRecord | None:
        """Become the owner of an intent whose owner is gone; None when somebody else was faster."""
        with self._transaction() as connection:
            changed = connection.execute(
                f"UPDATE batches SET owner = ?, pid = ?, host = ? WHERE number = ? AND owner IS ? AND {OPEN}",
                (*self._me(), intent.number, intent.owner),
            ).rowcount
        return self.get(intent.id) if changed else None

    def observe(self, intent: BatchRecord, status: str) -> None:
        """Note what the provider says of a batch."""
        with self._transaction() as connection:
            connection.execute("UPDATE batches SET status = ? WHERE number = ?", (status, intent.number))

    def cancelled(self, intent: BatchRecord) -> None:
        """Note that a batch was cancelled from here."""
        with self._transaction() as connection:
            connection.execute("UPDATE batches SET cancelled_at = ? WHERE number = ?", (time.time(), intent.number))

    def finish(
        self, intent: BatchRecord, state: State, *, note: str = "", settlement: UsageRecord | None = None
    ) -> bool:
        """End an intent, free its requests and settle its account; False when somebody else had done it.

        The settlement takes the place of what was reserved; without one, nothing was bought. Of its uncertain requests
        their share of what was reserved stays counted.
        """
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE batches SET state = ?, note = ?, changed_at = ?, owner = NULL, pid = NULL, host = NULL "
                f"WHERE number = ? AND {OPEN}",
                (state, note, time.time(), intent.number),
            ).rowcount
            if changed:
                connection.execute("DELETE FROM batch_requests WHERE batch = ?", (intent.number,))
                run = Run(scope="", id=intent.id)
                if settlement is not None:
                    commit_usage(connection, run, settlement)
                    connection.execute(UNCERTAIN_SHARE, (run.id,))
                end_run(connection, run)
        return bool(changed)

    def release(self) -> None:
        """Let go of all intents of this owner: whoever comes next may work on them."""
        with self._transaction() as connection:
            connection.execute(
                f"UPDATE batches SET owner = NULL, pid = NULL, host = NULL WHERE owner = ? AND {OPEN}", (self.owner,)
            )

    def get(self, name: str) -> BatchRecord | None:
        """The intent with this id."""
        found = self._intents("id = ?", name)
        return found[0] if found else None

    def open(self, identity: str | None = None) -> list[BatchRecord]:
        """The intents that are not final, of one identity or of all; the oldest first."""
        return self._intents(f"{OPEN} AND identity = coalesce(?, identity)", identity)

    def all(self) -> list[BatchRecord]:
        """Every intent that ever was; the oldest first."""
        return self._intents("1")

    def requests(self, intent: BatchRecord) -> set[bytes]:
        """The digests of the requests in an open intent."""
        with self._connection() as connection:
            return _claimed(connection, intent.number)

    def _intents(self, condition: str, *values: Any) -> list[BatchRecord]:
        columns = ", ".join(BatchRecord.__dataclass_fields__)
        with self._connection() as connection:
            rows = connection.execute(f"SELECT {columns} FROM batches WHERE {condition} ORDER BY number", values)
            return [BatchRecord(*row) for row in rows]

    def _me(self) -> tuple[str, int, str]:
        return self.owner, os.getpid(), socket.gethostname()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous=FULL")
                # An answer that is no text any more is one whose checksum does not hold, not an error.
                connection.text_factory = lambda content: content.decode(errors="replace")
                yield connection
        except sqlite3.Error as error:
            raise StoreError(
                f"The journal of batches in `{self.path}` can not be read or written: {error}. "
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


def _claimed(connection: sqlite3.Connection, number: int | None) -> set[bytes]:
    return {key for (key,) in connection.execute("SELECT key FROM batch_requests WHERE batch = ?", (number,))}


def _holders(connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[str, list[bytes]]:
    """The ids of the open intents that hold the requests."""
    query = "SELECT b.id FROM batch_requests r JOIN batches b ON b.number = r.batch WHERE r.key = ?"
    holders: dict[str, list[bytes]] = {}
    for key in keys:
        holders.setdefault(connection.execute(query, (key,)).fetchone()[0], []).append(key)
    return holders


def _stored(connection: sqlite3.Connection, number: int | None) -> set[bytes]:
    """Those of an intent's requests whose answers are in the store: somebody got them since they were looked up."""
    rows = connection.execute(
        "SELECT r.key, a.payload, a.checksum FROM batch_requests r "
        "JOIN answers a ON a.key = lower(hex(r.key)) WHERE r.batch = ?",
        (number,),
    )
    return {key for key, payload, mark in rows if checksum(payload) == mark and is_usable(json.loads(payload))}


def _reserve(
    connection: sqlite3.Connection, run: Run, name: str, keys: Sequence[bytes], most: Callable[[bytes], Reservation]
) -> tuple[list[bytes], list[bytes]]:
    """Reserve the most that the requests can cost, as far as the budget goes: those that it holds, and the others."""
    # No process: what is reserved is on the way at the provider, whoever waits for it.
    connection.execute(
        "INSERT INTO runs (id, scope, model, base_url, started_at) VALUES (?, ?, ?, ?, ?)",
        (name, run.scope, run.model, run.base_url, time.time()),
    )
    own = Run(run.scope, run.model, run.base_url, run.budget_usd, run.budget_tokens, id=name)
    wishes = [most(key) for key in keys]
    wish = Allowance(len(keys), sum(each.usd for each in wishes), sum(each.tokens for each in wishes))
    left = reserve(connection, own, wish)
    paid, short, usd, tokens = list[bytes](), list[bytes](), 0.0, 0
    for key, each in zip(keys, wishes, strict=True):
        if usd + each.usd <= left.usd + 1e-9 and tokens + each.tokens <= left.tokens:
            paid.append(key)
            usd, tokens = usd + each.usd, tokens + each.tokens
        else:
            short.append(key)
    if paid:
        connection.execute(
            "UPDATE runs SET granted_requests = ?, granted_usd = ?, granted_tokens = ? WHERE id = ?",
            (len(paid), usd, tokens, name),
        )
    else:
        connection.execute("DELETE FROM runs WHERE id = ?", (name,))
    return paid, short
