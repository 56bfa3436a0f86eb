"""Ledger of the response store: what each run reserved, spent and may have been billed for."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import time
import uuid
from dataclasses import astuple, dataclass, field

_LOGGER = logging.getLogger(__name__)

EXCEEDED = "Answers cost more than `max_tokens` and their prompts allow, or the budget was lowered. No more is sent."


@dataclass(frozen=True, slots=True)
class Run:
    """One process that spends on one recipe."""

    scope: str
    """What the budget covers: the name of the recipe."""
    model: str | None = None
    base_url: str | None = None
    budget_usd: float | None = None
    budget_tokens: int | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Requests, money and tokens that may be spent."""

    requests: int = 0
    usd: float = 0.0
    tokens: int = 0


@dataclass(slots=True)
class UsageRecord:
    """Usage of some requests, answered or not; grows until it is written."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = None
    """None if the price is unknown."""
    uncertain_requests: int = 0
    """Sent and given up without an answer: the server may have billed them."""
    uncertain_usd: float = 0.0
    """The most that they can have cost."""
    uncertain_tokens: int = 0

    def add(self, other: UsageRecord) -> None:
        """Add the usage of other requests."""
        self.requests += other.requests
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cached_tokens += other.cached_tokens
        if other.usd is not None:
            self.usd = (self.usd or 0.0) + other.usd
        self.uncertain_requests += other.uncertain_requests
        self.uncertain_usd += other.uncertain_usd
        self.uncertain_tokens += other.uncertain_tokens


# A run that has ended counts with what it spent; one that continues or was killed, with all that it reserved.
TAKEN = """
SELECT coalesce(sum(max(granted_usd, coalesce(usd, 0) + uncertain_usd)), 0),
       coalesce(sum(max(granted_tokens, prompt_tokens + completion_tokens + uncertain_tokens)), 0)
FROM runs WHERE scope = ?
"""


def begin_run(connection: sqlite3.Connection, run: Run) -> None:
    """Add a run of this process."""
    connection.execute(
        "INSERT INTO runs (id, scope, model, base_url, pid, host, started_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run.id, run.scope, run.model, run.base_url, os.getpid(), socket.gethostname(), time.time()),
    )


def reserve(connection: sqlite3.Connection, run: Run, requested: Allowance) -> Allowance:
    """Reserve as much of a request as the budget of the run's scope still covers, over all runs of the scope.

    The caller has begun a transaction, so that no other process can reserve the same money.
    """
    usd, tokens = requested.usd, requested.tokens
    if run.budget_usd is not None or run.budget_tokens is not None:
        taken_usd, taken_tokens = connection.execute(TAKEN, (run.scope,)).fetchone()
        if run.budget_usd is not None:
            usd = max(0.0, min(usd, run.budget_usd - taken_usd))
        if run.budget_tokens is not None:
            tokens = max(0, min(tokens, run.budget_tokens - taken_tokens))
    connection.execute(
        "UPDATE runs SET granted_requests = granted_requests + ?, granted_usd = granted_usd + ?, "
        "granted_tokens = granted_tokens + ? WHERE id = ?",
        (requested.requests, usd, tokens, run.id),
    )
    return Allowance(requested.requests, usd, tokens)


def commit_usage(connection: sqlite3.Connection, run: Run, usage: UsageRecord) -> None:
    """Add the usage of completed requests to a run."""
    connection.execute(
        "UPDATE runs SET requests = requests + ?1, prompt_tokens = prompt_tokens + ?2, "
        "completion_tokens = completion_tokens + ?3, cached_tokens = cached_tokens + ?4, "
        "usd = CASE WHEN ?5 IS NULL THEN usd ELSE coalesce(usd, 0) + ?5 END, "
        "uncertain_requests = uncertain_requests + ?6, uncertain_usd = uncertain_usd + ?7, "
        "uncertain_tokens = uncertain_tokens + ?8 WHERE id = ?9",
        (*astuple(usage), run.id),
    )


def end_run(connection: sqlite3.Connection, run: Run) -> None:
    """Release what was reserved and not spent, and warn if the budget is exceeded.

    A run that sent nothing leaves no entry.
    """
    connection.execute(
        "UPDATE runs SET ended_at = ?, granted_requests = requests + uncertain_requests, "
        "granted_usd = coalesce(usd, 0) + uncertain_usd, "
        "granted_tokens = prompt_tokens + completion_tokens + uncertain_tokens WHERE id = ?",
        (time.time(), run.id),
    )
    connection.execute("DELETE FROM runs WHERE id = ? AND requests = 0 AND uncertain_requests = 0", (run.id,))
    usd, tokens = connection.execute(TAKEN, (run.scope,)).fetchone()
    if run.budget_usd is not None and usd > run.budget_usd + 1e-9:
        _LOGGER.warning("`budget_usd` of %r is exceeded by %.4f. %s", run.scope, usd - run.budget_usd, EXCEEDED)
    if run.budget_tokens is not None and tokens > run.budget_tokens:
        _LOGGER.warning("`budget_tokens` of %r is exceeded by %d. %s", run.scope, tokens - run.budget_tokens, EXCEEDED)


def is_alive(pid: int | None) -> bool:
    """Whether a process with this ID is running; the ID may have been reused, and then the result is still safe.

    True where the system offers no harmless check (Windows).
    """
    if pid is None:
        return False
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
