"""Training, test and validation rows of a task, and the training order of each seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.errors import DataError, StudyError
from hf_synthlabels.studies.config_sections import Part, TaskKeys
from hf_synthlabels.studies.tasks.rows import human_values, select_rows, shared_texts

Places = NDArray[np.int64]
TRAIN, TEST, VALIDATION = "train", "test", "validation"


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The rows of a task in three parts that share none."""

    train: Dataset
    test: Dataset
    validation: Dataset | None
    n_unlabelled: int
    """Rows that were to be tested on and have no human label; they are left out."""
    n_shared: int
    """Training rows whose text is also among the test or validation rows; left out unless the study keeps them."""
    n_shown: int = 0
    """Rows with a human label that neither test nor validate, because an annotator is shown them as examples."""


def split_rows(
    task: str,
    keys: TaskKeys,
    recipe: Recipe,
    splits: Mapping[str, Dataset],
    seed: int,
    *,
    shown: Set[str] = frozenset(),
    trains: bool = True,
) -> Parts:
    """The three parts, drawn with a seed where numbers of rows are given.

    Test rows are chosen first, validation rows among what is left, and training rows are the rest of their selection.

    Args:
        task: names the task in errors.
        keys: of the task.
        recipe: names text and human columns.
        splits: the data set.
        seed: draws rows.
        shown: texts that an annotator is shown as examples: its labels of such rows prove nothing.
        trains: whether there are training rows.

    Raises:
        DataError: a selection fits no row, or too few rows are left.
    """
    where = f"tasks.{task}"
    known = _Known(recipe, splits, shown)
    test, n_unlabelled, n_shown = known.drawn(keys.test, f"{where}.test", {}, seed)
    taken = {keys.test.split: test}
    validation = None
    if keys.validation is not None:
        validation, missing, examples = known.drawn(keys.validation, f"{where}.validation", taken, seed + 1)
        taken[keys.validation.split] = np.union1d(taken.get(keys.validation.split, np.empty(0, np.int64)), validation)
        n_unlabelled, n_shown = n_unlabelled + missing, n_shown + examples
    train = known.rest(keys.train, f"{where}.train", taken, seed + 2) if trains else np.empty(0, np.int64)
    held = [splits[keys.test.split].select(test)]
    if keys.validation is not None and validation is not None:
        held.append(splits[keys.validation.split].select(validation))
    rows = splits[keys.train.split].select(train)
    shared = shared_texts(rows, held, recipe.task.columns)
    if keys.drop_shared and shared.any():
        rows = rows.select(np.flatnonzero(~shared))
    if trains and len(rows) < 2:
        raise DataError(
            f"`{where}` leaves {len(rows)} rows to train on and {len(test)} to test on. Give `test` or "
            "`validation` fewer rows, or other splits."
        )
    return Parts(rows, held[0], held[1] if len(held) > 1 else None, n_unlabelled, int(shared.sum()), n_shown)


def training_order(known: Sequence[bool], seed: int) -> Places:
    """The order in which a seed takes training rows: its first n are those of size n, so sizes are nested.

    Rows with a human label come first, so that a small LLM-labeled set has the rows of the human-labeled one.

    Args:
        known: for each row whether it has a human label.
        seed: of the cell.
    """
    order = np.random.default_rng(seed).permutation(len(known))
    human = np.array(known, dtype=bool)[order]
    return np.concatenate([order[human], order[~human]])


@dataclass(frozen=True, slots=True)
class _Known:
    recipe: Recipe
    splits: Mapping[str, Dataset]
    shown: Set[str]

    def drawn(self, part: Part, field: str, taken: Mapping[str, Places], seed: int) -> tuple[Places, int, int]:
        """Positions of human-labeled rows, and how many of the selection have no label or are shown as examples."""
        free = self._free(part, field, taken)
        rows = self.splits[part.split].select(free)
        has_label = np.array([label is not None for label in human_values(rows, self.recipe).labels], dtype=bool)
        is_shown = self._are_shown(rows) & has_label
        labelled = free[has_label & ~is_shown]
        if not len(labelled):
            raise DataError(
                f"`{field}` has no row with a human label in {self.recipe.task.human!r}, of {len(free)}. Label some by "
                "hand."
            )
        return _draw(part, labelled, field, seed), int((~has_label).sum()), int(is_shown.sum())

    def _are_shown(self, rows: Dataset) -> NDArray[np.bool_]:
        if not self.shown:
            return np.zeros(len(rows), dtype=bool)
        form = self.recipe.task.form()
        texts = [form.read(row) for row in rows.select_columns(self.recipe.task.columns)]
        return np.array([text is not None and text.text in self.shown for text in texts], dtype=bool)

    def rest(self, part: Part, field: str, taken: Mapping[str, Places], seed: int) -> Places:
        """Positions of the rows that are left to train on, with or without a human label."""
        return _draw(part, self._free(part, field, taken), field, seed)

    def _free(self, part: Part, field: str, taken: Mapping[str, Places]) -> Places:
        # By position, so that what is chosen twice is seen.
        numbered = {
            name: rows.add_column("__row", np.arange(len(rows)))
            for name, rows in self.splits.items()
            if name == part.split
        }
        if not numbered:
            raise DataError(f"`{field}.split` is {part.split!r}. The data set has: {', '.join(self.splits)}.")
        found: Places = np.array(select_rows(numbered, part, field)["__row"][:], dtype=np.int64)
        return np.setdiff1d(found, taken.get(part.split, np.empty(0, np.int64)))


def _draw(part: Part, places: Places, field: str, seed: int) -> Places:
    count = part.rows if part.share is None else round(part.share * len(places))
    if count is None:
        return places
    if count > len(places):
        raise DataError(f"`{field}` asks for {count} rows, and {len(places)} are there. Give that or less.")
    return np.sort(np.random.default_rng(seed).permutation(places)[:count])


def check_sums(task: str, sums: Mapping[str, str], recipe: Recipe) -> None:
    """Compare the recipe's files with their checksums.

    Args:
        task: names the study's task in errors.
        sums: by split the SHA-256 of the one file that it is read from, in hexadecimal digits.
        recipe: names the files.

    Raises:
        StudyError: a split is not read from one local file.
        DataError: a file is another one.
    """
    files = recipe.source.data_files
    for split, expected in sums.items():
        file = files.get(split) if isinstance(files, dict) else files
        if not isinstance(file, str) or "://" in file or not Path(recipe.paths.resolve(file)).is_file():
            raise StudyError(
                f"`tasks.{task}.sha256` names the split {split!r}, which is not read from one local file. Remove it."
            )
        with Path(recipe.paths.resolve(file)).open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != expected.lower():
            where = f" Download it again from {recipe.source.homepage}." if recipe.source.homepage else ""
            raise DataError(
                f"`tasks.{task}.sha256` of {split!r} is {expected[:12]}…, and {Path(file).name!r} has {found[:12]}…: "
                f"another file.{where}"
            )
