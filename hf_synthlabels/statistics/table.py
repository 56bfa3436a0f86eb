"""Plain-text tables for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["align", "shorten"]


def shorten(text: str, width: int) -> str:
    """The text on one line, cut to at most `width` characters when it is longer.

    The ellipsis stands in the middle: names that share their beginning often differ at their end.
    """
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    tail = (width - 1) // 2
    return f"{line[: width - 1 - tail].rstrip()}…{line[-tail:].lstrip()}"


def align(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows of cells in columns two spaces apart; the columns numbered in `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
