"""Label values as a study keeps them: the way that `labels.encode` writes them into a column, for every kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.validation.dataset_columns import read_names
from hf_synthlabels.statistics.validation.label_columns import label_column, read_label, read_tokens


@dataclass(frozen=True, slots=True)
class HumanValues:
    """The human labels of some rows."""

    labels: tuple[Any, ...]
    """One label per row, None where there is none: a code; codes; a number; entities as {start, end, text, label};
    an answer as {text, start}; a text. Of several human answers the first."""
    truth: tuple[Any, ...]
    """The same, but all human answers: of question-answering a list of {text, start}, of text-generation a list of
    texts."""


def human_values(rows: Dataset, recipe: Recipe) -> HumanValues:
    """The human labels of some rows.

    Raises:
        DataError: the recipe names no human column, or a value is not in its schema.
    """
    schema, human = recipe.schema_of_labels(), recipe.task.human
    if human is None:
        raise DataError(f"`task.human` is missing in recipe {recipe.name!r}. Name the column with the human labels.")
    if schema.kind in ("text-classification", "text-pair"):
        codes = {name: code for code, name in enumerate(schema.names)}
        names, _ = read_names(rows, human)
        if outside := sorted({name for name in names if name is not None and name not in codes}):
            raise DataError(f"`{human}` holds {', '.join(outside[:3])}, outside the labels: {', '.join(schema.names)}.")
        labels = tuple(None if name is None else codes[name] for name in names)
        return HumanValues(labels, labels)
    column = label_column(rows, human, schema.kind)
    tokens = None if recipe.task.tokens is None else read_tokens(rows, recipe.task.tokens)
    read = [
        read_label(column, row, schema.kind, schema.names, schema.scale, None if tokens is None else tokens[row])
        for row in range(len(rows))
    ]
    texts = _texts(rows, recipe) if schema.kind == "token-classification" else [""] * len(rows)
    truth = tuple(
        None if value is None else _value(schema.kind, schema.names, value, text)
        for value, text in zip(read, texts, strict=True)
    )
    if schema.kind in ("question-answering", "text-generation"):
        return HumanValues(tuple(None if not answers else answers[0] for answers in truth), truth)
    return HumanValues(truth, truth)


def _value(kind: str, names: tuple[str, ...], value: Any, text: str) -> Any:
    match kind:
        case "multi-label":
            return [names.index(name) for name in value]
        case "token-classification":
            return [
                {"start": start, "end": end, "text": text[start:end], "label": names.index(label)}
                for start, end, label in value
            ]
        case "question-answering":
            return [{"text": answer, "start": start} for answer, start in value]
        case "text-generation":
            return list(value)
        case _:
            return value


def _texts(rows: Dataset, recipe: Recipe) -> list[str]:
    form = recipe.task.form()
    read = [form.read(row) for row in rows.select_columns(recipe.task.columns)]
    return ["" if text is None else text.context for text in read]
