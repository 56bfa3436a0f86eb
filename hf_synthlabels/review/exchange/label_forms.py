"""Human labels in the form that columns store, as one column, one per annotator, or all votes of a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import Entity, to_bio, token_offsets
from hf_synthlabels.review.exchange.matching import unique_names
from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_state import ReviewState


def with_annotators(state: ReviewState, table: Any) -> Any:
    """A table with the labels of each annotator in a column `<human>_<name>`, numbered if names collide."""
    annotators = [annotator for annotator in state.annotators.values() if annotator.labels]
    columns = (f"{state.rows.human}_{annotator.name}" for annotator in annotators)
    names = unique_names(columns, pattern=r"\s+", reserved=table.column_names)
    for column, annotator in zip(names, annotators, strict=True):
        labels = {row: event.human_label for row, event in annotator.labels.items()}
        table = with_labels(state.rows, column, labels, table)
    return table


def with_votes(state: ReviewState, table: Any) -> Any:
    """A table with all labels of each row in `<human>_votes`, as objects from annotator to label.

    Without a row that has several labels there is no such column.
    """
    rows, votes = state.rows, {row: dict(each.votes) for row, each in state.resolutions.items()}
    if max(map(len, votes.values()), default=0) < 2:
        return table
    annotators = list(dict.fromkeys(name for each in votes.values() for name in each))
    feature, cells = _label_feature(rows, rows.human), [dict.fromkeys(annotators)] * len(table)
    for row, each in votes.items():
        cells[row] = {name: _formed(rows, each[name], feature, row) if name in each else None for name in annotators}
    column = f"{rows.human}_votes"
    others = table.remove_columns([column]) if column in table.column_names else table
    return others.add_column(column, cells, feature=dict.fromkeys(annotators, feature))


def with_labels(rows: ReviewRows, column: str, labels: Mapping[int, Any], table: Any, *, keep: bool = False) -> Any:
    """A table with labels in a column, in the type of the column, or of the LLM column if it is new."""
    exists = column in table.column_names
    feature = _label_feature(rows, column)
    values = list(table[column]) if keep and exists else [None] * len(table)
    for row, label in labels.items():
        values[row] = None if label is None else _formed(rows, label, feature, row)
    order = list(table.column_names)
    others = table.remove_columns([column]) if exists else table
    labeled = others.add_column(column, values, feature=feature)
    return labeled.select_columns(order if exists else [*order, column])


def _label_feature(rows: ReviewRows, column: str) -> Any:
    """Type of a human-label column that can store every label of the schema.

    The type of a column without values is meaningless, such as lists of nulls; then the schema determines the type.
    """
    features = rows.table.features
    feature = next(
        (features[name] for name in (column, rows.llm) if name in features and not _is_empty(features[name])),
        rows.schema.feature(),
    )
    if rows.schema.kind == "text-scale" and str(getattr(feature, "dtype", "")).startswith("int"):
        return _float_type()
    return _with_all_names(feature, rows.schema.names)


def _is_empty(feature: Any) -> bool:
    """Whether a part of a type can only store null."""
    if isinstance(feature, Mapping):
        return any(_is_empty(part) for part in feature.values())
    if hasattr(feature, "feature"):
        return _is_empty(feature.feature)
    return getattr(feature, "dtype", "") == "null"


def _with_all_names(feature: Any, names: Sequence[str]) -> Any:
    """A type whose class labels have all names; existing codes do not change."""
    from datasets import ClassLabel, List

    if isinstance(feature, ClassLabel):
        missing = [name for name in names if name not in feature.names]
        is_bio = any(name.startswith("B-") for name in feature.names)
        return feature if is_bio or not missing else ClassLabel(names=[*feature.names, *missing])
    if isinstance(feature, List):
        return List(_with_all_names(feature.feature, names), length=feature.length)
    if isinstance(feature, Mapping):
        return {name: _with_all_names(part, names) if name == "label" else part for name, part in feature.items()}
    return feature


def _formed(rows: ReviewRows, label: Any, feature: Any, row: int) -> Any:
    """A label in the form that a column stores."""
    kind = rows.schema.kind
    if getattr(feature, "dtype", "") in ("string", "large_string"):
        return label_cell(rows, label)
    match kind:
        case "text-classification" | "text-pair":
            return _name(label, feature)
        case "multi-label":
            return [_name(name, feature.feature) for name in label]
        case "token-classification":
            return _entities(rows, label, feature.feature, row)
        case "question-answering":
            return _answer(label, feature)
        case "text-generation":
            return [label]
        case _:
            return float(label)


def _name(label: str, feature: Any) -> Any:
    if hasattr(feature, "str2int"):
        if label not in feature.names:
            raise DataError(f"`label` {label!r} is not a tag of the human column: {', '.join(feature.names)}.")
        return feature.str2int(label)
    return int(label) if str(getattr(feature, "dtype", "")).startswith(("int", "uint")) else label


def _entities(rows: ReviewRows, label: Sequence[Mapping[str, Any]], feature: Any, row: int) -> list[Any]:
    if isinstance(feature, Mapping):
        return [
            {name: _name(item[name], part) if name == "label" else item[name] for name, part in feature.items()}
            for item in label
        ]
    words = [str(token) for token in rows.table[row][rows.form.tokens]] if rows.form.tokens else []
    entities = [Entity(item["start"], item["end"], item["text"], item["label"]) for item in label]
    return [_name(tag, feature) for tag in to_bio(token_offsets(words), entities)]


def _answer(label: Mapping[str, Any], feature: Mapping[str, Any]) -> dict[str, Any]:
    """An answer with text and start, or with lists as in SQuAD."""
    values = {"text": label["text"], "start": label["start"], "answer_start": label["start"]}
    return {
        name: [values[name]] if hasattr(part, "feature") else values[name]
        for name, part in feature.items()
        if name in values
    }


def label_cell(rows: ReviewRows, label: Any) -> Any:
    """A label as text: lists and spans are JSON, with class codes if the LLM column has them."""
    if isinstance(label, str):
        return label
    if isinstance(label, list | dict):
        feature = _label_feature(rows, rows.llm)
        if getattr(feature, "dtype", "") not in ("string", "large_string"):
            label = _formed(rows, label, feature, 0)
        return json.dumps(label, ensure_ascii=False)
    return f"{label:g}"


def _float_type() -> Any:
    from datasets import Value

    return Value("float64")
