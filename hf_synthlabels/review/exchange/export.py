"""Export of human labels: label columns, annotation sheet, events, and few-shot examples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.sample_looks import mark_tuned
from hf_synthlabels.publishing.sampled_data import ROW, SAMPLE_KIND
from hf_synthlabels.review.exchange.label_forms import label_cell, with_annotators, with_labels, with_votes
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
    label. If a row has several, all are in `<human>_votes` by annotator. LLM labels are never copied.

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
    table = with_votes(state, with_labels(rows, rows.human, final, rows.table, keep=True))
    table = with_annotators(state, table) if each else table
    table = mark_tuned(with_probabilities(rows, table), state.examples)
    how: Counter[str] = Counter(resolution.how for resolution in state.resolutions.values())
    n_labeled = sum(resolution.value is not None for resolution in state.resolutions.values())
    n_sampled = int((~np.isnan(rows.inclusion_probabilities)).sum())
    table.info.description = embed_records(_provenance_records(state, how), rows.table.info.description)
    return Exported(table, dict(how), n_sampled - n_labeled)


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
