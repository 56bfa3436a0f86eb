"""Parts that several figures share: limits, grids, rows with names, named lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hf_synthlabels.errors import import_extra
from hf_synthlabels.publishing.report.formatting import fold, number
from hf_synthlabels.publishing.report.svg import SvgFigure, canvas, finished
from hf_synthlabels.publishing.report.theme import LIGHT
from hf_synthlabels.statistics import Interval

WIDTH = 7.0
"""Inches: what a page's column and a sheet of paper hold."""


GROUND = {"facecolor": LIGHT["card"], "alpha": 0.8, "linewidth": 0, "pad": 0.4}
"""Behind text that a line might cross."""

ROOM = 0.25
"""The share of a panel that the name of a line needs."""


class Limits(NamedTuple):
    """Where an axis begins and ends."""

    low: float
    high: float


class NWords(NamedTuple):
    """Text with the number of rows behind several estimates."""

    shared: str
    """For a title, where all rest on as many rows."""
    each: bool
    """Whether each number needs its own."""


def n_words(values: Iterable[Interval]) -> NWords:
    """How to tell the n of several intervals with the fewest words."""
    sizes = {value.n for value in values}
    if len(sizes) == 1:
        return NWords(f"  (n = {sizes.pop():,})", False)
    return NWords("", bool(sizes))


def limits(values: Iterable[float]) -> Limits:
    """Limits around the finite values, with some air; of none, 0 to 1."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return Limits(0.0, 1.0)
    low, high = min(known), max(known)
    air = 0.08 * (high - low) or 0.05 * abs(high) or 0.5
    return Limits(low - air, high + air)


def close(place: Any, values: Iterable[float]) -> Limits:
    """Set the horizontal limits around values."""
    ends = limits(values)
    place.set_xlim(*ends)
    return ends


def grid(place: Any, axis: str, most: int = 5) -> None:
    """Faint lines behind everything, at few and round numbers."""
    ticker = import_extra("matplotlib.ticker", "report")
    if axis in ("x", "both"):
        place.xaxis.set_major_locator(ticker.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    if axis in ("y", "both"):
        place.yaxis.set_major_locator(ticker.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    place.grid(axis=axis, color=LIGHT["line"], linewidth=0.6)
    place.set_axisbelow(True)


def rows_axis(place: Any, names: Sequence[str], *, above: float = 0.0) -> None:
    """Names down the side, the first on top, and room above for named lines."""
    place.set_yticks(range(len(names)), names, fontsize=8.5)
    place.set_ylim(len(names) - 0.45, -0.75 - above)
    place.tick_params(axis="y", length=0)
    place.spines["left"].set_visible(False)


def named_lines(place: Any, marks: Sequence[tuple[str, float]], digits: int, rows: int) -> None:
    """Upright dashed lines with their names above the rows, one below the other."""
    ends = place.get_xlim()
    for row, (name, value) in enumerate(marks):
        if not math.isfinite(value):
            continue
        height = -0.75 - 0.45 * (len(marks) - row) + 0.3
        place.plot([value, value], [height, rows - 0.45], color=LIGHT["soft"], linestyle=(0, (4, 3)), linewidth=1)
        side = _side(value, [other for _, other in marks], *ends)
        place.annotate(
            f"{fold(name, 40, 1)} {number(value, digits).rstrip('0').rstrip('.') if digits else number(value, 0)}",
            (value, height), (-4 if side == "right" else 4, 0), textcoords="offset points", ha=side,
            va="center", fontsize=7.5, color=LIGHT["soft"], bbox=GROUND,
        )  # fmt: skip


def _side(value: float, marks: Sequence[float], left: float, right: float) -> str:
    """The alignment of a line's name: away from the other lines where there is room, else towards the middle."""
    share = (value - left) / ((right - left) or 1)
    if ROOM <= share <= 1 - ROOM:
        if any(other > value for other in marks) and not any(other < value for other in marks):
            return "right"
        if any(other < value for other in marks) and not any(other > value for other in marks):
            return "left"
    return "right" if share > 0.5 else "left"


def nothing(name: str) -> SvgFigure:
    """A small figure which says that there is nothing to draw."""
    with canvas(WIDTH, 0.6) as (drawn, (place,)):
        place.set_axis_off()
        place.text(0, 0.5, "No numbers to draw.", transform=place.transAxes, va="center", color=LIGHT["soft"])
        return finished(drawn, name)
