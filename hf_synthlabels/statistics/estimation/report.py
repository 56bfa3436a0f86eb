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

ESTIMATORS = ("naive", "classical", "ppi", "dsl")
NUMBERS = ("lam", "effective_ppi", "effective_dsl")
FIELDS = ("what", "level", "n_rows", "n_human", "n_labelled", "n_clusters", "equal_probabilities")


@dataclass(frozen=True, slots=True)
class QuantityEstimate:
    """One quantity by each estimator."""

    name: str
    naive: Interval
    """LLM labels treated as human labels; its interval does not reflect LLM errors."""
    classical: Interval
    """Human labels only, inverse-probability weighted."""
    ppi: Interval
    """PPI++: LLM labels, bias-corrected with human labels."""
    dsl: Interval
    """Design-based supervised learning: predicted human labels, bias-corrected with human labels."""
    lam: float
    """Weight of the LLM labels in PPI++, from 0 to 1."""
    effective_ppi: float
    """Effective sample size of PPI++: human labels with the same precision; nan where nothing varies."""
    effective_dsl: float
    """Effective sample size of DSL."""
    too_few: bool = False
    """Whether a group has too few human labels for an interval; then all but `naive` are nan."""

    @property
    def n(self) -> int:
        """Human labels of its group, class or category."""
        return self.classical.n

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types; nan becomes None."""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        return {
            "name": self.name,
            "n": self.n,
            "too_few": self.too_few,
            **{name: getattr(self, name).to_dict() for name in ESTIMATORS},
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QuantityEstimate:
        """Read what `to_dict` returned."""
        fields: dict[str, Any] = {name: Interval.from_dict(values[name]) for name in ESTIMATORS}
        fields |= {name: math.nan if values[name] is None else values[name] for name in NUMBERS}
        return cls(name=values["name"], too_few=values["too_few"], **fields)


@dataclass(frozen=True, slots=True)
class EstimateReport:
    """Estimates of one analysis. Print it for a table; `to_json` keeps everything."""

    what: str
    """Description of the analysis."""
    level: float
    n_rows: int
    """Rows with and without a human label."""
    n_human: int
    """Rows with a human label."""
    n_labelled: int
    """Rows with an LLM label."""
    n_clusters: int | None
    """Clusters with a human label; None without clusters."""
    equal_probabilities: bool
    """Whether all rows had the same inclusion probability."""
    estimates: tuple[QuantityEstimate, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[QuantityEstimate]:
        return iter(self.estimates)

    def __getitem__(self, name: str) -> QuantityEstimate:
        """The quantity of that name.

        Raises:
            DataError: there is none.
        """
        for each in self.estimates:
            if each.name == name:
                return each
        raise DataError(f"`{name}` is not estimated here; available: {', '.join(each.name for each in self)}.")

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The table for a terminal that is `width` characters wide; None for any width."""
        sampling = "equal" if self.equal_probabilities else "unequal, known"
        clusters = "" if self.n_clusters is None else f", in {self.n_clusters:,} clusters"
        counts = (
            f"rows {self.n_rows:,}, with an LLM label {self.n_labelled:,}, with a human label "
            f"{self.n_human:,}{clusters}; inclusion probabilities: {sampling}"
        )
        head = "\n".join(part if width is None else wrap(part, width) for part in (self.what, counts))
        caption = (
            f"{100 * self.level:g}% intervals; n: human labels; effective n: human labels with the same precision. "
            "Naive intervals do not reflect LLM errors."
        )
        notes = [wrap(note, width) for note in self.notes]
        return "\n\n".join([head, align(self._cells(width), {1, 6, 7}, width), wrap(caption, width), *notes])

    def _cells(self, width: int | None) -> list[tuple[str, ...]]:
        # In a narrow table the last two columns need not be side by side.
        last = "DSL" if width is None else "effective n: DSL"
        lines: list[tuple[str, ...]] = [("", "n", "naive", "classical", "PPI++", "DSL", "effective n: PPI++", last)]
        for each in self.estimates:
            corrected = (each.classical, each.ppi, each.dsl)
            lines.append(
                (
                    shorten(each.name, NAME_WIDTH),
                    f"{each.n:,}",
                    _interval_text(each.naive),
                    *("too few" if each.too_few else _interval_text(interval) for interval in corrected),
                    *("-" if math.isnan(n) else f"{n:,.0f}" for n in (each.effective_ppi, each.effective_dsl)),
                )
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; None where undefined."""
        return {
            **{name: getattr(self, name) for name in FIELDS},
            "estimates": [each.to_dict() for each in self.estimates],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EstimateReport:
        """Read what `to_dict` returned."""
        return cls(
            **{name: values[name] for name in FIELDS},
            estimates=tuple(QuantityEstimate.from_dict(each) for each in values["estimates"]),
            notes=tuple(values["notes"]),
        )

    def to_json(self) -> str:
        """`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> EstimateReport:
        """Read what `to_json` returned."""
        return cls.from_dict(json.loads(text))


def _interval_text(interval: Interval) -> str:
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
