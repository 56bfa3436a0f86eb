"""Sampled data: rows drawn for people to label, the sheet that they fill in, and its labels back in their places."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.provenance import describe, package_version
from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import PROBABILITY, Allocation, Design, HumanSample, draw_sample
from hf_synthlabels.tables import provenance_path, write_table

__all__ = [
    "EARLIER",
    "SAMPLE_KIND",
    "Earlier",
    "Merged",
    "labelling_sheet",
    "merge_labels",
    "sample_rows",
    "write_sampled",
]

Earlier = Literal["random", "stratified", "none"]
EARLIER: tuple[Earlier, ...] = get_args(Earlier)

SAMPLE_KIND = "human-sample"
"""What a record of a sample has where that of a label column has the kind of label."""

ROW = "row"
"""The column of a sheet that says which row of the table each line is."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A table with the labels of a sheet in it, and what was done."""

    rows: Any
    new: int
    """Rows that had no human label before."""
    changed: int
    """Rows that had another."""
    open: int
    """Rows that were drawn and have no label yet."""
    unknown: tuple[tuple[str, int], ...]
    """Names that the LLM never gave, and how many rows have them: typing mistakes, perhaps."""


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
) -> tuple[Any, HumanSample]:
    """Draw rows for people to label and store the chances, in the column `human_probability`.

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
            or "stratified", at random within each LLM label; "none" to leave out those that are not drawn now.
        seed: of the drawing.

    Returns:
        The table with the column, and what was drawn.

    Raises:
        DataError: a column is not there, or human labels are of unknown origin, or there are too few rows.
        ConfigError: as in `draw_sample`.
    """
    if llm not in rows.column_names:
        raise DataError(f"`llm` {llm!r} is not a column. There is {', '.join(rows.column_names)}.")
    said = [_stratum(value) for value in _spelt_out(rows, llm)]
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
    drawn.info.description = describe([*provenance(rows), record], rows.info.description)
    return drawn, sample


def labelling_sheet(rows: Any, sample: HumanSample, *, human: str = "label", llm: str = "llm_label") -> Any:
    """The new rows for people to fill in: their number, their texts, an empty label; nothing that the LLM said."""
    drawn = rows.select(list(sample.rows))
    hidden = [name for name in drawn.column_names if name in (llm, PROBABILITY) or name.startswith(f"{llm}_")]
    given = _spelt_out(drawn, human) if human in drawn.column_names else [None] * len(drawn)
    drawn = drawn.remove_columns([*hidden, *([human] if human in drawn.column_names else [])])
    order = drawn.column_names
    number = ROW if ROW not in order else f"_{ROW}"
    drawn = drawn.add_column(number, list(sample.rows))
    texts = [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in given]
    drawn = drawn.add_column(human, texts, feature=_text_type())
    return drawn.select_columns([number, *order, human])


def merge_labels(rows: Any, sheet: Any, *, human: str = "label", llm: str = "llm_label") -> Merged:
    """Put the labels of a filled sheet into the table whose rows they are of; cells that are empty are left out.

    Raises:
        DataError: the table was not sampled, or the sheet has not its columns, has a row that was not drawn, a row
            twice, or a label that is none of the column's names.
    """
    number = f"_{ROW}" if f"_{ROW}" in sheet.column_names else ROW
    for name in (number, human):
        if name not in sheet.column_names:
            raise DataError(f"`{name}` is not a column of the sheet. There is {', '.join(sheet.column_names)}.")
    if PROBABILITY not in rows.column_names:
        raise DataError(f"`{PROBABILITY}` is not a column: draw the rows with `hf-synthlabels sample` first.")
    chances = list(rows[PROBABILITY])
    said = _spelt_out(rows, llm) if llm in rows.column_names else []
    old = _spelt_out(rows, human) if human in rows.column_names else [None] * len(rows)
    new = list(old)
    seen: set[int] = set()
    for line, (place, value) in enumerate(zip(sheet[number], sheet[human], strict=True), start=2):
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if not isinstance(place, int) or not 0 <= place < len(new) or chances[place] is None:
            raise DataError(f"`{number}` is {place!r} in line {line} of the sheet, a row that was not drawn.")
        if place in seen:
            raise DataError(f"`{number}` is {place!r} in two lines of the sheet: keep one.")
        seen.add(place)
        new[place] = _label(value, said)
    changed = sum(a is not None and a != b for a, b in zip(old, new, strict=True))
    names = {value for value in said if isinstance(value, str)}
    unknown = Counter(value for value in new if isinstance(value, str) and value not in names) if names else Counter()
    return Merged(
        rows=_with_column(rows, human, llm, new),
        new=sum(a is None and b is not None for a, b in zip(old, new, strict=True)),
        changed=changed,
        open=sum(chance is not None and value is None for chance, value in zip(chances, new, strict=True)),
        unknown=tuple(unknown.most_common()),
    )


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
    labelled = [value is not None for value in _spelt_out(rows, human)] if human in rows.column_names else []
    if not any(labelled) or earlier == "none":
        return None
    if earlier is None:
        raise DataError(
            f"`{human}` has labels in {sum(labelled):,} rows that no sample drew: say `--earlier random` if those rows "
            "were chosen at random, `--earlier stratified` if at random within each LLM label, or `--earlier none` to "
            "leave them out."
        )
    drawn = np.array(labelled)
    return drawn if earlier == "stratified" else np.where(drawn, drawn.mean(), np.nan)


def _spelt_out(rows: Any, column: str) -> list[Any]:
    """Values with names for codes; None for no label."""
    feature = rows.features[column]
    values = [None if value is None or value != value or value == "" else value for value in rows[column]]
    if not hasattr(feature, "int2str"):
        return values
    return [None if value is None or value < 0 else feature.names[value] for value in values]


def _stratum(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def _label(value: Any, said: Sequence[Any]) -> Any:
    """A cell of the sheet as the LLM's labels are: a text, a number, or what JSON says."""
    example = next((each for each in said if each is not None), None)
    if isinstance(example, str) or example is None:
        return str(value).strip() if isinstance(value, str | int | float) else value
    try:
        if isinstance(example, list | dict):
            return json.loads(value) if isinstance(value, str) else value
        number = float(value)
        return int(number) if isinstance(example, int) and number.is_integer() else number
    except (TypeError, ValueError):
        raise DataError(f"`label` is {value!r} in the sheet, and the LLM's are such as {example!r}.") from None


def _with_column(rows: Any, human: str, llm: str, values: list[Any]) -> Any:
    """The table with its human labels replaced, in the column's own type or in the LLM's."""
    order = list(rows.column_names)
    feature = rows.features.get(human)
    feature = rows.features.get(llm) if feature is None or getattr(feature, "dtype", "") == "null" else feature
    if hasattr(feature, "str2int"):
        if wrong := sorted({value for value in values if value is not None and value not in feature.names}):
            raise DataError(f"`{human}` is {wrong[0]!r} in the sheet: give one of {', '.join(feature.names)}.")
        values = [None if value is None else feature.str2int(value) for value in values]
    kept = rows.remove_columns([human]) if human in order else rows
    merged = kept.add_column(human, values, feature=feature)
    merged = merged.select_columns(order if human in order else [*order, human])
    merged.info.description = rows.info.description
    return merged


def _float_type() -> Any:
    from datasets import Value

    return Value("float64")


def _text_type() -> Any:
    from datasets import Value

    return Value("string")
