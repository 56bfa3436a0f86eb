"""A Hub on this machine, to which the real client of this process speaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.utils.tqdm import disable_progress_bars

from tests.publishing.hub_server import HubServer, User

__all__ = ["local_hub"]


@contextmanager
def local_hub(users: dict[str, User], cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Serve a Hub for these users by token; the client is the first of them."""
    with HubServer(users) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", next(iter(users)))
        # The client reads these when it is imported, which is done long ago.
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
        # The protocol of Xet needs servers of its own; LFS carries the same files.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        disable_progress_bars()
        yield server
        huggingface_hub.close_session()
