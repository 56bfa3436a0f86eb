"""Items to judge, from columns of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.prompting.judge_prompt import Item
from hf_synthlabels.judging.rubric import Rubric

References = Sequence[str | Sequence[str] | None]
"""One or several references per answer."""


def judge_items(
    rubric: Rubric,
    predictions: Sequence[str | None],
    references: References | None = None,
    inputs: Sequence[str | None] | None = None,
    others: Sequence[str | None] | None = None,
) -> list[Item]:
    """Items to judge, from columns.

    Args:
        rubric: determines whether references are shown.
        predictions: the answers; in a comparison, the first answers.
        references: one or several per answer.
        inputs: the prompt of each answer.
        others: in a comparison, the second answers.

    Raises:
        ConfigError: the rubric never shows the references, or needs them.
        DataError: the columns differ in length, or hold other values than text.
    """
    if references is not None and rubric.reference == "never":
        raise ConfigError(f"`references` does not fit rubric {rubric.name!r}, which shows none. Remove it.")
    if references is None and rubric.reference == "required":
        raise ConfigError(f"`references` is missing, but rubric {rubric.name!r} needs one for each answer.")
    columns: dict[str, Sequence[Any] | None] = {
        "predictions": predictions,
        "references": references,
        "inputs": inputs,
        "others": others,
    }
    for name, column in columns.items():
        if isinstance(column, str):
            raise DataError(f"`{name}` is the text {column[:40]!r}. Give a list of texts.")
        if column is not None and len(column) != len(predictions):
            raise DataError(
                f"`{name}` has {len(column)} rows and `predictions` has {len(predictions)}. Give equally many."
            )
    return [
        Item(
            _text(predictions[row], "predictions", row),
            () if references is None else _references(rubric, references[row], row),
            "" if inputs is None else _text(inputs[row], "inputs", row),
            "" if others is None else _text(others[row], "others", row),
        )
        for row in range(len(predictions))
    ]


def _references(rubric: Rubric, value: Any, row: int) -> tuple[str, ...]:
    values = [value] if value is None or isinstance(value, str) else list(value)
    texts = tuple(text for each in values if (text := _text(each, "references", row)).strip())
    if rubric.protocol == "joint" and len(texts) > 1:
        raise DataError(
            f"`references` has {len(texts)} texts in row {row}, but rubric {rubric.name!r} scores one. Give one."
        )
    return texts


def _text(value: Any, name: str, row: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"`{name}` has {value!r} in row {row}, a {type(value).__name__}. Give texts.")
    return value
