"""Column types of text tables, inferred from all rows without loss; values of columns as text and names."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.formats import ReadOptions

if TYPE_CHECKING:
    import pyarrow as pa

Converter = tuple[Any, Callable[[Any], Any]]
"""The type of a column, and the function that converts its text cells."""

INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
"""A 64-bit integer. 007 and +1 are identifiers."""
DECIMAL = r"^-?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-][0-9]+)?$"
"""An integer with more digits is an identifier: a float would lose some of them."""
DECIMAL_COMMA = r"^-?(0|[1-9][0-9]*)(,[0-9]+)?$"
FRACTION = r"\.[0-9]*[1-9]"
WRITTEN_FLOAT = r"^-?[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?$"
NESTED = r"(?s)^\s*[\[{].*[\]}]\s*$"

NESTED_KINDS = ("multi-label", "token-classification", "question-answering")
"""Kinds whose labels may be nested. A text label may look like a list, too."""

PATTERNS = {"int": INTEGER, "float": DECIMAL, "comma": DECIMAL_COMMA, "written": WRITTEN_FLOAT, "nested": NESTED}


def header_names(cells: Sequence[str | None], path: Path) -> tuple[str, ...]:
    """Return the column names of a header row; an empty cell becomes `Unnamed: <position>`.

    Raises:
        DataError: A name occurs twice.
    """
    names = [(cell or "").removeprefix("\ufeff") or f"Unnamed: {position}" for position, cell in enumerate(cells)]
    if duplicates := [name for name in names if names.count(name) > 1]:
        raise DataError(f"`data` {path.name!r} has two columns named {duplicates[0]!r}: rename one of them.")
    return tuple(names)


def annotation_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Return the label columns written by this package: those with a status, raw answer and confidence."""
    known = set(names)
    return tuple(name for name in known if {f"{name}_status", f"{name}_raw", f"{name}_confidence"} <= known)


def annotation_types(names: Iterable[str]) -> dict[str, pa.DataType]:
    """Return the types of the companion columns of label columns, which are the same for every kind."""
    import pyarrow as pa

    names = list(names)
    types: dict[str, pa.DataType] = {"inclusion_probability": pa.float64()}
    for column in annotation_columns(names):
        types |= {f"{column}_{part}": pa.string() for part in ("status", "raw", "note")}
        types |= {f"{column}_confidence": pa.float32(), f"{column}_probs": pa.list_(pa.float32())}
        types[f"{column}_tags"] = pa.list_(pa.string())
    return {name: kind for name, kind in types.items() if name in names}


class TextColumns:
    """Type inference over batches of text cells."""

    def __init__(self, names: Sequence[str], options: ReadOptions, kinds: Mapping[str, str]) -> None:
        """Initialize without rows."""
        self._names = list(names)
        self._options = options
        self._kinds = dict(kinds)
        self._own = annotation_columns(names)
        patterns = ["int", "float", "comma", "written", *(["nested"] if self._own else [])]
        self._fits = {name: set(patterns) for name in names}
        self._seen: set[str] = set()
        self._fractions: set[str] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        """Update the candidate types with a batch of text cells."""
        import pyarrow.compute as pc

        for name in batch.schema.names:
            fits = self._fits[name]
            if not fits:
                continue
            cells = batch.column(name).drop_null()
            cells = cells.filter(pc.greater(pc.binary_length(cells), 0))
            if not len(cells):
                continue
            self._seen.add(name)
            for part in (cells.slice(0, 20), cells):
                fits -= {each for each in fits if not pc.all(pc.match_substring_regex(part, PATTERNS[each])).as_py()}
                if not fits:
                    break
            if "float" in fits and pc.any(pc.match_substring_regex(cells, FRACTION)).as_py():
                self._fractions.add(name)

    def nested(self) -> list[str]:
        """Return the columns of JSON lists and objects, whose types `nested_converters` infers."""
        labels = {*self._options.labels, *self._own}
        types = annotation_types(self._names)
        return [
            name
            for name in self._names
            if name in self._seen and "nested" in self._fits[name] and name not in types
            if name not in labels or self._kinds.get(name) in NESTED_KINDS
        ]

    def converters(self, separator: str = ",") -> dict[str, Converter]:
        """Return the type and converter of each column that is not nested."""
        import pyarrow as pa

        types = annotation_types(self._names)
        labels = {*self._options.labels, *self._own}
        numeric = self._labels_are_numbers(labels)
        converters: dict[str, Converter] = {}
        for name in self._names:
            fits = self._fits[name] if name in self._seen else set()
            if name in types:
                converters[name] = _converter(types[name])
            elif name in labels:
                converters[name] = _converter(pa.float64()) if name in numeric else (pa.string(), _without_empty)
            elif "int" in fits:
                converters[name] = _converter(pa.int64())
            elif "float" in fits:
                converters[name] = _converter(pa.float64())
            elif "comma" in fits and separator == ";":
                converters[name] = (pa.float64(), _with_comma)
            else:
                converters[name] = (pa.string(), _unchanged)
        return converters

    def _labels_are_numbers(self, labels: set[str]) -> set[str]:
        """Return the numeric label columns, identified by kind, a fraction or a float written by this package."""
        numeric = {name for name in labels & set(self._names) if name not in self._seen or "float" in self._fits[name]}
        if self._options.numbers:
            return numeric
        kinds = {self._kinds[name] for name in labels if name in self._kinds}
        if len(kinds) > 1:
            # Variables of a codebook may differ in their kinds.
            return {name for name in numeric if self._kinds.get(name) == "text-scale"}
        scale = "text-scale" in kinds or any(name in self._fractions for name in labels)
        scale |= any(
            name in self._seen and "written" in self._fits[name] and name not in self._kinds for name in self._own
        )
        return numeric if scale and not kinds - {"text-scale"} else set()


