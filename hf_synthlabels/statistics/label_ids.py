"""Codes: label names as small integers, the form in which every score is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MISSING = -1
"""The code of a row without a label."""

SHOWN = 3


def encode(labels: Sequence[str | None], names: Sequence[str], *, field: str = "labels") -> Ints:
    """Label names as positions in `names`.

    Args:
        labels: one name per row, None for a row without a label.
        names: the label names; their order gives the codes.
        field: what an error calls the labels, for example the name of their column.

    Returns:
        Codes of shape (rows,), `MISSING` where the label is None.

    Raises:
        ConfigError: `names` is empty or has a duplicate.
        DataError: a label is not one of `names`.
    """
    codes: dict[str | None, int] = {name: code for code, name in enumerate(names)}
    if not names or len(codes) != len(names):
        raise ConfigError(f"`names` is {list(names)!r}: give at least one name, and none of them twice.")
    codes[None] = MISSING
    try:
        return np.fromiter((codes[label] for label in labels), dtype=np.int64, count=len(labels))
    except KeyError:
        unknown = Counter(label for label in labels if label not in codes)
        shown = ", ".join(repr(label) for label, _ in unknown.most_common(SHOWN))
        more = f" and {len(unknown) - SHOWN} more values" if len(unknown) > SHOWN else ""
        # Numbers are most often a column that lost its ClassLabel on the way.
        numbers = all(str(label).isdigit() for label in unknown)
        repair = "cast the column to a ClassLabel with them" if numbers else "add to them or correct the rows"
        raise DataError(
            f"`{field}` has {unknown.total():,} rows whose label is not in `names`: {shown}{more}. "
            f"The names are {_some(names)}; {repair}."
        ) from None


def check_level(level: float) -> None:
    """Refuse a confidence level that is not between 0 and 1.

    Raises:
        ConfigError: it is not.
    """
    if not 0 < level < 1:
        raise ConfigError(f"`level` is {level!r}: give a share between 0 and 1, such as 0.95.")


def check_resamples(resamples: int) -> None:
    """Refuse a number of resamples from which no interval can be read.

    Raises:
        ConfigError: there is less than one.
    """
    if resamples < 1:
        raise ConfigError(f"`resamples` is {resamples!r}: give at least 1; 2000 is usual.")


def _some(names: Sequence[str]) -> str:
    """A few of the names, for an error of one line."""
    shown = ", ".join(repr(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
