"""Splits by their spellings in `datasets`, such as `train[:10]` and `train+test`; of tables and of streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_synthlabels.errors import DataError


def select_splits(
    splits: Mapping[str, Any], spelling: str | None, rows: int | None = None, *, field: str = "source.split"
) -> dict[str, Any]:
    """The splits that a spelling names, each under its own name and with the rows that are wanted of it.

    Args:
        splits: every split, as a `Dataset` or an `IterableDataset`.
        spelling: as `load_dataset` takes it; None for every split.
        rows: the first so many of each split; None for all of them.
        field: how errors name the spelling.

    Raises:
        DataError: a split does not exist, the spelling cannot be read, or `rows` is not positive.
    """
    if rows is not None and rows < 1:
        raise DataError(f"`rows` is {rows}. Give a number of rows, at least 1.")
    chosen: dict[str, Any] = {}
    for part in _parts(splits, spelling, field):
        selected = _sliced(splits[part.splitname], part, spelling, field)
        if part.splitname in chosen:
            from datasets import concatenate_datasets

            selected = concatenate_datasets([chosen[part.splitname], selected])
        chosen[part.splitname] = selected
    return chosen if rows is None else {name: _first(part, rows) for name, part in chosen.items()}


def base_names(spelling: str) -> list[str]:
    """The names of the splits in a spelling, each once."""
    from datasets import ReadInstruction

    try:
        parts = ReadInstruction.from_spec(spelling)._relative_instructions  # there is no public way to read one
    except (AssertionError, ValueError):
        return [spelling]
    return list(dict.fromkeys(part.splitname for part in parts))


def _parts(splits: Mapping[str, Any], spelling: str | None, field: str) -> list[Any]:
    from datasets import ReadInstruction

    if spelling is None or spelling == "all" or spelling in splits:
        names = [spelling] if spelling in splits else list(splits)
        return [part for name in names for part in ReadInstruction(name)._relative_instructions]
    known = f"Choose one of: {', '.join(splits)}; slices such as {next(iter(splits))}[:100] are possible."
    try:
        parts = list(ReadInstruction.from_spec(spelling)._relative_instructions)
    except (AssertionError, ValueError):
        raise DataError(f"`{field}` is {spelling!r}, which is not a split. {known}") from None
    for part in parts:
        if part.splitname not in splits:
            raise DataError(f"`{field}` is {spelling!r}, and there is no split {part.splitname!r}. {known}")
    return parts


def _sliced(rows: Any, part: Any, spelling: str | None, field: str) -> Any:
    """The rows of one split that a part of a spelling names."""
    from datasets import IterableDataset, ReadInstruction

    if part.from_ is None and part.to is None:
        return rows
    if not isinstance(rows, IterableDataset):
        wanted = ReadInstruction(part.splitname, part.rounding, part.from_, part.to, part.unit)
        try:
            (found,) = wanted.to_absolute({part.splitname: len(rows)})
        except ValueError as error:
            raise DataError(f"`{field}` is {spelling!r}: {error}") from None
        return rows.select(range(found.from_, max(found.from_, found.to)))
    start, stop = part.from_ or 0, part.to
    if part.unit == "%" or start < 0 or (stop is not None and stop < 0):
        raise DataError(
            f"`{field}` is {spelling!r}, but a stream does not know how many rows it has. Count from the start, as in "
            f"{part.splitname}[:100], or do not stream."
        )
    rows = rows.skip(start) if start else rows
    return rows if stop is None else rows.take(max(0, stop - start))


def _first(rows: Any, count: int) -> Any:
    from datasets import IterableDataset

    return rows.take(count) if isinstance(rows, IterableDataset) else rows.select(range(min(count, len(rows))))
