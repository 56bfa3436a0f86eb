"""Figures of a report, one function per kind of exhibit."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hf_synthlabels.publishing.report.confusion_figure import draw_counts
from hf_synthlabels.publishing.report.export_files import alt_text
from hf_synthlabels.publishing.report.figure_parts import (
    GROUND,
    WIDTH,
    close,
    grid,
    n_words,
    named_lines,
    nothing,
    rows_axis,
)
from hf_synthlabels.publishing.report.formatting import UNDEFINED, UNKNOWN, decimals, fold, named_rows, number
from hf_synthlabels.publishing.report.line_figures import draw_curves, draw_scatter
from hf_synthlabels.publishing.report.svg import SvgFigure, canvas, finished
from hf_synthlabels.publishing.report.theme import LIGHT
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import (
    Bars,
    Calibration,
    Counts,
    Curves,
    Figure,
    Intervals,
    Scatter,
    Specifications,
)


def draw(figure: Figure) -> SvgFigure:
    """Draw a figure with its alternative text; one without numbers states that.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    drawing = _draw(figure)
    label = html.escape(alt_text(figure))
    return replace(drawing, inline=drawing.inline.replace("<svg ", f'<svg aria-label="{label}" ', 1))


def _draw(figure: Figure) -> SvgFigure:
    match figure:
        case Intervals():
            return _intervals(figure)
        case Curves():
            return draw_curves(figure)
        case Counts():
            return draw_counts(figure)
        case Calibration():
            return _calibration(figure)
        case Bars():
            return _bars(figure)
        case Scatter():
            return draw_scatter(figure)
        case Specifications():
            return _specifications(figure)


