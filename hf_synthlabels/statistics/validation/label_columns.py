"""Labels of a column as plain values, for every task type and form."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import Entity, Kind, LabelSchema, Scale, Span, decode, from_bio, to_bio, token_offsets
from hf_synthlabels.labels.values import is_multi_hot
from hf_synthlabels.statistics.agreement.answers import Located
from hf_synthlabels.statistics.agreement.entities import Place
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.statistics.validation.dataset_columns import Table, class_names, column_feature, column_values

SHOWN = 60

OPENINGS = {"multi-label": "[", "token-classification": "[", "question-answering": "{"}
"""How a cell of JSON begins; texts that were written may be JSON themselves."""


@dataclass(frozen=True)
class LabelColumn:
    """A column of labels before it is read."""

    name: str
    values: list[Any]
    names: Sequence[str] | None
    """Those of its ClassLabel, if it has one: numbers are codes of them."""

    @property
    def holds_tags(self) -> bool:
        """Whether it is a tag for each token instead of entities."""
        first = next((item for value in self.values if isinstance(value, list) for item in value), None)
        return isinstance(first, str | int)

    @functools.cached_property
    def width(self) -> int | None:
        """The length of its lists where all have the same one and hold only zeros and ones; None otherwise."""
        lists = [value for value in self.values if isinstance(value, list)]
        widths = {len(value) for value in lists if all(item in (0, 1) for item in value)}
        same = len(widths) == 1 and all(
            len(value) in widths and all(item in (0, 1) for item in value) for value in lists
        )
        return widths.pop() if same else None

    def is_multi_hot(self, names: Sequence[str]) -> bool:
        """Whether its lists are vectors with a 0 or 1 for each name; decided for the whole column.

        Raises:
            DataError: they may as well be lists of codes.
        """
        if self.names is not None or self.width != len(names):
            return False
        if len(names) > 2:
            # So many codes of 0 and 1 would have one of them twice.
            return True
        return is_multi_hot(self.values, len(names))


def label_column(dataset: Table, column: str, kind: str) -> LabelColumn:
    """Open a column of labels; cells of JSON, such as lists in a CSV file, are read unless labels are texts."""
    values = [_of_cell(value, OPENINGS.get(kind, "")) for value in column_values(dataset, column)]
    return LabelColumn(column, values, class_names(column_feature(dataset, column)))


def label_names(columns: Sequence[LabelColumn], kind: str) -> list[str]:
    """The label names of the first ClassLabel among the columns, or else all that occur, sorted."""
    for column in columns:
        if column.names:
            return _without_tags(column.names) if kind == "token-classification" else list(column.names)
    names: set[str] = set()
    for column in columns:
        items = [item for value in column.values if isinstance(value, list) for item in value]
        labels = [item.get("label") if isinstance(item, Mapping) else item for item in items]
        texts = [label for label in labels if isinstance(label, str)]
        tags = kind == "token-classification" and column.holds_tags
        names |= set(_without_tags(texts) if tags else texts)
    if not names:
        shown = " and ".join(f"`{column.name}`" for column in columns)
        raise DataError(f"{shown} hold no label name in any row: give `names`.")
    return sorted(names)


def read_label(
    column: LabelColumn, row: int, kind: str, names: Sequence[str], scale: Scale | None, tokens: Sequence[str] | None
) -> Any:
    """The label of one row; None where there is none.

    Returns:
        A tuple of names (multi-label), a number (text-scale), a tuple of places (token-classification), a tuple of
        answers with their places (question-answering) or a tuple of texts (text-generation).

    Raises:
        DataError: the value is not of that kind, or not in the schema.
    """
    value = column.values[row]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        match kind:
            case "multi-label":
                if isinstance(value, list) and column.is_multi_hot(names):
                    return tuple(name for name, item in zip(names, value, strict=True) if item)
                codes = column.names is not None
                label = decode(_schema("multi-label", tuple(column.names or names)), value, codes=codes, vectors=False)
                return _checked(tuple(map(str, label)), names) if isinstance(label, tuple) else None
            case "text-scale":
                return _number(value, column, scale)
            case "token-classification":
                return _places(value, column, names, tokens)
            case "question-answering":
                return _answers(value) or None
            case _:
                return _texts(value) or None
    except DataError as error:
        reason = str(error).removeprefix("`label` ")
        raise DataError(f"`{column.name}` in row {row:,}: {reason}") from None


def read_tokens(dataset: Table, column: str) -> list[list[str]]:
    """The tokens of each row, which must be lists of texts."""
    rows = [_of_cell(value, "[") for value in column_values(dataset, column)]
    for row, tokens in enumerate(rows):
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise DataError(f"`{column}` in row {row:,}: {_short(tokens)} is not a list of texts. Name another column.")
    return rows


def bio_tags(tokens: Sequence[str], places: Sequence[Place] | None) -> list[str] | None:
    """The tag of each token; None for no label."""
    if places is None:
        return None
    return to_bio(token_offsets(tokens), [Entity(start, end, "", label) for start, end, label in places])


@functools.cache
def _schema(kind: Kind, names: tuple[str, ...] = ()) -> LabelSchema:
    return LabelSchema(kind=kind, names=names)


def _of_cell(value: Any, opening: str) -> Any:
    """The value of a cell that holds JSON, as a CSV file holds lists; any other as it is."""
    if opening and isinstance(value, str) and value.startswith(opening):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _number(value: Any, column: LabelColumn, scale: Scale | None) -> float | None:
    if column.names is not None and isinstance(value, int):
        if value == MISSING:
            return None
        try:
            value = float(column.names[value])
        except (ValueError, IndexError):
            raise DataError(
                f"{value!r} is the code of a name that is not a number. Give a column of numbers."
            ) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isinf(value):
        raise DataError(f"{_short(value)} is not a number. Give a column of numbers, and None for no label.")
    if scale is not None and not scale.low <= value <= scale.high:
        raise DataError(f"{value!r} is not on the scale {scale}. Correct the row or the scale.")
    return float(value)


def _places(value: Any, column: LabelColumn, names: Sequence[str], tokens: Sequence[str] | None) -> tuple[Place, ...]:
    if isinstance(value, list) and value and all(isinstance(item, str | int) for item in value):
        entities = _of_tags(
            [column.names[item] if isinstance(item, int) and column.names else item for item in value], tokens
        )
    else:
        own = names if column.holds_tags else column.names or names
        decoded = decode(_schema("token-classification", tuple(own)), value, codes=column.names is not None)
        assert isinstance(decoded, tuple)
        entities = tuple(item for item in decoded if isinstance(item, Entity))
    _checked([entity.label for entity in entities], names)
    for entity in entities:
        if not 0 <= entity.start < entity.end:
            raise DataError(f"an entity goes from {entity.start} to {entity.end}. Give 0 <= start < end.")
    return tuple((entity.start, entity.end, entity.label) for entity in entities)


def _of_tags(tags: Sequence[Any], tokens: Sequence[str] | None) -> tuple[Entity, ...]:
    if not all(isinstance(tag, str) and (tag == "O" or tag[:2] in ("B-", "I-")) for tag in tags):
        raise DataError(f"{_short(list(tags))} is neither entities nor BIO tags: give entities, or O, B-x and I-x.")
    if tokens is None:
        raise DataError("`tokens` is required for tags: name the column with the tokens.")
    if len(tags) != len(tokens):
        raise DataError(f"{len(tags)} tags for {len(tokens)} tokens: give one tag per token.")
    return from_bio(token_offsets(tokens), tags)


def _answers(value: Any) -> tuple[Located, ...]:
    """One or several answers: texts, or texts with the place where they begin."""
    if isinstance(value, str):
        return ((value, -1),)
    if isinstance(value, list):
        return tuple(answer for item in value for answer in _answers(item))
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        starts = value.get("answer_start", value.get("start"))
        if not isinstance(starts, list) or len(starts) != len(value["text"]):
            starts = [None] * len(value["text"])
        singles = zip(value["text"], starts, strict=True)
        return tuple(answer for text, start in singles for answer in _answers({"text": text, "start": start}))
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        start = value.get("answer_start", value.get("start"))
        if start is None:
            return ((value["text"], -1),)
        span = decode(_schema("question-answering"), {"text": value["text"], "start": start})
        assert isinstance(span, Span)
        return ((span.text, span.start),)
    raise DataError(f"{_short(value)} is not an answer. Give a text, or `text` and `answer_start`.")


def _texts(value: Any) -> tuple[str, ...]:
    """One text or several."""
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        decode(_schema("text-generation"), text)
    return tuple(str(text) for text in texts)


def _checked(labels: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    for name in labels:
        if name not in names:
            raise DataError(f"{name!r} is not one of the names: {', '.join(names[:8])}. Add it or correct the row.")
    return tuple(labels)


def _without_tags(tags: Sequence[str]) -> list[str]:
    """The label names of B- and I- tags, in their order; names that are no tags as they are."""
    if not any(tag[:2] in ("B-", "I-") for tag in tags):
        return list(tags)
    return list(dict.fromkeys(tag[2:] for tag in tags if tag[:2] in ("B-", "I-")))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
