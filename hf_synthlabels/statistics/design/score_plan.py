"""Sample plans for scores of any task type, from the human labels of a pilot."""

from __future__ import annotations

import math

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.design.sample_plan import MIN_PLAN, PILOT, PlannedDesign, SamplePlan
from hf_synthlabels.statistics.design.sample_size import ROUNDING, scaled_rows_to_fail, scaled_rows_to_pass
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.validation.gate import Gate
from hf_synthlabels.statistics.validation.measures import ERRORS, check_measure
from hf_synthlabels.statistics.validation.report import ValidationReport

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


def plan_score(report: ValidationReport, *, width: float | None = None, gate: Gate | None = None) -> SamplePlan:
    """Human labels, sampled as in the pilot, needed for a target interval width of a score, or for a gate.

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
    if gate is None:
        target = f"{metric} in an interval {width:g} wide"
        rows = _rows_for_width(score, float(width or 0), report.n_human)
    else:
        target = f"{gate} decided if the score is {score.estimate:.3f}, as in the pilot"
        rows = _rows_to_decide(score, gate, report.n_human)
    enough = rows if rows is not None and rows <= report.n_rows else None
    if enough is None:
        notes.append("These rows do not suffice if the score stays that of the pilot.")
    # Scores use human-labeled rows only: the other LLM labels do not help.
    design = PlannedDesign("as the pilot", enough, enough)
    accuracy = report.scores["accuracy" if "accuracy" in report.scores else "exact_match"].estimate
    goal = f"{target} ({100 * report.level:g}%)"
    return SamplePlan(goal, report.level, report.n_rows, accuracy, report.n_human, (design,), tuple(notes))


def _rows_for_width(score: Interval, width: float, rows: int) -> int | None:
    present = score.high - score.low
    if math.isnan(present):
        return None
    return max(MIN_PLAN, math.ceil(rows * (present / width) ** 2 * ROUNDING))


def _rows_to_decide(score: Interval, gate: Gate, rows: int) -> int | None:
    above, below = scaled_rows_to_pass(score, gate.threshold, rows), scaled_rows_to_fail(score, gate.threshold, rows)
    if gate.metric in ERRORS:
        return below if score.estimate < gate.threshold else above
    return above if score.estimate > gate.threshold else below
