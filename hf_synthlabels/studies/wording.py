"""Wording of report texts: counts, lists, p-values, verdicts and the kind of annotator."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.paired import NonInferiority
from hf_synthlabels.studies.runs import StudyRuns

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
    return f"{100 * share:g}%"


T = TypeVar("T")

LLM, ENCODER, MIXED = "LLM", "encoder", "machine"
WORD = re.compile(r"\b(?:(an|An) )?(LLM)(s?)\b")


def label_maker(runs: StudyRuns) -> str:
    """What made the labels that are not human ones."""
    return client_label_maker(
        {str(each.get("facts", {}).get("client", "")) for task in runs.tasks for each in task.annotators.values()}
    )


def client_label_maker(clients: set[str]) -> str:
    """The word for annotators of some clients; recorded answers are taken for those of an LLM."""
    kinds = {ENCODER if client == "embedding" else LLM for client in clients}
    return LLM if not kinds else kinds.pop() if len(kinds) == 1 else MIXED


def reworded(value: T, maker: str) -> T:
    """A value with its texts about LLM labels naming what made them instead.

    Args:
        value: a text, or a dataclass, tuple or mapping of texts, however deep.
        maker: `LLM`, `encoder` or `machine`.
    """
    return value if maker == LLM else _reworded(value, maker)


def _reworded(value: Any, maker: str) -> Any:
    if isinstance(value, str):
        article = {"an": "a", "An": "A"} if maker == MIXED else {"an": "an", "An": "An"}
        return WORD.sub(lambda match: f"{article[match[1]] + ' ' if match[1] else ''}{maker}{match[3]}", value)
    if isinstance(value, Interval):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {each.name: _reworded(getattr(value, each.name), maker) for each in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    if isinstance(value, Mapping):
        return {_reworded(name, maker): _reworded(part, maker) for name, part in value.items()}
    return tuple(_reworded(part, maker) for part in value) if isinstance(value, tuple | list) else value
