"""Code blocks of a Markdown document, and what its comments say of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Block", "blocks"]

# A block may follow a comment that says which file it is, or why it can not be run.
PATTERN = re.compile(
    r"(?:<!--\s*(?P<kind>file|no-run):\s*(?P<what>.*?)\s*-->\s*\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced code block."""

    language: str
    text: str
    line: int
    file: str | None = None
    """The name of the file that the block is."""
    no_run: str | None = None
    """Why the block is not run."""


def blocks(document: str) -> Iterator[Block]:
    """The fenced code blocks of a document, in order."""
    for match in PATTERN.finditer(document):
        kind = match["kind"]
        yield Block(
            language=match["language"],
            text=match["text"],
            line=document.count("\n", 0, match.start()) + 1,
            file=match["what"] if kind == "file" else None,
            no_run=match["what"] if kind == "no-run" else None,
        )
