"""Exporting: what people decided as label columns, as a sheet, event by event, and as few-shot examples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import Entity, to_bio, token_offsets
from hf_synthlabels.publishing.sampled_data import ROW, SAMPLE_KIND
from hf_synthlabels.review.exchange.matching import unique_names
from hf_synthlabels.review.review_progress import annotator_agreement, given_labels
from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_state import TABLE, ReviewState
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.tables import embed_records


@dataclass(frozen=True, slots=True)
class Exported:
    """A table with human labels in it, and what they come to."""

    table: Any
    how: Mapping[str, int]
    """Rows by how their label was found: one, unanimous, majority, adjudicated; and disputed, which have none."""
    open: int
    """Rows that were drawn and have no label yet."""


def labeled_table(board: ReviewState, *, each: bool = False) -> Exported:
    """The table with what human labels come to in its column of human labels, and with the sampling probabilities.

    A single label is taken as is; of several, the majority label; an adjudicated label takes precedence. Rows
    without a majority have none. A label that an LLM gave never gets there by itself.

    Args:
        board: the work.
        each: whether every annotator gets a column `<human>_<name>`, too; names that would collide are numbered.

    Raises:
        DataError: there are no decisions.
    """
    rows = board.rows
    if not any(who.labels for who in board.annotators.values()) and not board.adjudications:
        raise DataError(f"`store` {str(board.store.path)!r} has no label yet: label some rows first.")
    final = {row: found.value for row, found in board.resolutions.items() if _by_people(board, row)}
    table = _with_labels(rows, rows.human, final, keep=True)
    if each:
        annotators = [who for who in board.annotators.values() if who.labels]
        names = unique_names(
            (f"{rows.human}_{who.name}" for who in annotators), pattern=r"\s+", reserved=rows.table.column_names
        )
        for column, who in zip(names, annotators, strict=True):
            labels = {row: event.human_label for row, event in who.labels.items()}
            table = _with_labels(rows, column, labels, table=table)
    if not rows.sampled:
        table = _with_chances(table, rows)
    how: Counter[str] = Counter(found.how for found in board.resolutions.values())
    labeled = sum(found.value is not None for found in board.resolutions.values())
    drawn = int((rows.chances == rows.chances).sum())
    table.info.description = embed_records(_records(board, how), rows.table.info.description)
    return Exported(table, dict(how), drawn - labeled)


def sheet(board: ReviewState) -> Any:
    """The decided rows as a sheet for `hf-synthlabels import-labels`: number, texts, label; lists and spans as JSON."""
    from datasets import Dataset

    rows = board.rows
    lines = []
    for row in sorted(row for row, found in board.resolutions.items() if found.value is not None):
        if not _by_people(board, row):
            continue
        texts = {part.name: part.text for part in rows.row(row).parts}
        lines.append({ROW: row, **texts, rows.human: _cell(rows, board.resolutions[row].value)})
    if not lines:
        raise DataError(f"`store` {str(board.store.path)!r} has no label yet: label some rows first.")
    return Dataset.from_list(lines)


def decisions(board: ReviewState) -> list[dict[str, Any]]:
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
            "inclusion_probability": _chance(board.rows, event.row),
        }
        for event in board.store.since()
    ]


def examples(board: ReviewState) -> list[dict[str, Any]]:
    """The rows that were chosen as examples, as lines of a recipe's `annotator.examples` file.

    Raises:
        DataError: none was chosen, or one has lost its label.
    """
    if not board.examples:
        raise DataError("No row was chosen as an example: choose some on the adjudicate page with the key e.")
    rows, lines = board.rows, []
    for row in board.examples:
        found = board.resolutions.get(row)
        if found is None or found.value is None:
            raise DataError(f"`row` {row:,} was chosen as an example and has no label any more: decide it again.")
        content = rows.table[row]
        columns = {name: content[name] for name in rows.form.columns}
        note = board.adjudications[row].note if row in board.adjudications else ""
        reason = {"reasoning": note} if note else {}
        shown = {"text": columns["text"]} if tuple(columns) == ("text",) else {"row": columns}
        lines.append({**shown, "label": found.value, **reason})
    return lines


def _by_people(board: ReviewState, row: int) -> bool:
    """Whether a row was decided in this review, not only in the table."""
    return row in board.adjudications or any(name != TABLE for name, _ in board.resolutions[row].votes)


def _with_labels(
    rows: ReviewRows, column: str, labels: Mapping[int, Any], *, keep: bool = False, table: Any = None
) -> Any:
    """A table with labels in a column, in the column's own type, or in the LLM column's type where it is new."""
    table = rows.table if table is None else table
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
    """The type of a column of human labels, which must be able to hold every label of the schema.

    A column without any value has a type without content, such as lists of nulls: then the schema gives the type.
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
    """Whether a type has room for nothing but null somewhere in it."""
    if isinstance(feature, Mapping):
        return any(_is_empty(part) for part in feature.values())
    if hasattr(feature, "feature"):
        return _is_empty(feature.feature)
    return getattr(feature, "dtype", "") == "null"


def _with_all_names(feature: Any, names: Sequence[str]) -> Any:
    """A type whose class labels have all names; the codes of the names that it had stay."""
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
        return _cell(rows, label)
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
    """An answer of one text and place, or as SQuAD has it with lists."""
    values = {"text": label["text"], "start": label["start"], "answer_start": label["start"]}
    return {
        name: [values[name]] if hasattr(part, "feature") else values[name]
        for name, part in feature.items()
        if name in values
    }


def _cell(rows: ReviewRows, label: Any) -> Any:
    """A label as a text: a name or a text as it is, lists and spans as JSON, with codes where the LLM's have them."""
    if isinstance(label, str):
        return label
    if isinstance(label, list | dict):
        feature = _label_feature(rows, rows.llm)
        if getattr(feature, "dtype", "") not in ("string", "large_string"):
            label = _formed(rows, label, feature, 0)
        return json.dumps(label, ensure_ascii=False)
    return f"{label:g}"


def _with_chances(table: Any, rows: ReviewRows) -> Any:
    """The table with the chance of each row, which is 1 where all rows are to be labeled."""
    kept = table.remove_columns([PROBABILITY]) if PROBABILITY in table.column_names else table
    return kept.add_column(PROBABILITY, [1.0] * len(rows), feature=_float_type())


def _records(board: ReviewState, how: Mapping[str, int]) -> list[dict[str, Any]]:
    """The provenance, in which the record of the sample says who labeled it."""
    records = [dict(record) for record in provenance(board.rows.table)]
    events = [event for who in board.annotators.values() for event in who.labels.values()]
    alpha = annotator_agreement(given_labels(board))
    for record in reversed(records):
        if record.get("kind") == SAMPLE_KIND:
            record["review"] = {
                "annotators": len({event.annotator for event in events}),
                "labels": len(events),
                "llm_shown": sum(event.llm_shown for event in events),
                "rows": dict(how),
                "alpha": alpha.alpha if alpha.alpha == alpha.alpha else None,
                "alpha_rows": alpha.n,
                "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "package_version": package_version(),
            }
            break
    return records


def _chance(rows: ReviewRows, row: int) -> float | None:
    chance = float(rows.chances[row])
    return None if chance != chance else chance


def _float_type() -> Any:
    from datasets import Value

    return Value("float64")
