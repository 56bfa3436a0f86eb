"""Import of labels from a filled-in annotation sheet, matched to rows by number, digest and text."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.spelling import folded_name, normalize_spelling, unknown_labels
from hf_synthlabels.publishing.sampled_data import MAX_NAMES, ROW, label_texts, sheet_texts
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.validation.table_variables import Variables
from hf_synthlabels.tables import label_text, read_sheet
from hf_synthlabels.tables.sheets import DIGEST_COLUMN, row_digest, same_texts

SHOWN = 5


@dataclass(frozen=True, slots=True)
class ImportedLabels:
    """A table with imported labels, and counts of changes."""

    rows: Any
    new: int
    """Rows without a previous human label."""
    changed: int
    """Rows whose previous label differs."""
    open: int
    """Sampled rows without a label."""
    unknown: tuple[tuple[str, int], ...]
    """New class names with their row counts."""


def import_labels(
    rows: Any,
    sheet: Any,
    *,
    human: str = "label",
    llm: str = "llm_label",
    new_labels: bool = False,
    normalize_labels: bool = False,
    variables: Variables | None = None,
) -> ImportedLabels:
    """Import the labels of a filled-in sheet into the sampled table; empty cells are skipped.

    Lines may be in any order and columns may be missing. A line is matched by its row number, and its digest or texts
    must be those of that row.

    Args:
        rows: table returned by `sample_rows`.
        sheet: filled-in sheet.
        human: column of human labels, in both.
        llm: column of LLM labels.
        new_labels: allow class names that occur neither in the table nor among LLM labels.
        normalize_labels: map names that differ only in case or white space to the spelling in the table.
        variables: of the table's codebook, as for `annotation_sheet`.

    Raises:
        DataError: the table was not sampled, or the sheet lacks a column, or has a row outside the sample, a
            duplicate row, a row with another text, or an unknown label.
    """
    number = f"_{ROW}" if f"_{ROW}" in sheet.column_names else ROW
    _check_columns(rows, sheet, number, human)
    probabilities = list(rows[PROBABILITY])
    llm_labels = label_texts(rows, llm) if llm in rows.column_names else []
    old = label_texts(rows, human) if human in rows.column_names else [None] * len(rows)
    new = list(old)
    for row, cell in _sheet_labels(rows, sheet, number, human, sheet_texts(rows, human, llm, variables)):
        new[row] = _label(cell, llm_labels)
    if normalize_labels:
        new = _respelled(new, llm_labels, old)
    unknown = _unknown(new, llm_labels, old)
    merged = _with_column(rows, human, llm, new)
    if unknown and not new_labels:
        _refuse(unknown, human, {*_names(llm_labels), *_names(old)})
    return ImportedLabels(
        rows=merged,
        new=sum(a is None and b is not None for a, b in zip(old, new, strict=True)),
        changed=sum(a is not None and a != b for a, b in zip(old, new, strict=True)),
        open=sum(value is not None and label is None for value, label in zip(probabilities, new, strict=True)),
        unknown=tuple(unknown.most_common()),
    )


def _check_columns(rows: Any, sheet: Any, number: str, human: str) -> None:
    for name in (number, human):
        if name not in sheet.column_names:
            raise DataError(
                f"`{name}` is not a column of the sheet. Columns: {', '.join(sheet.column_names)}; `--human` names the "
                "column of human labels."
            )
    if PROBABILITY not in rows.column_names:
        raise DataError(f"`{PROBABILITY}` is not a column: sample the rows with `hf-synthlabels sample` first.")


def _sheet_labels(rows: Any, sheet: Any, number: str, human: str, texts: list[str]) -> Iterator[tuple[int, Any]]:
    """Row number and label of each filled-in line, after checking that the line belongs to the row.

    Raises:
        DataError: a line belongs to no sampled row, to the row of another line, or to another text.
    """
    probabilities = list(rows[PROBABILITY])
    check = _RowCheck(rows, sheet, texts)
    seen: set[int] = set()
    for line, content in enumerate(sheet, start=2):
        label, row = content[human], _number(content[number])
        if label is None or (isinstance(label, str) and not label.strip()):
            continue
        if row is None or not 0 <= row < len(probabilities) or probabilities[row] is None:
            raise DataError(f"`{number}` is {content[number]!r} in line {line} of the sheet, a row outside the sample.")
        if row in seen:
            raise DataError(f"`{number}` is {row!r} in two lines of the sheet: keep one.")
        seen.add(row)
        check(row, content, f"`{number}` is {row!r} in line {line} of the sheet")
        yield row, label


def check_sheet(rows: Any, sheet: str | Path, human: str) -> None:
    """Refuse to overwrite a sheet whose labels are not in the table yet.

    Raises:
        DataError: the sheet has such labels, or is not an annotation sheet.
    """
    place = Path(sheet)
    if not place.exists():
        return
    advice = "Import them first with `hf-synthlabels import-labels`, or name another file with `--to-label`."
    try:
        lines = read_sheet(place, [human, *rows.column_names])
    except DataError:
        lines = None
    number = next((name for name in (f"_{ROW}", ROW) if lines is not None and name in lines.column_names), None)
    if lines is None or number is None or human not in lines.column_names:
        raise DataError(
            f"`sheet` {str(sheet)!r} exists and is not an annotation sheet for `{human}`. Name another file."
        )
    merged = label_texts(rows, human) if human in rows.column_names else []
    filled = 0
    for place_in_table, value in zip(lines[number], lines[human], strict=True):
        row = _number(place_in_table)
        known = merged[row] if row is not None and 0 <= row < len(merged) else None
        if value is not None and str(value).strip() and label_text(known) != label_text(_stripped(value)):
            filled += 1
    if filled:
        raise DataError(f"`sheet` {str(sheet)!r} exists, and {filled:,} of its labels are not in the table. {advice}")


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


class _RowCheck:
    """Check that a line of the sheet belongs to the row with its number."""

    def __init__(self, rows: Any, sheet: Any, texts: list[str]) -> None:
        self._rows = rows
        self._texts = texts
        self._digests = DIGEST_COLUMN in sheet.column_names
        self._shared = [name for name in self._texts if name in sheet.column_names]

    def __call__(self, place: int, line: Mapping[str, Any], where: str) -> None:
        """Raise unless the digest matches, or the texts if the digest is missing or columns were added."""
        row = self._rows[place]
        if self._digests and line[DIGEST_COLUMN] == row_digest(row, self._texts):
            return
        if (self._digests or self._shared) and not (self._shared and same_texts(row, line, self._shared)):
            raise DataError(
                f"{where}, but that row has another text. Use the table of the sheet, and sort whole "
                "lines of the sheet, not single columns."
            )


def _number(value: Any) -> int | None:
    """Read a row number, which spreadsheets may store as text or float."""
    try:
        return int(value) if not isinstance(value, bool) and float(value).is_integer() else None
    except (TypeError, ValueError, OverflowError):
        return None


def _names(values: Iterable[Any]) -> Iterator[str]:
    """Iterate over the class names in labels, lists and entities."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _names(item.get("label") if isinstance(item, Mapping) else item for item in value)


