"""KindAgreement: what the agreement of any kind of label comes to, and tables that show where labels differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.statistics.agreement.classification import ClassAgreement
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.text_tables import align


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A small table that shows at one look where predicted and human labels differ."""

    head: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    """Texts are flush left and numbers flush right, those that are not whole with two decimals; None is no number."""

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The table, in parts where it is wider than a terminal."""
        cells = [self.head, *(tuple(map(_cell, row)) for row in self.rows)]
        numbers = {
            place for place in range(len(self.head)) if not any(isinstance(row[place], str) for row in self.rows)
        }
        return align(cells, right=numbers, width=width)

    def to_dict(self) -> dict[str, Any]:
        """The head and the rows as lists."""
        return {"head": list(self.head), "rows": [list(row) for row in self.rows]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Breakdown:
        """The table that `to_dict` wrote."""
        return cls(tuple(values["head"]), tuple(tuple(row) for row in values["rows"]))


@dataclass(frozen=True, slots=True)
class KindAgreement:
    """How far predicted labels of one kind agree with human ones."""

    scores: Mapping[str, Interval]
    """By name, in the order of `MEASURES`."""
    classes: tuple[ClassAgreement, ...] = ()
    """For each label name, where the kind has names."""
    breakdowns: tuple[Breakdown, ...] = ()
    notes: tuple[str, ...] = ()
    """What must be known to read the scores, for example how rows without a prediction enter them."""


def _cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
