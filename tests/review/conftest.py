"""A real browser, people in it, and the page on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.review import AnnotationSession, DecisionStore, ReviewOptions, ReviewState, open_review
from tests.review.browsing import WAIT_MS, Server
from tests.review.reviewing import serving


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """A page of somebody with a browser of their own, which fails the test if a script does."""
    contexts, wrong = [], []

    def begin(url: str, name: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(url)
        page.get_by_label("Your name").fill(name)
        page.keyboard.press("Enter")
        page.wait_for_selector(".row-head, .empty")
        return page

    yield begin
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """The page of a table in this process; the address of it."""
    with ExitStack() as stack:

        def begin(made: Dataset, *, blind: bool | None = False, **options: Any) -> str:
            data, store = tmp_path / "data.parquet", tmp_path / "data.parquet.review.sqlite"
            made.to_parquet(str(data))
            state = ReviewState(open_review(str(data), ReviewOptions(**options)), DecisionStore(store))
            return f"http://127.0.0.1:{stack.enter_context(serving(AnnotationSession(state, blind=blind), data.name))}/"

        yield begin


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def begin(data: Path, *options: str, port: int = 0) -> Server:
        servers.append(Server(data, *options, port=port))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()
