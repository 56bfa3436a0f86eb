"""Records of the batch journal."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import Literal

from hf_synthlabels.clients.store.ledger import is_alive

State = Literal["intended", "submitting", "submitted", "stored", "unsent", "abandoned"]
"""Progress of a batch; the last three states are final.

`intended`: recorded; the input file may be uploaded. `submitting`: the batch may exist. `submitted`: the batch exists.
`stored`: all its results are in the store. `unsent`: nothing was bought. `abandoned`: given up by the user.
"""

OPEN_STATES = ("intended", "submitting", "submitted")

LEASE_S = 3600.0
"""An owner without a sign of life for this long is gone; no step between two states takes longer."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One batch, from the decision to buy it until all its results are stored. Times are seconds since 1970."""

    number: int
    id: str
    """Part of the batch's metadata at the provider, and of the name of its input file."""
    identity: str
    """Hash of model, URL and sampling."""
    model: str
    base_url: str
    api_key_env: str | None
    state: State
    status: str
    """Last status that the provider reported."""
    file_id: str | None
    batch_id: str | None
    requests: int
    note: str
    created_at: float
    changed_at: float
    cancelled_at: float | None
    owner: str | None
    """Call of `BatchClient.complete` that is creating the batch."""
    pid: int | None
    host: str | None

    @property
    def is_open(self) -> bool:
        """Whether results may still come."""
        return self.state in OPEN_STATES

    @property
    def has_live_owner(self) -> bool:
        """Whether another call is creating the batch, as far as this machine can tell."""
        if self.owner is None or time.time() - self.changed_at > LEASE_S:
            return False
        return self.host != socket.gethostname() or is_alive(self.pid)


@dataclass(frozen=True, slots=True)
class Claim:
    """Result of claiming requests for a new batch."""

    record: BatchRecord | None
    """The new batch; None if no request is left for it."""
    claimed: list[bytes]
    """Requests in the new batch, in the order of the call."""
    elsewhere: dict[str, list[bytes]] = field(default_factory=dict)
    """Requests in other open batches, by their IDs."""
    stored: list[bytes] = field(default_factory=list)
    """Requests that have an answer by now."""
    over_budget: list[bytes] = field(default_factory=list)
