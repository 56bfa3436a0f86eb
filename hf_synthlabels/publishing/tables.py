"""Data sets as files: read whatever people have, write what they can open."""

from __future__ import annotations

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

    In Parquet the label columns keep their types; in the text formats labels and statuses stand by name.

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
            _named(rows).to_csv(str(place))
        case _:
            raise DataError(f"`output` {place.name!r} is of an unknown kind. Give .parquet, .jsonl, .csv or a folder.")
    return [place]


def _named(rows: Any) -> Any:
    """The same rows with the codes of label columns spelt out, for formats that do not know label types."""
    from datasets import ClassLabel, Value

    # The stream of names is made column by column; a cast would turn a code into its digits.
    for column, feature in rows.features.items():
        if isinstance(feature, ClassLabel):
            names = [None if code is None else feature.names[code] for code in rows[column]]
            order = rows.column_names
            rows = rows.remove_columns(column).add_column(column, names, feature=Value("string"))
            rows = rows.select_columns(order)
    return rows
