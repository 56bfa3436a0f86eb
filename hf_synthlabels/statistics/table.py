"""Plain-text tables for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["align", "shorten"]


def shorten(text: str, width: int) -> str:
    """The text on one line, cut to `width` characters with an ellipsis at its end when it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


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