def _unknown(new: Sequence[Any], llm_labels: Sequence[Any], old: Sequence[Any]) -> Counter[str]:
    """Count imported class names that occur neither in the table nor among LLM labels."""
    known = {*_names(llm_labels), *_names(old)}
    if not 2 <= len(known) <= MAX_NAMES:
        # Free texts or a single name: there is no list of classes.
        return Counter()
    return Counter(name for name in _names(new) if name not in known)


def _respelled(new: Sequence[Any], llm_labels: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    """Map class names to the most frequent spelling in the table."""
    names = {name for name in normalize_spelling([*_names(llm_labels), *_names(old)]) if name is not None}
    spelled = {folded_name(name): name for name in sorted(names)}

    def respell(value: Any) -> Any:
        if isinstance(value, str):
            return spelled.get(folded_name(value), value)
        if isinstance(value, list):
            return [respell(item) for item in value]
        if isinstance(value, Mapping) and "label" in value:
            return {**value, "label": respell(value["label"])}
        return value

    return [respell(value) for value in new] if len(names) <= MAX_NAMES else list(new)


def _refuse(unknown: Counter[str], human: str, known: set[str]) -> None:
    meant = unknown_labels(unknown.elements(), sorted(known))
    parts = [
        f"{name!r} in {count:,} rows" + (f" (did you mean {near!r}?)" if near else "")
        for name, (count, near) in list(meant.items())[:SHOWN]
    ]
    spelling = any(near is not None and folded_name(near) == folded_name(name) for name, (_, near) in meant.items())
    more = " `--normalize-labels` ignores case and white space." if spelling else ""
    raise DataError(
        f"`{human}` of the sheet has labels that are not LLM labels: {', '.join(parts)}. Correct them, or add "
        f"`--new-labels` if they are meant.{more}"
    )


def _label(value: Any, llm_labels: Sequence[Any]) -> Any:
    """Convert a cell of the sheet to the type of the LLM labels."""
    example = next((each for each in llm_labels if each is not None), None)
    if isinstance(example, str) or example is None:
        return str(value).strip() if isinstance(value, str | int | float) else value
    try:
        if isinstance(example, list | dict):
            return json.loads(value) if isinstance(value, str) else value
        number = float(value)
        return int(number) if isinstance(example, int) and number.is_integer() else number
    except (TypeError, ValueError):
        raise DataError(f"`label` is {value!r} in the sheet, but LLM labels look like {example!r}.") from None


def _with_column(rows: Any, human: str, llm: str, values: list[Any]) -> Any:
    """Replace the human labels, in the column's type, or in the LLM column's type if that is too narrow.

    The type of an empty column is meaningless: JSON Lines reads it as text.
    """
    import pyarrow as pa

    order = list(rows.column_names)
    feature = rows.features.get(human)
    feature = rows.features.get(llm) if feature is None or getattr(feature, "dtype", "") == "null" else feature
    if hasattr(feature, "str2int"):
        if wrong := sorted({value for value in values if value is not None and value not in feature.names}):
            raise DataError(f"`{human}` is {wrong[0]!r} in the sheet: give one of {', '.join(feature.names)}.")
        values = [None if value is None else feature.str2int(value) for value in values]
    kept = rows.remove_columns([human]) if human in order else rows
    for candidate in (feature, rows.features.get(llm), None):
        try:
            merged = kept.add_column(human, values, feature=candidate)
            if candidate is not None and not _is_kept(values, merged.with_format(None)[human][:]):
                continue
            break
        except (TypeError, ValueError, OverflowError, pa.ArrowException):
            # Labels without a common type fit into no column.
            if candidate is None:
                raise DataError(
                    f"`{human}` has labels of several types, in the table and in the sheet. Give all of them in "
                    f"the type of `{llm}`."
                ) from None
    merged = merged.select_columns(order if human in order else [*order, human])
    merged.info.description = rows.info.description
    return merged


def _is_kept(value: Any, stored: Any) -> bool:
    """Whether a column keeps fractions: an integer column truncates 3.5 to 3 without an error."""
    if isinstance(value, list):
        return all(map(_is_kept, value, stored))
    if isinstance(value, Mapping):
        return all(_is_kept(part, stored.get(name)) for name, part in value.items())
    return not isinstance(value, float) or math.isclose(value, stored, rel_tol=1e-6)
