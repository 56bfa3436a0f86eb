"""Lines over one axis, and named points on two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hf_synthlabels.publishing.report.figure_parts import WIDTH, Limits, grid, limits, n_words, nothing
from hf_synthlabels.publishing.report.formatting import decimals, fold, number, one_line
from hf_synthlabels.publishing.report.svg import SvgFigure, canvas, finished
from hf_synthlabels.publishing.report.theme import LIGHT, SERIES
from hf_synthlabels.statistics.exhibits import Curve, Curves, Scatter

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (1, 3)), (0, (8, 2)))
SIDES = (
    *(("left", 0.016, 0.0), ("right", -0.016, 0.0), ("center", 0.0, 0.034), ("center", 0.0, -0.034)),
    *((side, right, up) for up in (0.026, -0.026) for side, right in (("left", 0.012), ("right", -0.012))),
)
"""Candidate offsets of a point's label, as fractions of the panel."""
MAX_TICKS = 8
TOGETHER = 5
"""Lines that one panel holds; more stand each in its own."""


def draw_curves(figure: Curves) -> SvgFigure:
    """Lines with bands, their points and fitted lines."""
    apart = len(figure.curves) > TOGETHER
    across = 3 if apart else 1
    down = math.ceil(len(figure.curves) / across) if apart else 1
    spread = Spread(figure)
    if not spread.drawable:
        return nothing(figure.name)
    tall = 0.25 + 1.75 * down if apart else 3.6
    with canvas(WIDTH, tall, down, across, sharex=True, sharey=True) as (drawn, places):
        for count, curve in enumerate(figure.curves):
            place = places[count] if apart else places[0]
            _curve(place, curve, 0 if apart else count)
            if apart:
                place.set_title(fold(curve.name, 30), fontsize=8.5, loc="left")
        for count, place in enumerate(places):
            if apart and count >= len(figure.curves):
                place.set_visible(False)
                continue
            _frame(place, figure, spread, named=not apart or count == 0)
            if apart and (count + across >= len(figure.curves)):
                place.tick_params(axis="x", labelbottom=True)
        shared = n_words(point.y for curve in figure.curves for point in curve.points).shared
        label = f"{fold(figure.y, 60)}{shared}"
        if apart:
            drawn.supxlabel(fold(figure.x, 80), fontsize=9, color=LIGHT["ink"])
            drawn.supylabel(label, fontsize=9, color=LIGHT["ink"])
        else:
            places[0].set_xlabel(fold(figure.x, 80))
            places[0].set_ylabel(label)
            _legend(drawn, places[0], len(figure.curves))
        return finished(drawn, figure.name)


class Spread:
    """Where all lines of a figure lie, so that its panels share their axes."""

    def __init__(self, figure: Curves) -> None:
        points = [point for curve in figure.curves for point in curve.points]
        self.drawable = any(math.isfinite(point.y.estimate) for point in points)
        xs = [point.x for point in points] + [x for curve in figure.curves for x, _ in curve.fitted]
        xs += [x for _, x in figure.marks]
        self.xs = sorted({x for x in xs if math.isfinite(x)})
        self.ticks = sorted({point.x for point in points if math.isfinite(point.x)})
        ys = [end for point in points for end in (point.y.estimate, point.y.low, point.y.high)]
        ys += [y for curve in figure.curves for _, y in curve.fitted] + [y for _, y in figure.levels]
        self.y: Limits = limits(ys)
        self.scale: str = figure.scale if len(self.xs) > 1 else "linear"

    def scaled(self, place: Any) -> None:
        """Set the horizontal axis; nothing lies on a logarithmic one at zero, so that its beginning is linear then."""
        if self.scale == "log":
            if self.xs[0] <= 0:
                smallest = next((x for x in self.xs if x > 0), 1.0)
                place.set_xscale("symlog", linthresh=smallest, linscale=0.6)
                place.set_xlim(-0.15 * smallest, self.xs[-1] * 1.15)
            else:
                air = (self.xs[-1] / self.xs[0]) ** 0.05
                place.set_xlim(self.xs[0] / air, self.xs[-1] * air)
                place.set_xscale("log")
        else:
            place.set_xlim(*limits(self.xs))

    def apart(self) -> list[float]:
        """Positions of points with enough distance to each other."""
        logs = self.scale == "log"
        # Zero stands apart on an axis whose beginning is linear.
        kept = [x for x in self.ticks if x <= 0] if logs else []
        over = {x: math.log(x) if logs else x for x in self.ticks if x not in kept}
        room = 0.075 * (max(over.values(), default=0.0) - min(over.values(), default=0.0))
        last = -math.inf
        for x, place in over.items():
            if place - last > room:
                kept.append(x)
                last = place
        return kept


def _curve(place: Any, curve: Curve, count: int) -> None:
    color, mark = LIGHT[SERIES[count % len(SERIES)]], MARKERS[count % len(MARKERS)]
    known = [point for point in curve.points if math.isfinite(point.y.estimate)]
    banded = [point for point in known if not (math.isnan(point.y.low) or math.isnan(point.y.high))]
    xs = [point.x for point in known]
    if len(banded) > 1:
        place.fill_between(
            [point.x for point in banded], [point.y.low for point in banded], [point.y.high for point in banded],
            color=color, alpha=0.16, linewidth=0,
        )  # fmt: skip
    elif banded:
        place.plot([banded[0].x] * 2, [banded[0].y.low, banded[0].y.high], color=color, linewidth=1.5)
    if curve.fitted:
        place.plot(*zip(*curve.fitted, strict=True), color=color, linewidth=1.2, linestyle=(0, (1, 1.5)))
    place.plot(
        xs, [point.y.estimate for point in known], marker=mark, color=color, markersize=5, linewidth=1.8,
        # Where a curve is fitted the points stand on their own: two lines through them would say nothing.
        linestyle="none" if curve.fitted else DASHES[count % len(DASHES)], label=fold(curve.name, 34),
    )  # fmt: skip


