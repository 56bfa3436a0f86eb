"""Rows in whatever form a user has them, as a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from hf_synthlabels.errors import DataError


def as_dataset(rows: Any) -> Any:
    """Rows as a `Dataset`; data sets, streams and dicts of them come back as they are.

    Args:
        rows: a data set, a list of rows, a dict of columns, a data frame, or an Arrow table.

    Raises:
        DataError: they are no table.
    """
    if isinstance(rows, datasets.Dataset | datasets.IterableDataset):
        return rows
    if isinstance(rows, dict) and any(
        isinstance(part, datasets.Dataset | datasets.IterableDataset) for part in rows.values()
    ):
        return rows
    kind = type(rows).__module__.split(".")[0]
    try:
        if isinstance(rows, pa.Table):
            return datasets.Dataset(rows)
        if kind == "pandas" and hasattr(rows, "columns"):
            return datasets.Dataset.from_pandas(rows, preserve_index=False)
        if kind == "polars" and hasattr(rows, "columns"):
            return datasets.Dataset.from_polars(rows)
        if isinstance(rows, list) and rows and all(isinstance(row, Mapping) for row in rows):
            return datasets.Dataset.from_list(rows)
        if isinstance(rows, dict) and rows:
            return datasets.Dataset.from_dict({name: list(values) for name, values in rows.items()})
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"`dataset` cannot be made a table: {reason.rstrip('.')}.") from None
    if isinstance(rows, list | dict) and not rows:
        raise DataError("`dataset` has no rows. Give data with rows.")
    shown = repr(rows) if rows is None or isinstance(rows, str | Path) else f"a {type(rows).__name__}"
    raise DataError(
        f"`dataset` is {shown[:100]}. Give a Dataset, a DatasetDict, a stream, a list of rows, a dict of columns or a "
        "data frame; a file is named in a recipe's `source`, or loaded with `datasets.load_dataset`."
    )
