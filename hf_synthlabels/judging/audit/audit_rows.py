"""AuditRows: the scores that are audited, beside what humans said, as codes and numbers."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Codes:
    """A column of names as numbers from 0, in the order in which the names first occur."""

    values: Ints
    names: tuple[str, ...]

    @classmethod
    def of(cls, column: Sequence[Hashable]) -> Codes:
        """Code a column."""
        known: dict[Hashable, int] = {}
        values = np.fromiter((known.setdefault(value, len(known)) for value in column), np.int64, len(column))
        return cls(values, tuple(str(name) for name in known))

    def __getitem__(self, kept: Any) -> Codes:
        """The chosen rows; the names stay, so that codes of different choices can be compared."""
        return Codes(self.values[kept], self.names)


@dataclass(frozen=True, slots=True)
class AuditRows:
    """One row for each score: the score, the human one, and where it is from; all columns of the same length."""

    scores: Floats
    """nan where there is none."""
    human: Floats
    tasks: Codes
    clusters: Codes
    """What is drawn together: the source document, the question."""
    formats: Codes | None = None
    systems: Codes | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, kept: Any) -> AuditRows:
        """The chosen rows; the names stay."""
        return AuditRows(
            self.scores[kept],
            self.human[kept],
            self.tasks[kept],
            self.clusters[kept],
            None if self.formats is None else self.formats[kept],
            None if self.systems is None else self.systems[kept],
        )

    @property
    def scored(self) -> Bools:
        """Which rows have a score."""
        out: Bools = ~np.isnan(self.scores)
        return out

    def with_scores(self, scores: Floats) -> AuditRows:
        """The same rows with another metric's scores."""
        return replace(self, scores=scores)

    @classmethod
    def from_columns(
        cls,
        scores: Sequence[float | None],
        human: Sequence[float | None],
        tasks: Sequence[Hashable],
        *,
        items: Sequence[Hashable] | None = None,
        formats: Sequence[Hashable] | None = None,
        systems: Sequence[Hashable] | None = None,
    ) -> AuditRows:
        """Read columns; rows without a human score are kept out.

        Args:
            scores: what is audited, from 0 (worst) to 1 (best); None or nan where there is no score.
            human: the human score on the same scale; None or nan where there is none.
            tasks: which task a row belongs to.
            items: the source document or question of a row; without it each row stands alone.
            formats: the format of the answer, or of the judge's prompt.
            systems: who wrote the answer.

        Raises:
            DataError: lengths differ, a number is no number or not from 0 to 1, or a name is missing.
        """
        n = len(scores)
        given = {"human": human, "tasks": tasks, "items": items, "formats": formats, "systems": systems}
        for name, column in given.items():
            if column is not None and len(column) != n:
                raise DataError(f"`{name}` has {len(column)} rows and `scores` {n}: give one for each.")
        truth = numbers("human", human)
        rows = cls(
            numbers("scores", scores),
            truth,
            _names("tasks", tasks),
            Codes.of(range(n)) if items is None else _names("items", items),
            None if formats is None else _names("formats", formats),
            None if systems is None else _names("systems", systems),
        )
        return rows[~np.isnan(truth)]


def numbers(name: str, column: Sequence[Any], *, unit: bool = True) -> Floats:
    """A column of numbers; None, nan and infinite ones become nan.

    Numbers are rounded to 12 places, so that means of the same draws in another order are equal.

    Raises:
        DataError: one is no number, or, with `unit`, not from 0 to 1.
    """
    out = np.full(len(column), np.nan)
    for place, value in enumerate(column):
        if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            # A scalar of torch or numpy.
            value = value.item()
        if value is None:
            continue
        if not isinstance(value, float | int | np.number | np.bool_):
            raise DataError(f"`{name}` has {value!r} in row {place}: give numbers, and None where there is none.")
        out[place] = round(float(value), 12) if math.isfinite(value) else np.nan
    wrong = np.flatnonzero((out < 0) | (out > 1)) if unit else np.empty(0, dtype=np.int64)
    if wrong.size:
        raise DataError(
            f"`{name}` has {out[wrong[0]]!s} in row {wrong[0]}: give scores from 0 (worst) to 1 (best); "
            "(score - lowest) / (highest - lowest) makes them so."
        )
    return out


def _names(name: str, column: Sequence[Hashable]) -> Codes:
    for place, value in enumerate(column):
        if value is None:
            raise DataError(f"`{name}` has None in row {place}: name it for every row.")
    return Codes.of(column)
