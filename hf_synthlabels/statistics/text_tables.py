"""Plain-text tables for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


def shorten(text: str, width: int) -> str:
    """The text on one line, cut to at most `width` characters when it is longer.

    The ellipsis is in the middle, because names often differ at their end.
    """
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    tail = (width - 1) // 2
    return f"{line[: width - 1 - tail].rstrip()}…{line[-tail:].lstrip()}"


LINE_WIDTH = 100
"""Characters beyond which sentences are hard to read, however wide a terminal is."""

GAP = 2

NO_BREAK = "\u00a0"


def wrap(text: str, width: int | None = None) -> str:
    """Sentences in lines of at most `width` characters, or of 100; an estimate stays with its interval."""
    together = re.sub(r"(?:\S+ )?\[[^\]\s]+, [^\]\s]+\]", lambda found: found[0].replace(" ", NO_BREAK), text)
    wrapped = textwrap.fill(together, min(width or LINE_WIDTH, LINE_WIDTH), break_long_words=False)
    return wrapped.replace(NO_BREAK, " ") if NO_BREAK not in text else wrapped


def align(rows: Sequence[Sequence[str]], right: Collection[int] = (), width: int | None = None) -> str:
    """Rows of cells in columns two spaces apart.

    Args:
        rows: the head first; the first column names the rows.
        right: numbers of the columns that are flush right.
        width: of the terminal. A wider table is printed in parts, one below the other, each with the first column.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is None or sum(widths) + GAP * (len(widths) - 1) <= width or len(widths) < 3:
        return _table(rows, widths, right)
    parts: list[list[int]] = [[0]]
    for column in range(1, len(widths)):
        taken = sum(widths[each] + GAP for each in parts[-1])
        if taken + widths[column] > width and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(column)
    return "\n\n".join(
        _table(
            [[row[column] for column in part] for row in rows],
            [widths[column] for column in part],
            [place for place, column in enumerate(part) if column in right],
        )
        for part in parts
    )


def _table(rows: Sequence[Sequence[str]], widths: Sequence[int], right: Collection[int]) -> str:
    lines = (
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A small table that shows at one look where predicted and human labels differ."""

    head: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    """Text is flush left, numbers are flush right, fractions with two decimals; None is shown as "-"."""

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The table, in parts where it is wider than a terminal."""
        cells = [self.head, *(tuple(map(_cell, row)) for row in self.rows)]
        numbers = {
            place for place in range(len(self.head)) if not any(isinstance(row[place], str) for row in self.rows)
        }
        return align(cells, right=numbers, width=width)

    def to_dict(self) -> dict[str, Any]:
        """The head and the rows as lists."""
        return {"head": list(self.head), "rows": [list(row) for row in self.rows]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Breakdown:
        """The table that `to_dict` wrote."""
        return cls(tuple(values["head"]), tuple(tuple(row) for row in values["rows"]))


def _cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
