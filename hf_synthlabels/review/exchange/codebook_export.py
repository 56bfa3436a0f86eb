"""Export of the human labels of a codebook: one column per variable, a sheet, events, and few-shot examples."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hf_synthlabels.annotation import provenance
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.sample_looks import mark_tuned
from hf_synthlabels.publishing.sampled_data import ROW, SAMPLE_KIND
from hf_synthlabels.review.codebook.codebook_review import CodebookReview
from hf_synthlabels.review.exchange.export import (
    Exported,
    decisions,
    review_record,
    with_probabilities,
)
from hf_synthlabels.review.exchange.label_forms import label_cell, with_annotators, with_labels, with_votes
from hf_synthlabels.review.review_state import ReviewState
from hf_synthlabels.tables import embed_records


def codebook_table(review: CodebookReview, *, each: bool = False) -> Exported:
    """The table with a column of human labels for each variable.

    Labels are resolved for each variable as for one; see `labeled_table`. A row has no label of a variable whose
    condition does not hold by the other labels of the row.

    Args:
        review: state of the review.
        each: add a column `<human>_<name>` for each variable and annotator.

    Raises:
        DataError: there are no decisions.
    """
    reviewed = review.reviewed_rows()
    if not reviewed:
        raise _no_labels(review)
    labels = {row: review.labels(row) for row in reviewed}
    table, states = review.rows.first.table, review.variables
    for name, state in states.items():
        final = {row: values.get(name) for row, values in labels.items()}
        table = with_labels(state.rows, state.rows.human, final, table, keep=True)
        table = with_votes(state, table)
        if each:
            table = with_annotators(state, table)
    chosen = {row for state in states.values() for row in state.examples}
    table = mark_tuned(with_probabilities(review.rows.first, table), chosen)
    counts = {name: sum(name in values for values in labels.values()) for name in states}
    records = [dict(record) for record in provenance(review.rows.first.table)]
    for record in reversed(records):
        if record.get("kind") == SAMPLE_KIND:
            reviews = {name: review_record(state, _how(state)) for name, state in states.items()}
            record["review"] = {"variables": reviews}
            break
    table.info.description = embed_records(records, review.rows.first.table.info.description)
    return Exported(table, counts, len(set(map(int, review.rows.queue)) - set(reviewed)))


def codebook_sheet(review: CodebookReview) -> Any:
    """The labeled rows as a sheet with a column of human labels for each variable; lists and spans are JSON.

    Raises:
        DataError: there are no labels.
    """
    from datasets import Dataset

    lines = []
    for row in review.reviewed_rows():
        labels = review.labels(row)
        if labels:
            texts = {part.name: part.text for part in review.rows.row(row).parts}
            cells = {
                each.human: label_cell(each, labels[name]) if name in labels else None
                for name, each in review.rows.variables.items()
            }
            lines.append({ROW: row, **texts, **cells})
    if not lines:
        raise _no_labels(review)
    return Dataset.from_list(lines)


def codebook_decisions(review: CodebookReview) -> list[dict[str, Any]]:
    """All stored events of all variables; see `decisions`."""
    lines = decisions(review.first)
    variables = [event.variable for event in review.store.since()]
    return [{**line, "variable": variable} for line, variable in zip(lines, variables, strict=True)]


def codebook_examples(review: CodebookReview) -> list[dict[str, Any]]:
    """The rows chosen as examples, with a label for each variable, as lines of `annotator.examples`.

    Raises:
        DataError: no row was chosen, or annotators disagree on a chosen row.
    """
    states = review.variables
    chosen = sorted({row for state in states.values() for row in state.examples})
    if not chosen:
        raise DataError("No row was chosen as an example: choose some on the adjudicate page with the key e.")
    rows, lines = review.rows.first, []
    names = list(dict.fromkeys(name for each in review.rows.variables.values() for name in each.form.columns))
    for row in chosen:
        labels = review.labels(row)
        disputed = [
            name for name in states if row in states[name].resolutions and states[name].resolutions[row].value is None
        ]
        if disputed or not labels:
            name = disputed[0] if disputed else next(iter(states))
            raise DataError(f"`row` {row:,} was chosen as an example but has no label of `{name}`: adjudicate it.")
        columns = {name: rows.table[row][name] for name in (*names, *rows.show_columns)}
        text = {"text": columns["text"]} if tuple(columns) == ("text",) else {"row": columns}
        lines.append({**text, "labels": labels})
    return lines


def _how(state: ReviewState) -> dict[str, int]:
    return dict(Counter(resolution.how for resolution in state.resolutions.values()))


def _no_labels(review: CodebookReview) -> DataError:
    return DataError(f"`store` {str(review.store.path)!r} has no label yet: label some rows first.")
