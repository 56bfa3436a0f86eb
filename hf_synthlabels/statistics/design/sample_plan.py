"""Sample plans: human labels needed for a target interval width or a gate, by sampling design.

They take the accuracy of a pilot, or an assumed one, as the true accuracy: they are plans, not guarantees.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.classification import confusion_intervals
from hf_synthlabels.statistics.agreement.confusion import METRICS
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, Numbers, encode
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.human_sample import uncertainty_sizes
from hf_synthlabels.statistics.design.sample_size import (
    fewest_labels,
    rows_to_fail,
    rows_to_pass,
    scaled_rows_to_fail,
    scaled_rows_to_pass,
    student_quantile,
)
from hf_synthlabels.statistics.text_tables import align
from hf_synthlabels.statistics.validation.gate import Gate
from hf_synthlabels.statistics.validation.measures import ERRORS

ASSUMED_ACCURACY = 0.8
"""Accuracy of an LLM without a pilot."""

PILOT = 10
"""Human labels from which on the accuracy is taken from them."""

MIN_PLAN = 30
"""The smallest plan: intervals of fewer labels have less than their nominal coverage."""

PSEUDO_ROWS = 1000
"""Rows of an assumed confusion matrix."""


@dataclass(frozen=True, slots=True)
class PlannedDesign:
    """Labels needed with one sampling design."""

    design: str
    human_only: int | None
    """With the classical estimator; None if all rows do not suffice."""
    with_llm: int | None
    """With PPI++ or DSL; for a gate the same, because scores use human-labeled rows only."""


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """Human labels needed, by sampling design. Print it for a table."""

    goal: str
    level: float
    rows: int
    accuracy: float
    """Accuracy of the LLM on which the plan is based."""
    pilot: int
    """Human labels behind the accuracy; 0 if it is assumed."""
    designs: tuple[PlannedDesign, ...]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> PlannedDesign | None:
        """The design that needs the fewest labels; None if none suffices."""
        able = [each for each in self.designs if each.with_llm is not None]
        return min(able, key=lambda each: each.with_llm or 0) if able else None

    def __str__(self) -> str:
        source = f"from {self.pilot:,} human labels" if self.pilot else "assumed, without human labels"
        lines: list[tuple[str, ...]] = [("design", "classical", "PPI++ or DSL")]
        lines += [(each.design, _count(each.human_only), _count(each.with_llm)) for each in self.designs]
        head = f"{self.goal}\n{self.rows:,} rows; LLM accuracy {100 * self.accuracy:.1f}% ({source})"
        return "\n\n".join([head, align(lines, right={1, 2}), *self.notes])

    def to_json(self) -> str:
        """Everything as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)


def plan_sample(
    llm: Sequence[str | None],
    width: float,
    *,
    names: Sequence[str] | None = None,
    human: Sequence[str | None] | None = None,
    accuracy: float | None = None,
    confidence: Numbers | None = None,
    level: float = 0.95,
) -> SamplePlan:
    """Human labels needed for the target interval width of every class's prevalence.

    With the probability q of a class given the LLM label, the classical variance is p (1 - p) / n and the corrected one
    mean(q (1 - q)) / n + var(q) / N; by confidence mean(s) mean(q (1 - q) / s) / n with inclusion probabilities ~ s.

    Args:
        llm: LLM label of each row, None where missing.
        width: full width of the interval, as a proportion.
        names: the classes; by default those that occur.
        human: labels of a random pilot, None where missing; used from 10 labels on.
        accuracy: assumed accuracy of the LLM; by default that of the pilot, or 0.8.
        confidence: of the LLM, for the design of that name.
        level: confidence level.

    Raises:
        ConfigError: `width` or `accuracy` is out of range.
        DataError: no row has an LLM label, or a label is unknown.
    """
    if not 0 < width < 1:
        raise ConfigError(f"`width` is {width!r}: give the full width as a proportion, such as 0.1.")
    pilot = _Pilot.read(llm, human, names, accuracy)
    probabilities, rows = pilot.class_probabilities(), len(llm)
    prevalence = probabilities.mean(axis=0)
    worst = int(np.argmax(prevalence * (1 - prevalence)))
    q, total = probabilities[:, worst], float(prevalence[worst] * (1 - prevalence[worst]))
    spread = float((q * (1 - q)).mean())

    def planned(design: str, human_only: float, with_llm: float) -> PlannedDesign:
        corrected = _labels(with_llm, max(0.0, total - spread), width, rows, level)
        return PlannedDesign(design, _labels(human_only, 0.0, width, rows, level), corrected)

    designs = [planned("random", total, spread), planned("stratified", total, spread)]
    if confidence is not None:
        size, left = uncertainty_sizes(confidence, rows), _llm_variances(confidence, pilot.accuracy, spread)
        alone = float(size.mean() * ((q * (1 - q) + (q - prevalence[worst]) ** 2) / size).mean())
        designs.append(planned("confidence", alone, float(size.mean() * (left / size).mean())))
    goal = f"prevalence of {pilot.names[worst]}, the hardest class, in an interval {width:g} wide ({100 * level:g}%)"
    notes = () if any(each.with_llm for each in designs) else ("These rows do not suffice: allow a larger width.",)
    return SamplePlan(goal, level, rows, pilot.accuracy, pilot.size, tuple(designs), notes)


