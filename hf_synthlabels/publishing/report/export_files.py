"""Exhibits in other forms: numbers as CSV and JSON, and figures as alternative text."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from hf_synthlabels.publishing.report.formatting import decimals, named_rows, one_line, value_words
from hf_synthlabels.publishing.report.page_values import plain_exhibit
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import (
    Bars,
    Calibration,
    Counts,
    Curves,
    Exhibit,
    Figure,
    Intervals,
    Point,
    Scatter,
    Specifications,
    Table,
    Value,
)

MAX_ACROSS = 6
"""Columns of a table with a single row."""

MAX_DESCRIBED = 8
"""Rows of a figure in its alternative text."""

PARTS = ("estimate", "low", "high", "n", "level", "method")


def figure_table(figure: Figure) -> Table:
    """Numbers of a figure as a table, without fitted lines."""
    match figure:
        case Intervals():
            columns, rows = _of_intervals(figure)
        case Curves():
            columns, rows = _of_curves(figure)
        case Counts():
            columns = (f"human label \\ {figure.across}", *figure.columns)
            rows = [(name, *line) for name, line in zip(figure.rows, figure.counts, strict=True)]
        case Calibration():
            columns = ("bin", "mean confidence", "accuracy")
            rows = [(str(place), mean, share) for place, (mean, share) in enumerate(figure.bins, 1)]
        case Bars():
            names, panels = named_rows(figure.panels.values())
            columns = ("", *figure.panels)
            rows = list(zip(names, *panels, strict=True))
        case Scatter():
            columns = ("group", "name", figure.x, figure.y)
            rows = [(group, name, x, y) for group, points in figure.groups.items() for name, x, y in points]
        case Specifications():
            columns = ("variant", *figure.choices, *figure.series)
            rows = list(zip(figure.variants, *figure.choices.values(), *figure.series.values(), strict=True))
    return Table(figure.name, figure.title, tuple(columns), tuple(map(tuple, rows)), figure.note)


def is_upright(table: Table) -> bool:
    """Whether a table has a single row of so many columns that a list of them is easier to read."""
    return len(table.rows) == 1 and len(table.columns) > MAX_ACROSS


def alt_text(figure: Figure) -> str:
    """What a figure shows, for readers who do not see it; the first rows of many."""
    match figure:
        case Counts():
            right = sum(
                count
                for name, line in zip(figure.rows, figure.counts, strict=True)
                for other, count in zip(figure.columns, line, strict=True)
                if name == other
            )
            whole = sum(map(sum, figure.counts))
            parts = [f"confusion matrix of {len(figure.rows):,} classes, {right:,} of {whole:,} on the diagonal"]
        case Curves():
            parts = [
                f"{curve.name} from {_at(curve.points[0], figure.x)} to {_at(curve.points[-1], figure.x)}"
                for curve in figure.curves
                if curve.points
            ]
        case _:
            numbers = figure_table(figure)
            places = [decimals(row[place] for row in numbers.rows) for place in range(len(numbers.columns))]
            parts = [
                ", ".join(
                    f"{column} {value_words(value, digits)}".strip()
                    for column, value, digits in zip(numbers.columns, row, places, strict=True)
                )
                for row in numbers.rows
            ]
    more = [f"and {len(parts) - MAX_DESCRIBED:,} more"] if len(parts) > MAX_DESCRIBED else []
    return one_line(f"{figure.title}: {'; '.join([*parts[:MAX_DESCRIBED], *more]) or 'no numbers'}.")


def _at(point: Point, axis: str) -> str:
    return f"{value_words(point.y, 3)} at {axis} {point.x:g}"


def csv_text(exhibit: Exhibit) -> str:
    """Unrounded numbers as CSV: an interval has six columns, missing values are empty.

    An apostrophe precedes texts that a spreadsheet would read as formulas; the JSON is unchanged.
    """
    table = exhibit if isinstance(exhibit, Table) else figure_table(exhibit)
    spread = [any(isinstance(row[place], Interval) for row in table.rows) for place in range(len(table.columns))]
    head: list[str] = []
    for name, wide in zip(table.columns, spread, strict=True):
        head += [_safe(name), *(f"{_safe(name)} {part}".strip() for part in PARTS[1:])] if wide else [_safe(name)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    for row in table.rows:
        cells: list[Any] = []
        for value, wide in zip(row, spread, strict=True):
            cells += _spread(value) if wide else [_cell(value)]
        writer.writerow(cells)
    return buffer.getvalue()


def json_text(exhibit: Exhibit) -> str:
    """The exhibit as JSON, including fitted lines."""
    return json.dumps(plain_exhibit(exhibit), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _of_intervals(figure: Intervals) -> tuple[Sequence[str], list[Sequence[Value]]]:
    names, panels = named_rows(figure.panels.values())
    rows: list[Sequence[Value]] = list(zip(names, *panels, strict=True))
    marks: list[Sequence[Value]] = [(name, *(value for _ in panels)) for name, value in figure.marks]
    return ("", *figure.panels), [*rows, *marks]


def _of_curves(figure: Curves) -> tuple[Sequence[str], list[Sequence[Value]]]:
    rows: list[Sequence[Value]] = [
        (curve.name, int(point.x) if float(point.x).is_integer() else point.x, point.y)
        for curve in figure.curves
        for point in curve.points
    ]
    marks: list[Sequence[Value]] = [(name, x, None) for name, x in figure.marks]
    return ("curve", figure.x, figure.y), [*rows, *marks, *((name, None, y) for name, y in figure.levels)]


def _spread(value: Value) -> list[Any]:
    if isinstance(value, Interval):
        return [_cell(getattr(value, part)) for part in PARTS]
    return [_cell(value), *[""] * (len(PARTS) - 1)]


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return _safe(value) if isinstance(value, str) else value


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
