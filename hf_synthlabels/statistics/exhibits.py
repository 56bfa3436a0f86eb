"""Exhibits: tables and figures of a report as values, and tables as text for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from hf_synthlabels.statistics.intervals import Interval

LINE_WIDTH = 100
"""Characters beyond which sentences are hard to read, however wide a terminal is."""

GAP = 2
NO_BREAK = "\u00a0"

Value = Interval | float | int | str | None
"""Value of a cell; None is shown as unknown, never as empty or as zero."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values under named columns; the first column names the row."""

    name: str
    """A word for files and anchors: letters, digits and `_`, once in a report."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""
    """What a reader has to know to read it: what is counted, over what, how the intervals were made."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Estimates with their intervals, in panels; all panels have the same rows."""

    name: str
    title: str
    panels: Mapping[str, tuple[tuple[str, Interval], ...]]
    axis: str
    marks: tuple[tuple[str, float], ...] = ()
    """Named values that are drawn through every panel, as a paper's."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve; the interval may be undefined."""

    x: float
    y: Interval


@dataclass(frozen=True, slots=True)
class Curve:
    """A named line through points, with a band; `fitted` is a smooth line (x, y) drawn behind it."""

    name: str
    points: tuple[Point, ...]
    fitted: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Curves:
    """Lines over one axis: learning curves, thresholds, steps."""

    name: str
    title: str
    curves: tuple[Curve, ...]
    x: str
    y: str
    scale: Literal["linear", "log"] = "linear"
    marks: tuple[tuple[str, float], ...] = ()
    """Named places on the horizontal axis, drawn upright."""
    levels: tuple[tuple[str, float], ...] = ()
    """Named heights, drawn across."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """A confusion matrix: rows are the human labels, columns what was said of them."""

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    across: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Stated confidence against the share that is right, by bin."""

    name: str
    title: str
    bins: tuple[tuple[float, Interval], ...]
    """Mean confidence, and the share right with its n."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """Amounts by name, one panel for each unit; None is shown as unknown."""

    name: str
    title: str
    panels: Mapping[str, tuple[tuple[str, float | None], ...]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scatter:
    """Named points in groups, on two axes, where wanted with the line of equal values."""

    name: str
    title: str
    groups: Mapping[str, tuple[tuple[str, float, float], ...]]
    x: str
    y: str
    diagonal: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Specifications:
    """A specification curve: estimates under each variant above, and the choices behind each variant below."""

    name: str
    title: str
    variants: tuple[str, ...]
    series: Mapping[str, tuple[Interval, ...]]
    """Estimates by name of the estimator, in the order of the variants."""
    choices: Mapping[str, tuple[str | None, ...]]
    """By name of the choice its value for each variant."""
    axis: str
    marks: tuple[tuple[str, float], ...] = ()
    """Named values that are drawn across the estimates."""
    note: str = ""


Figure = Intervals | Curves | Counts | Calibration | Bars | Scatter | Specifications

Exhibit = Table | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """One question of a report: what came out in words, and the exhibits that show it."""

    name: str
    """A word for files and anchors, once in a report."""
    title: str
    """The question, as a reader would ask it."""
    answer: str
    """One to three sentences made from the numbers, with n and intervals; no more than the data can show."""
    exhibits: tuple[Exhibit, ...] = ()
    notes: tuple[str, ...] = ()
    """What limits the answer: rows left out, seeds, assumptions."""


def shorten(text: str, width: int) -> str:
    """The text on one line, cut to at most `width` characters when it is longer.

    The ellipsis is in the middle, because names often differ at their end.
    """
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    tail = (width - 1) // 2
    return f"{line[: width - 1 - tail].rstrip()}…{line[-tail:].lstrip()}"


def wrap(text: str, width: int | None = None) -> str:
    """Sentences in lines of at most `width` characters, or of 100; an estimate stays with its interval."""
    together = re.sub(r"(?:\S+ )?\[[^\]\s]+, [^\]\s]+\]", lambda match: match[0].replace(" ", NO_BREAK), text)
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
        used = sum(widths[each] + GAP for each in parts[-1])
        if used + widths[column] > width and len(parts[-1]) > 1:
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
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The table that `to_dict` wrote."""
        return cls(tuple(values["head"]), tuple(tuple(row) for row in values["rows"]))


def _cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
