"""Column types of tables of text, decided from every row: numbers where nothing is lost by it, else text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_synthlabels.tables.formats import ReadOptions

if TYPE_CHECKING:
    import pyarrow as pa

Converter = tuple[Any, Callable[[Any], Any]]
"""The type of a column, and the function that converts its cells from texts to it."""

INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
"""What is written as an integer of 64 bits; 007 and +1 are codes."""
DECIMAL = r"^-?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-][0-9]+)?$"
"""An integer of more digits is a code: a float would not hold all of them."""
DECIMAL_COMMA = r"^-?(0|[1-9][0-9]*)(,[0-9]+)?$"
FRACTION = r"\.[0-9]*[1-9]"
WRITTEN_FLOAT = r"^-?[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?$"
NESTED = r"(?s)^\s*[\[{].*[\]}]\s*$"

NESTED_KINDS = ("multi-label", "token-classification", "question-answering")
"""A label that is a text may look like a list, too."""

PATTERNS = {"int": INTEGER, "float": DECIMAL, "comma": DECIMAL_COMMA, "written": WRITTEN_FLOAT, "nested": NESTED}


def annotation_columns(names: Iterable[str]) -> tuple[str, ...]:
    """The label columns that this package wrote into a table: those with a status and a raw answer beside them."""
    known = set(names)
    return tuple(name for name in known if {f"{name}_status", f"{name}_raw", f"{name}_confidence"} <= known)


def annotation_types(names: Iterable[str]) -> dict[str, pa.DataType]:
    """The types of the columns beside each label column, which do not depend on the kind of label."""
    import pyarrow as pa

    names = list(names)
    types: dict[str, pa.DataType] = {"inclusion_probability": pa.float64()}
    for column in annotation_columns(names):
        types |= {f"{column}_{part}": pa.string() for part in ("status", "raw", "reason")}
        types |= {f"{column}_confidence": pa.float32(), f"{column}_probs": pa.list_(pa.float32())}
        types[f"{column}_tags"] = pa.list_(pa.string())
    return {name: kind for name, kind in types.items() if name in names}


class TextColumns:
    """What the cells of each column have in common; `add` sees every batch before `schema` decides."""

    def __init__(self, names: Sequence[str], options: ReadOptions, kinds: Mapping[str, str]) -> None:
        """Begin without a row.

        Args:
            names: of the columns.
            options: which of them are labels.
            kinds: the kind of label of label columns, where provenance tells it.
        """
        self._names = list(names)
        self._options = options
        self._kinds = dict(kinds)
        self._own = annotation_columns(names)
        patterns = ["int", "float", "comma", "written", *(["nested"] if self._own else [])]
        self._fits = {name: set(patterns) for name in names}
        self._seen: set[str] = set()
        self._fractions: set[str] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        """Look at the cells of a batch, all of them texts."""
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
        """The columns of lists and structures in JSON, whose types `nested_converters` decides."""
        labels = {*self._options.labels, *self._own}
        types = annotation_types(self._names)
        return [
            name
            for name in self._names
            if name in self._seen and "nested" in self._fits[name] and name not in types
            if name not in labels or self._kinds.get(name) in NESTED_KINDS
        ]

    def converters(self, separator: str = ",") -> dict[str, Converter]:
        """The type of each column that is not nested, and what makes it of a column of texts."""
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
        """The label columns that hold numbers: of a scale, as its kind, a fraction or a written float shows."""
        able = {name for name in labels & set(self._names) if name not in self._seen or "float" in self._fits[name]}
        if self._options.numbers:
            return able
        kinds = {self._kinds[name] for name in labels if name in self._kinds}
        scale = "text-scale" in kinds or any(name in self._fractions for name in labels)
        scale |= any(
            name in self._seen and "written" in self._fits[name] and name not in self._kinds for name in self._own
        )
        return able if scale and not kinds - {"text-scale"} else set()


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
    """Null for a cell with nothing between its quotation marks."""
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
    """The types of columns of JSON, decided from all of their cells, and what makes them of texts.

    A column stays text if a cell is not valid JSON, or if no type holds all of its cells.
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
    """A JSON value in the form that its column's type needs."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_string(kind):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        # Half of a surrogate pair is valid JSON and no text.
        return text.encode("utf-8", "replace").decode()
    if pa.types.is_list(kind):
        return [as_type(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: as_type(value.get(field.name), field.type) for field in kind}
    return float(value) if pa.types.is_floating(kind) else value
