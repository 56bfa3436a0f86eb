"""Sampled data: rows drawn for people to label, the sheet that they fill in, and its labels back in their places."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.spelling import normalize_spelling, spelling_note
from hf_synthlabels.statistics import HumanSample, draw_sample
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.design.human_sample import Allocation, Design
from hf_synthlabels.tables import embed_records, provenance_path, write_table
from hf_synthlabels.tables.sheets import DIGEST_COLUMN, row_digest, text_columns

Earlier = Literal["random", "stratified", "ignore"]
EARLIER: tuple[Earlier, ...] = get_args(Earlier)

SAMPLE_KIND = "human-sample"
"""What a record of a sample has where that of a label column has the kind of label."""

MAX_NAMES = 200
"""Different texts beyond which they are hardly names of classes."""

ROW = "row"
"""The column of a sheet that says which row of the table each line is."""


def sample_rows(
    rows: Any,
    n: int,
    *,
    human: str = "label",
    llm: str = "llm_label",
    design: Design = "random",
    confidence: str | None = None,
    allocation: Allocation = "proportional",
    earlier: Earlier | None = None,
    seed: int = 0,
    normalize_labels: bool = False,
) -> tuple[Any, HumanSample]:
    """Draw rows for people to label and store the chances, in the column `inclusion_probability`.

    Design and seed go into the table's provenance. A table that was sampled before gets `n` rows more.

    Args:
        rows: a `datasets.Dataset` with LLM labels.
        n: how many rows are to be drawn.
        human: the column of human labels; it need not be there yet.
        llm: the column of LLM labels.
        design: as in `draw_sample`.
        confidence: the column of the LLM's confidence; by default `<llm>_confidence`, for the design of that name.
        allocation: as in `draw_sample`.
        earlier: where rows have human labels that no sample drew: how these rows were drawn, "random" among all rows
            or "stratified", at random within each LLM label; "ignore" to leave out those that are not drawn now.
        seed: of the drawing.
        normalize_labels: whether LLM labels that differ only in case or white space are one stratum.

    Returns:
        The table with the column, and what was drawn.

    Raises:
        DataError: a column is not there, or human labels are of unknown origin, or there are too few rows.
        ConfigError: as in `draw_sample`.
    """
    if llm not in rows.column_names:
        raise DataError(f"`llm` {llm!r} is not a column. There is {', '.join(rows.column_names)}.")
    said = [_stratum(value) for value in label_texts(rows, llm)]
    if normalize_labels:
        said = normalize_spelling(said)
    mine = _earlier_sample(rows, human, earlier)
    column = confidence or f"{llm}_confidence"
    if confidence is not None and confidence not in rows.column_names:
        raise DataError(f"`confidence` {confidence!r} is not a column. There is {', '.join(rows.column_names)}.")
    sure = list(rows[column]) if column in rows.column_names and _needs_confidence(design, mine) else None
    sample = draw_sample(said, n, design=design, confidence=sure, allocation=allocation, earlier=mine, seed=seed)
    kept = rows.remove_columns([PROBABILITY]) if PROBABILITY in rows.column_names else rows
    drawn = kept.add_column(PROBABILITY, list(sample.probabilities), feature=_float_type())
    record = {
        "column": PROBABILITY,
        "kind": SAMPLE_KIND,
        "human": human,
        "llm": llm,
        **sample.record(),
        "allocation": allocation if design == "stratified" else None,
        "earlier": earlier if PROBABILITY not in rows.column_names and mine is not None else None,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "package_version": package_version(),
    }
    drawn.info.description = embed_records([*provenance(rows), record], rows.info.description)
    return drawn, sample


def labelling_sheet(rows: Any, sample: HumanSample, *, human: str = "label", llm: str = "llm_label") -> Any:
    """The new rows for people to fill in: number, digest, texts, an empty label; nothing that the LLM said."""
    drawn = rows.select(list(sample.rows))
    hidden = _hidden(drawn, llm)
    texts = sheet_texts(drawn, human, llm)
    digests = [row_digest(row, texts) for row in drawn.select_columns(texts)] if texts else [""] * len(drawn)
    given = label_texts(drawn, human) if human in drawn.column_names else [None] * len(drawn)
    drawn = drawn.remove_columns([*hidden, *([human] if human in drawn.column_names else [])])
    order = drawn.column_names
    number = ROW if ROW not in order else f"_{ROW}"
    drawn = drawn.add_column(number, list(sample.rows))
    if DIGEST_COLUMN not in order:
        drawn = drawn.add_column(DIGEST_COLUMN, digests, feature=_text_type())
    labels = [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in given]
    drawn = drawn.add_column(human, labels, feature=_text_type())
    # The digest first: programs that do not know a byte order mark take it for a part of the first name.
    return drawn.select_columns([DIGEST_COLUMN, number, *(name for name in order if name != DIGEST_COLUMN), human])


def sheet_texts(rows: Any, human: str, llm: str) -> list[str]:
    """The columns of texts that a sheet shows; they tell one row from another."""
    hidden = {*_hidden(rows, llm), human, DIGEST_COLUMN}
    return [name for name in text_columns(rows.features) if name not in hidden]


def _hidden(rows: Any, llm: str) -> list[str]:
    """What people must not see: the LLM's columns, and how rows were drawn."""
    return [name for name in rows.column_names if name in (llm, PROBABILITY) or name.startswith(f"{llm}_")]