def _converter(kind: Any) -> Converter:
    import pyarrow as pa

    if pa.types.is_string(kind):
        return kind, _unchanged
    if pa.types.is_list(kind):
        return kind, lambda cells: pa.array(_values(cells), kind)
    return (
        kind,
        lambda cells: _without_empty(cells).cast(pa.float64() if pa.types.is_floating(kind) else kind).cast(kind),
    )


def _unchanged(cells: Any) -> Any:
    return cells


def _without_empty(cells: Any) -> Any:
    """Replace quoted empty cells by null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)


def _with_comma(cells: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.replace_substring(_without_empty(cells), ",", ".").cast(pa.float64())


def _values(cells: Any) -> list[Any]:
    return [None if not cell else json.loads(cell) for cell in cells.to_pylist()]


def nested_converters(batches: Iterable[pa.RecordBatch], names: Sequence[str]) -> dict[str, Converter]:
    """Return types and converters of JSON columns, inferred from all cells.

    A column stays text if a cell is not valid JSON or no type fits all cells.
    """
    import pyarrow as pa

    types = dict.fromkeys(names, pa.null())
    for batch in batches:
        for name in names:
            if pa.types.is_string(types[name]):
                continue
            try:
                schemas = [pa.schema([(name, kind)]) for kind in (types[name], pa.array(_values(batch[name])).type)]
                types[name] = pa.unify_schemas(schemas, promote_options="permissive").field(name).type
            except (ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException):
                types[name] = pa.string()
    return {name: _nested(kind) for name, kind in types.items()}


def _nested(kind: pa.DataType) -> Converter:
    import pyarrow as pa

    if pa.types.is_string(kind):
        return kind, _unchanged
    return kind, lambda cells: pa.array([as_type(value, kind) for value in _values(cells)], kind)


def as_type(value: Any, kind: pa.DataType) -> Any:
    """Convert a JSON value to its column's type."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_string(kind):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        # A lone surrogate is valid in JSON but not in UTF-8.
        return text.encode("utf-8", "replace").decode()
    if pa.types.is_list(kind):
        return [as_type(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: as_type(value.get(field.name), field.type) for field in kind}
    return float(value) if pa.types.is_floating(kind) else value


def cell_text(value: Any) -> str:
    """Return a value other than a text as a text cell."""
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def named_rows(table: pa.Table, features: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table as Python values, with label names instead of codes at any depth."""
    coded = {name: feature for name, feature in features.items() if _has_codes(feature)}
    for row in table.to_pylist():
        for name, feature in coded.items():
            row[name] = named_value(feature, row[name])
        yield row


def _has_codes(feature: Any) -> bool:
    if isinstance(feature, dict):
        return any(_has_codes(part) for part in feature.values())
    return hasattr(feature, "int2str") or (hasattr(feature, "feature") and _has_codes(feature.feature))


def named_value(feature: Any, value: Any) -> Any:
    """Return a value with label names instead of codes; -1 is a missing label."""
    if value is None:
        return None
    if isinstance(feature, dict):
        return {key: named_value(part, value.get(key)) for key, part in feature.items()}
    if hasattr(feature, "int2str"):
        return feature.names[value] if value >= 0 else None
    if not hasattr(feature, "feature"):
        return value
    items = [named_value(feature.feature, item) for item in value]
    if hasattr(feature.feature, "int2str"):
        names = [name for name in items if name is not None]
        return names if names or not items else None
    return items
