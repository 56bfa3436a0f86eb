"""Argilla: export as a data set of Argilla 2 on disk, in the format of `rg.Dataset.to_disk`, and import of responses.

The folder has `.argilla/dataset.json`, `.argilla/settings.json` and `records.json`. Records have fields, metadata, the
LLM label as a suggestion and human labels as responses. `annotators.json` maps the UUIDs of Argilla to names.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.exchange.imports import Answer, read_json, write_json
from hf_synthlabels.review.exchange.matching import RowMatcher, unique_names
from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_state import ReviewState

NAMESPACE = uuid.UUID("6f1c2a55-8f6e-5d0b-9d43-0d8a5e7b6c11")
"""Namespace of annotators, so that a name always has the same UUID."""

RATINGS = range(11)
"""Valid ratings of Argilla."""

MAX_SHOWN = 20
ANSWER = "answer"
"""Label of a span that answers a question."""


def write_argilla(state: ReviewState, folder: str | Path, *, blind: bool = False) -> list[Path]:
    """Write the sampled rows as a data set for `rg.Dataset.from_disk`.

    Args:
        state: state of the review.
        folder: new or empty folder.
        blind: whether to leave out the LLM labels, which Argilla shows as suggestions.

    Raises:
        DataError: the folder is not empty.
    """
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"`output` {str(folder)!r} is not an empty folder: give a new one.")
    rows = state.rows
    users = {name: str(uuid.uuid5(NAMESPACE, name)) for name in state.annotators}
    records = [_record(state, row, users, blind=blind) for row in state.exported_rows()]
    return [
        write_json(path / ".argilla" / "dataset.json", _dataset(rows, path.name)),
        write_json(path / ".argilla" / "settings.json", _settings(rows)),
        write_json(path / "records.json", records),
        write_json(path / "annotators.json", {user: name for name, user in users.items()}),
    ]


def read_argilla(rows: ReviewRows, path: str | Path, names: Mapping[str, str] | None = None) -> list[Answer]:
    """Read the responses of an Argilla data set.

    Args:
        rows: rows under review.
        path: folder, or its `records.json`.
        names: names by UUID; others come from `annotators.json`, or are the beginning of the UUID.

    Raises:
        DataError: the file has another format, or a response does not match the rows.
    """
    file = Path(path) / "records.json" if Path(path).is_dir() else Path(path)
    records = read_json(file)
    annotators = file.with_name("annotators.json")
    names = {**(read_json(annotators) if annotators.is_file() else {}), **(names or {})}
    if not isinstance(records, list) or not all(isinstance(record, dict) and "fields" in record for record in records):
        raise DataError(f"`{file.name}` is not a list of records with `fields`, as Argilla writes them.")
    question = _question_of(rows, records, file.name)
    matcher = RowMatcher(rows, _fields(rows), file.name)
    answers = []
    for number, record in enumerate(records):
        responses = (record.get("responses") or {}).get(question, [])
        if not responses:
            continue
        metadata = record.get("metadata") or {}
        name = f"record {record.get('id', number)}"
        row = matcher.match(record["fields"], metadata.get("row"), metadata.get("digest"), name)
        is_suggested = bool((record.get("suggestions") or {}).get(question))
        for response in responses:
            # Argilla's own files omit the status; a discarded record has no value.
            is_skipped = response.get("status") == "discarded" or response.get("value") is None
            if not is_skipped and response.get("status") not in (None, "submitted"):
                continue
            user = str(response.get("user_id"))
            value = None if is_skipped else _from_response(rows, response.get("value"), row.context)
            answers.append(Answer(names.get(user, f"argilla {user[:8]}"), row.number, value, llm_shown=is_suggested))
    return answers


def _dataset(rows: ReviewRows, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "status": "ready",
        "guidelines": _guidelines(rows),
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
    }


def _guidelines(rows: ReviewRows) -> str:
    return "\n\n".join(part for part in (rows.instructions, rows.schema.guidelines) if part) or "Label the text."


def _settings(rows: ReviewRows) -> dict[str, Any]:
    fields = [
        {
            "name": name,
            "title": part.name,
            "required": place == 0,
            "settings": {"type": "text", "use_markdown": False},
        }
        for place, (name, part) in enumerate(zip(_fields(rows), rows.row(0).parts, strict=True))
    ]
    question = {
        "name": _question(rows),
        "title": rows.instructions[:200] or rows.human,
        "description": None,
        "required": True,
        "settings": _question_settings(rows),
    }
    return {
        "guidelines": _guidelines(rows),
        "questions": [question],
        "fields": fields,
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _question_settings(rows: ReviewRows) -> dict[str, Any]:
    schema = rows.schema
    options = [{"value": name, "text": name} for name in schema.names]
    shown = min(len(options), MAX_SHOWN) if len(options) >= 3 else None
    match schema.kind:
        case "text-classification" | "text-pair":
            return {"type": "label_selection", "options": options, "visible_options": shown}
        case "multi-label":
            return {
                "type": "multi_label_selection",
                "options": options,
                "visible_options": shown,
                "options_order": "natural",
            }
        case "token-classification" | "question-answering":
            marked = next(name for name, part in zip(_fields(rows), rows.row(0).parts, strict=True) if part.marked)
            answer = [{"value": ANSWER, "text": ANSWER}]
            return {
                "type": "span",
                "field": marked,
                "options": options or answer,
                "visible_options": shown,
                "allow_overlapping": False,
            }
        case "text-scale" if _ratings(rows) is not None:
            return {"type": "rating", "options": [{"value": number} for number in _ratings(rows) or ()]}
        case _:
            return {"type": "text", "use_markdown": False}


def _ratings(rows: ReviewRows) -> list[int] | None:
    """Numbers of a scale with integers from 0 to 10; None for other scales."""
    grid = rows.schema.scale.grid() if rows.schema.scale is not None else None
    whole = grid is not None and all(float(number).is_integer() and int(number) in RATINGS for number in grid)
    return [int(number) for number in grid] if grid is not None and whole else None


def _record(state: ReviewState, number: int, users: Mapping[str, str], *, blind: bool) -> dict[str, Any]:
    rows = state.rows
    row, question, llm = rows.row(number), _question(rows), rows.llm_labels[number]
    responses = []
    for annotator in state.annotators.values():
        user = users[annotator.name]
        if number in annotator.labels:
            value = _response(rows, annotator.labels[number].human_label)
            responses.append({"value": value, "user_id": user, "status": "submitted"})
        elif number in annotator.skips:
            responses.append({"value": None, "user_id": user, "status": "discarded"})
    suggestions = {}
    if not blind and llm is not None:
        score = rows.llm_confidence(number)
        suggestions = {question: {"value": _response(rows, llm), "score": score, "agent": rows.llm}}
    probability = rows.probability(number)
    metadata = {"row": number, "digest": row.digest}
    return {
        "id": f"row-{number}",
        "fields": dict(zip(_fields(rows), (part.text for part in row.parts), strict=True)),
        "metadata": metadata if probability is None else {**metadata, "inclusion_probability": probability},
        "suggestions": suggestions,
        "responses": {question: responses} if responses else {},
        "vectors": {},
        "_server_id": None,
    }


def _response(rows: ReviewRows, value: Any) -> Any:
    """A label as a response to the question."""
    match rows.schema.kind:
        case "token-classification":
            return [{"start": item["start"], "end": item["end"], "label": item["label"]} for item in value]
        case "question-answering":
            return [{"start": value["start"], "end": value["start"] + len(value["text"]), "label": ANSWER}]
        case "text-scale":
            return int(value) if _ratings(rows) is not None else f"{value:g}"
        case _:
            return value


def _from_response(rows: ReviewRows, value: Any, context: str) -> Any:
    """Convert a response to a label; the decision store validates it."""
    try:
        if rows.schema.kind == "question-answering":
            return {"text": context[value[0]["start"] : value[0]["end"]], "start": value[0]["start"]}
        if rows.schema.kind == "text-scale":
            return float(value)
    except (KeyError, IndexError, TypeError, ValueError):
        raise DataError(f"`responses` has {value!r}, which is not a response to this kind of question.") from None
    return value


def _fields(rows: ReviewRows) -> list[str]:
    """Field names as Argilla allows them: lower-case letters, digits, `_` and `-`."""
    return unique_names((part.name for part in rows.row(0).parts), pattern=r"[^a-z0-9_-]+", lower=True)


def _question(rows: ReviewRows) -> str:
    """Name of the label question, which differs from all fields."""
    fields = _fields(rows)
    name = unique_names([rows.human], pattern=r"[^a-z0-9_-]+", lower=True)[0]
    return unique_names([f"{name}_label"], pattern=r"[^a-z0-9_-]+", reserved=fields)[0] if name in fields else name


def _question_of(rows: ReviewRows, records: Sequence[Mapping[str, Any]], file: str) -> str:
    """Name of the label question in imported records; other questions are ignored.

    Raises:
        DataError: there are responses, but none to the label question.
    """
    name = _question(rows)
    answered = list(dict.fromkeys(each for record in records for each in record.get("responses") or {}))
    if answered and name not in answered:
        raise DataError(
            f"`{file}` has no response to the question {name!r}; it has {', '.join(map(repr, answered))}. "
            "Name the question's column with `--human`."
        )
    return name
