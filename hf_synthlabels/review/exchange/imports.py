"""Import of human labels from another tool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.annotation_session import annotator_name
from hf_synthlabels.review.decision_store import Event
from hf_synthlabels.review.review_state import ReviewState
from hf_synthlabels.review.review_values import read_value
from hf_synthlabels.tables import write_text


@dataclass(frozen=True, slots=True)
class Answer:
    """A human label from another tool."""

    annotator: str
    row: int
    """Matched row under review."""
    value: Any
    """Plain JSON, not validated yet; None for a skipped row."""
    note: str = ""
    seconds: float | None = None
    llm_shown: bool = False
    """Whether the record contained the LLM label, so that the tool showed it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Counts of an import."""

    labels: int
    skips: int
    known: int
    """Labels that were imported before."""
    annotators: tuple[str, ...]


def import_answers(state: ReviewState, answers: Iterable[Answer], tool: str) -> Imported:
    """Store answers as decisions of their annotators, all or none. Repeated answers are stored once.

    Raises:
        DataError: a label is not in the schema, or a name is empty.
    """
    events, rows = [], state.rows
    for answer in answers:
        row = rows.row(answer.row)
        name = annotator_name(answer.annotator)
        try:
            value = None if answer.value is None else read_value(rows.schema, answer.value, row.context)
        except DataError as error:
            raise DataError(f"{tool}, row {answer.row:,}, {name}: {error}") from None
        content = json.dumps([tool, name, answer.row, row.digest, value, answer.note], sort_keys=True)
        events.append(
            Event(
                key=f"{tool}-{hashlib.sha256(content.encode()).hexdigest()[:32]}",
                annotator=name,
                row=answer.row,
                digest=row.digest,
                action="skip" if value is None else "label",
                human_label=value,
                llm_label=rows.llm_labels[answer.row],
                llm_shown=answer.llm_shown and rows.llm_labels[answer.row] is not None,
                note=answer.note,
                seconds=answer.seconds,
            )
        )
    before = state.last
    stored = state.add_all(events)
    new = [event for event in stored if event.id > before]
    return Imported(
        labels=sum(event.action == "label" for event in new),
        skips=sum(event.action == "skip" for event in new),
        known=len(stored) - len(new),
        annotators=tuple(sorted({event.annotator for event in stored})),
    )


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file does not exist, or has another format.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"`{path}` cannot be read ({error.strerror}): check path and permissions.") from None
    except ValueError as error:
        raise DataError(f"`{path}` is not JSON ({error}): give the file that the tool exported.") from None


def write_json(path: Path, content: Any) -> Path:
    """Write a JSON file, and return its path."""
    return write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
