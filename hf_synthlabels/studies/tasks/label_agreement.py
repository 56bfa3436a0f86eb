"""Agreement of an annotator's labels with the human labels of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.statistics import validate
from hf_synthlabels.studies.config import Study


def label_agreement(
    labelled: Dataset, recipe: Recipe, study: Study, validation: Sequence[int] | None = None
) -> dict[str, Any]:
    """The `agreement` with all human labels, and with those of the validation rows as `validation`.

    Nothing where no row has a human label.

    Args:
        labelled: rows with the annotator's labels.
        recipe: of the annotator.
        study: level, resamples and gate.
        validation: row numbers of the validation rows; without them there is no `validation`.
    """
    human = recipe.task.human
    if human is None or all(_is_missing(value) for value in labelled[human]):
        return {}

    def agreement(rows: Dataset, gate: str | None) -> dict[str, Any]:
        return validate(
            rows, human=human, llm=recipe.output.column, schema=recipe.schema_of_labels(), tokens=recipe.task.tokens,
            gate=gate, level=study.level, resamples=study.resamples,
        ).to_dict()  # fmt: skip

    found = {"agreement": agreement(labelled, None)}
    if validation is not None and len(validation):
        found["validation"] = agreement(labelled.select(validation), study.gate)
    return found


def _is_missing(value: Any) -> bool:
    return value is None or value == -1 or value == ""