def plan_gate(
    llm: Sequence[str | None],
    gate: Gate,
    *,
    names: Sequence[str] | None = None,
    human: Sequence[str | None] | None = None,
    accuracy: float | None = None,
    level: float = 0.95,
) -> SamplePlan:
    """Human labels, drawn at random, with which a gate on single-label classification decides.

    Args:
        llm: as in `plan_sample`.
        gate: as in `validate`.
        names: as in `plan_sample`.
        human: as in `plan_sample`.
        accuracy: as in `plan_sample`; the same for every label.
        level: confidence level.

    Raises:
        ConfigError: the gate's score is not one of single-label classification, or `accuracy` is out of range.
        DataError: as in `plan_sample`.
    """
    if gate.metric in ERRORS or gate.metric not in (*METRICS, "accuracy_answered", "coverage"):
        raise ConfigError(
            f"`gate` uses {gate.metric}, which needs human labels: use one of {', '.join(METRICS)}, accuracy_answered, "
            "coverage, or label some rows first."
        )
    pilot = _Pilot.read(llm, human, names, accuracy)
    expected, to_pass, to_fail = pilot.rows_needed(gate, level)
    passes = expected > gate.threshold
    rows = to_pass if passes else to_fail
    enough = rows if rows is not None and rows <= len(llm) else None
    goal = f"{gate} decided if the score is {expected:.3f}, as expected ({100 * level:g}%)"
    notes = [f"With a score of {expected:.3f} the labels {'pass' if passes else 'fail'}."]
    if enough is None:
        notes.append("These rows do not suffice: the expected score is too close to the threshold.")
    design = PlannedDesign("random", enough, enough)
    return SamplePlan(goal, level, len(llm), pilot.accuracy, pilot.size, (design,), tuple(notes))


