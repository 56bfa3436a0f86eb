"""The values of labels: what a label of each kind is, in Python and in a column."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.digits import number_text
from hf_synthlabels.labels.schema import LabelSchema


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


def decode(
    schema: LabelSchema, value: Any, text: str = "", *, codes: bool = False, vectors: bool = True
) -> Label | None:
    """A label from a column: of this package, or of a data set with human labels; None stays None.

    Names may be names or codes, and a set of names also a vector of zeros and ones. A span may be written the way that
    SQuAD does, with several answers, of which the first is taken; entities may lack their text, which is then cut from
    `text`.

    Args:
        schema: what the label means.
        value: the value of a cell.
        text: the row's text, for entities and spans.
        codes: whether whole numbers are certainly codes, as in a `ClassLabel` column.
        vectors: whether a list may be a vector of zeros and ones; a column with any other list holds none.

    Raises:
        DataError: the value is not in the schema, or has two readings.
    """
    if hasattr(value, "tolist"):
        # Columns of data frames hold arrays and scalars of numpy.
        value = value.tolist()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    match schema.kind:
        case "text-classification" | "text-pair":
            return _name(schema, value, codes)
        case "multi-label":
            return _set(schema, _list(value), codes, vectors and not codes)
        case "text-scale":
            return _number(schema, value)
        case "token-classification":
            return tuple(sorted((_entity(schema, item, text, codes) for item in _list(value)), key=_place))
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


def class_of_number(value: Any, names: Sequence[str], *, codes: bool = False) -> str | None:
    """The class of a whole number: the name that is written so, or the one with that code; None for any other value.

    Args:
        value: a value of a cell; a data frame makes a column of whole numbers one of floats when some are missing.
        names: of all classes.
        codes: whether numbers are certainly codes.

    Raises:
        DataError: both readings exist and differ, as for 1 with the names 1, 2, 3.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    coded = names[value] if 0 <= value < len(names) else None
    if codes or str(value) not in names:
        return coded
    if coded not in (None, str(value)):
        raise DataError(
            f"`label` {value} is the class {str(value)!r} by name and {coded!r} by its code. Write names as text "
            f"({str(value)!r}), or make the column a `ClassLabel`."
        )
    return str(value)


def is_multi_hot(rows: Iterable[Any], classes: int) -> bool:
    """Whether lists of a column are vectors with a 0 or 1 for each class, rather than lists of codes.

    Args:
        rows: the values of the column; None where there is none.
        classes: how many classes there are.

    Raises:
        DataError: both readings are possible in every row.
    """
    lists = [row for row in rows if isinstance(row, Sequence) and not isinstance(row, str)]
    if not lists or not all(len(row) == classes and all(item in (0, 1) for item in row) for row in lists):
        return False
    # A list of codes has none of them twice, and truth values are no codes.
    if any(len(set(row)) < len(row) or any(isinstance(item, bool) for item in row) for row in lists):
        return True
    raise DataError(
        f"`label` {list(lists[0])!r} is a vector with one 0 or 1 per class, or a list of codes. Write the names, or "
        "make the column a list of `ClassLabel`."
    )


def _set(schema: LabelSchema, items: Sequence[Any], codes: bool, vectors: bool) -> tuple[str, ...]:
    numbers = [item for item in items if not isinstance(item, str)]
    if numbers and vectors and is_multi_hot([items], len(schema.names)):
        return tuple(name for name, item in zip(schema.names, items, strict=True) if item)
    names = [_name(schema, item, codes) for item in items]
    if numbers and len(set(names)) < len(names):
        raise DataError(
            f"`label` {list(items)!r} has a code twice. A vector of zeros and ones needs one entry for each of the "
            f"{len(schema.names)} classes."
        )
    return tuple(name for name in schema.names if name in names)


def _name(schema: LabelSchema, value: Any, codes: bool) -> str:
    if isinstance(value, str) and value in schema.names:
        return value
    if (name := class_of_number(value, schema.names, codes=codes)) is not None:
        return name
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


def _entity(schema: LabelSchema, item: Any, text: str, codes: bool) -> Entity:
    if isinstance(item, Entity):
        return item
    try:
        start, end, label = int(item["start"]), int(item["end"]), item["label"]
        shown = item.get("text") or text[start:end]
    except (KeyError, TypeError, ValueError):
        raise DataError(f"`label` {item!r} is not an entity with `start`, `end` and `label`.") from None
    return Entity(start, end, shown, _name(schema, label, codes))


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
