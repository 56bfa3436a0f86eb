"""Label values of each kind, in Python and in dataset columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.digits import number_text
from hf_synthlabels.labels.schema import LabelSchema

NO_LABEL = -1
"""The code of a missing label in a `ClassLabel` column, as in unlabeled test splits on the Hub."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A labeled span of a row's text, in characters; `end` is exclusive."""

    start: int
    end: int
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Span:
    """A span of a context, in characters; `end` is exclusive."""

    start: int
    end: int
    text: str


Label = str | float | tuple[str, ...] | tuple[Entity, ...] | Span
"""By kind: a name (text-classification, text-pair), names in schema order (multi-label), a number (text-scale),
entities sorted by position (token-classification), a span (question-answering), a text (text-generation)."""


def encode(schema: LabelSchema, label: Label | None) -> Any:
    """Convert a label to the value stored in a column of type `schema.feature()`; None stays None."""
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


def decode(
    schema: LabelSchema, value: Any, text: str = "", *, codes: bool = False, vectors: bool = True
) -> Label | None:
    """Convert a column value to a label; None, NaN and the code -1 are missing labels.

    Classes may be names or codes. A multi-label value may also be a 0/1 vector. Spans may have the SQuAD layout, whose
    first answer counts. An entity without a text gets it from `text`.

    Args:
        schema: Schema of the label.
        value: Cell value, written by this package or from a dataset with human labels.
        text: The row's text, for entities and spans.
        codes: Whether integers are known to be codes, as in a `ClassLabel` column.
        vectors: Whether a list may be a 0/1 vector. Pass False if another list in the column is not one.

    Raises:
        DataError: The value is not in the schema, or is ambiguous.
    """
    if hasattr(value, "tolist"):
        # Pandas columns hold NumPy arrays and scalars.
        value = value.tolist()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    match schema.kind:
        case "text-classification" | "text-pair":
            return None if is_missing_code(value, codes=codes) else _name(schema, value, codes)
        case "multi-label":
            items = [item for item in _list(value) if not is_missing_code(item, codes=codes)]
            return _set(schema, items, codes, vectors and not codes) if items or not value else None
        case "text-scale":
            return _number(schema, value)
        case "token-classification":
            return tuple(sorted((_entity(schema, item, text, codes) for item in _list(value)), key=_position))
        case "question-answering":
            return _span(value, text)
        case "text-generation":
            if not isinstance(value, str):
                raise DataError(f"`label` {value!r} is not a string.")
            return value


def answer_text(label: Label, *, as_json: bool) -> str:
    """Write a label as the answer of an annotator, for few-shot examples."""
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


def is_missing_code(value: Any, *, codes: bool) -> bool:
    """Whether a value of a column of codes is -1, the missing label of `ClassLabel`."""
    return codes and not isinstance(value, bool | str) and value == NO_LABEL


def class_of_number(value: Any, names: Sequence[str], *, codes: bool = False) -> str | None:
    """Return the class that an integer names or encodes; None for any other value.

    Args:
        value: Cell value. Pandas turns integers into floats if some are missing, so 1.0 counts as 1.
        names: All class names.
        codes: Whether integers are known to be codes.

    Raises:
        DataError: The integer is the name of one class and the code of another, as 1 among the names 1, 2, 3.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    encoded = names[value] if 0 <= value < len(names) else None
    if codes or str(value) not in names:
        return encoded
    if encoded not in (None, str(value)):
        raise DataError(
            f"`label` {value} is ambiguous: class {str(value)!r} by name, class {encoded!r} by code. Write names as "
            f"strings ({str(value)!r}) or make the column a `ClassLabel`."
        )
    return str(value)


def is_multi_hot(rows: Iterable[Any], classes: int) -> bool:
    """Whether the lists of a column are 0/1 vectors over the classes, not lists of codes.

    Args:
        rows: Column values; None for missing ones.
        classes: Number of classes.

    Raises:
        DataError: Both readings are possible in every row.
    """
    lists = [row for row in rows if isinstance(row, Sequence) and not isinstance(row, str)]
    if not lists or not all(len(row) == classes and all(item in (0, 1) for item in row) for row in lists):
        return False
    # Codes do not repeat within a list, and booleans are not codes.
    if any(len(set(row)) < len(row) or any(isinstance(item, bool) for item in row) for row in lists):
        return True
    raise DataError(
        f"`label` {list(lists[0])!r} is ambiguous: a 0/1 vector over the classes or a list of codes. Write the names "
        "or make the column a list of `ClassLabel`."
    )


def _json_value(label: Label) -> Any:
    if isinstance(label, Span):
        return label.text
    if isinstance(label, tuple):
        return [{"text": item.text, "label": item.label} if isinstance(item, Entity) else item for item in label]
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return label


def _position(entity: Entity) -> tuple[int, int]:
    return entity.start, entity.end


def _entity_value(schema: LabelSchema, entity: Entity) -> dict[str, Any]:
    return {"start": entity.start, "end": entity.end, "text": entity.text, "label": schema.code(entity.label)}


def _set(schema: LabelSchema, items: Sequence[Any], codes: bool, vectors: bool) -> tuple[str, ...]:
    numbers = [item for item in items if not isinstance(item, str)]
    if numbers and vectors and is_multi_hot([items], len(schema.names)):
        return tuple(name for name, item in zip(schema.names, items, strict=True) if item)
    names = [_name(schema, item, codes) for item in items]
    if numbers and len(set(names)) < len(names):
        raise DataError(
            f"`label` {list(items)!r} repeats a code. A 0/1 vector needs one entry for each of the "
            f"{len(schema.names)} classes."
        )
    return tuple(name for name in schema.names if name in names)


def _name(schema: LabelSchema, value: Any, codes: bool) -> str:
    if isinstance(value, str) and value in schema.names:
        return value
    if (name := class_of_number(value, schema.names, codes=codes)) is not None:
        return name
    raise DataError(f"`label` {value!r} is not in the schema. Use one of: {', '.join(schema.names)}.")


def _list(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        # Older versions of `datasets` return a list of structs as a struct of lists.
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


def _entity(schema: LabelSchema, item: Any, text: str, codes: bool) -> Entity:
    if isinstance(item, Entity):
        return item
    try:
        start, end, label = int(item["start"]), int(item["end"]), item["label"]
        entity_text = item.get("text") or text[start:end]
    except (KeyError, TypeError, ValueError):
        raise DataError(f"`label` {item!r} is not an entity with `start`, `end` and `label`.") from None
    return Entity(start, end, entity_text, _name(schema, label, codes))


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
                # SQuAD 2 marks an unanswerable question with empty lists.
                return None
            texts, starts = texts[0], starts[0]
        start = int(starts)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise DataError(f"`label` {value!r} is not an answer with `text` and `answer_start`.") from None
    return Span(start, start + len(texts), texts)
