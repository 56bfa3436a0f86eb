"""Formatting of numbers and names for readers."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from hf_synthlabels.cards.markdown import INVISIBLE
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import Value

T = TypeVar("T")

UNKNOWN = "unknown"
NOT_ASKED = "–"
"""Cell of a numeric column without a possible measurement."""
UNDEFINED = "undefined"
MINUS = "−"
NUMBER = re.compile(r"[<>≤≥]?\s?[-−+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?(\s?%)?")


class NamedRows(NamedTuple, Generic[T]):
    """Rows that panels have in common."""

    names: list[str]
    panels: list[list[T | None]]
    """Values of each panel by name; None if missing."""


def one_line(text: str) -> str:
    """A text on one line, without invisible characters."""
    return " ".join(INVISIBLE.sub("", str(text)).split())


def decimals(values: Iterable[Value]) -> int:
    """How many decimals a column needs: three below 10, fewer for larger numbers, more for tiny ones."""
    sizes: list[float] = []
    for value in values:
        if isinstance(value, Interval):
            sizes += [abs(end) for end in (value.estimate, value.low, value.high)]
        elif isinstance(value, float):
            sizes.append(abs(value))
    largest = max((size for size in sizes if math.isfinite(size)), default=0.0)
    if 0 < largest < 0.01:
        return min(9, 2 - math.floor(math.log10(largest)))
    return 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 1000 else 0


def number(value: float, places: int) -> str:
    """A number with a number of decimals; a number that would round to 0 keeps its first digit."""
    if math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS)
    text = f"{value:,.{places}f}"
    if value and not text.strip("-0.,"):
        text = f"{value:.0e}"
    return (text.replace("-", MINUS) if "e" not in text else text) if text.strip("-0.,") else text.lstrip("-")


def interval_words(value: Interval, places: int) -> str:
    """Limits of an interval, or that there are none."""
    if math.isnan(value.estimate):
        return ""
    if math.isnan(value.low) or math.isnan(value.high):
        return "no interval"
    return f"{number(value.low, places)} to {number(value.high, places)}"


def named_rows(panels: Iterable[Sequence[tuple[str, T | None]]]) -> NamedRows[T]:
    """Rows of several panels by name; repeated names in a panel are separate rows."""
    keyed: list[dict[tuple[str, int], T | None]] = []
    for rows in panels:
        seen: Counter[str] = Counter()
        keyed.append({})
        for name, value in rows:
            keyed[-1][name, seen[name]] = value
            seen[name] += 1
    keys = list(dict.fromkeys(key for panel in keyed for key in panel))
    return NamedRows([name for name, _ in keys], [[panel.get(key) for key in keys] for panel in keyed])


def value_words(value: Value, places: int) -> str:
    """A value in one line; an interval with its ends and its n."""
    # Numbers of numpy are numbers of Python here.
    plain = getattr(value, "item", None)
    value = value if plain is None else plain()
    if value is None:
        return UNKNOWN
    if isinstance(value, Interval):
        if math.isnan(value.estimate):
            return f"{UNDEFINED} (n = {value.n:,})"
        ends = interval_words(value, places)
        shown = ends if ends == "no interval" else f"[{ends.replace(' to ', ', ')}]"
        return f"{number(value.estimate, places)} {shown}, n = {value.n:,}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, places) if isinstance(value, int | float) else one_line(value)


def are_numbers(values: Iterable[Value]) -> bool:
    """Whether a column is numeric, including values such as `< 0.001` and missing ones."""
    return all(not isinstance(value, str) or value == NOT_ASKED or NUMBER.fullmatch(value) for value in values)


def level_words(values: Iterable[Value]) -> str:
    """Levels and methods of the intervals among values; empty without intervals."""
    methods_by_level: dict[str, list[str]] = {}
    for value in values:
        if isinstance(value, Interval) and not math.isnan(value.low):
            methods = methods_by_level.setdefault(f"{100 * value.level:.6g}%", [])
            if value.method not in methods:
                methods.append(value.method)
    parts = [
        f"{level} ({'; '.join(one_line(method) for method in methods)})" for level, methods in methods_by_level.items()
    ]
    return f"Intervals at {', '.join(parts)}." if parts else ""


def fold(name: str, width: int = 26, lines: int = 2) -> str:
    """Wrap a name to a few lines, truncated with `…`; wide letters count twice."""
    text = one_line(name)
    if any(unicodedata.east_asian_width(letter) in "WF" for letter in text):
        width //= 2
    folded = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    if len(folded) > lines:
        last = folded[lines - 1]
        folded = [*folded[: lines - 1], f"{last[: width - 1].rstrip()}…"]
    return "\n".join(folded)
