"""Words of the answers: counts, lists, p-values, verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.paired import NonInferiority

VERDICTS: Mapping[NonInferiority, str] = {
    "superior": "superior",
    "non-inferior": "non-inferior (any loss is within the margin)",
    "inferior": "inferior (by more than the margin)",
    "inconclusive": "inconclusive",
}


def counted(count: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def joined(parts: Iterable[str]) -> str:
    """A list in a sentence."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def p_words(p_value: float) -> str:
    """A p-value to three places."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def percent(share: float) -> str:
    """A share as per cent."""
    return f"{100 * share:g} %"


def ratio_words(ratio: Interval) -> str:
    """A ratio as per cent, with its interval."""
    return f"{100 * ratio.estimate:.1f} % [{100 * ratio.low:.1f}, {100 * ratio.high:.1f}]"


def sized(size: int | None) -> str:
    """A size of training rows."""
    return "all" if size is None else f"{size:,}"
