"""Report of routing: the threshold, the rows that it keeps, and what is guaranteed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from hf_synthlabels.statistics.exhibits import align, shorten, wrap
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.routing.routing_target import RoutingTarget
from hf_synthlabels.statistics.routing.threshold_tests import N_STARTS
from hf_synthlabels.statistics.routing.thresholds import ThresholdTests, min_labels

COVERED = {
    "accuracy": "with an LLM label",
    "precision": "that the LLM gave the class",
    "recall": "that the LLM gave another class",
}
"""Rows that a target of each metric covers."""

GUARANTEES = {
    "accuracy": "accuracy of the kept labels",
    "precision": "precision of the kept labels of the class",
    "recall": "recall of the class, if the routed rows are labeled correctly,",
}
"""What a target of each metric states."""


@dataclass(frozen=True, slots=True)
class RoutedColumns:
    """Names of the columns."""

    llm: str
    human: str
    confidence: str


@dataclass(frozen=True, slots=True)
class RoutingReport:
    """The largest share of rows whose LLM labels may be kept, and the tests behind it."""

    columns: RoutedColumns
    target: RoutingTarget
    risk: float
    """Probability of a threshold at which the target is missed."""
    tests: ThresholdTests
    kept: Interval
    """Kept rows among all rows."""
    n_covered: int
    """Rows that the target covers."""
    n_confident: int
    """Of these, the rows with a confidence."""
    n_human: int
    """Human-labeled rows that the metric counts."""
    seed: int
    """Of the subsample, if inclusion probabilities are unequal."""
    n_routed: int
    """Rows that humans or another annotator label."""
    n_routed_labeled: int
    """Of these, the rows with a human label."""
    notes: tuple[str, ...] = ()

    @property
    def threshold(self) -> float | None:
        """Smallest confidence of a kept row; None if nothing can be guaranteed."""
        return None if self.tests.selected is None else self.tests.selected.threshold

    @property
    def n_kept(self) -> int:
        """Rows whose LLM label is kept."""
        return 0 if self.tests.selected is None else self.tests.selected.kept

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        plain = ("risk", "threshold", "n_kept", "n_covered", "n_confident", "n_human")
        return {
            **asdict(self.columns),
            "target": str(self.target),
            **{name: getattr(self, name) for name in (*plain, "n_routed", "n_routed_labeled")},
            "n_rows": self.kept.n,
            "kept": self.kept.to_dict(),
            "seed": self.seed,
            "starts": list(self.tests.starts),
            "tests": [test.to_dict() for test in self.tests.tests],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The report for a terminal that is `width` characters wide; None for a table of any width."""
        lines = [self._heading(), self._table(width), wrap(self._result(), width), wrap(self._rest(), width)]
        return "\n\n".join([*lines, *(wrap(note, width) for note in self.notes)])

    def _heading(self) -> str:
        names = self.columns
        return (
            f"`{shorten(names.llm, 36)}` routed by `{shorten(names.confidence, 36)}`: {self.target}, risk "
            f"{self.risk:g}\nrows {self.kept.n:,}, {COVERED[self.target.metric]} {self.n_covered:,}, of these with a "
            f"confidence {self.n_confident:,}; human labels that count {self.n_human:,}"
        )

    def _table(self, width: int | None) -> str:
        head: tuple[str, ...] = (
            "threshold",
            "kept",
            "of rows",
            "human n",
            self.target.metric,
            "95% interval",
            "p",
            "level",
            "guaranteed",
        )
        rows = [head]
        for test in self.tests.tests:
            estimate, _, ends = str(test.share).partition(" ")
            share = f"{test.kept / self.kept.n:.3f}"
            p_value = "<0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}"
            cells = (f"{test.threshold:g}", f"{test.kept:,}", share, f"{test.share.n:,}", estimate, ends, p_value)
            level = f"{test.level:.4g}" if test.level else "-"
            rows.append((*cells, level, "yes" if test.guaranteed else "no"))
        return align(rows, {0, 1, 2, 3, 4, 6, 7}, width)

    def _result(self) -> str:
        """What may be kept, and what is guaranteed."""
        selected = self.tests.selected
        if selected is not None:
            return (
                f"keep: the LLM labels with `{self.columns.confidence}` >= {selected.threshold!r}, {selected.kept:,} "
                f"of {self.kept.n:,} rows, {self.kept}. With probability {1 - self.risk:g}, the "
                f"{GUARANTEES[self.target.metric]} is at least {self.target.value:g}. Estimate: {selected.share} "
                f"(pointwise interval, n = {selected.share.n:,}). Test: {self._family()}."
            )
        if not self.tests.starts:
            return (
                f"keep: nothing. There are too few human labels: a guarantee needs {self._needed():,} or more at one "
                "threshold, even if all LLM labels are correct."
            )
        return (
            f"keep: nothing. No threshold reaches {self.target} at risk {self.risk:g} "
            f"({self._family()}). Label more rows, choose a lower target, or improve the labels."
        )

    def _needed(self) -> int:
        return min_labels(self.target.value, self.risk, 1 if self.target.metric == "recall" else N_STARTS)

    def _family(self) -> str:
        starts = len(self.tests.starts)
        return (
            f"exact binomial, {len(self.tests.tests)} thresholds in a fixed sequence with "
            f"{'one start' if starts == 1 else f'{starts} starts'}"
        )

    def _rest(self) -> str:
        """The rows that are not kept."""
        covered = self.n_routed - (self.n_covered - self.n_kept)
        unknown = self.n_covered - self.n_confident
        below = self.n_confident - self.n_kept
        outside = self.kept.n - self.n_kept - self.n_routed
        parts = [f"{below:,} below the threshold" if self.n_kept else f"{below:,} with a confidence"]
        parts += [f"{unknown:,} without a confidence"] if unknown else []
        parts += [f"{covered:,} without an LLM label"] if covered else []
        text = f"route to humans or another annotator: {self.n_routed:,} rows ({', '.join(parts)})"
        text += f"; {self.n_routed_labeled:,} of them have a human label"
        if self.threshold is not None and self.target.metric == "accuracy":
            # The recipe compares its own confidence.
            is_own = self.columns.confidence == f"{self.columns.llm}_confidence"
            text += f". In a recipe: `annotator.escalate.below: {self.threshold!r}`" if is_own else ""
        return f"{text}. The target does not cover {outside:,} rows." if outside else f"{text}."
