"""The values of labels: what a label of each kind is, in Python and in a column."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.digits import number_text
from hf_synthlabels.labels.schema import LabelSchema

__all__ = ["Entity", "Label", "Span", "answer_text", "decode", "encode"]


@dataclass(frozen=True, slots=True)
class Entity:
    """A named stretch of a row's text, in characters, the end excluded."""

    start: int
    end: int
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a context, in characters, the end excluded."""

    start: int
    end: int
    text: str


Label = str | float | tuple[str, ...] | tuple[Entity, ...] | Span
"""By the kind: a name (text-classification, text-pair); names in the order of the schema (multi-label); a number
(text-scale); entities by their place (token-classification); a span (question-answering); a text (text-generation)."""


def encode(schema: LabelSchema, label: Label | None) -> Any:
    """A label as it stands in a column of `schema.feature()`; None where there is none."""
    if label is None:
        return None
    match schema.kind:
        case "text-classification" | "text-pair":
            return schema.code(str(label))
        case "multi-label":
            assert isinstance(label, tuple)
            return [schema.code(str(name)) for name in label]
        case "token-classification":
            assert isinstance(label, tuple)
            return [_entity_value(schema, entity) for entity in label if isinstance(entity, Entity)]
        case "question-answering":
            assert isinstance(label, Span)
            return {"text": label.text, "start": label.start}
        case "text-scale" | "text-generation":
            return label


def decode(schema: LabelSchema, value: Any, text: str = "") -> Label | None:
    """A label from a column: of this package, or of a data set that people labelled; None stays None.

    Names may be names or codes; a span may be written the way that SQuAD does, with several answers, of which the
    first is taken; entities may lack their text, which is then cut from `text`.

    Raises:
        DataError: the value is not in the schema.
    """
    if hasattr(value, "tolist"):
        # Columns of data frames hold arrays and scalars of numpy.
        value = value.tolist()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    match schema.kind:
        case "text-classification" | "text-pair":
            return _name(schema, value)
        case "multi-label":
            names = {_name(schema, item) for item in _list(value)}
            return tuple(name for name in schema.names if name in names)
        case "text-scale":
            return _number(schema, value)
        case "token-classification":
            return tuple(sorted((_entity(schema, item, text) for item in _list(value)), key=_place))
        case "question-answering":
            return _span(value, text)
        case "text-generation":
            if not isinstance(value, str):
                raise DataError(f"`label` {value!r} is not a text.")
            return value


def answer_text(label: Label, *, as_json: bool) -> str:
    """The way that an annotator would have answered with this label: what a few-shot example shows."""
    if as_json:
        return json.dumps({"label": _json_value(label)}, ensure_ascii=False)
    if isinstance(label, str):
        return label
    if isinstance(label, Span):
        return label.text
    if isinstance(label, float | int):
        return number_text(label)
    if not label:
        return "none"
    if isinstance(label[0], Entity):
        return json.dumps(_json_value(label), ensure_ascii=False)
    return ", ".join(str(name) for name in label)


def _json_value(label: Label) -> Any:
    if isinstance(label, Span):
        return label.text
    if isinstance(label, tuple):
        return [{"text": item.text, "label": item.label} if isinstance(item, Entity) else item for item in label]
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return label


def _place(entity: Entity) -> tuple[int, int]:
    return entity.start, entity.end


def _entity_value(schema: LabelSchema, entity: Entity) -> dict[str, Any]:
    return {"start": entity.start, "end": entity.end, "text": entity.text, "label": schema.code(entity.label)}


def _name(schema: LabelSchema, value: Any) -> str:
    if isinstance(value, str) and value in schema.names:
        return value
    if isinstance(value, float) and value.is_integer():
        # A data frame makes a column of codes a column of floats as soon as one is missing.
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(schema.names):
        return schema.names[value]
    raise DataError(f"`label` {value!r} is not one of the schema's: {', '.join(schema.names)}.")


def _list(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        # A list of structures, turned over into a structure of lists by an older `datasets`.
        keys = list(value)
        return [dict(zip(keys, items, strict=True)) for items in zip(*value.values(), strict=True)]
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DataError(f"`label` {value!r} is not a list.")
    return value


def _number(schema: LabelSchema, value: Any) -> float:
    assert schema.scale is not None
    if isinstance(value, bool) or not isinstance(value, int | float) or not schema.scale.holds(float(value)):
        raise DataError(f"`label` {value!r} is not on the scale {schema.scale}.")
    return float(value)


def _entity(schema: LabelSchema, item: Any, text: str) -> Entity:
    if isinstance(item, Entity):
        return item
    try:
        start, end, label = int(item["start"]), int(item["end"]), item["label"]
        shown = item.get("text") or text[start:end]
    except (KeyError, TypeError, ValueError):
        raise DataError(f"`label` {item!r} is not an entity with `start`, `end` and `label`.") from None
    return Entity(start, end, shown, _name(schema, label))


def _span(value: Any, text: str) -> Span | None:
    if isinstance(value, Span):
        return value
    if isinstance(value, str):
        start = text.find(value) if text else 0
        return Span(start, start + len(value), value) if start >= 0 else Span(-1, -1, value)
    try:
        texts, starts = value["text"], value.get("answer_start", value.get("start"))
        if not isinstance(texts, str):
            if len(texts) == 0:
                # So SQuAD 2 says that a question has no answer.
                return None
            texts, starts = texts[0], starts[0]
        start = int(starts)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise DataError(f"`label` {value!r} is not an answer with `text` and `answer_start`.") from None
    return Span(start, start + len(texts), texts)
