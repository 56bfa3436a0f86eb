"""The ledger of the response store: what each run reserved, spent, and may have lost."""

from __future__ import annotations

import logging
import sqlite3
import time
import uuid
from dataclasses import dataclass, field

_LOGGER = logging.getLogger(__name__)

EXCEEDED = "Answers cost more than `max_tokens` and their prompts allow, or the budget was lowered. No more is sent."


@dataclass(frozen=True, slots=True)
class Run:
    """One process that spends on one recipe."""

    scope: str
    """What the budget is for: the name of the recipe."""
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
    """What requests came to: those that were answered, and those whose answer never came; grows until it is written."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = None
    """None where the price is not known."""
    uncertain_requests: int = 0
    """Sent, and given up without an answer: the server may have billed them."""
    uncertain_usd: float = 0.0
    """The most that they can have cost."""
    uncertain_tokens: int = 0

    def add(self, other: UsageRecord) -> None:
        """Count another's requests with these."""
        self.requests += other.requests
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cached_tokens += other.cached_tokens
        if other.usd is not None:
            self.usd = (self.usd or 0.0) + other.usd
        self.uncertain_requests += other.uncertain_requests
        self.uncertain_usd += other.uncertain_usd
        self.uncertain_tokens += other.uncertain_tokens


# Of a run that has ended, what it spent is gone; of one that goes on or was killed, all that it reserved.
TAKEN = """
SELECT coalesce(sum(max(granted_usd, coalesce(usd, 0) + uncertain_usd)), 0),
       coalesce(sum(max(granted_tokens, prompt_tokens + completion_tokens + uncertain_tokens)), 0)
FROM runs WHERE scope = ?
"""


def reserve(connection: sqlite3.Connection, run: Run, wish: Allowance) -> Allowance:
    """Reserve as much of a wish as the budget of the run's scope still holds; all runs of the scope count.

    The caller has begun a transaction, so that no other process can reserve the same money.
    """
    usd, tokens = wish.usd, wish.tokens
    if run.budget_usd is not None or run.budget_tokens is not None:
        taken_usd, taken_tokens = connection.execute(TAKEN, (run.scope,)).fetchone()
        if run.budget_usd is not None:
            usd = max(0.0, min(usd, run.budget_usd - taken_usd))
        if run.budget_tokens is not None:
            tokens = max(0, min(tokens, run.budget_tokens - taken_tokens))
    connection.execute(
        "UPDATE runs SET granted_requests = granted_requests + ?, granted_usd = granted_usd + ?, "
        "granted_tokens = granted_tokens + ? WHERE id = ?",
        (wish.requests, usd, tokens, run.id),
    )
    return Allowance(wish.requests, usd, tokens)


def commit_usage(connection: sqlite3.Connection, run: Run, settlement: UsageRecord) -> None:
    """Enter what requests came to."""
    connection.execute(
        "UPDATE runs SET requests = requests + ?, prompt_tokens = prompt_tokens + ?, "
        "completion_tokens = completion_tokens + ?, cached_tokens = cached_tokens + ?, "
        "usd = CASE WHEN ? IS NULL THEN usd ELSE coalesce(usd, 0) + ? END, "
        "uncertain_requests = uncertain_requests + ?, uncertain_usd = uncertain_usd + ?, "
        "uncertain_tokens = uncertain_tokens + ? WHERE id = ?",
        (
            settlement.requests,
            settlement.prompt_tokens,
            settlement.completion_tokens,
            settlement.cached_tokens,
            settlement.usd,
            settlement.usd,
            settlement.uncertain_requests,
            settlement.uncertain_usd,
            settlement.uncertain_tokens,
            run.id,
        ),
    )


def end_run(connection: sqlite3.Connection, run: Run) -> None:
    """Give back what was reserved and not spent, and warn if the budget is exceeded.

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
