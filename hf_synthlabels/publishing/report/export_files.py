"""Exhibits as files: numbers as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from hf_synthlabels.publishing.report.formatting import named_rows
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
    Scatter,
    Table,
    Value,
)

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
    return Table(figure.name, figure.title, tuple(columns), tuple(map(tuple, rows)), figure.note)


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
