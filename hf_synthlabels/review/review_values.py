"""Labels as plain JSON, as the review page sends and stores them, validated against the schema."""

from __future__ import annotations

import json
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import Entity, Label, LabelSchema, Span, decode
from hf_synthlabels.labels.text import normalized_words
from hf_synthlabels.statistics.agreement.answers import normalize_answer, token_f1

MAX_CHARACTERS = 1_000_000
"""Maximum length of a text label."""


def plain(label: Label) -> Any:
    """A label as plain JSON: a name, a list of names, a number, a list of entities, an answer or a text."""
    if isinstance(label, Span):
        return {"text": label.text, "start": label.start}
    if isinstance(label, tuple):
        return [
            {"start": item.start, "end": item.end, "text": item.text, "label": item.label}
            if isinstance(item, Entity)
            else item
            for item in label
        ]
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return label


def read_value(schema: LabelSchema, value: Any, context: str = "") -> Any:
    """Validate a label in plain JSON; names are sorted by the schema, texts of spans are cut from the context.

    Raises:
        DataError: it is missing, is not in the schema, or its offsets are outside the context.
    """
    if schema.kind in ("text-classification", "text-pair") and not isinstance(value, str):
        # A number would be read as a class code.
        raise DataError(f"`label` {value!r} is not one of the schema's: {', '.join(schema.names)}.")
    label = decode(schema, value, context)
    if label is None:
        raise DataError("`label` is missing. Give one, or skip the row.")
    if isinstance(label, str) and len(label) > MAX_CHARACTERS:
        raise DataError(f"`label` has {len(label):,} characters. The maximum is {MAX_CHARACTERS:,}.")
    if isinstance(label, str) and not label.strip():
        raise DataError("`label` is an empty text. Write something, or skip the row.")
    if isinstance(label, Span):
        return plain(_placed_span(label, context))
    if isinstance(label, tuple):
        return plain(tuple(_placed_entity(item, context) if isinstance(item, Entity) else item for item in label))  # type: ignore[arg-type]
    return plain(label)


def identity(schema: LabelSchema, value: Any) -> str:
    """Key that equal labels share: the offsets of entities, the words of texts."""
    match schema.kind:
        case "token-classification":
            return json.dumps([[item["start"], item["end"], item["label"]] for item in value], ensure_ascii=False)
        case "question-answering":
            return normalize_answer(value["text"])
        case "text-generation":
            return " ".join(normalized_words(value))
        case "text-scale":
            return f"{value:g}"
        case _:
            return json.dumps(value, ensure_ascii=False)


def credit(schema: LabelSchema, human: Any, llm: Any) -> float:
    """Credit of the LLM label: 1 if it equals the human label, else 0; for texts the token F1."""
    if llm is None:
        return 0.0
    if schema.kind == "text-generation":
        return token_f1(human, llm)
    return float(identity(schema, human) == identity(schema, llm))


def difference(schema: LabelSchema, human: Any, llm: Any) -> str:
    """Describe how two labels differ, equally for rows with the same error; empty if they agree."""
    if llm is None:
        return "no LLM label"
    if identity(schema, human) == identity(schema, llm):
        return ""
    match schema.kind:
        case "text-classification" | "text-pair":
            return f"{human} → {llm}"
        case "multi-label":
            missed = [f"missed {name}" for name in human if name not in llm]
            return ", ".join([*missed, *(f"added {name}" for name in llm if name not in human)])
        case "text-scale":
            return f"{llm - human:+g}"
        case "token-classification":
            return _entity_difference(human, llm)
        case "question-answering":
            return "other span" if _overlap(human, llm) else "other place"
        case _:
            return "other text"


def shown(value: Any) -> str:
    """A label as one line of text."""
    if value is None:
        return "(no label)"
    if isinstance(value, list):
        parts = [f"{item['text']} ({item['label']})" if isinstance(item, dict) else str(item) for item in value]
        return ", ".join(parts) or "(none)"
    return str(value["text"] if isinstance(value, dict) else value)


def _placed_entity(entity: Entity, context: str) -> Entity:
    if not 0 <= entity.start < entity.end <= len(context):
        raise DataError(
            f"`label` has an entity from {entity.start} to {entity.end} in a text of {len(context):,} characters. "
            "Give 0 <= start < end."
        )
    return Entity(entity.start, entity.end, context[entity.start : entity.end], entity.label)


def _placed_span(span: Span, context: str) -> Span:
    if not span.text or context[max(span.start, 0) : span.end] != span.text:
        raise DataError(f"`label` {span.text[:60]!r} does not occur at {span.start} in the passage. Mark it again.")
    return span


def _entity_difference(human: list[dict[str, Any]], llm: list[dict[str, Any]]) -> str:
    gold, predicted = ({(item["start"], item["end"], item["label"]) for item in side} for side in (human, llm))
    missed, added = sorted(gold - predicted), sorted(predicted - gold)
    parts: list[str] = []
    for start, end, label in missed:
        overlapping = next((other for other in added if other[0] < end and start < other[1]), None)
        if overlapping is None:
            parts.append(f"missed {label}")
            continue
        added.remove(overlapping)
        same_offsets = overlapping[:2] == (start, end)
        parts.append(
            f"{label} → {overlapping[2]}" if same_offsets or overlapping[2] != label else f"other ends of {label}"
        )
    parts += [f"added {label}" for _, _, label in added]
    return ", ".join(dict.fromkeys(parts))


def _overlap(human: dict[str, Any], llm: dict[str, Any]) -> bool:
    ends = [each["start"] + len(each["text"]) for each in (human, llm)]
    return bool(max(human["start"], llm["start"]) < min(ends))
