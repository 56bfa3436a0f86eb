"""Agreement of an annotator's labels with the human labels of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.statistics import validate
from hf_synthlabels.statistics.validation.task_agreement import row_scores
from hf_synthlabels.studies.config import Study


def label_agreement(
    labeled: Dataset, recipe: Recipe, study: Study, validation: Sequence[int] | None = None
) -> dict[str, Any]:
    """The `agreement` with all human labels; nothing where no row has a human label.

    Of training rows also the agreement on the validation rows, as `validation`; of test rows the `credit` of each row,
    see `row_scores`.

    Args:
        labeled: rows with the annotator's labels.
        recipe: of the annotator.
        study: level, resamples and gate.
        validation: row numbers of the validation rows; None for test rows.
    """
    human = recipe.task.human
    if human is None or all(_is_missing(value) for value in labeled[human]):
        return {}

    def agreement(rows: Dataset, gate: str | None) -> dict[str, Any]:
        return validate(
            rows, human=human, llm=recipe.output.column, schema=recipe.schema_of_labels(), tokens=recipe.task.tokens,
            gate=gate, level=study.level, resamples=study.resamples, confidence=False,
        ).to_dict()  # fmt: skip

    found: dict[str, Any] = {"agreement": agreement(labeled, None)}
    if validation is None:
        schema, tokens = recipe.schema_of_labels(), recipe.task.tokens
        found["credit"] = row_scores(labeled, schema, human=human, llm=recipe.output.column, tokens=tokens).tolist()
    elif validation:
        found["validation"] = agreement(labeled.select(validation), study.gate)
    return found


def _is_missing(value: Any) -> bool:
    return value is None or value == -1 or value == ""
