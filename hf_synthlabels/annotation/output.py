"""Annotating a source of any size into a file: read as a stream, written as it comes."""

from __future__ import annotations

import glob
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation.compiler import Job, RecipeLike, compile_recipe, open_annotator
from hf_synthlabels.annotation.provenance import records
from hf_synthlabels.annotation.recipe.source import load_source, recipe_files
from hf_synthlabels.annotation.run.run_progress import shown_progress
from hf_synthlabels.annotation.run.stream import TABLE_ROWS, annotated_tables
from hf_synthlabels.tables import WRITABLE, NewTable, check_output, check_overwrite, open_writer, write_records

if TYPE_CHECKING:
    import datasets

STREAMED = (".parquet", ".jsonl", ".csv", ".tsv")
"""The formats that rows are written to as they come."""


@dataclass(frozen=True, slots=True)
class Written:
    """Result for one split."""

    split: str
    path: Path
    records: list[dict[str, Any]]
    """The provenance of each label column, also written next to the file."""


def annotate_to_files(recipe: RecipeLike, output: str | Path, *, rows: int | None = None) -> list[Written]:
    """Annotate a recipe's source without ever holding it: memory is the same for a thousand rows and a million.

    Rows are written as they are labeled, to a temporary file that is renamed when it is complete.
    A run that was stopped is simply run again: what had been answered comes from the response store.

    Args:
        recipe: the task, its source and its annotator.
        output: a .parquet, .jsonl, .csv or .tsv file; of several splits each has a file with its name in front of the
            suffix. Its provenance is written to `<file>.provenance.json`.
        rows: the first so many rows of each split; None for all of them.

    Raises:
        DataError: the file is of another format, is the source itself, or cannot be written.
        SynthLabelsError: as its subclasses say; what had been answered is kept.
    """
    job = compile_recipe(recipe)
    target = check_output(output, sources=recipe_files(job.recipe), suffixes=STREAMED, folder=False)
    splits = load_source(job.recipe, streaming=True, rows=rows)
    written = []
    for name, part in splits.items():
        path = split_path(target, str(name), len(splits))
        written.append(Written(str(name), path, _annotate_split(job, part, str(name), path)))
    return written


def check_annotation_output(
    recipe: RecipeLike,
    output: str | Path,
    *,
    stream: bool = False,
    overwrite: bool = False,
    n_rows: int | None = None,
) -> None:
    """Check the output before any request is sent.

    A file that an earlier run of the same recipe wrote is replaced; any other only with `overwrite`.

    Raises:
        DataError: the output is of another format, is one of the recipe's own files, cannot be written, or exists and
            holds something that would be lost.
    """
    job = compile_recipe(recipe)
    sources = recipe_files(job.recipe)
    target = check_output(output, sources=sources, suffixes=STREAMED if stream else WRITABLE, folder=not stream)
    folder = target.suffix == ""
    if overwrite or not (any(target.glob("*.parquet")) if folder else _existing(target)):
        return
    for name, rows in load_source(job.recipe, rows=n_rows).items():
        path = target / f"{name}.parquet" if folder else target
        for each in {path, split_path(path, str(name), 2)} if stream else {path}:
            first = next(iter(job.variables))
            human = next((each.recipe.task.human for each in job.variables.values() if each.recipe.task.human), None)
            table = NewTable(list(job.features(rows.features)), rows, human, marks=f"{first}_status")
            check_overwrite(each, table, recipe=job.recipe.name)


def _existing(target: Path) -> bool:
    """Whether the file is there, or one of several splits."""
    return target.exists() or any(target.parent.glob(f"{glob.escape(target.stem)}-*{target.suffix}"))


def split_path(target: Path, split: str, splits: int) -> Path:
    """The file of one split: the target itself, or with the split's name where there are several."""
    return target if splits == 1 else target.with_name(f"{target.stem}-{split}{target.suffix}")


def _annotate_split(job: Job, rows: datasets.IterableDataset, name: str, path: Path) -> list[dict[str, Any]]:
    features = job.features(rows.features)
    began = time.monotonic()
    with (
        open_annotator(job, rows.features) as annotator,
        shown_progress(job.client, annotator, total=None, what=name) as progress,
        open_writer(path, features) as writer,
    ):
        tables = rows.with_format("arrow").iter(batch_size=TABLE_ROWS)
        needed = job.columns(rows.features)
        for table in annotated_tables(annotator, tables, needed, job.label_columns, progress):
            writer.write(table.cast(features.arrow_schema))
    entries = records(job, annotator.tally, seconds=time.monotonic() - began)
    write_records(path, entries[0] if len(entries) == 1 else entries)
    return entries