def _intervals(figure: Intervals) -> SvgFigure:
    names, panels = named_rows(figure.panels.values())
    if not names:
        return nothing(figure.name)
    across = max(1, min(len(figure.panels), 3))
    down = max(1, math.ceil(len(figure.panels) / across))
    tall = down * (0.36 * len(names) + 0.22 * len(figure.marks) + 0.75)
    with canvas(WIDTH, tall, down, across) as (drawn, places):
        for place, title, values in zip(places, figure.panels, panels, strict=False):
            known = [value for value in values if value is not None]
            shared, each = n_words(known)
            place.set_title(fold(title, 90 // across) + shared, fontsize=9, loc="left", color=LIGHT["ink"])
            first = place.get_subplotspec().colspan.start == 0
            rows_axis(place, [fold(name) if first else "" for name in names], above=0.45 * len(figure.marks))
            ends = [value for _, value in figure.marks]
            ends += [end for value in known for end in (value.estimate, value.low, value.high)]
            low, high = close(place, ends)
            digits = decimals([*known, *(value for _, value in figure.marks)])
            for row, value in enumerate(values):
                if value is None or math.isnan(value.estimate):
                    text = "not measured" if value is None else UNDEFINED
                    place.text(low, row, f" {text}", va="center", fontsize=8, color=LIGHT["soft"])
                    continue
                _range(place, row, value, low, high)
                text = number(value.estimate, digits) + (f" (n = {value.n:,})" if each else "")
                _above(place, text, min(max(value.estimate, low), high), row, low, high)
            named_lines(place, figure.marks, digits, len(names))
            place.set_xlabel(fold(figure.axis, 100 // across), fontsize=8.5)
            grid(place, "x", most=max(3, 6 - across))
        for place in places[len(figure.panels) :]:
            place.set_visible(False)
        return finished(drawn, figure.name)


def _range(place: Any, row: int, value: Interval, low: float, high: float) -> None:
    """The interval as a line, open where it has no end, and the estimate as a point."""
    color = LIGHT["s0"]
    if not (math.isnan(value.low) or math.isnan(value.high)):
        place.plot(
            [max(value.low, low), min(value.high, high)],
            [row, row],
            color=color,
            linewidth=2.2,
            solid_capstyle="round",
        )
        for end, edge, mark in ((value.low, low, "<"), (value.high, high, ">")):
            if math.isinf(end):
                place.plot([edge], [row], mark, color=color, markersize=6, clip_on=False)
    if math.isfinite(value.estimate):
        place.plot([value.estimate], [row], "o", color=color, markersize=5.5)


def _above(place: Any, text: str, x: float, row: int, low: float, high: float) -> None:
    """A number above its point, turned inwards near the edges."""
    share = (x - low) / ((high - low) or 1)
    side = "left" if share < 0.12 else "right" if share > 0.88 else "center"
    place.annotate(
        text, (x, row), (0, 5), textcoords="offset points", ha=side, fontsize=7.5, color=LIGHT["ink"], bbox=GROUND
    )


def _calibration(figure: Calibration) -> SvgFigure:
    known = [(mean, share) for mean, share in figure.bins if math.isfinite(mean) and math.isfinite(share.estimate)]
    if not known:
        return nothing(figure.name)
    with canvas(4.8, 4.6, 2, 1, sharex=True, height_ratios=(4, 1)) as (drawn, (above, below)):
        low = min([0.5, *(mean for mean, _ in known), *(share.low for _, share in known if share.low == share.low)])
        low = max(0.0, math.floor(10 * low) / 10)
        above.plot([low, 1], [low, 1], linestyle=(0, (4, 3)), color=LIGHT["soft"], linewidth=1)
        above.annotate(
            "perfect calibration", (low + 0.42 * (1 - low),) * 2, (-6, 6), textcoords="offset points", ha="right",
            fontsize=8, color=LIGHT["soft"],
        )  # fmt: skip
        for mean, share in known:
            if not math.isnan(share.low):
                above.plot([mean, mean], [share.low, share.high], color=LIGHT["s0"], linewidth=2)
        above.plot([m for m, _ in known], [s.estimate for _, s in known], "o", color=LIGHT["s0"], markersize=5.5)
        above.set(xlim=(low - 0.02, 1.02), ylim=(low - 0.03, 1.03))
        above.set_ylabel("accuracy")
        gaps = [second - first for (first, _), (second, _) in pairwise(sorted(known, key=lambda pair: pair[0]))]
        wide = max(0.01, min([0.06 * (1 - low), *(0.8 * gap for gap in gaps if gap > 0)]))
        below.bar([mean for mean, _ in known], [share.n for _, share in known], width=wide, color=LIGHT["s6"])
        for mean, share in known:
            below.annotate(f"{share.n:,}", (mean, share.n), (0, 2), textcoords="offset points", ha="center", fontsize=7)
        below.set_ylim(0, 1.3 * max([share.n for _, share in known] or [1]))
        below.set_yticks([])
        below.set_ylabel("rows (n)")
        below.set_xlabel("stated confidence, mean of the bin")
        grid(above, "both")
        return finished(drawn, figure.name)


def _bars(figure: Bars) -> SvgFigure:
    names, panels = named_rows(figure.panels.values())
    if not names:
        return nothing(figure.name)
    across = max(1, min(len(figure.panels), 3))
    down = max(1, math.ceil(len(figure.panels) / across))
    with canvas(WIDTH, down * (0.34 * len(names) + 0.7), down, across) as (drawn, places):
        for place, unit, amounts in zip(places, figure.panels, panels, strict=False):
            known = [value for value in amounts if value is not None and math.isfinite(value)]
            digits = decimals(float(value) for value in known)
            digits = 0 if all(float(value).is_integer() for value in known) else min(digits, 3)
            span = max([0.0, *known]) - min([0.0, *known]) or 1.0
            place.set_xlim(
                min([0.0, *known]) - (0.35 * span if min([0.0, *known]) < 0 else 0), max([0.0, *known]) + 0.4 * span
            )
            first = place.get_subplotspec().colspan.start == 0
            rows_axis(place, [fold(name) if first else "" for name in names])
            place.axvline(0, color=LIGHT["line"], linewidth=1)
            for row, value in enumerate(amounts):
                if value is None or not math.isfinite(value):
                    place.text(0, row, f" {UNKNOWN}", va="center", fontsize=8, color=LIGHT["soft"])
                    continue
                place.barh(row, value, height=0.55, color=LIGHT["s0"])
                place.annotate(
                    number(value, digits), (value, row), (4 if value >= 0 else -4, 0), textcoords="offset points",
                    va="center", ha="left" if value >= 0 else "right", fontsize=8,
                )  # fmt: skip
            place.set_title(fold(unit, 90 // across), fontsize=9, loc="left")
            grid(place, "x", most=3)
        for place in places[len(figure.panels) :]:
            place.set_visible(False)
        return finished(drawn, figure.name)


def _specifications(figure: Specifications) -> SvgFigure:
    """Estimates of each variant above, and a point for the value of each choice below."""
    choices = {name: values for name, values in figure.choices.items() if len(set(values)) > 1}
    levels = [
        (
            f"{name}: {level}" if len(choices) > 1 else str(level),
            [place for place, value in enumerate(values) if value == level],
        )
        for name, values in choices.items()
        for level in sorted({str(value) for value in values if value is not None})
    ]
    if not figure.variants:
        return nothing(figure.name)
    below = max(0.6, 0.19 * len(levels))
    with canvas(WIDTH, 3.0 + below, 2, 1, sharex=True, height_ratios=(3.0, below)) as (drawn, (above, under)):
        for count, (name, values) in enumerate(figure.series.items()):
            shift = min(0.24, 0.014 * len(figure.variants)) * (count - (len(figure.series) - 1) / 2)
            _points(above, values, shift, LIGHT[f"s{count}"], "os^D"[count % 4], fold(name, 34))
        for count, (name, value) in enumerate(figure.marks):
            dashes = (0, ((4, 3), (1, 1.5))[count % 2])
            above.axhline(value, color=LIGHT["ink"], linestyle=dashes, linewidth=1, label=fold(name, 34))
        above.set_ylabel(fold(figure.axis, 40))
        above.set_xlim(-0.7, len(figure.variants) - 0.3)
        grid(above, "y")
        handles, labels = above.get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=8)
        if levels:
            for row, (_, places) in enumerate(levels):
                under.plot(places, [row] * len(places), "|", color=LIGHT["s0"], markersize=6, markeredgewidth=1.4)
            rows_axis(under, [fold(name, 34, 1) for name, _ in levels])
            under.tick_params(axis="y", labelsize=7)
            under.set_xticks([])
        else:
            under.set_yticks([])
            under.set_xticks(
                range(len(figure.variants)), [fold(name, 24, 1) for name in figure.variants], rotation=90, fontsize=7
            )
        under.set_xlabel(f"{len(figure.variants):,} variants, by uncorrected estimate")
        return finished(drawn, figure.name)


def _points(place: Any, values: Sequence[Interval], shift: float, color: str, mark: str, name: str) -> None:
    """Estimates with upright intervals, in order."""
    known = [(x + shift, value) for x, value in enumerate(values) if math.isfinite(value.estimate)]
    for x, value in known:
        if math.isfinite(value.low) and math.isfinite(value.high):
            place.plot([x, x], [value.low, value.high], color=color, linewidth=1.1, alpha=0.75)
    size = 4 if len(values) < 60 else 2.5
    place.plot(
        [x for x, _ in known], [value.estimate for _, value in known], mark, color=color, markersize=size, label=name
    )
