"""Entries: what an actor has the bookkeeper write, in the order in which it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hf_synthlabels.clients import Run
from hf_synthlabels.clients.store.ledger import Allowance, UsageRecord


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that was paid for."""

    key: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Began:
    """A run that will spend."""

    run: Run


@dataclass(frozen=True, slots=True)
class Wished:
    """Requests and money that a run wants to reserve."""

    run: Run
    wish: Allowance


@dataclass(frozen=True, slots=True)
class Settled:
    """What requests of a run came to."""

    run: Run
    settlement: UsageRecord


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has nothing on the way any more."""

    run: Run


Entry = Answered | Began | Wished | Settled | Ended


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back when entries are on disk."""

    grants: tuple[Allowance, ...] = ()
    """One for each wish, in their order."""
    stopped: bool = False
    """The run is to end: nothing more is to be sent."""


class StoreActor(Protocol):
    """Where the bookkeeper is spoken to, from its own process or from another machine."""

    def find(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among the given keys."""

    def write(self, writer: str, entries: Sequence[Entry], tally: Mapping[str, Any] | None) -> Reply:
        """Write entries; they are on disk when this returns. `tally` is all that the writer has come to."""