@dataclass(frozen=True, slots=True)
class _Pilot:
    """LLM labels, with the human labels of a pilot or an assumed accuracy."""

    names: Sequence[str]
    codes: Ints
    truth: Ints | None
    """None where the accuracy is assumed."""
    accuracy: float
    size: int

    @classmethod
    def read(
        cls,
        llm: Sequence[str | None],
        human: Sequence[str | None] | None,
        names: Sequence[str] | None,
        accuracy: float | None,
    ) -> _Pilot:
        names = list(names or sorted({label for column in (llm, human or ()) for label in column if label is not None}))
        codes = encode(llm, names, field="llm")
        if not (codes != MISSING).any():
            raise DataError(f"`llm` has no label in any of {len(llm):,} rows: annotate first.")
        if accuracy is not None and not 0 < accuracy <= 1:
            raise ConfigError(f"`accuracy` is {accuracy!r}: give the accuracy of the LLM, such as 0.8.")
        truth = None if human is None else encode(human, names, field="human")
        size = 0 if truth is None else int((truth != MISSING).sum())
        if truth is None or size < PILOT or accuracy is not None:
            return cls(names, codes, None, ASSUMED_ACCURACY if accuracy is None else accuracy, 0)
        both = (truth != MISSING) & (codes != MISSING)
        # A pilot without an error does not show that the LLM makes none.
        return cls(names, codes, truth, float(((truth == codes)[both].sum() + 1) / (both.sum() + 2)), size)

    def class_probabilities(self) -> Floats:
        """The probability of each class for each row given its LLM label, shape (N, K)."""
        labels = self.codes[self.codes != MISSING]
        shares = np.bincount(labels, minlength=len(self.names)) / len(labels)
        table = np.vstack([_assumed(shares, self.accuracy), shares])
        if self.truth is not None:
            known = self.truth != MISSING
            counts = np.zeros((len(self.names) + 1, len(self.names)))
            np.add.at(counts, (self.codes[known], self.truth[known]), 1)
            # Two pseudo-rows keep a rare label from being certain.
            table = (counts + 2 * table) / (counts.sum(axis=1, keepdims=True) + 2)
        probabilities: Floats = table[self.codes]
        return probabilities

    def confusion_counts(self) -> tuple[Ints, Ints]:
        """Confusion counts of the pilot, or expected ones, shape (K, K + 1), and the LLM labels behind them."""
        classes = len(self.names)
        if self.truth is not None:
            known = self.truth != MISSING
            table = np.zeros((classes, classes + 1))
            np.add.at(table, (self.truth[known], self.codes[known]), 1)
            return table.astype(np.int64), self.codes[known]
        columns = np.where(self.codes == MISSING, classes, self.codes)
        shares = np.bincount(columns, minlength=classes + 1) / len(self.codes)
        labeled = shares[:-1] / max(1e-12, shares[:-1].sum())
        table = np.vstack([_assumed(labeled, self.accuracy), labeled])
        return np.rint(PSEUDO_ROWS * (shares[:, None] * table).T).astype(np.int64), self.codes

    def rows_needed(self, gate: Gate, level: float) -> tuple[float, int | None, int | None]:
        """The expected score, and the rows to pass and to fail with it."""
        counts, scored = self.confusion_counts()
        proportions: dict[str, Any] = {
            "accuracy": float(np.trace(counts[:, :-1]) / counts.sum()),
            "accuracy_answered": self.accuracy,
            "coverage": float((scored != MISSING).mean()),
        }
        if gate.metric in proportions:
            share = proportions[gate.metric]
            return share, rows_to_pass(share, gate.threshold, level), rows_to_fail(share, gate.threshold, level)
        metric: Any = gate.metric
        interval = confusion_intervals(counts, (metric,), BootstrapConfig(level))[metric]
        rows = int(counts.sum())
        to_pass = scaled_rows_to_pass(interval, gate.threshold, rows)
        return interval.estimate, to_pass, scaled_rows_to_fail(interval, gate.threshold, rows)


def _labels(part: float, rest: float, width: float, rows: int, level: float) -> int | None:
    """The fewest labels with which the variance part / n + rest / rows gives the target width."""
    labels = fewest_labels(
        lambda n: 2 * student_quantile(n - 2, level) * math.sqrt(part / n + rest / rows), width, 3, rows
    )
    return None if labels is None else min(rows, max(MIN_PLAN, labels))


def _assumed(shares: Floats, accuracy: float) -> Floats:
    """The probability of each class given the LLM label, shape (K, K), where only the accuracy is known.

    A part of the rows is labeled correctly and the others at random with the LLM's own shares. So a class is as
    frequent as the LLM says, and rare labels are less precise than frequent ones.
    """
    by_chance = float(shares @ shares)
    if accuracy <= by_chance or by_chance >= 1:
        # No such mixture has this accuracy: errors are spread evenly over the other classes.
        table = np.full((len(shares), len(shares)), (1 - accuracy) / max(1, len(shares) - 1))
        np.fill_diagonal(table, accuracy)
        return table
    known = (accuracy - by_chance) / (1 - by_chance)
    mixed: Floats = known * np.eye(len(shares)) + (1 - known) * shares[None, :]
    return mixed


def _llm_variances(confidence: Numbers, accuracy: float, spread: float) -> Floats:
    """The variance that the LLM leaves in each row, by its confidence, scaled to the mean `spread`."""
    wrong = 1 - np.nan_to_num(np.array(confidence, dtype=np.float64), nan=0.5)
    mean = float(wrong.mean())
    error = np.clip(wrong * (1 - accuracy) / mean if mean > 0 else np.full(len(wrong), 1 - accuracy), 0.01, 0.99)
    left: Floats = error * (1 - error)
    return left * spread / left.mean() if left.mean() > 0 else np.full(len(wrong), spread)


def _count(count: int | None) -> str:
    return "more than available" if count is None else f"{count:,}"
