"""Exhibits: the tables and figures of a report as values, which a page, a card or a file can then show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hf_synthlabels.statistics.intervals import Interval

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


Figure = Intervals | Curves | Counts | Calibration | Bars | Scatter

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
