"""plan_score: how many human labels a score of any kind of label takes, from those of a pilot."""

from __future__ import annotations

import math
from typing import Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.design.sample_plan import MIN_PLAN, PILOT, PlannedDesign, SamplePlan
from hf_synthlabels.statistics.design.sample_size import scaled_rows_to_fail, scaled_rows_to_pass
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
"""The score whose interval a width is of."""


def plan_score(report: ValidationReport, *, width: float | None = None, gate: Gate | None = None) -> SamplePlan:
    """How many human labels, drawn as the pilot's were, until a score's interval is as narrow as wished, or decides.

    Widths are taken to shrink with 1 / sqrt(rows), and the score to stay what the pilot says. The score that a width is
    of is `PLANNED` of the kind.

    Args:
        report: of the pilot's labels, 10 or more.
        width: from end to end, in the score's own unit; or
        gate: the score that is to be reached.

    Raises:
        ConfigError: neither or both are given, the width is not above 0, the pilot is too small, or the kind has not
            the gate's score.
    """
    if (width is None) == (gate is None) or (width is not None and width <= 0):
        raise ConfigError(f"`width` is {width!r} and `gate` {gate}: give one of them, a width above 0.")
    if report.n_human < PILOT:
        raise ConfigError(
            f"`{report.human}` has {report.n_human:,} labels, and how much a score of kind {report.kind!r} varies is "
            f"known from {PILOT} or more. Draw and label some first: `hf-synthlabels sample ... -n {MIN_PLAN}`."
        )
    metric = PLANNED[report.kind] if gate is None else gate.metric
    check_measure(metric, report.kind)
    score = report.scores[metric]
    notes = [f"{metric} of the pilot: {score}, n = {score.n:,}."]
    if gate is None:
        wished = f"{metric} within an interval {width:g} wide"
        rows = _rows_for_width(score, float(width or 0), report.n_human)
    else:
        wished = f"{gate} decided, where the score is {score.estimate:.3f} as the pilot says"
        rows = _rows_to_decide(score, gate, report.n_human)
    within = rows if rows is not None and rows <= report.n_rows else None
    if within is None:
        notes.append("No number of these rows does it, if the score stays what it is.")
    # Scores are of human-labelled rows: the LLM's other labels do not help.
    design = PlannedDesign("as the pilot", within, within)
    said: Any = report.scores.get("accuracy", report.scores.get("exact_match"))
    goal = f"{wished} ({100 * report.level:g} %)"
    return SamplePlan(goal, report.level, report.n_rows, said.estimate, report.n_human, (design,), tuple(notes))


def _rows_for_width(score: Interval, width: float, rows: int) -> int | None:
    found = score.high - score.low
    if math.isnan(found):
        return None
    return max(MIN_PLAN, math.ceil(rows * (found / width) ** 2 * (1 - 1e-9)))


def _rows_to_decide(score: Interval, gate: Gate, rows: int) -> int | None:
    above, below = scaled_rows_to_pass(score, gate.threshold, rows), scaled_rows_to_fail(score, gate.threshold, rows)
    good = score.estimate < gate.threshold if gate.metric in ERRORS else score.estimate > gate.threshold
    # What passes when it is high and fails when it is low is the other way round for an error.
    passing, failing = (below, above) if gate.metric in ERRORS else (above, below)
    return passing if good else failing
