"""What the tests of the metrics' pages share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def event_loops_of_gradio(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Gradio creates an event loop for each lock of a page and never closes it, which is a ResourceWarning."""
    loops: list[asyncio.AbstractEventLoop] = []
    create = asyncio.new_event_loop

    def recorded() -> asyncio.AbstractEventLoop:
        loops.append(create())
        return loops[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", recorded)
    yield
    for loop in loops:
        if not loop.is_running():
            loop.close()
