"""What the provenance of a table records about a label column: its task, label names and human labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import KINDS

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RecordedVariable:
    """The task of a label column; empty where the provenance does not record it."""

    column: str
    kind: str | None = None
    names: tuple[str, ...] = ()
    """Label names in the order of their codes."""
    scale: tuple[float, ...] | None = None
    """Lowest number, highest number and step of a `text-scale`; a step of 0 allows any number."""
    text_columns: tuple[str, ...] = ()
    """Columns that were annotated."""
    human: str | None = None
    """Column with its human labels, if the table has it."""
    ask_if: Mapping[str, Any] | None = None
    """Condition of a codebook: the `variable` that decides, and `is`, the labels with which this one is coded."""


def label_records(records: Records) -> list[Mapping[str, Any]]:
    """The records of label columns; a sample of rows has a record too."""
    return [record for record in records if record.get("kind") in KINDS]


def recorded_variable(column: str, columns: Collection[str], records: Records) -> RecordedVariable:
    """What is recorded about a label column.

    Args:
        column: the label column, which has the name of its variable.
        columns: all columns of the table.
        records: provenance of the table.

    Raises:
        ConfigError: there is no such column.
    """
    record = next((each for each in label_records(records) if each.get("column") == column), None)
    if column not in columns:
        known = [str(each.get("column")) for each in label_records(records)] or list(columns)
        raise ConfigError(f"`variable` is {column!r}, which is not a column. Choose from: {', '.join(known)}.")
    human = next((name for name in _human_columns(column, records) if name in columns and name != column), None)
    if record is None:
        return RecordedVariable(column, human=human)
    scale = record.get("scale")
    return RecordedVariable(
        column,
        str(record["kind"]),
        tuple(record.get("labels") or ()),
        None if scale is None else (scale["low"], scale["high"], scale["step"] or 0),
        tuple(record.get("text_columns") or ()),
        human,
        (record.get("codebook") or {}).get("ask_if"),
    )


def relevant_records(records: Records, columns: Collection[str]) -> list[dict[str, Any]]:
    """The records of these label columns, each with the column of its human labels; all if none is about them."""
    about = [
        {**record, "human": next(iter(_human_columns(str(record["column"]), records)), None)}
        for record in label_records(records)
        if record.get("column") in columns
    ]
    return about or [dict(record) for record in label_records(records)]


def _human_columns(column: str, records: Records) -> list[str]:
    """Columns that may have the human labels of a label column, those of a sample first."""
    names = [(record.get("variables") or {}).get(column) for record in records]
    names += [record.get("human") for record in records if column in (record.get("llm"), record.get("column"))]
    in_codebook = any(record.get("codebook") and record.get("column") == column for record in records)
    return [str(name) for name in [*names, f"{column}_human" if in_codebook else None] if name]
