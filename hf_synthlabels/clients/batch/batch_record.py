"""BatchRecord: one batch, from the decision to buy it until all that it brought is stored."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import Literal

from hf_synthlabels.clients.store.processes import is_alive

State = Literal["intended", "submitting", "submitted", "stored", "abandoned", "forgotten"]
"""How far an intent has come; the last three are final.

`intended`: written down, its input file perhaps uploaded. `submitting`: a batch may exist. `submitted`: it does.
`stored`: all that it brought is in the store. `abandoned`: nothing was bought. `forgotten`: given up by its user.
"""

OPEN_STATES = ("intended", "submitting", "submitted")

LEASE_S = 3600.0
"""An owner that has said nothing for so long is gone; longer than any one step between two states takes."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whom a batch is for."""

    identity: str
    """The hash of model, address and sampling."""
    model: str
    base_url: str
    api_key_env: str | None
    """The name of the environment variable with the key."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One batch, from the decision to buy it until all that it brought is stored."""

    number: int
    id: str
    """Stands in the batch's metadata at the provider and in the name of its input file."""
    identity: str
    model: str
    base_url: str
    api_key_env: str | None
    state: State
    status: str
    """What the provider last said of the batch."""
    file_id: str | None
    batch_id: str | None
    requests: int
    note: str
    created_at: float
    """Seconds since 1970, as all times here."""
    changed_at: float
    cancelled_at: float | None
    owner: str | None
    """The call that is working on it, while it has no batch yet."""
    pid: int | None
    host: str | None

    @property
    def is_open(self) -> bool:
        """Whether it can still bring something."""
        return self.state in OPEN_STATES

    @property
    def is_held(self) -> bool:
        """Whether somebody is working on it, as far as can be seen from here."""
        if self.owner is None or time.time() - self.changed_at > LEASE_S:
            return False
        return self.host != socket.gethostname() or is_alive(self.pid)


@dataclass(frozen=True, slots=True)
class Claim:
    """What became of the wish to put some requests into a batch."""

    intent: BatchRecord | None
    """The new intent; None when there is nothing for it."""
    mine: list[bytes]
    """In the new intent, in the order of the wish."""
    elsewhere: dict[str, list[bytes]] = field(default_factory=dict)
    """In other open intents, by their ids."""
    stored: list[bytes] = field(default_factory=list)
    """Answered meanwhile."""
    short: list[bytes] = field(default_factory=list)
    """More than the budget holds."""
