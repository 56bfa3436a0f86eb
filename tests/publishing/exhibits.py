"""Exhibits to draw: every kind, ordinary and awkward; long and right-to-left names, nothing known, one seed."""

from __future__ import annotations

import math

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import (
    Bars,
    Calibration,
    Counts,
    Curve,
    Curves,
    Figure,
    Intervals,
    Point,
    Scatter,
    Section,
    Specifications,
    Table,
)
from hf_synthlabels.statistics.intervals import wilson

LONG = "a label with a very long name that goes on and on, because people write guidelines into names"
ARABIC = "تصنيف النصوص العربية القصيرة والطويلة"
MARKUP = "<script>alert(1)</script>"
NAMES = ("sports", LONG, ARABIC, "科学技術と社会に関する議論", MARKUP, "b & c", "$5 and $6", "\x0b\x00bell\x07")
NOTHING = Interval(math.nan, math.nan, math.nan, 0.95, "wilson", 0)
TASKS = tuple(f"task number {place}" for place in range(14))


def near(estimate: float, n: int = 377, half: float = 0.04) -> Interval:
    return Interval(estimate, estimate - half, estimate + half, 0.95, "bootstrap", n)


def bare(estimate: float) -> Interval:
    """What one seed gives: no interval."""
    return Interval(estimate, math.nan, math.nan, 0.95, "none", 30)


SOURCES = (("human labels", near(0.81)), ("LLM labels", near(0.78, 374)), ("the annotator itself", NOTHING))
SIZES = (25, 50, 100, 200, 400)
CURVE = Curve(
    "human labels",
    tuple(Point(size, near(0.9 - size**-0.4)) for size in SIZES),
    tuple((float(size), 0.9 - size**-0.4) for size in SIZES),
)
INTERVALS = Intervals(
    "scores", "Scores", {"accuracy": SOURCES, "macro F1": SOURCES[:2]}, "on test rows", (("paper", 0.77), ("goal", 0.8))
)
CURVES = Curves(
    "curves",
    "Learning curves",
    (CURVE, Curve(LONG, CURVE.points)),
    "rows",
    "macro F1",
    "log",
    (("switch", 100.0),),
    (("annotator", 0.79),),
)
COUNTS = Counts(
    "counts",
    "Three",
    ("a", "b", "c"),
    ("a", "b", "c", "no label"),
    ((9, 1, 0, 1), (0, 12345, 2, 0), (0, 0, 3, 0)),
    "LLM",
)
CALIBRATION = Calibration(
    "calibration", "Sure", tuple((0.55 + 0.1 * place, wilson(5 + place, 10)) for place in range(5))
)
BARS = Bars(
    "bars", "Cost", {"US dollars": (("human", None), ("LLM", 1.25)), "seconds": (("human", -3.0), ("LLM", 1234.5))}
)
SCATTER = Scatter(
    "scatter",
    "Tasks",
    {"LLM": tuple((name, 0.5 + 0.03 * place, 0.9 - 0.02 * place) for place, name in enumerate(TASKS))},
    "annotator",
    "student",
    True,
)
SPECIFICATIONS = Specifications(
    "specifications",
    "biased under three variants",
    ("a|x", "a|y", LONG),
    {"uncorrected": (near(0.4), near(0.5), near(0.9)), "PPI++": (near(0.55), NOTHING, bare(0.6))},
    {"prompt": ("a", "a", "b"), "model": ("x", "y", None)},
    "biased",
    (("null value 0.5", 0.5),),
)

many = (*NAMES, *(f"topic {place}" for place in range(13)))
AWKWARD: tuple[Figure, ...] = (
    Intervals("no_panels", "Nothing", {}, "score"),
    Intervals("undefined", "Undefined", {"F1": (("x", NOTHING), ("y", bare(0.5)))}, "score"),
    Intervals(
        "open_end", "Without an end", {"worth": (("x", Interval(900.0, 400.0, math.inf, 0.95, "b", 9)),)}, "rows"
    ),
    Intervals(
        "tasks",
        "Fourteen",
        {"ratio": tuple((name, near(0.9, 200 + place)) for place, name in enumerate(TASKS))},
        "ratio",
    ),
    Curves("no_curves", "Nothing", (), "epoch", "accuracy"),
    Curves("one_seed", "One seed", (Curve("x", (Point(1, bare(0.5)), Point(2, bare(0.6)))),), "epoch", "accuracy"),
    Curves(
        "zero", "From zero", (Curve("x", tuple(Point(x, near(0.5)) for x in (0, 10, 100, 1000))),), "rows", "F1", "log"
    ),
    Curves(
        "apart", "Fourteen lines", tuple(Curve(name, CURVE.points, CURVE.fitted) for name in TASKS), "rows", "F1", "log"
    ),
    Counts("no_counts", "Nothing", (), (), (), "LLM"),
    Counts(
        "many",
        "Twenty-one labels",
        many,
        (*many, "no label"),
        tuple(tuple((row * column) % 7 for column in range(22)) for row in range(21)),
        "LLM",
    ),
    Calibration("no_bins", "Nothing", ()),
    Calibration("empty_bins", "Nothing known", ((0.9, NOTHING),)),
    Bars("no_bars", "Nothing", {}),
    Bars("all_unknown", "Unknown", {"US dollars": (("human", None),)}),
    Scatter("no_points", "Nothing", {}, "x", "y"),
    Specifications("no_variants", "Nothing", (), {}, {}, "x"),
    Specifications("no_choices", "Names alone", (ARABIC, MARKUP), {"naive": (near(0.4), near(0.5))}, {}, "x"),
    Scatter(
        "groups", "Two groups", {"precision": (("t", 0.1, 0.2), ("u", 0.1, 0.2)), LONG: (("t", 0.3, 0.4),)}, "x", "y"
    ),
)
ORDINARY: tuple[Figure, ...] = (INTERVALS, CURVES, COUNTS, CALIBRATION, BARS, SCATTER, SPECIFICATIONS)
TABLE = Table(
    "table",
    "Numbers",
    ("source", "rows", "macro F1", "p", "cost"),
    (
        ("human labels", 2130, near(0.8311), 0.04, None),
        (MARKUP, 12345, near(0.7822, 374), 1e-9, 1.25),
        ("=1+1", 0, NOTHING, math.nan, 0.0),
    ),
    "A row without a label counts as wrong.",
)
SECTIONS = (
    Section(
        "llm",
        f"Are LLM labels as good? {MARKUP}",
        "On 377 rows: 0.960 [0.911, 1.010].",
        (INTERVALS, TABLE),
        ("18 rows were left out.",),
    ),
    Section(
        "curves", "How does it grow?", "Slowly.", (CURVES, COUNTS, Table("empty", "No rows", ("what", "value"), ()))
    ),
    Section("bare", "A question without exhibits", "No answer can be given."),
)
