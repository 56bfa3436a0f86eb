"""Estimates of one analysis by every estimator, as values, text and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.text_tables import align, shorten, wrap

NAME_WIDTH = 30


@dataclass(frozen=True, slots=True)
class QuantityEstimate:
    """One number, from the LLM's labels, from the human ones, and from both."""

    name: str
    naive: Interval
    """From the LLM's labels as if humans had given them: its interval knows nothing of their mistakes."""
    classical: Interval
    """From the human labels alone, each counted with one over its chance."""
    ppi: Interval
    """PPI++: the LLM's labels, put right by the human ones."""
    dsl: Interval
    """Design-based supervised learning: guesses of human labels, put right by the human ones."""
    lam: float
    """How much PPI++ used the LLM's labels: 0 not at all, 1 as they are."""
    effective_ppi: float
    """How many human labels would have been as precise as PPI++ without the LLM; nan where nothing varies."""
    effective_dsl: float
    """The same of DSL."""
    too_few: bool = False
    """Whether a group that it rests on has too few human labels for an interval; all but `naive` are nan then."""

    @property
    def n(self) -> int:
        """The human labels that it rests on: those of its own group, class or category."""
        return self.classical.n

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON; nan becomes None."""
        plain = {name: getattr(self, name) for name in ("lam", "effective_ppi", "effective_dsl")}
        return {
            "name": self.name,
            "n": self.n,
            "too_few": self.too_few,
            **{name: getattr(self, name).to_dict() for name in ("naive", "classical", "ppi", "dsl")},
            **{name: None if math.isnan(value) else value for name, value in plain.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QuantityEstimate:
        """The one that `to_dict` wrote."""
        found: dict[str, Any] = {
            name: Interval.from_dict(values[name]) for name in ("naive", "classical", "ppi", "dsl")
        }
        for name in ("lam", "effective_ppi", "effective_dsl"):
            found[name] = math.nan if values[name] is None else values[name]
        return cls(name=values["name"], too_few=values["too_few"], **found)


@dataclass(frozen=True, slots=True)
class EstimateReport:
    """What the labels of a data set say, and how sure that is. Print it for a table; `to_json` keeps everything."""

    what: str
    """The question, in words."""
    level: float
    n_rows: int
    """All rows, with and without a human label."""
    n_human: int
    """Rows with a human label: the denominator of all but the naive estimates."""
    n_labelled: int
    """Rows with an LLM label."""
    n_clusters: int | None
    """Clusters with a human label, where rows hang together."""
    equal_probabilities: bool
    """Whether all rows had the same chance of a human label."""
    estimates: tuple[QuantityEstimate, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[QuantityEstimate]:
        return iter(self.estimates)

    def __getitem__(self, name: str) -> QuantityEstimate:
        """The number of that name.

        Raises:
            DataError: there is none.
        """
        for each in self.estimates:
            if each.name == name:
                return each
        raise DataError(f"`{name}` is not estimated here. There is {', '.join(each.name for each in self.estimates)}.")

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The table for a terminal that is `width` characters wide; None for a table of any width."""
        chances = "equal" if self.equal_probabilities else "unequal, known"
        clusters = "" if self.n_clusters is None else f", in {self.n_clusters:,} clusters"
        head = (
            f"rows {self.n_rows:,}, with an LLM label {self.n_labelled:,}, with a human label "
            f"{self.n_human:,}{clusters}; chances of a human label: {chances}"
        )
        head = "\n".join(part if width is None else wrap(part, width) for part in (self.what, head))
        # In a narrow table the last two columns need not be side by side.
        last = "DSL" if width is None else "worth: DSL"
        lines: list[tuple[str, ...]] = [
            ("", "n", "LLM labels alone", "human labels alone", "PPI++", "DSL", "worth: PPI++", last)
        ]
        lines += [
            (
                shorten(each.name, NAME_WIDTH),
                f"{each.n:,}",
                _shown(each.naive),
                *("too few" if each.too_few else _shown(getattr(each, key)) for key in ("classical", "ppi", "dsl")),
                *(_count(value) for value in (each.effective_ppi, each.effective_dsl)),
            )
            for each in self.estimates
        ]
        notes = [wrap(note, width) for note in self.notes]
        told = (
            f"{100 * self.level:g} % intervals; n is the human labels behind each. Intervals of the LLM labels alone "
            "do not know of the LLM's errors."
        )
        return "\n\n".join([head, align(lines, {1, 6, 7}, width), wrap(told, width), *notes])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; an undefined number is None."""
        plain = ("what", "level", "n_rows", "n_human", "n_labelled", "n_clusters", "equal_probabilities")
        return {
            **{name: getattr(self, name) for name in plain},
            "estimates": [each.to_dict() for each in self.estimates],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EstimateReport:
        """The one that `to_dict` wrote."""
        plain = ("what", "level", "n_rows", "n_human", "n_labelled", "n_clusters", "equal_probabilities")
        return cls(
            **{name: values[name] for name in plain},
            estimates=tuple(QuantityEstimate.from_dict(each) for each in values["estimates"]),
            notes=tuple(values["notes"]),
        )

    def to_json(self) -> str:
        """`to_dict` as indented JSON, the same text for the same conclusions."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> EstimateReport:
        """The one that `to_json` wrote."""
        return cls.from_dict(json.loads(text))


def _shown(interval: Interval) -> str:
    """Three decimals, or as many digits as a narrow interval needs, such as that of a coefficient of income."""
    width = interval.high - interval.low
    if not math.isfinite(width) or width == 0 or 0.002 <= width < 1e6:
        return str(interval)
    decimals = 2 - math.floor(math.log10(width))
    numbers = (interval.estimate, interval.low, interval.high)
    if 0 <= decimals <= 6:
        estimate, low, high = (f"{value:.{decimals}f}" for value in numbers)
    else:
        estimate, low, high = (f"{value:.3e}" for value in numbers)
    return f"{estimate} [{low}, {high}]"


def _count(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"
