"""Code blocks of a Markdown document, and what its comments say of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Block", "blocks"]

# A block may follow a comment that says which file it is, why it can not be run, or which words stand in for others
# when it is tried at a small size, as in `2000 = 300, 250 = 80`.
PATTERN = re.compile(
    r"(?:<!--\s*(?P<kind>file|no-run|small):\s*(?P<what>.*?)\s*-->\s*\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
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
        kind, text = match["kind"], match["text"]
        for change in match["what"].split(",") if kind == "small" else ():
            large, small = (word.strip() for word in change.split("="))
            assert large in text, f"a block is to be run with {small!r} in place of {large!r}, which it has not"
            text = text.replace(large, small)
        yield Block(
            language=match["language"],
            text=text,
            line=document.count("\n", 0, match.start()) + 1,
            file=match["what"] if kind == "file" else None,
            no_run=match["what"] if kind == "no-run" else None,
        )
