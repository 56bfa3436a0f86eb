"""Code blocks of a Markdown document, and what its comments say of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Block", "blocks"]

# A block may follow a comment: the file that it is, why it is not run, the words that replace others when it is run at
# a small size (`2000 = 300, 250 = 80`), or that the commands above print it (`output`, or `output: numbers vary`).
PATTERN = re.compile(
    r"(?:<!--\s*(?P<kind>file|no-run|small|output)(?::\s*(?P<what>.*?))?\s*-->\s*\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)

NUMBERS_VARY = "numbers vary"


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
    output: str | None = None
    """`exact` or `numbers vary` for a block that earlier commands print."""

    def missing_from(self, printed: str) -> str | None:
        """The first part of an output block that was not printed; None if all parts were, in this order.

        A line `...` stands for any lines, and `…` for any characters.
        """
        lines = [line.rstrip() for line in printed.splitlines()]
        position = 0
        for part in re.split(r"^ *\.\.\.\n", self.text, flags=re.M):
            patterns = [self._pattern(line) for line in part.splitlines()]
            starts = range(position, len(lines) - len(patterns) + 1)
            matching = (
                start
                for start in starts
                if all(pattern.fullmatch(lines[start + offset]) for offset, pattern in enumerate(patterns))
            )
            start = next(matching, None)
            if start is None:
                return part
            position = start + len(patterns)
        return None

    def _pattern(self, line: str) -> re.Pattern[str]:
        pattern = ".*".join(re.escape(piece) for piece in line.rstrip().split("…"))
        if self.output == NUMBERS_VARY:
            # Columns move with the width of their numbers.
            pattern = re.sub(r"-?\d(?:[\d,]|\\\.\d)*", r"-?[\\d.,]+", pattern)
            pattern = r" *" + re.sub(r"(?:\\ )+", r" +", pattern)
        return re.compile(pattern)


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
            output=(match["what"] or "exact") if kind == "output" else None,
        )
