"""Sample plans: human labels needed for a target interval width or a gate, by sampling design.

They take the accuracy of a pilot, or an assumed one, as the true accuracy: they are plans, not guarantees.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.agreement.confusion import METRICS
from hf_synthlabels.statistics.arrays import Floats, Numbers
from hf_synthlabels.statistics.design.human_sample import uncertainty_sizes
from hf_synthlabels.statistics.design.pilot import PILOT, Pilot
from hf_synthlabels.statistics.design.sample_size import (
    ROUNDING,
    fewest_labels,
    scaled_rows_to_fail,
    scaled_rows_to_pass,
    student_quantile,
)
from hf_synthlabels.statistics.exhibits import align
from hf_synthlabels.statistics.validation.gate import Gate
from hf_synthlabels.statistics.validation.measures import ERRORS, check_measure
from hf_synthlabels.statistics.validation.report import ValidationReport

MIN_PLAN = 30
"""The smallest plan: intervals of fewer labels have less than their nominal coverage."""

PLANNED = {
    "text-classification": "macro_f1",
    "text-pair": "macro_f1",
    "multi-label": "micro_f1",
    "text-scale": "mae",
    "token-classification": "entity_f1",
    "question-answering": "token_f1",
    "text-generation": "token_f1",
}
"""The score whose interval width is planned, by task type."""


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
    pilot = Pilot.read(llm, human, names, accuracy)
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
    pilot = Pilot.read(llm, human, names, accuracy)
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


def plan_score(report: ValidationReport, *, width: float | None = None, gate: Gate | None = None) -> SamplePlan:
    """Human labels, sampled as in the pilot, needed for a target interval width or for a gate, for any task type.

    Widths are taken to shrink with 1 / sqrt(rows), and the score to stay that of the pilot.

    Args:
        report: of the pilot, with 10 labels or more.
        width: full width of the interval of the score in `PLANNED`; or
        gate: the threshold of a score.

    Raises:
        ConfigError: neither or both are given, `width` is not above 0, the pilot is too small, or the gate's score does
            not exist for the task type.
    """
    if (width is None) == (gate is None) or (width is not None and width <= 0):
        raise ConfigError(f"`width` is {width!r} and `gate` {gate}: give one of them, a width above 0.")
    if report.n_human < PILOT:
        raise ConfigError(
            f"`{report.human}` has {report.n_human:,} labels and a plan for {report.kind!r} needs {PILOT}. Sample and "
            f"label some rows first: `hf-synthlabels sample ... -n {MIN_PLAN}`."
        )
    metric = PLANNED[report.kind] if gate is None else gate.metric
    check_measure(metric, report.kind)
    score = report.scores[metric]
    notes = [f"{metric} of the pilot: {score}, n = {score.n:,}."]
    rows: int | None = None
    if gate is not None:
        target = f"{gate} decided if the score is {score.estimate:.3f}, as in the pilot"
        decide = scaled_rows_to_pass if score.estimate > gate.threshold else scaled_rows_to_fail
        rows = decide(score, gate.threshold, report.n_human)
    elif width is not None:
        target = f"{metric} in an interval {width:g} wide"
        present = score.high - score.low
        if not math.isnan(present):
            rows = max(MIN_PLAN, math.ceil(report.n_human * (present / width) ** 2 * ROUNDING))
    enough = rows if rows is not None and rows <= report.n_rows else None
    if enough is None:
        notes.append("These rows do not suffice if the score stays that of the pilot.")
    # Scores use human-labeled rows only: the other LLM labels do not help.
    design = PlannedDesign("as the pilot", enough, enough)
    accuracy = report.scores["accuracy" if "accuracy" in report.scores else "exact_match"].estimate
    goal = f"{target} ({100 * report.level:g}%)"
    return SamplePlan(goal, report.level, report.n_rows, accuracy, report.n_human, (design,), tuple(notes))


def _labels(part: float, rest: float, width: float, rows: int, level: float) -> int | None:
    """The fewest labels with which the variance part / n + rest / rows gives the target width."""
    labels = fewest_labels(
        lambda n: 2 * student_quantile(n - 2, level) * math.sqrt(part / n + rest / rows), width, 3, rows
    )
    return None if labels is None else min(rows, max(MIN_PLAN, labels))


def _llm_variances(confidence: Numbers, accuracy: float, spread: float) -> Floats:
    """The variance that the LLM leaves in each row, by its confidence, scaled to the mean `spread`."""
    wrong = 1 - np.nan_to_num(np.array(confidence, dtype=np.float64), nan=0.5)
    mean = float(wrong.mean())
    error = np.clip(wrong * (1 - accuracy) / mean if mean > 0 else np.full(len(wrong), 1 - accuracy), 0.01, 0.99)
    left: Floats = error * (1 - error)
    return left * spread / left.mean() if left.mean() > 0 else np.full(len(wrong), spread)


def _count(count: int | None) -> str:
    return "more than available" if count is None else f"{count:,}"