def write_sampled(rows: Any, output: str | Path) -> list[Path]:
    """Write a sampled table, with its provenance beside it as `<file>.provenance.json`."""
    files = write_table({"train": rows}, output)
    return [*files, *(beside for beside in map(provenance_path, files) if beside.is_file())]


def _needs_confidence(design: Design, earlier: Any) -> bool:
    """Whether this sample or an earlier one may depend on the LLM's confidence."""
    if design == "confidence":
        return True
    return earlier is not None and earlier.dtype != np.bool_ and len(np.unique(earlier[~np.isnan(earlier)])) > 1


def _earlier_sample(rows: Any, human: str, earlier: Earlier | None) -> Any:
    """The stored inclusion probabilities, nan in rows that were not drawn; None where no row was."""
    if PROBABILITY in rows.column_names:
        return np.array(rows[PROBABILITY], dtype=np.float64)
    labelled = [value is not None for value in label_texts(rows, human)] if human in rows.column_names else []
    if not any(labelled) or earlier == "ignore":
        return None
    if earlier is None:
        raise DataError(
            f"`{human}` has labels in {sum(labelled):,} rows outside any sample: give `--existing-labels random` if "
            "these rows were sampled at random, `stratified` if at random within each LLM label, or `ignore` to "
            "leave them out."
        )
    drawn = np.array(labelled)
    return drawn if earlier == "stratified" else np.where(drawn, drawn.mean(), np.nan)


def label_texts(rows: Any, column: str) -> list[Any]:
    """Values with names for codes; None for no label."""
    feature = rows.features[column]
    values = [None if value is None or value != value or value == "" else value for value in rows[column]]
    if not hasattr(feature, "int2str"):
        return values
    return [None if value is None or value < 0 else feature.names[value] for value in values]


def spelling_warning(rows: Any, human: str, llm: str) -> str:
    """A sentence about names of the two columns that differ only in case or white space; empty without any."""
    columns = [label_texts(rows, name) for name in (human, llm) if name in rows.column_names]
    labels = [label for column in columns for label in column if isinstance(label, str)]
    # More are texts, not names of classes.
    return "" if len(set(labels)) > MAX_NAMES else spelling_note(labels)


def _stratum(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def _float_type() -> Any:
    from datasets import Value

    return Value("float64")


def _text_type() -> Any:
    from datasets import Value

    return Value("string")
