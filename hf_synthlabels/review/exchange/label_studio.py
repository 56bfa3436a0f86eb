"""Label Studio: export of tasks with the labeling interface, and import of annotations.

The LLM's label is a prediction, human labels are annotations. Offsets of spans are checked against the span's own text.
Label Studio knows annotators by their accounts, so each task's `meta` has their names in the order of its annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.exchange.imports import Answer, read_json, write_json
from hf_synthlabels.review.exchange.matching import RowMatcher, locate_span, unique_names
from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_state import Annotator, ReviewState
from hf_synthlabels.tables import write_text

CONTROL = "label"
ANSWER = "answer"
RESERVED = ("row", "digest", "inclusion_probability")
"""Keys of a task's data besides the texts."""


def write_label_studio(board: ReviewState, path: str | Path, *, blind: bool = False) -> list[Path]:
    """Write the drawn rows as tasks, and the labeling interface as XML next to them.

    Args:
        board: the work.
        path: the JSON file.
        blind: whether the LLM's labels are left out, so that Label Studio cannot show them as predictions.
    """
    file = Path(path)
    listed = sorted({*map(int, board.rows.queue), *board.resolutions})
    written = write_json(file, [_task(board, row, blind=blind) for row in listed])
    beside = file.with_suffix(".xml")
    write_text(beside, interface(board.rows))
    return [written, beside]


def read_label_studio(rows: ReviewRows, path: str | Path, who: Mapping[str, str] | None = None) -> list[Answer]:
    """The annotations of tasks that Label Studio exported as JSON.

    Args:
        rows: the rows that they are of.
        path: of the file.
        who: names by user id or e-mail; others are called by those.

    Raises:
        DataError: it is no such file, or a task is of no row.
    """
    file = Path(path)
    tasks = read_json(file)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise DataError(f"`{file.name}` is no list of tasks with `data`: export as JSON, not as JSON-MIN.")
    matcher = RowMatcher(rows, _fields(rows), file.name)
    answers = []
    for number, task in enumerate(tasks):
        data, record = task["data"], f"task {task.get('id', number)}"
        annotations = task.get("annotations") or []
        if not annotations:
            continue
        row = matcher.match(data, data.get("row"), data.get("digest"), record)
        names = (task.get("meta") or {}).get("annotators") or []
        for place, annotation in enumerate(annotations):
            name = names[place] if place < len(names) else _who(annotation.get("completed_by"), who or {})
            value = None
            if annotation.get("was_cancelled") is not True:
                try:
                    value = _value(rows, annotation.get("result") or [], row.context)
                except DataError as error:
                    raise DataError(f"`{file.name}`, {record}: {error}") from None
            shown = bool(task.get("predictions"))
            answers.append(Answer(name, row.number, value, seconds=annotation.get("lead_time"), llm_shown=shown))
    return answers


def interface(rows: ReviewRows) -> str:
    """The labeling interface of the tasks, for the project's settings."""
    lines = ["<View>", "  <Style>.htx-text { white-space: pre-wrap; }</Style>"]
    if rows.instructions:
        lines.append(f"  <Header value={quoteattr(rows.instructions)}/>")
    for name in _fields(rows):
        lines.append(f'  <Text name="{name}" value="${name}"/>')
    to = _target(rows)
    schema = rows.schema
    match schema.kind:
        case "text-classification" | "text-pair" | "multi-label":
            several = "multiple" if schema.kind == "multi-label" else "single"
            lines.append(f'  <Choices name="{CONTROL}" toName="{to}" choice="{several}" showInLine="true">')
            lines += [f"    <Choice value={quoteattr(name)}/>" for name in schema.names]
            lines.append("  </Choices>")
        case "token-classification" | "question-answering":
            lines.append(f'  <Labels name="{CONTROL}" toName="{to}">')
            lines += [f"    <Label value={quoteattr(name)}/>" for name in schema.names or (ANSWER,)]
            lines.append("  </Labels>")
        case "text-scale":
            assert schema.scale is not None
            step = "" if schema.scale.step is None else f' step="{schema.scale.step:g}"'
            ends = f'min="{schema.scale.low:g}" max="{schema.scale.high:g}"'
            lines.append(f'  <Number name="{CONTROL}" toName="{to}" {ends}{step}/>')
        case _:
            lines.append(f'  <TextArea name="{CONTROL}" toName="{to}" maxSubmissions="1" editable="true"/>')
    return "\n".join([*lines, "</View>", ""])