def _frame(place: Any, figure: Curves, spread: Spread, *, named: bool) -> None:
    spread.scaled(place)
    grid(place, "y" if spread.scale == "log" else "both")
    place.grid(axis="x", color=LIGHT["line"], linewidth=0.6)
    kept = spread.apart()
    if spread.scale == "log" or (len(spread.ticks) <= MAX_TICKS and len(kept) == len(spread.ticks)):
        whole = all(float(x).is_integer() for x in kept)
        place.set_xticks(kept, [number(int(x) if whole else x, 2) for x in kept], fontsize=8)
        place.minorticks_off()
    low, high = spread.y
    rows = len(figure.marks)
    place.set_ylim(low, high + 0.09 * rows * (high - low))
    left, right = place.get_xlim()
    digits = decimals([float(y) for _, y in figure.levels])
    for name, y in figure.levels:
        if math.isfinite(y):
            place.axhline(y, color=LIGHT["soft"], linestyle=(0, (4, 3)), linewidth=1)
            if named:
                place.annotate(
                    f"{fold(name, 40, 1)} {number(y, digits)}", (1, y), (-3, 3), xycoords=("axes fraction", "data"),
                    textcoords="offset points", ha="right", fontsize=7.5, color=LIGHT["soft"],
                )  # fmt: skip
    for row, (name, x) in enumerate(figure.marks):
        if math.isfinite(x):
            place.axvline(x, color=LIGHT["soft"], linestyle=(0, (4, 3)), linewidth=1)
            inwards = "right" if x > (left + right) / 2 else "left"
            if named:
                place.annotate(
                    fold(name, 40, 1), (x, high + 0.09 * (rows - row - 0.5) * (high - low)),
                    (-4 if inwards == "right" else 4, 0), textcoords="offset points", ha=inwards, va="center",
                    fontsize=7.5, color=LIGHT["soft"],
                )  # fmt: skip


def _legend(drawn: Any, place: Any, lines: int) -> None:
    handles, labels = place.get_legend_handles_labels()
    longest = max(len(line) for label in labels for line in label.split("\n"))
    columns = max(1, min(lines, 4, int(88 / (longest + 8))))
    drawn.legend(
        handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=8.5, handlelength=2.6
    )


def draw_scatter(figure: Scatter) -> SvgFigure:
    """Named points in groups; names stand where they cover the fewest others."""
    points = [(group, *point) for group, rows in enumerate(figure.groups.values()) for point in rows]
    points = [point for point in points if math.isfinite(point[2]) and math.isfinite(point[3])]
    if not points:
        return nothing(figure.name)
    with canvas(5.8, 4.8) as (drawn, (place,)):
        across, up = limits(point[2] for point in points), limits(point[3] for point in points)
        if figure.diagonal:
            across = up = Limits(min(across.low, up.low), max(across.high, up.high))
            place.plot(across, across, color=LIGHT["soft"], linestyle=(0, (4, 3)), linewidth=1)
            place.annotate(
                "equal", (across.high, across.high), (-14, -4), textcoords="offset points", ha="right", fontsize=8,
                color=LIGHT["soft"],
            )  # fmt: skip
        place.set(xlim=across, ylim=up)
        for count, (name, rows) in enumerate(figure.groups.items()):
            place.plot(
                [x for _, x, _ in rows], [y for _, _, y in rows], MARKERS[count % len(MARKERS)],
                color=LIGHT[SERIES[count % len(SERIES)]], markersize=6, label=fold(name, 34),
            )  # fmt: skip
        _names(
            place,
            [
                (one_line(name), (x - across.low) / (across.high - across.low), (y - up.low) / (up.high - up.low))
                for _, name, x, y in points
            ],
        )
        place.set_xlabel(fold(figure.x, 70))
        place.set_ylabel(fold(figure.y, 60))
        grid(place, "both")
        if len(figure.groups) > 1:
            _legend(drawn, place, len(figure.groups))
        return finished(drawn, figure.name)


def _names(place: Any, points: Sequence[tuple[str, float, float]]) -> None:
    """Label points, each on the side with the fewest overlaps."""
    if len(points) > 40:
        return
    wide, high = 0.0165, 0.032
    occupied = [(x - 0.012, y - 0.014, x + 0.012, y + 0.014) for _, x, y in points]
    for name, x, y in points:
        text = fold(name, 24, 1)
        length = wide * len(text)
        best: tuple[float, Any, Any] | None = None
        for side, right, up in SIDES:
            left = x + right - {"left": 0.0, "right": length, "center": length / 2}[side]
            box = (left, y + up - high / 2, left + length, y + up + high / 2)
            outside = max(0.0, -box[0]) + max(0.0, box[2] - 1) + max(0.0, -box[1]) + max(0.0, box[3] - 1)
            cost = sum(_overlap(box, other) for other in occupied) + 10 * outside
            if best is None or cost < best[0] - 1e-9:
                best = (cost, box, (side, x + right, y + up))
        assert best is not None
        occupied.append(best[1])
        side, right, up = best[2]
        place.text(right, up, text, transform=place.transAxes, ha=side, va="center", fontsize=7.5)


def _overlap(first: tuple[float, ...], other: tuple[float, ...]) -> float:
    across = min(first[2], other[2]) - max(first[0], other[0])
    up = min(first[3], other[3]) - max(first[1], other[1])
    return across * up if across > 0 and up > 0 else 0.0
