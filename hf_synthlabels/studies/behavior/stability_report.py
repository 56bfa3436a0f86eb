"""The table of a stability run: how many labels move under each source of variation."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.statistics.exhibits import align, wrap
from hf_synthlabels.statistics.intervals import Interval, fields_as_json
from hf_synthlabels.statistics.robustness.variant_agreement import Movement

LEGEND = (
    "moved: rows with two or more different labels among the variants of a source, of the rows with at least two "
    "labels; 95% Wilson intervals. alpha: Krippendorff's alpha among these labels, with a bootstrap interval over "
    "rows. Among reworded instructions it is the prompt stability score. No human label is used, so stable labels may "
    "be wrong."
)


@dataclass(frozen=True, slots=True)
class VariantMovement:
    """One variant against the recipe as it is."""

    name: str
    changed: int
    n: int
    share: Interval
    """Of rows with both labels, those whose label differs."""


@dataclass(frozen=True, slots=True)
class StabilityResult:
    """One source of variation of one variable."""

    source: str
    variable: str
    n_variants: int
    """Label columns that are compared, the recipe as it is included."""
    movement: Movement
    alpha: Interval
    variants: tuple[VariantMovement, ...]
    """Each variant against the recipe; empty for repeated samples."""


@dataclass(frozen=True, slots=True)
class SourceCost:
    """Requests and money of one source of variation."""

    source: str
    requests: int
    stored: int
    """Answers that were in the response store."""
    cost_usd: float | None
    """None where no price is known."""


@dataclass(frozen=True, slots=True)
class StabilityReport:
    """Stability of a recipe's labels under each source of variation."""

    name: str
    model: str | None
    n_rows: int
    """Sampled rows."""
    results: tuple[StabilityResult, ...]
    costs: tuple[SourceCost, ...]
    notes: tuple[str, ...] = ()

    @property
    def cost_usd(self) -> float | None:
        """Of all sources together; None where no price is known."""
        known = [each.cost_usd for each in self.costs if each.cost_usd is not None]
        return sum(known) if len(known) == len(self.costs) else None

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The tables for a terminal that is `width` characters wide; None for any width."""
        lines: list[tuple[str, ...]] = [
            ("source of variation", "variable", "labels per row", "moved", "share", "alpha")
        ]
        for each in self.results:
            moved = each.movement
            share = str(moved.share) if moved.compared else "-"
            alpha = str(each.alpha) if not math.isnan(each.alpha.estimate) else "undefined"
            counts = f"{moved.moved:,} of {moved.compared:,}"
            lines.append((each.source, each.variable, str(each.n_variants), counts, share, alpha))
        costs: list[tuple[str, ...]] = [("requests of", "sent", "stored", "USD")]
        for cost in self.costs:
            usd = "unknown" if cost.cost_usd is None else f"{cost.cost_usd:,.4f}"
            costs.append((cost.source, f"{cost.requests:,}", f"{cost.stored:,}", usd))
        model = f", model {self.model}" if self.model else ""
        head = f"stability of {self.name}{model}, {self.n_rows:,} sampled rows"
        tables = [align(lines, {2, 3}, width), *self._most(), align(costs, {1, 2, 3}, width)]
        return "\n\n".join([head, *tables, wrap(LEGEND, width), *(wrap(note, width) for note in self.notes)])

    def _most(self) -> list[str]:
        """For each source and variable the variant that moves most labels."""
        lines = []
        for each in self.results:
            known = [variant for variant in each.variants if variant.n]
            if known:
                most = max(known, key=lambda variant: variant.share.estimate)
                lines.append(
                    f"{each.source}, {each.variable}: most labels change with {most.name!r}, {most.changed:,} of "
                    f"{most.n:,}, {most.share}"
                )
        return ["\n".join(lines)] if lines else []

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; None where undefined."""
        return {**fields_as_json(self), "cost_usd": self.cost_usd}

    def to_json(self) -> str:
        """`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
