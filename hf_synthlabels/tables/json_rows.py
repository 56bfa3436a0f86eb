"""JSON and JSON Lines files; types are inferred from all rows, and dates stay text."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.columns import annotation_types, as_type
from hf_synthlabels.tables.formats import detect_encoding, format_suffix, open_binary

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 1 << 24
MAX_EXACT = 2**53


def json_schema(files: Sequence[Path], encoding: str | None) -> pa.Schema:
    """Infer the schema of all rows of some files; a column with texts and numbers becomes text.

    Raises:
        DataError: A file is not JSON, or a row is not an object.
    """
    import pyarrow as pa

    row_type = pa.struct([])
    for file in files:
        for block in _blocks(file, encoding):
            row_type = _merged(row_type, _row_type(file, block))
    types = {field.name: field.type for field in row_type}
    if not types:
        raise DataError(f"`data` {str(files[0])!r} has no rows.")
    known = annotation_types(types)
    return pa.schema(
        [(name, known.get(name) if _unknown(kind) and name in known else _filled(kind)) for name, kind in types.items()]
    )


def json_batches(files: Sequence[Path], schema: pa.Schema, encoding: str | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some files with the types of a schema."""
    for file in files:
        for block in _blocks(file, encoding):
            yield from _table(file, block, schema).to_batches()


def _blocks(file: Path, encoding: str | None) -> Iterator[bytes | list[Any]]:
    """Yield blocks of complete lines as UTF-8, or the list of objects in a file."""
    name = detect_encoding(file, encoding)
    with open_binary(file) as raw:
        start = raw.read(256).decode(name, errors="ignore").lstrip("\ufeff \t\r\n")
    with open_binary(file) as raw:
        if start.startswith("[") or _is_one_object(file, name, start):
            yield _objects(file, raw.read().decode(name))
        else:
            yield from _line_blocks(raw, name)


def _is_one_object(file: Path, encoding: str, start: str) -> bool:
    """Whether a file is one object, not one object per line."""
    if not start.startswith("{"):
        return False
    with open_binary(file) as raw, io.TextIOWrapper(raw, encoding=encoding) as lines:
        first = next((line for line in lines if line.strip()), "")
    try:
        # `{"data": [...]}` on one line is also a table.
        value = json.loads(first)
    except ValueError:
        return format_suffix(file) == ".json"
    return format_suffix(file) == ".json" and _inner_rows(value) is not None


def _inner_rows(value: Any) -> list[Any] | None:
    """Return the list of objects that is an object's only value."""
    lists = [part for part in value.values() if isinstance(part, list) and part and isinstance(part[0], dict)]
    return lists[0] if len(value) == 1 and lists else None


def _objects(file: Path, text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(f"`data` {file.name!r} is not valid JSON: {error}.") from None
    rows = value if isinstance(value, list) else _inner_rows(value) if isinstance(value, dict) else None
    if rows is None:
        raise DataError(f"`data` {file.name!r} is not a list of objects: use JSON Lines, with one object per line.")
    return rows


def _line_blocks(raw: IO[bytes], encoding: str) -> Iterator[bytes]:
    if encoding not in ("utf-8", "utf-8-sig"):
        text = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
        while part := text.read(BLOCK):
            yield (part + text.readline()).encode()
        return
    if encoding == "utf-8-sig":
        raw.read(3)
    while chunk := raw.read(BLOCK):
        yield chunk + raw.readline()


def _rows(file: Path, block: bytes | list[Any]) -> list[dict[str, Any]]:
    """Return the objects of a block."""
    if isinstance(block, bytes):
        rows = []
        # splitlines() would also split at U+2028, which JSON allows in strings.
        for line in block.split(b"\n"):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except ValueError as error:
                    shown = line.decode(errors="replace")[:60]
                    raise DataError(f"`data` {file.name!r} has an invalid JSON line: {shown!r} ({error}).") from None
    else:
        rows = block
    if invalid := [row for row in rows if not isinstance(row, dict)]:
        raise DataError(f"`data` {file.name!r} must have an object for each row, got {str(invalid[0])[:60]!r}.")
    return rows


def _row_type(file: Path, block: bytes | list[Any]) -> pa.DataType:
    """Return the struct type that fits all rows of a block."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    if isinstance(block, bytes):
        if not block.strip():
            return pa.struct([])
        try:
            size = arrow_json.ReadOptions(block_size=len(block) + 1)
            table = arrow_json.read_json(pa.BufferReader(block), size)
            if not any(_has_large_number(column) for column in table.columns):
                return pa.struct(list(table.schema))
        except pa.ArrowException:
            pass
    return _merged_types(_rows(file, block), pa.struct([]))


def _has_large_number(column: Any) -> bool:
    """Whether a float column has numbers beyond the exact integer range of a float."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return False
    return bool(pc.any(pc.greater_equal(pc.abs(column), MAX_EXACT)).as_py())


def _type_of(value: Any) -> pa.DataType:
    import pyarrow as pa

    match value:
        case None:
            return pa.null()
        case bool():
            return pa.bool_()
        case int():
            return pa.int64() if -(2**63) <= value < 2**63 else pa.string()
        case float():
            return pa.float64()
        case list():
            return pa.list_(_merged_types(value, pa.null()))
        case dict():
            return pa.struct([(name, _type_of(part)) for name, part in value.items()])
        case _:
            return pa.string()


def _merged_types(values: Iterable[Any], kind: pa.DataType) -> pa.DataType:
    for value in values:
        kind = _merged(kind, _type_of(value))
    return kind


def _merged(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """Return a type that fits the values of both, else text."""
    import pyarrow as pa

    first, second = (pa.string() if pa.types.is_timestamp(kind) else kind for kind in (first, second))
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    numbers = [pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (first, second)]
    if all(numbers):
        return pa.float64()
    if pa.types.is_list(first) and pa.types.is_list(second):
        return pa.list_(_merged(first.value_type, second.value_type))
    if pa.types.is_struct(first) and pa.types.is_struct(second):
        fields = {field.name: field.type for field in first}
        for field in second:
            fields[field.name] = _merged(fields[field.name], field.type) if field.name in fields else field.type
        return pa.struct(list(fields.items()))
    return pa.string()


def _unknown(kind: pa.DataType) -> bool:
    """Whether the type is null, or a number that a narrower type may hold."""
    import pyarrow as pa

    return bool(pa.types.is_null(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind)) or (
        pa.types.is_list(kind) and _unknown(kind.value_type)
    )


def _filled(kind: pa.DataType) -> pa.DataType:
    """Replace null and timestamp types by text, at any depth."""
    import pyarrow as pa

    if pa.types.is_null(kind) or pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_filled(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _filled(field.type)) for field in kind])
    return kind


def _table(file: Path, block: bytes | list[Any], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    if isinstance(block, bytes):
        if not block.strip():
            return schema.empty_table()
        try:
            return arrow_json.read_json(
                pa.BufferReader(block),
                arrow_json.ReadOptions(block_size=len(block) + 1),
                arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
            ).select(schema.names)
        except pa.ArrowException:
            pass
    rows = _rows(file, block)
    return pa.table([pa.array(_column(rows, field), field.type) for field in schema], schema=schema)


def _column(rows: Iterable[Mapping[str, Any]], field: pa.Field) -> list[Any]:
    return [as_type(row.get(field.name), field.type) for row in rows]
