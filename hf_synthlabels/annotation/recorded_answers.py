"""Recorded answers: the client that replays them, and the checks that they belong to the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.clients import RecordedClient
from hf_synthlabels.errors import DataError

LIST_KINDS = ("multi-label", "token-classification")
"""Kinds whose label is a list."""


def recorded_client(recipe: Recipe, features: Mapping[str, Any], answers: int | None) -> RecordedClient:
    """The client of a recipe with recorded answers.

    Args:
        recipe: which answers, and what kind of label they hold.
        features: the features of the source.
        answers: how many answers each row needs; None checks nothing.

    Raises:
        ClientError: the file of answers cannot be read.
    """
    annotator = recipe.annotator
    return RecordedClient(
        column=annotator.column,
        file=None if annotator.file is None else recipe.local_path(annotator.file),
        key=annotator.key,
        answer=annotator.answer,
        names=_code_names(features.get(str(annotator.column))),
        answers=answers,
        list_labels=recipe.task.kind in LIST_KINDS,
        status=status_column(recipe, features),
        text_labels=recipe.task.kind == "text-generation",
    )


def status_column(recipe: Recipe, columns: Iterable[str]) -> str | None:
    """The status column beside a recorded column that an annotation wrote; None beside raw answers."""
    column, present = recipe.annotator.column, set(columns)
    if column is None or not {f"{column}_status", f"{column}_raw"} <= present:
        return None
    return f"{column}_status"


def check_keys(recipe: Recipe, splits: Mapping[str, Any]) -> None:
    """Refuse two different rows with the same `annotator.key`: both would get the same recorded answer.

    Args:
        recipe: whose answers may be in a file.
        splits: the rows of the source, by split.

    Raises:
        DataError: a key is in two rows with different texts.
    """
    key = recipe.annotator.key
    if recipe.annotator.file is None or key is None:
        return
    form = recipe.task.form()
    seen: dict[str, int] = {}
    for name, rows in splits.items():
        for row in rows.select_columns(list(dict.fromkeys([*recipe.task.columns, key]))):
            text = form.read(row)
            if text is None:
                continue
            question = hash(text.parts)
            if seen.setdefault(str(row[key]), question) != question:
                raise DataError(
                    f"`annotator.key` {key!r} has {str(row[key])[:40]!r} in two different rows, the second in split "
                    f"{name!r}. Name a column that identifies each row."
                )


def _code_names(feature: Any) -> list[str] | None:
    """The names behind the codes of a column: a ClassLabel, a list of them, or entities with one each."""
    feature = getattr(feature, "feature", feature)
    feature = feature.get("label") if isinstance(feature, dict) else feature
    return getattr(feature, "names", None)
