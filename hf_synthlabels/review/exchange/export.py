"""Export of human labels: label columns, annotation sheet, events, and few-shot examples."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import Entity, to_bio, token_offsets
from hf_synthlabels.publishing.sample_looks import mark_tuned
from hf_synthlabels.publishing.sampled_data import ROW, SAMPLE_KIND
from hf_synthlabels.review.exchange.matching import unique_names
from hf_synthlabels.review.review_progress import annotator_agreement, label_matrix
from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_state import TABLE, ReviewState
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.tables import embed_records


@dataclass(frozen=True, slots=True)
class Exported:
    """A table with human labels."""

    table: Any
    counts: Mapping[str, int]
    """Number of rows by `Resolution.how`, of which disputed ones have no label; of a codebook, labels by variable."""
    open: int
    """Sampled rows without a label."""


def labeled_table(state: ReviewState, *, each: bool = False) -> Exported:
    """The table with human labels, inclusion probabilities, and the rows that were chosen as examples.

    A single label is final; of several the majority, unless the row is adjudicated. Rows without a majority have no
    label. LLM labels are never copied into the human-label column.

    Args:
        state: state of the review.
        each: add a column `<human>_<name>` for each annotator, numbered if names collide.

    Raises:
        DataError: there are no decisions.
    """
    rows = state.rows
    annotators = [annotator for annotator in state.annotators.values() if annotator.labels]
    if not annotators and not state.adjudications:
        raise _no_labels(state)
    final = {row: resolution.value for row, resolution in state.resolutions.items() if _is_reviewed(state, row)}
    table = with_labels(rows, rows.human, final, rows.table, keep=True)
    table = with_annotators(state, table) if each else table
    table = mark_tuned(with_probabilities(rows, table), state.examples)
    how: Counter[str] = Counter(resolution.how for resolution in state.resolutions.values())
    n_labeled = sum(resolution.value is not None for resolution in state.resolutions.values())
    n_sampled = int((~np.isnan(rows.inclusion_probabilities)).sum())
    table.info.description = embed_records(_provenance_records(state, how), rows.table.info.description)
    return Exported(table, dict(how), n_sampled - n_labeled)


def with_annotators(state: ReviewState, table: Any) -> Any:
    """A table with the labels of each annotator in a column `<human>_<name>`, numbered if names collide."""
    annotators = [annotator for annotator in state.annotators.values() if annotator.labels]
    columns = (f"{state.rows.human}_{annotator.name}" for annotator in annotators)
    names = unique_names(columns, pattern=r"\s+", reserved=table.column_names)
    for column, annotator in zip(names, annotators, strict=True):
        labels = {row: event.human_label for row, event in annotator.labels.items()}
        table = with_labels(state.rows, column, labels, table)
    return table


def with_probabilities(rows: ReviewRows, table: Any) -> Any:
    """A table with inclusion probabilities, which are 1 if the rows were not sampled."""
    if rows.sampled:
        return table
    if PROBABILITY in table.column_names:
        table = table.remove_columns([PROBABILITY])
    return table.add_column(PROBABILITY, [1.0] * len(rows), feature=_float_type())


def sheet(state: ReviewState) -> Any:
    """The labeled rows as a sheet for `hf-synthlabels import-labels`; lists and spans are JSON.

    Raises:
        DataError: there are no labels.
    """
    from datasets import Dataset

    rows = state.rows
    lines = []
    for row, resolution in sorted(state.resolutions.items(), key=lambda item: item[0]):
        if resolution.value is not None and _is_reviewed(state, row):
            texts = {part.name: part.text for part in rows.row(row).parts}
            lines.append({ROW: row, **texts, rows.human: label_cell(rows, resolution.value)})
    if not lines:
        raise _no_labels(state)
    return Dataset.from_list(lines)


def _no_labels(state: ReviewState) -> DataError:
    return DataError(f"`store` {str(state.store.path)!r} has no label yet: label some rows first.")


def decisions(state: ReviewState) -> list[dict[str, Any]]:
    """All stored events, including undone ones; human and LLM labels in separate columns."""
    return [
        {
            "row": event.row,
            "annotator": event.annotator,
            "action": event.action,
            "human_label": event.human_label,
            "llm_label": event.llm_label,
            "llm_shown": event.llm_shown,
            "note": event.note,
            "seconds": event.seconds,
            "at": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds"),
            "inclusion_probability": state.rows.probability(event.row),
        }
        for event in state.store.since()
    ]


def examples(state: ReviewState) -> list[dict[str, Any]]:
    """The rows chosen as examples, as lines of a recipe's `annotator.examples` or a judge file's `examples.file`.

    Raises:
        DataError: no row was chosen, or a chosen row has no label any more.
    """
    if not state.examples:
        raise DataError("No row was chosen as an example: choose some on the adjudicate page with the key e.")
    rows, lines = state.rows, []
    for row in state.examples:
        resolution = state.resolutions.get(row)
        if resolution is None or resolution.value is None:
            raise DataError(f"`row` {row:,} was chosen as an example but has no label any more: adjudicate it.")
        content = rows.table[row]
        # A judge also needs the columns that were shown next to the judged one.
        columns = {name: content[name] for name in dict.fromkeys((*rows.form.columns, *rows.show_columns))}
        note = state.adjudications[row].note if row in state.adjudications else ""
        text = {"text": columns["text"]} if tuple(columns) == ("text",) else {"row": columns}
        lines.append({**text, "label": resolution.value, **({"reasoning": note} if note else {})})
    return lines


def _is_reviewed(state: ReviewState, row: int) -> bool:
    """Whether a row was labeled in this review, not only in the table."""
    return row in state.adjudications or any(name != TABLE for name, _ in state.resolutions[row].votes)


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


def _provenance_records(state: ReviewState, how: Mapping[str, int]) -> list[dict[str, Any]]:
    """Provenance in which the record of the sample also describes its annotation."""
    records = [dict(record) for record in provenance(state.rows.table)]
    for record in reversed(records):
        if record.get("kind") == SAMPLE_KIND:
            record["review"] = review_record(state, how)
            break
    return records


def review_record(state: ReviewState, how: Mapping[str, int]) -> dict[str, Any]:
    """Who labeled how many rows, and how annotators agree."""
    events = [event for annotator in state.annotators.values() for event in annotator.labels.values()]
    agreement = annotator_agreement(label_matrix(state))
    return {
        "annotators": len({event.annotator for event in events}),
        "labels": len(events),
        "llm_shown": sum(event.llm_shown for event in events),
        "rows": dict(how),
        "alpha": None if math.isnan(agreement.alpha) else agreement.alpha,
        "alpha_rows": agreement.n,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "package_version": package_version(),
    }


def _float_type() -> Any:
    from datasets import Value

    return Value("float64")
