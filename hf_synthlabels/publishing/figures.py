"""Figures of a report, as SVG text that stands in the page itself."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hf_synthlabels.errors import import_extra
from hf_synthlabels.statistics import Interval

__all__ = ["confusion_figure", "cost_figure", "interval_figure", "share_figure"]

# Okabe and Ito's colours, which stay apart for colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#999999")
INK = "#1b1f24"
FAINT = "#d0d7de"

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "path",
}


def interval_figure(
    groups: Mapping[str, Sequence[tuple[str, Interval]]], *, marks: Sequence[tuple[str, float]] = (), axis: str = ""
) -> str:
    """Estimates with their intervals, one panel for each group, the same rows in each.

    Args:
        groups: for each panel's title its rows: a name and an interval.
        marks: named values that are drawn as a dashed line through every panel.
        axis: what the horizontal axis shows.
    """
    panels = len(groups)
    longest = max(len(rows) for rows in groups.values())
    with _figure(4.2 * panels, 0.42 * longest + 1.3, panels) as (figure, axes):
        for panel, (axes_one, (title, rows)) in enumerate(zip(axes, groups.items(), strict=True)):
            for place, (_, interval) in enumerate(rows):
                _draw_interval(axes_one, place, interval, COLOURS[place % len(COLOURS)])
                axes_one.annotate(
                    _number(interval.estimate),
                    (interval.estimate, place),
                    (0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                )
            for number, (name, value) in enumerate(marks):
                axes_one.axvline(value, color=INK, linestyle=(0, (4, 3)), linewidth=1)
                axes_one.annotate(
                    f"{name} {value:g}",
                    (value, 1),
                    # Names of neighbouring lines stand on either side of them.
                    (4, -2) if number % 2 == 0 else (-4, -2),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    fontsize=8,
                    va="top",
                    ha="left" if number % 2 == 0 else "right",
                )
            axes_one.set_title(title, fontsize=10, loc="left")
            axes_one.set_yticks(range(len(rows)), [name for name, _ in rows] if panel == 0 else [""] * len(rows))
            axes_one.set_ylim(len(rows) - 0.4, -0.7)
            axes_one.grid(axis="x", color=FAINT, linewidth=0.6)
            axes_one.xaxis.set_major_locator(import_extra("matplotlib.ticker", "report").MaxNLocator(5))
            axes_one.set_xlabel(axis)
        return _svg(figure)


def confusion_figure(
    names: Sequence[str], counts: Sequence[Sequence[int]], columns: Sequence[str], *, across: str
) -> str:
    """A confusion matrix: rows are human labels; shading is the share of the row, the numbers are counts."""
    size = max(3.4, 0.52 * len(columns) + 2.0)
    with _figure(size + 0.8, max(2.6, 0.46 * len(names) + 1.6), 1) as (figure, axes):
        totals = [max(1, sum(row)) for row in counts]
        shares = [[count / total for count in row] for row, total in zip(counts, totals, strict=True)]
        # Rectangles and not an image: a page of one file may not load images, not even its own.
        axes[0].pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
        axes[0].invert_yaxis()
        for row, line in enumerate(counts):
            for column, count in enumerate(line):
                dark = shares[row][column] > 0.55
                axes[0].text(
                    column + 0.5,
                    row + 0.5,
                    f"{count:,}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else (INK if count else "#8c959f"),
                )
        axes[0].set_xticks(
            [place + 0.5 for place in range(len(columns))], [_short(name) for name in columns], rotation=40, ha="right"
        )
        axes[0].set_yticks([place + 0.5 for place in range(len(names))], [_short(name) for name in names])
        axes[0].tick_params(length=0)
        for spine in axes[0].spines.values():
            spine.set_visible(False)
        axes[0].set_xlabel(across)
        axes[0].set_ylabel("human label")
        return _svg(figure)


def share_figure(bars: Mapping[str, Mapping[str, int]]) -> str:
    """For each bar the shares of its parts, the counts beside their names."""
    parts = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    with _figure(8.4, 0.45 * len(bars) + 1.1, 1) as (figure, axes):
        for place, bar in enumerate(bars.values()):
            left, total = 0.0, max(1, sum(bar.values()))
            for part in parts:
                share = bar.get(part, 0) / total
                axes[0].barh(place, share, left=left, color=COLOURS[parts.index(part) % len(COLOURS)], height=0.6)
                left += share
            counts = ", ".join(f"{bar.get(part, 0):,} {part}" for part in parts)
            axes[0].annotate(counts, (0.01, place), va="center", fontsize=8, color="white")
        for part in parts:
            axes[0].barh(0, 0, color=COLOURS[parts.index(part) % len(COLOURS)], label=part)
        axes[0].set_yticks(range(len(bars)), list(bars))
        axes[0].set_ylim(len(bars) - 0.5, -0.5)
        axes[0].set_xlim(0, 1)
        axes[0].set_xlabel("share of rows")
        axes[0].legend(
            loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.55 / len(bars)), ncols=4, frameon=False, fontsize=9
        )
        return _svg(figure)


def cost_figure(rows: Mapping[str, tuple[float | None, float | None]]) -> str:
    """Two panels, seconds and money, with a bar for each row; what is unknown is said, not drawn as nothing.

    Args:
        rows: for each name its seconds and its US dollars, None where unknown.
    """
    with _figure(8.4, 0.42 * len(rows) + 1.1, 2) as (figure, axes):
        for panel, axis in enumerate(("seconds to label and to train once", "US dollars for the labels")):
            amounts = [row[panel] for row in rows.values()]
            for place, amount in enumerate(amounts):
                axes[panel].barh(place, amount or 0, height=0.55, color=COLOURS[place % len(COLOURS)])
                said = "unknown" if amount is None else f"{amount:,.1f}" if panel == 0 else f"{amount:,.2f}"
                axes[panel].annotate(
                    said, (amount or 0, place), (5, 0), textcoords="offset points", va="center", fontsize=9
                )
            axes[panel].set_xlim(0, 1.25 * (max(amount or 0 for amount in amounts) or 1))
            axes[panel].set_yticks(range(len(rows)), list(rows) if panel == 0 else [""] * len(rows))
            axes[panel].set_ylim(len(rows) - 0.5, -0.5)
            axes[panel].set_xlabel(axis)
        return _svg(figure)


class _figure:  # noqa: N801  reads as the function that it is used as
    """A figure in this package's style, closed at the end."""

    def __init__(self, width: float, height: float, panels: int) -> None:
        matplotlib = import_extra("matplotlib", "report")
        matplotlib.use("Agg")
        self._pyplot = import_extra("matplotlib.pyplot", "report")
        self._size = (width, height)
        self._panels = panels

    def __enter__(self) -> tuple[Any, Sequence[Any]]:
        self._context = self._pyplot.rc_context(STYLE)
        self._context.__enter__()
        self._drawn, axes = self._pyplot.subplots(
            1, self._panels, figsize=self._size, squeeze=False, layout="constrained"
        )
        return self._drawn, axes[0]

    def __exit__(self, *_: object) -> None:
        self._pyplot.close(self._drawn)
        self._context.__exit__(None, None, None)


def _draw_interval(axes: Any, place: int, interval: Interval, colour: str) -> None:
    if not math.isfinite(interval.estimate):
        return
    axes.plot([interval.low, interval.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="round")
    axes.plot([interval.estimate], [place], "o", color=colour, markersize=6.5)


def _svg(figure: Any) -> str:
    """The figure as an SVG element that a page can hold beside others: equal inputs give equal text."""
    matplotlib = import_extra("matplotlib", "report")
    titles = "|".join(axes.get_xlabel() + axes.get_title(loc="left") for axes in figure.axes)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": titles}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    head, rest = text.split(">", 1)
    # It shrinks with the page, and never grows beyond the size that its letters were set for.
    head = re.sub(r' (?:height|width)="[^"]*"', "", head)
    width_px = round(figure.get_figwidth() * 96)
    # Identifiers are numbered alike in every figure: on one page they would clip one another.
    prefix = hashlib.sha256(titles.encode()).hexdigest()[:6]
    rest = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}-", rest)
    return f'{head} style="max-width: {width_px}px" role="img">{rest}'


def _number(value: float) -> str:
    return f"{value:.3f}"


def _short(name: str, length: int = 22) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
