"""Label Studio: export of tasks with the labeling interface, and import of annotations.

The LLM label is a prediction, human labels are annotations. Offsets of spans are checked against the text of the span.
Label Studio identifies annotators by account, so the `meta` of a task has their names in the order of its annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.annotator_decisions import Annotator
from hf_synthlabels.review.exchange.imports import Answer, read_json, write_json
from hf_synthlabels.review.exchange.matching import RowMatcher, locate_span, unique_names
from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_state import ReviewState
from hf_synthlabels.tables import write_text

CONTROL = "label"
ANSWER = "answer"
RESERVED = ("row", "digest", "inclusion_probability")
"""Keys of a task's data besides the texts."""


def write_label_studio(state: ReviewState, path: str | Path, *, blind: bool = False) -> list[Path]:
    """Write the sampled rows as tasks, and the labeling interface as XML next to them.

    Args:
        state: state of the review.
        path: JSON file.
        blind: whether to leave out the LLM labels, which Label Studio shows as predictions.
    """
    file = Path(path)
    tasks = write_json(file, [_task(state, row, blind=blind) for row in state.exported_rows()])
    return [tasks, write_text(file.with_suffix(".xml"), interface(state.rows))]


def read_label_studio(rows: ReviewRows, path: str | Path, names: Mapping[str, str] | None = None) -> list[Answer]:
    """Read the annotations of tasks that Label Studio exported as JSON.

    Args:
        rows: rows under review.
        path: JSON file.
        names: names by user ID or e-mail address, which are the default.

    Raises:
        DataError: the file has another format, or a task does not match the rows.
    """
    file = Path(path)
    tasks = read_json(file)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise DataError(f"`{file.name}` is not a list of tasks with `data`: export as JSON, not as JSON-MIN.")
    matcher = RowMatcher(rows, _fields(rows), file.name)
    answers = []
    for number, task in enumerate(tasks):
        data, record = task["data"], f"task {task.get('id', number)}"
        annotations = task.get("annotations") or []
        if not annotations:
            continue
        row = matcher.match(data, data.get("row"), data.get("digest"), record)
        exported = (task.get("meta") or {}).get("annotators") or []
        is_shown = bool(task.get("predictions"))
        for place, annotation in enumerate(annotations):
            name = exported[place] if place < len(exported) else _name(annotation.get("completed_by"), names or {})
            value = None
            if annotation.get("was_cancelled") is not True:
                try:
                    value = _value(rows, annotation.get("result") or [], row.context)
                except DataError as error:
                    raise DataError(f"`{file.name}`, {record}: {error}") from None
            answers.append(Answer(name, row.number, value, seconds=annotation.get("lead_time"), llm_shown=is_shown))
    return answers


def interface(rows: ReviewRows) -> str:
    """Labeling interface for the settings of the project."""
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
    """Field names that are valid XML attributes and variables."""
    names = (part.name for part in rows.row(0).parts)
    return unique_names(names, pattern=r"\W+", reserved=(*RESERVED, CONTROL))


def _target(rows: ReviewRows) -> str:
    """Field that labels refer to: the one in which spans are marked, or the first."""
    fields = _fields(rows)
    marked = [name for name, part in zip(fields, rows.row(0).parts, strict=True) if part.marked]
    return marked[0] if marked else fields[0]


def _task(state: ReviewState, number: int, *, blind: bool) -> dict[str, Any]:
    rows = state.rows
    row, llm, probability = rows.row(number), rows.llm_labels[number], rows.probability(number)
    texts = dict(zip(_fields(rows), (part.text for part in row.parts), strict=True))
    data = {**texts, "row": number, "digest": row.digest}
    if probability is not None:
        data["inclusion_probability"] = probability
    annotators = [each for each in state.annotators.values() if number in each.labels or number in each.skips]
    score = rows.llm_confidence(number)
    prediction = {"model_version": rows.llm, "score": score, "result": _result(rows, llm)}
    return {
        "id": number + 1,
        "data": data,
        "meta": {"annotators": [each.name for each in annotators]},
        "annotations": [_annotation(rows, each, number) for each in annotators],
        "predictions": [] if blind or llm is None else [prediction],
    }


def _annotation(rows: ReviewRows, annotator: Annotator, number: int) -> dict[str, Any]:
    event = annotator.labels.get(number) or annotator.skips[number]
    result = [] if event.action == "skip" else _result(rows, event.human_label)
    return {
        "result": result,
        "was_cancelled": event.action == "skip",
        "ground_truth": False,
        "lead_time": event.seconds,
        "result_count": len(result),
    }


def _result(rows: ReviewRows, value: Any) -> list[dict[str, Any]]:
    """Regions of a label; empty for an empty list."""
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
    """Label that the regions represent."""
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
        raise DataError(f"`result` is {str(result)[:80]}…, which is not a label of kind {kind!r}.") from None


def _entity(value: Mapping[str, Any], context: str) -> dict[str, Any]:
    start, end = _place(value, context)
    return {"start": start, "end": end, "label": value["labels"][0]}


def _place(value: Mapping[str, Any], context: str) -> tuple[int, int]:
    """Offsets of a region, checked against its text."""
    text = value.get("text")
    return locate_span(context, int(value["start"]), int(value["end"]), text if isinstance(text, str) else None)


def _name(completed_by: Any, names: Mapping[str, str]) -> str:
    """Name of an annotator: from `names`, or the e-mail address or number."""
    if isinstance(completed_by, Mapping):
        completed_by = completed_by.get("email") or completed_by.get("id")
    default = f"label-studio {completed_by}" if isinstance(completed_by, int) else str(completed_by)
    return names.get(str(completed_by), default)
