"""Data sets as files: read whatever people have, write what they can open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError

__all__ = ["read_table", "write_table"]

READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


def read_table(path: str | Path) -> Any:
    """The splits of a data file, or of a folder that `save_to_disk` or this package wrote, as a `DatasetDict`.

    Raises:
        DataError: it is not there, or is of no kind that can be read.
    """
    from datasets import DatasetDict, load_dataset, load_from_disk
    from datasets.exceptions import DatasetGenerationError

    place = Path(path)
    if not place.exists():
        raise DataError(f"`data` {str(path)!r} is not there. Give a file ({', '.join(READERS)}) or a folder.")
    try:
        if place.is_dir():
            files = {file.stem: str(file) for file in sorted(place.glob("*.parquet"))}
            if files:
                return load_dataset("parquet", data_files=files)
            if any((place / "data").glob("*.parquet")):
                # As data sets on the Hub are laid out: split and number are in the files' names.
                return load_dataset(str(place))
            loaded = load_from_disk(str(place))
            return loaded if isinstance(loaded, DatasetDict) else DatasetDict({"train": loaded})
        if place.suffix not in READERS:
            raise DataError(f"`data` {place.name!r} is of an unknown kind. Give one of: {', '.join(READERS)}.")
        more = {"delimiter": "\t"} if place.suffix == ".tsv" else {}
        return load_dataset(READERS[place.suffix], data_files=str(place), **more)
    except DataError:
        raise
    except StopIteration:
        # So the reader of JSON ends on a file without a line.
        raise DataError(f"`data` {str(path)!r} has no rows. Give data with rows.") from None
    except (DatasetGenerationError, OSError, ValueError) as error:
        cause = str(error.__cause__ or error).strip().splitlines()
        raise DataError(f"`data` {str(path)!r} can not be read: {cause[0][:200] if cause else type(error)}.") from error


def write_table(splits: Any, path: str | Path) -> list[Path]:
    """Write splits to a file, or to a folder with a Parquet file for each.

    In Parquet the label columns keep their types; in the text formats labels and statuses stand by name, and in CSV
    lists and entities are JSON.

    Raises:
        DataError: several splits for one file, or a kind of file that can not be written.
    """
    place = Path(path)
    if place.suffix == "":
        place.mkdir(parents=True, exist_ok=True)
        written = [place / f"{name}.parquet" for name in splits]
        for file, rows in zip(written, splits.values(), strict=True):
            rows.to_parquet(str(file))
        return written
    if len(splits) > 1:
        raise DataError(f"`output` {place.name!r} is one file for the splits {', '.join(splits)}. Give a folder.")
    rows = next(iter(splits.values()))
    place.parent.mkdir(parents=True, exist_ok=True)
    match place.suffix:
        case ".parquet":
            rows.to_parquet(str(place))
        case ".jsonl":
            _named(rows).to_json(str(place), force_ascii=False)
        case ".csv":
            _named(rows, flat=True).to_csv(str(place))
        case _:
            raise DataError(f"`output` {place.name!r} is of an unknown kind. Give .parquet, .jsonl, .csv or a folder.")
    return [place]


def _named(rows: Any, *, flat: bool = False) -> Any:
    """The same rows with the codes of label columns spelt out, for formats that do not know label types.

    Args:
        rows: a data set.
        flat: whether the format knows no lists, so that they are written as JSON.
    """
    # The stream of names is made column by column; a cast would turn a code into its digits.
    for column, feature in rows.features.items():
        spelt = _spelt(feature)
        nested = flat and (isinstance(feature, dict) or hasattr(feature, "feature"))
        if spelt == feature and not nested:
            continue
        values = [_value(value, feature) for value in rows[column]]
        if nested:
            spelt = _text_type()
            values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        order = rows.column_names
        rows = rows.remove_columns(column).add_column(column, values, feature=spelt)
        rows = rows.select_columns(order)
    return rows


def _spelt(feature: Any) -> Any:
    """A type with texts in place of label codes, however deep they stand."""
    from datasets import ClassLabel, LargeList, List

    if isinstance(feature, ClassLabel):
        return _text_type()
    if isinstance(feature, dict):
        return {name: _spelt(part) for name, part in feature.items()}
    if isinstance(feature, List):
        return List(_spelt(feature.feature), length=feature.length)
    return LargeList(_spelt(feature.feature)) if isinstance(feature, LargeList) else feature


def _value(value: Any, feature: Any) -> Any:
    """A value with names in place of codes; -1 is no label, and so is no name."""
    if value is None:
        return None
    if isinstance(feature, dict):
        return {name: _value(value.get(name), part) for name, part in feature.items()}
    if hasattr(feature, "int2str"):
        return feature.names[value] if value >= 0 else None
    return [_value(item, feature.feature) for item in value] if hasattr(feature, "feature") else value


def _text_type() -> Any:
    from datasets import Value

    return Value("string")
