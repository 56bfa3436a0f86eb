"""Columns of a judge with several criteria."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_synthlabels.judging.criteria.criterion import CRITERION_COLUMNS
from hf_synthlabels.judging.judgment import CRITERION_STATUSES, Judgment
from hf_synthlabels.judging.rubric import Rubric

if TYPE_CHECKING:
    import datasets


def criteria_features(rubric: Rubric, column: str, num_samples: int) -> datasets.Features:
    """Features of the added columns: the overall score, then each criterion.

    Args:
        rubric: a rubric with several criteria.
        column: prefix of the columns.
        num_samples: number of samples; the samples have a column if there are several.
    """
    from datasets import ClassLabel, Features, List, Value

    statuses = ClassLabel(names=list(CRITERION_STATUSES))
    text, number = Value("string"), Value("float64")
    features: dict[str, Any] = {
        f"{column}_score": number,
        f"{column}_status": statuses,
        f"{column}_reason": text,
        f"{column}_raw": text,
    }
    kinds = {"status": statuses, "samples": List(number)}
    suffixes = [suffix for suffix in CRITERION_COLUMNS if suffix != "samples" or num_samples > 1]
    for name in rubric.parts:
        features[f"{column}_{name}"] = number
        features |= {f"{column}_{name}_{suffix}": kinds.get(suffix, text) for suffix in suffixes}
    return Features(features)


def criteria_row(judgment: Judgment) -> dict[str, Any]:
    """The values of the columns in one row, by their names without the prefix."""
    values: dict[str, Any] = {
        "score": judgment.score,
        "status": CRITERION_STATUSES.index(judgment.status),
        "reason": judgment.error or judgment.reason,
        "raw": judgment.raw,
        "own_answer": judgment.own_answer,
    }
    for name, criterion in judgment.criteria.items():
        values |= {
            name: criterion.score,
            f"{name}_status": CRITERION_STATUSES.index(criterion.status),
            f"{name}_parse_method": criterion.parse_method,
            f"{name}_reason": criterion.error or criterion.reason,
            f"{name}_samples": list(criterion.samples),
            f"{name}_raw": criterion.raw or None,
        }
    return values


def described_criteria(rubric: Rubric) -> dict[str, dict[str, Any]]:
    """The definition and weight of each criterion for the provenance."""
    return {
        criterion.name: {
            "instructions": criterion.instructions,
            **({} if criterion.scale is None else {"scale": criterion.scale.model_dump(mode="json")}),
            "choices": {choice.answer: choice.meaning for choice in criterion.choices},
            **(
                {"scores": {choice.answer: choice.score for choice in criterion.choices}}
                if criterion.scale is None
                else {}
            ),
            "weight": criterion.weight,
        }
        for criterion in rubric.criteria
    }
