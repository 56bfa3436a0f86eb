"""ReviewOptions: which rows are annotated, and what is shown with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """Options of a review; None means taken from the recipe or the columns."""

    recipe: str | None = None
    split: str | None = None
    text: tuple[str, ...] = ()
    human: str | None = None
    llm: str | None = None
    kind: str | None = None
    scale: str | None = None
    tokens: str | None = None
    question: str | None = None
    context: str | None = None
    show_columns: tuple[str, ...] = ()
    """Additional columns to show."""
    all_rows: bool = False
    """Annotate all rows, sampled or not."""
    relabel: bool = False
    """Include rows that already have a human label."""
    seed: int = 0
    """Seed of the row order."""
    encoding: str | None = None
    separator: str | None = None

    def or_else(self, earlier: Mapping[str, Any]) -> ReviewOptions:
        """These options, with earlier values for those that have their default."""
        defaults = asdict(ReviewOptions())
        values: dict[str, Any] = {name: value for name, value in earlier.items() if name in defaults}
        values |= {name: value for name, value in asdict(self).items() if value != defaults[name]}
        for name, value in values.items():
            # JSON has no tuples.
            values[name] = tuple(value) if isinstance(value, list) else value
        return ReviewOptions(**values)


def default_store(data: str) -> Path:
    """File of the decisions: next to the data, or in the current folder for a packaged recipe."""
    path = Path(data)
    return path.with_name(f"{path.name}.review.sqlite")