def _fields(rows: ReviewRows) -> list[str]:
    """The texts' names as XML attributes and variables may have them; each name once."""
    names = (part.name for part in rows.row(0).parts)
    return unique_names(names, pattern=r"\W+", reserved=(*RESERVED, CONTROL))


def _target(rows: ReviewRows) -> str:
    """The text that labels are of: the one in which spans are marked, or the first."""
    marked = [name for name, part in zip(_fields(rows), rows.row(0).parts, strict=True) if part.marked]
    return marked[0] if marked else _fields(rows)[0]


def _data(rows: ReviewRows, number: int) -> dict[str, str]:
    return dict(zip(_fields(rows), (part.text for part in rows.row(number).parts), strict=True))


def _task(board: ReviewState, number: int, *, blind: bool) -> dict[str, Any]:
    rows = board.rows
    row, chance, sure = rows.row(number), float(rows.chances[number]), float(rows.confidence[number])
    data = {**_data(rows, number), "row": number, "digest": row.digest}
    if chance == chance:
        data["inclusion_probability"] = chance
    decided = [who for who in board.annotators.values() if number in who.labels or number in who.skips]
    llm = rows.llm_labels[number]
    prediction = {"model_version": rows.llm, "score": None if sure != sure else sure, "result": _result(rows, llm)}
    return {
        "id": number + 1,
        "data": data,
        "meta": {"annotators": [who.name for who in decided]},
        "annotations": [_annotation(rows, who, number) for who in decided],
        "predictions": [] if blind or llm is None else [prediction],
    }


def _annotation(rows: ReviewRows, who: Annotator, number: int) -> dict[str, Any]:
    event = who.labels.get(number) or who.skips[number]
    result = [] if event.action == "skip" else _result(rows, event.human_label)
    return {
        "result": result,
        "was_cancelled": event.action == "skip",
        "ground_truth": False,
        "lead_time": event.seconds,
        "result_count": len(result),
    }


def _result(rows: ReviewRows, value: Any) -> list[dict[str, Any]]:
    """The regions of a label; none where there is none, or where it is an empty list."""
    match rows.schema.kind:
        case "text-classification" | "text-pair":
            values = [("choices", {"choices": [value]})]
        case "multi-label":
            values = [("choices", {"choices": value})] if value else []
        case "token-classification":
            values = [("labels", _span(item["start"], item["text"], item["label"])) for item in value or []]
        case "question-answering":
            values = [("labels", _span(value["start"], value["text"], ANSWER))] if value else []
        case "text-scale":
            values = [("number", {"number": value})]
        case _:
            values = [("textarea", {"text": [value]})]
    target = _target(rows)
    return [
        {"id": f"region{place}", "from_name": CONTROL, "to_name": target, "type": kind, "value": content}
        for place, (kind, content) in enumerate(values)
    ]


def _span(start: int, text: str, label: str) -> dict[str, Any]:
    return {"start": start, "end": start + len(text), "text": text, "labels": [label]}


def _value(rows: ReviewRows, result: list[dict[str, Any]], context: str) -> Any:
    """The label that regions make up."""
    kind = rows.schema.kind
    values = [region["value"] for region in result if isinstance(region.get("value"), dict)]
    try:
        match kind:
            case "multi-label":
                return [name for value in values for name in value["choices"]]
            case "token-classification":
                return [_entity(value, context) for value in values if value.get("labels")]
            case "text-classification" | "text-pair":
                return values[0]["choices"][0]
            case "question-answering":
                start, end = _place(values[0], context)
                return {"text": context[start:end], "start": start}
            case "text-scale":
                return float(values[0]["rating" if "rating" in values[0] else "number"])
            case _:
                text = values[0]["text"]
                return text if isinstance(text, str) else text[0]
    except (KeyError, IndexError, TypeError, ValueError):
        raise DataError(f"`result` is {str(result)[:80]}…, which is no label of kind {kind!r}.") from None


def _entity(value: Mapping[str, Any], context: str) -> dict[str, Any]:
    start, end = _place(value, context)
    return {"start": start, "end": end, "label": value["labels"][0]}


def _place(value: Mapping[str, Any], context: str) -> tuple[int, int]:
    """Where a region is in the text, checked against the text that it says it marks."""
    text = value.get("text")
    return locate_span(context, int(value["start"]), int(value["end"]), text if isinstance(text, str) else None)


def _who(completed_by: Any, who: Mapping[str, str]) -> str:
    """An annotator's name: by the table of names, or their e-mail, or their number."""
    if isinstance(completed_by, Mapping):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return who.get(
        str(completed_by), f"label-studio {completed_by}" if isinstance(completed_by, int) else str(completed_by)
    )
