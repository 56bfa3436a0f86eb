"""AnnotatedData: splits with label columns, their recipe and their provenance, ready to publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hf_synthlabels.annotation import Codebook, Recipe, load, provenance, recipe_path
from hf_synthlabels.annotation.compiler import read_codebook
from hf_synthlabels.cards import published_record
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import STATUSES
from hf_synthlabels.publishing.label_variables import codebook_variables
from hf_synthlabels.publishing.labeled_data import label_options
from hf_synthlabels.publishing.sampled_data import SAMPLE_KIND
from hf_synthlabels.tables import read_records, read_table


@dataclass(frozen=True, slots=True)
class AnnotatedData:
    """An annotated data set with the files that describe its labels."""

    splits: Mapping[str, Any]
    """Splits by name, as in a `DatasetDict`."""
    recipe: Recipe | Codebook | None = None
    """Recipe of the labels, if it is published."""
    recipe_text: str | None = None
    """Text of the recipe file; None to serialize the recipe."""
    records: Mapping[str, list[dict[str, Any]]] | None = None
    """Provenance by split; None to read it from the splits."""

    @classmethod
    def open(cls, data: str, recipe: str | None = None) -> Self:
        """Run a recipe, or read an annotated file or folder.

        Args:
            data: recipe, or annotated file or folder.
            recipe: recipe of an annotated file.

        Raises:
            SynthLabelsError: the data or the recipe cannot be read.
        """
        path = Path(data)
        is_recipe = path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix)
        name = data if is_recipe else recipe
        parsed = None if name is None else read_codebook(name)
        text = None
        if name is not None:
            file = Path(name) if Path(name).is_file() else recipe_path(name)
            text = file.read_text(encoding="utf-8")
        if is_recipe:
            return cls(dict(load(data)), parsed, text)
        options = label_options()
        if isinstance(parsed, Codebook):
            humans = [each.human for each in codebook_variables(parsed).values() if each.kind != "text-scale"]
            options = label_options(None, None, *humans, *parsed.task.columns)
        elif parsed is not None:
            task = parsed.task
            is_number = task.kind == "text-scale"
            options = label_options(task.human, parsed.output.column, *task.columns, numbers=is_number)
        splits = dict(read_table(path, options))
        records = read_records(path)
        return cls(splits, parsed, text, {name: list(records) for name in splits} if records else None)

    def published_records(self) -> dict[str, list[dict[str, Any]]]:
        """Provenance by split, without credentials."""
        records = self.records or {name: provenance(rows) for name, rows in self.splits.items()}
        return {name: [published_record(record) for record in entries] for name, entries in records.items()}

    def label_columns(self, *named: tuple[str, str | None]) -> list[str]:
        """Label columns that have a status column, in every split.

        Args:
            *named: option and value of each column that the user named.

        Raises:
            DataError: there is no label column, a named column is missing, a split is empty, or the splits differ.
        """
        if not self.splits or not all(len(rows) for rows in self.splits.values()):
            raise DataError("`data` has a split without rows. Give data with rows.")
        first = next(iter(self.splits.values()))
        for name, rows in self.splits.items():
            if rows.features != first.features:
                raise DataError(f"`data`: split {name!r} has other columns than the first. Publish it separately.")
        names = first.column_names
        for field, column in named:
            if column is not None and column not in names:
                raise DataError(f"`{field}` is {column!r}, which is not a column. Columns: {', '.join(names)}.")
        records = [record for entries in self.published_records().values() for record in entries]
        judges = tuple(f"{record['column']}_" for record in records if is_judge(record))
        columns = _with_labels(records, first, judges)
        missing = [name for column in columns for name in (column, f"{column}_status") if name not in names]
        if missing:
            raise DataError(f"`data` lacks the column {missing[0]!r}, which its provenance names. Publish all columns.")
        if not columns and not judges:
            raise DataError(
                "`data` has no label column written by a recipe, with its `_status` column. Annotate it first, or "
                "publish it with `datasets.push_to_hub`."
            )
        return columns


def is_judge(record: Mapping[str, Any]) -> bool:
    """Whether a provenance record is that of a judge's scores."""
    return "rubric" in record


def count_statuses(rows: Any, column: str) -> dict[str, int]:
    """Number of rows by status of a label column, in the order of the statuses."""
    names = getattr(rows.features[f"{column}_status"], "names", None)
    counts = Counter(names[value] if names else value for value in rows[f"{column}_status"])
    return {status: counts[status] for status in STATUSES if counts[status]}


def _with_labels(records: Sequence[Mapping[str, Any]], rows: Any, judges: tuple[str, ...]) -> list[str]:
    """The columns that are recorded as labels, then others with a status; those of judges have scores."""
    recorded = [str(each["column"]) for each in records if each.get("kind") != SAMPLE_KIND and not is_judge(each)]
    with_status = [name.removesuffix("_status") for name in rows.column_names if _has_status(rows, name)]
    return list(dict.fromkeys([*recorded, *(name for name in with_status if not name.startswith(judges))]))


def _has_status(rows: Any, column: str) -> bool:
    names = getattr(rows.features[column], "names", None)
    if not column.endswith("_status") or column.removesuffix("_status") not in rows.column_names:
        return False
    return names == list(STATUSES) if names is not None else set(rows[column]) <= set(STATUSES)
