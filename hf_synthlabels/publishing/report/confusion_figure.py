"""Confusion matrices: a heat map that stays readable with many classes, and the most frequent errors."""

from __future__ import annotations

from typing import Any

from hf_synthlabels.publishing.report.figure_parts import nothing
from hf_synthlabels.publishing.report.formatting import fold, one_line
from hf_synthlabels.publishing.report.svg import SvgFigure, canvas, finished
from hf_synthlabels.publishing.report.theme import LIGHT
from hf_synthlabels.statistics.exhibits import Counts, Table, Value

SWITCH = 0.735
"""The share from which on the numbers are written in the other color; see `theme`."""

MAX_DRAWN = 20
"""Classes of a heat map; of more classes those with the most errors are drawn."""

MAX_UPRIGHT = 8
"""Columns whose names are written horizontally."""

LONG_NAME = 12
MAX_ERRORS = 15
OTHER = "all other labels"


def is_large(counts: Counts) -> bool:
    """Whether a matrix has more classes than a figure shows."""
    return len(counts.rows) > MAX_DRAWN


def frequent_errors(name: str, title: str, counts: Counts) -> Table:
    """The most frequent errors, with the number of rows that have the human label."""
    errors = sorted(
        (
            (count, row, column)
            for row, line in enumerate(counts.counts)
            for column, count in enumerate(line)
            if count and counts.columns[column] != counts.rows[row]
        ),
        key=lambda error: (-error[0], error[1:]),
    )
    rows: list[tuple[Value, ...]] = []
    for count, row, column in errors[:MAX_ERRORS]:
        total = sum(counts.counts[row])
        rows.append((counts.rows[row], counts.columns[column], count, total, f"{100 * count / total:.1f}%"))
    shown = sum(count for count, *_ in errors[:MAX_ERRORS])
    note = f"These {len(rows):,} pairs are {shown:,} of {sum(count for count, *_ in errors):,} errors."
    heads = ("human label", counts.across, "errors", "rows with this human label", "share")
    return Table(name, title, heads, tuple(rows), note)


def drawn_counts(counts: Counts) -> Counts:
    """The part of a matrix that a figure shows: the classes with the most errors, and all others together."""
    if not is_large(counts):
        return counts
    places = {name: place for place, name in enumerate(counts.columns)}
    errors = []
    for row, name in enumerate(counts.rows):
        own = places.get(name, -1)
        missed = sum(counts.counts[row]) - (counts.counts[row][own] if own >= 0 else 0)
        wrong = sum(line[own] for at, line in enumerate(counts.counts) if at != row) if own >= 0 else 0
        errors.append((-(missed + wrong), row))
    kept = sorted(row for _, row in sorted(errors)[:MAX_DRAWN])
    names = [counts.rows[row] for row in kept]
    extra = [place for place, name in enumerate(counts.columns) if name not in set(counts.rows)]
    groups = [[places[name]] for name in names]
    groups.append([place for place in range(len(counts.columns)) if [place] not in groups and place not in extra])
    groups += [[place] for place in extra]
    rows = [[row] for row in kept] + [[row for row in range(len(counts.rows)) if row not in kept]]
    return Counts(
        counts.name,
        counts.title,
        (*names, OTHER),
        (*names, OTHER, *(counts.columns[place] for place in extra)),
        tuple(
            tuple(sum(counts.counts[row][column] for row in group for column in columns) for columns in groups)
            for group in rows
        ),
        counts.across,
        counts.note,
    )


def draw_counts(figure: Counts) -> SvgFigure:
    """Draw a heat map; the shading is the proportion of the row."""
    if not figure.rows or not figure.columns:
        return nothing(figure.name)
    figure = drawn_counts(figure)
    upright = len(figure.columns) <= MAX_UPRIGHT and all(len(one_line(name)) <= LONG_NAME for name in figure.columns)
    cell = 0.62 if upright else 0.34
    largest = max((count for row in figure.counts for count in row), default=0)
    cell = max(cell, 0.068 * len(f"{largest:,}") + 0.06)
    longest = max((len(line) for name in figure.rows for line in fold(name, 30).split("\n")), default=0)
    heads = [fold(name, 14) if upright else fold(name, 26, 1) for name in figure.columns]
    wide = min(9.6, max(3.2, cell * len(figure.columns) + 0.075 * longest + 1.0))
    tall = 0.36 * len(figure.rows) + (0.8 if upright else 0.7 + 0.075 * max(map(len, heads)))
    with canvas(wide, max(1.6, tall)) as (drawn, (place,)):
        totals = [max(1, sum(row)) for row in figure.counts]
        for row, line in enumerate(figure.counts):
            for column, count in enumerate(line):
                _cell(place, row, column, count, count / totals[row])
        place.set_xticks([spot + 0.5 for spot in range(len(heads))], heads, fontsize=8, rotation=0 if upright else 90)
        names = [fold(name, 30) for name in figure.rows]
        place.set_yticks([spot + 0.5 for spot in range(len(names))], names, fontsize=8)
        place.set(xlim=(0, len(heads)), ylim=(len(names), 0))
        place.tick_params(length=0, labelcolor=LIGHT["ink"])
        for spine in place.spines.values():
            spine.set_visible(False)
        place.set_xlabel(fold(figure.across, 60))
        place.set_ylabel("human label")
        return finished(drawn, figure.name)


def _cell(place: Any, row: int, column: int, count: int, share: float) -> None:
    patches = type(place.patch)
    corner = (column + 0.02, row + 0.03)
    place.add_patch(patches(corner, 0.96, 0.94, facecolor=LIGHT["head"], linewidth=0))
    if count:
        place.add_patch(patches(corner, 0.96, 0.94, facecolor=LIGHT["ramp"], alpha=share, linewidth=0))
    color = LIGHT["soft"] if not count else LIGHT["low"] if share < SWITCH else LIGHT["high"]
    # Zeros would hide the errors of a matrix that is mostly empty.
    text = f"{count:,}" if count else "·"
    place.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7.5, color=color)
