"""Human labels of a table: class names or ratings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import Scale
from hf_synthlabels.labels.spelling import normalize_spelling, spelling_note, unknown_labels
from hf_synthlabels.statistics.validation.dataset_columns import read_names

FEWEST = 40
"""Human labels: half of them test, and fewer than twenty tell nothing."""

MAX_NAMES = 100

WHOLE = re.compile(r"-?\d+\.0")


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What a user says of a table."""

    text: str = "text"
    human: str = "label"
    instructions: str = ""
    model: str | None = None
    """TableOptions for labels; without one the packaged encoder guesses them from their names."""
    base_url: str | None = None
    budget_usd: float | None = None
    quick: bool = False
    """Skip the encoder: one minute instead of many."""
    encoding: str | None = None
    separator: str | None = None
    normalize_labels: bool = False
    """Whether human labels that differ only in case or white space are one class."""
    scale: str | None = None
    """`low:high` or `low:high:step`: the labels are numbers on this scale, not names."""


@dataclass(frozen=True, slots=True)
class _Labels:
    """The human labels of a table."""

    n_human: int
    names: tuple[str, ...] = ()
    scale: Scale | None = None
    changed: Dataset | None = None
    """The table with its labels in one spelling, where that is not the one of the file."""
    notes: tuple[str, ...] = ()


def _labels(rows: Dataset, asked: TableOptions) -> _Labels:
    for option, column in (("--text", asked.text), ("--human", asked.human)):
        if column not in rows.column_names:
            raise DataError(
                f"`{option}` is {column!r}, which is no column. Name one of: {', '.join(rows.column_names)}."
            )
    labels = _numbers(rows, asked) if asked.scale is not None else _names(rows, asked)
    if labels.n_human < FEWEST:
        raise DataError(
            f"`--human` {asked.human!r} has a label in {labels.n_human} of {len(rows):,} rows. Label at least {FEWEST} "
            "rows by hand; 250 are usual."
        )
    if labels.scale is None and not 2 <= len(labels.names) <= MAX_NAMES:
        raise DataError(
            f"`--human` {asked.human!r} has {len(labels.names)} different labels. Name a column with 2 to "
            f"{MAX_NAMES}; for numbers give `--scale`, for entities or answers write a recipe and a study file."
        )
    return labels


def _names(rows: Dataset, asked: TableOptions) -> _Labels:
    cells = written = read_names(rows, asked.human)[0]
    changed = None
    if note := spelling_note(cells):
        if not asked.normalize_labels:
            raise DataError(f"`--human` {asked.human!r}: {note[0].lower()}{note[1:]}")
        cells = normalize_spelling(cells)
    given = [name for name in cells if name is not None]
    if given and all(map(WHOLE.fullmatch, given)):
        # pandas writes whole numbers next to blanks as 0.0 and 1.0; an LLM answers 0 and 1.
        cells = [None if name is None else name.removesuffix(".0") for name in cells]
    if cells != written:
        changed = rows.remove_columns(asked.human).add_column(asked.human, cells)
    counts = Counter(name for name in cells if name is not None)
    names = tuple(sorted(counts, key=_number_first))
    notes = [*_slips(cells, counts), *_scale_note(names)]
    return _Labels(counts.total(), names, changed=changed, notes=tuple(notes))


def _slips(cells: Sequence[str | None], counts: Counter[str]) -> list[str]:
    """Names of a single row that are nearly those of many."""
    near = unknown_labels(cells, [name for name, count in counts.items() if count > 1])
    return [
        f"`{label}` is the label of one row and counts as a class. If it is a slip for `{name}`, correct the table."
        for label, (_, name) in near.items()
        if name is not None
    ]


def _scale_note(names: Sequence[str]) -> list[str]:
    """Ratings are numbers, and their order is lost where they are taken as names."""
    if len(names) < 3 or any(_number_first(name)[0] for name in names):
        return []
    return [
        f"The labels are numbers and are taken as names without an order. For ratings give `--scale "
        f"{names[0]}:{names[-1]}`."
    ]


def _numbers(rows: Dataset, asked: TableOptions) -> _Labels:
    scale = _scale(str(asked.scale))
    if asked.model is None:
        raise ConfigError(
            "`--scale` is given without `--model`. Name an LLM: the packaged encoder compares names only."
        )
    count = 0
    for row, value in enumerate(rows[asked.human][:]):
        if value is None or value != value or value == "":
            continue
        try:
            fits = scale.holds(float(value))
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise DataError(
                f"`--human` {asked.human!r} has {value!r} in row {row:,}, which is not on the scale {asked.scale}. "
                "Correct the row or `--scale`."
            )
        count += 1
    return _Labels(count, scale=scale)


def _scale(text: str) -> Scale:
    try:
        low, high, *step = map(float, text.split(":"))
        if len(step) < 2:
            return Scale(low, high, *step)
    except ValueError:
        pass
    raise ConfigError(f"`--scale` is {text!r}. Give `low:high` or `low:high:step`, such as 1:7.")


def _number_first(name: str) -> tuple[bool, float, str]:
    """Numbers by size, then names by letter."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name
