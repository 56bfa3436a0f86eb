"""Overall score of several criteria, by their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hf_synthlabels.judging.judgment import Judgment, JudgmentStatus
from hf_synthlabels.judging.rubric import Rubric


def overall_judgment(rubric: Rubric, criteria: Mapping[str, Judgment]) -> Judgment:
    """The judgment of an item by the judgments of its criteria.

    The score is the weighted mean of the criteria, on their common scale or otherwise from 0 to 1. Without the score of
    a criterion with a weight, it is missing with the status of that criterion, or the others count alone if the rubric
    says so.
    """
    weighted = [name for name, weight in rubric.weights.items() if weight > 0]
    unscored = [name for name in weighted if criteria[name].score is None]
    scored = [name for name in weighted if name not in unscored]
    if unscored and (rubric.missing_criterion == "unscored" or not scored):
        first = criteria[unscored[0]]
        error = first.error if _is_of_item(criteria) else f"`{unscored[0]}` is {first.status}: {first.error}"
        return Judgment(None, first.status, error=error, criteria=criteria)
    total = math.fsum(rubric.weights[name] for name in scored)
    units = {name: rubric.parts[name].unit(_score(criteria[name])) for name in scored}
    unit = math.fsum(rubric.weights[name] * units[name] for name in scored) / total
    score = rubric.low + (rubric.high - rubric.low) * unit
    return Judgment(score, "scored", criteria=criteria)


def unscored_judgment(rubric: Rubric, status: JudgmentStatus, error: str) -> Judgment:
    """The judgment of an item that was not judged, with that of each criterion if there are several."""
    criteria = {name: Judgment(None, status, error=error) for name in rubric.parts}
    return Judgment(None, status, error=error, criteria=criteria)


def _is_of_item(criteria: Mapping[str, Judgment]) -> bool:
    """Whether all criteria lack their score for the same reason, such as a failed request."""
    return len(criteria) > 1 and len({(each.status, each.error) for each in criteria.values()}) == 1


def _score(judgment: Judgment) -> float:
    assert judgment.score is not None
    return judgment.score
