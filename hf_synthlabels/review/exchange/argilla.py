"""Argilla: a review as a data set of Argilla 2 on disk, as `rg.Dataset.to_disk` writes it, and its answers back.

The folder has `.argilla/dataset.json`, `.argilla/settings.json` and `records.json`: records with fields, metadata, the
LLM's label as a suggestion and human labels as responses. `annotators.json` is ours: Argilla knows people by UUID.
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
"""Of annotators' names, so that a name always has the same UUID."""

RATINGS = range(11)
"""The numbers that a rating of Argilla may have."""

MAX_SHOWN = 20
ANSWER = "answer"
"""The one label of the span that answers a question."""


def write_argilla(board: ReviewState, folder: str | Path, *, blind: bool = False) -> list[Path]:
    """Write the drawn rows as a data set that `rg.Dataset.from_disk` reads.

    Args:
        board: the work.
        folder: a new or empty folder.
        blind: whether the LLM's labels are left out, so that Argilla cannot suggest them.

    Raises:
        DataError: the folder has something in it.
    """
    place = Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise DataError(f"`output` {str(folder)!r} is not an empty folder: give a new one.")
    rows = board.rows
    names = {who.name: str(uuid.uuid5(NAMESPACE, who.name)) for who in board.annotators.values()}
    return [
        write_json(place / ".argilla" / "dataset.json", _dataset(rows, place.name)),
        write_json(place / ".argilla" / "settings.json", _settings(rows)),
        write_json(place / "records.json", [_record(board, row, names, blind=blind) for row in _listed(board)]),
        write_json(place / "annotators.json", {number: name for name, number in names.items()}),
    ]


def read_argilla(rows: ReviewRows, path: str | Path, who: Mapping[str, str] | None = None) -> list[Answer]:
    """The responses of a data set of Argilla, of a folder or of a `records.json` alone.

    Args:
        rows: the rows that they are of.
        path: of the folder or the file.
        who: names by UUID; others are looked up in `annotators.json`, or named by the start of the UUID.

    Raises:
        DataError: it is no such data set, or a response does not fit the rows.
    """
    place = Path(path)
    file = place / "records.json" if place.is_dir() else place
    records = read_json(file)
    beside = file.with_name("annotators.json")
    known = {**(read_json(beside) if beside.is_file() else {}), **(who or {})}
    if not isinstance(records, list) or not all(isinstance(record, dict) and "fields" in record for record in records):
        raise DataError(f"`{file.name}` is no list of records with `fields`, as Argilla writes them.")
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
        for response in responses:
            # Argilla's own files leave the status out; a discarded record has no value.
            skipped = response.get("status") == "discarded" or response.get("value") is None
            if not skipped and response.get("status") not in (None, "submitted"):
                continue
            user = str(response.get("user_id"))
            annotator = str(known.get(user, f"argilla {user[:8]}"))
            value = None if skipped else _from_answer(rows, response.get("value"), row.context)
            suggested = bool((record.get("suggestions") or {}).get(question))
            answers.append(Answer(annotator, row.number, value, llm_shown=suggested))
    return answers


def _listed(board: ReviewState) -> list[int]:
    rows = board.rows
    return sorted({*map(int, rows.queue), *board.resolutions})


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
    """The numbers of a scale that can be a rating: whole ones from 0 to 10."""
    grid = rows.schema.scale.grid() if rows.schema.scale is not None else None
    whole = grid is not None and all(float(number).is_integer() and int(number) in RATINGS for number in grid)
    return [int(number) for number in grid] if grid is not None and whole else None


def _record(board: ReviewState, number: int, names: Mapping[str, str], *, blind: bool) -> dict[str, Any]:
    rows = board.rows
    row, question = rows.row(number), _question(board.rows)
    sure, chance = float(rows.confidence[number]), float(rows.chances[number])
    llm = rows.llm_labels[number]
    suggestion = {"value": _answer(rows, llm), "score": None if sure != sure else sure, "agent": rows.llm}
    responses = []
    for who in board.annotators.values():
        if number in who.labels:
            value = _answer(rows, who.labels[number].human_label)
            responses.append({"value": value, "user_id": names[who.name], "status": "submitted"})
        elif number in who.skips:
            responses.append({"value": None, "user_id": names[who.name], "status": "discarded"})
    metadata = {"row": number, "digest": row.digest, **({} if chance != chance else {"inclusion_probability": chance})}
    return {
        "id": f"row-{number}",
        "fields": dict(zip(_fields(rows), (part.text for part in row.parts), strict=True)),
        "metadata": metadata,
        "suggestions": {} if blind or llm is None else {question: suggestion},
        "responses": {question: responses} if responses else {},
        "vectors": {},
        "_server_id": None,
    }


def _answer(rows: ReviewRows, value: Any) -> Any:
    """A label as the question's answer."""
    match rows.schema.kind:
        case "token-classification":
            return [{"start": item["start"], "end": item["end"], "label": item["label"]} for item in value]
        case "question-answering":
            return [{"start": value["start"], "end": value["start"] + len(value["text"]), "label": ANSWER}]
        case "text-scale":
            return int(value) if _ratings(rows) is not None else f"{value:g}"
        case _:
            return value


def _from_answer(rows: ReviewRows, value: Any, context: str) -> Any:
    """Convert a response to a label; the decision store validates it."""
    try:
        if rows.schema.kind == "question-answering":
            return {"text": context[value[0]["start"] : value[0]["end"]], "start": value[0]["start"]}
        if rows.schema.kind == "text-scale":
            return float(value)
    except (KeyError, IndexError, TypeError, ValueError):
        raise DataError(f"`responses` has {value!r}, which is no answer to a question of its kind.") from None
    return value


def _fields(rows: ReviewRows) -> list[str]:
    """The texts' names as Argilla allows them: lower case letters, digits, `_` and `-`; each name once."""
    return unique_names((part.name for part in rows.row(0).parts), pattern=r"[^a-z0-9_-]+", lower=True)


def _question(rows: ReviewRows) -> str:
    """The name of the label question, which differs from every field's name."""
    fields = _fields(rows)
    name = unique_names([rows.human], pattern=r"[^a-z0-9_-]+", lower=True)[0]
    return unique_names([f"{name}_label"], pattern=r"[^a-z0-9_-]+", reserved=fields)[0] if name in fields else name


def _question_of(rows: ReviewRows, records: Sequence[Mapping[str, Any]], file: str) -> str:
    """The label question of imported records; other questions, such as comments, are not read.

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
