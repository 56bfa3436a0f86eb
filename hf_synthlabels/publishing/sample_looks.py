"""Looks at a sample that is not finished, and rows that helped to write the prompt."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.provenance import EXAMPLE_ROWS, example_digest
from hf_synthlabels.publishing.labeled_data import LabeledData
from hf_synthlabels.publishing.sampled_data import SAMPLE_KIND
from hf_synthlabels.statistics.arrays import Mask
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.robustness.tuned_rows import TUNED_ON, tuned_rows
from hf_synthlabels.statistics.validation.table_variables import TableVariable, human_values

FRESH = (
    "They are excluded. If they were chosen for their errors, the other rows are easier than all: validate on a fresh "
    "sample."
)


def look_notes(rows: Any, variables: Sequence[TableVariable], *, sequential: bool) -> list[str]:
    """Sentences about a sample that is not labeled completely, or that grew.

    Args:
        rows: a `datasets.Dataset`.
        variables: what people labeled in each row.
        sequential: whether the intervals hold at all looks.
    """
    if PROBABILITY not in rows.column_names:
        return []
    sampled = np.array([value is not None and value == value for value in rows[PROBABILITY]])
    labeled = np.zeros(len(rows), dtype=np.bool_)
    for variable in variables:
        if variable.human in rows.column_names:
            labeled |= np.array([value is not None for value in human_values(rows, variable)])
    planned, done = int(sampled.sum()), int((sampled & labeled).sum())
    notes = []
    if done < planned:
        notes.append(_interim(planned, done, sequential=sequential))
    sizes = sample_sizes(rows)
    if len(sizes) > 1 and not sequential:
        grew = " to ".join(f"{size:,}" for size in sizes)
        notes.append(
            f"The sample grew from {grew} rows. If a gate was checked before it grew, it passes wrongly in more than "
            "2.5% of samples: use --sequential."
        )
    return notes


def _interim(planned: int, done: int, *, sequential: bool) -> str:
    counts = f"planned {planned:,}, labeled {done:,}: interim look."
    if sequential:
        return f"{counts} The intervals and the gate hold at every look: you may stop now or label more rows."
    return (
        f"{counts} These intervals hold for one look at a number of rows that was fixed in advance. Label the other "
        f"{planned - done:,} rows before a gate decides, or use --sequential to look at any time."
    )


def sample_sizes(rows: Any) -> list[int]:
    """The planned number of human-labeled rows of each sample that the table had, by its provenance."""
    records = [record for record in provenance(rows) if record.get("kind") == SAMPLE_KIND]
    return list(dict.fromkeys(int(record["drawn"]) for record in records if "drawn" in record))


def without_tuned_rows(labeled: LabeledData) -> tuple[LabeledData, list[str]]:
    """The data without the rows that helped to write the prompt, and a note on them.

    These are the rows of the column `tuned_on`, examples of the annotator, and examples of a judge.
    """
    rows, n_shown = labeled.without_examples(labeled.llm)
    notes = [f"{n_shown:,} rows were shown to the judge as examples and are excluded."] if n_shown else []
    is_tuned = _marked(rows) | _examples(rows, [labeled.llm, *labeled.variables])
    if n_tuned := int(is_tuned.sum()):
        noun = "row" if n_tuned == 1 else "rows"
        notes.append(f"{n_tuned:,} {noun} helped to write the prompt (examples, or `{TUNED_ON}`). {FRESH}")
        rows = rows.select(np.flatnonzero(~is_tuned).tolist())
    return replace(labeled, rows=rows), notes


def mark_tuned(rows: Any, chosen: Collection[int]) -> Any:
    """The table with the chosen rows marked in the column `tuned_on`, next to those that are; as it is without any."""
    from datasets import Value

    if not chosen:
        return rows
    marks = _marked(rows)
    marks[sorted(chosen)] = True
    others = rows.remove_columns([TUNED_ON]) if TUNED_ON in rows.column_names else rows
    return others.add_column(TUNED_ON, marks.tolist(), feature=Value("bool"))


def _marked(rows: Any) -> Mask:
    """The rows that the column `tuned_on` marks, shape (rows,)."""
    marks = tuned_rows(rows)
    return np.zeros(len(rows), dtype=np.bool_) if marks is None else marks.copy()


def _examples(rows: Any, columns: Sequence[str]) -> Mask:
    """The rows that the provenance of a label column lists as its few-shot examples, shape (rows,)."""
    shown = np.zeros(len(rows), dtype=np.bool_)
    for form, digests in _recorded_examples(rows, columns):
        names = {*form.columns} if form.tokens is None else {form.tokens}
        names |= {name for name in (form.question, form.context) if name}
        if not names <= set(rows.column_names):
            continue
        for number, row in enumerate(rows.select_columns(sorted(names))):
            text = form.read(row)
            shown[number] |= text is not None and example_digest(text.text) in digests
    return shown


def _recorded_examples(rows: Any, columns: Sequence[str]) -> Iterator[tuple[RowForm, frozenset[str]]]:
    """What rows the annotators of some columns were shown as examples; equal ones once."""
    seen: set[Any] = set()
    for record in provenance(rows):
        recorded: Mapping[str, Any] | None = record.get(EXAMPLE_ROWS)
        if recorded is None or record.get("column") not in columns:
            continue
        form = RowForm(**{**recorded["form"], "columns": tuple(recorded["form"]["columns"])})
        digests = frozenset(recorded["digests"])
        if (form, digests) not in seen:
            seen.add((form, digests))
            yield form, digests
