"""Annotate the source of a recipe, or a given data set."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.utils.py_utils import map_nested

from hf_synthlabels.annotation.codebook.source_recipe import variable_sections
from hf_synthlabels.annotation.compiler import Job, RecipeLike, compile_recipe, open_annotator
from hf_synthlabels.annotation.provenance import carry_over, provenance, records
from hf_synthlabels.annotation.recipe.human_labels import check_human_labels
from hf_synthlabels.annotation.recipe.source import check_columns, load_source, named_columns
from hf_synthlabels.annotation.recipe.splits import base_names
from hf_synthlabels.annotation.recipe.tabular import as_dataset
from hf_synthlabels.annotation.run.row_annotator import RowAnnotator
from hf_synthlabels.annotation.run.run_progress import shown_progress
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.annotation.run.stream import (
    TABLE_ROWS,
    first_rows,
    labelled_tables,
    looked_at_tables,
    selected_shards,
)
from hf_synthlabels.annotation.trust.confirmation import confirmed
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.clients.protocol.truncation import truncation_warning
from hf_synthlabels.errors import DataError
from hf_synthlabels.registration import BUILDER_NAME, register_builder
from hf_synthlabels.tables import embed_records

_LOGGER = logging.getLogger(__name__)

Progress = Callable[[int], None]

PLACEHOLDER = str(Path(__file__).parent / "templates" / "system.txt")
"""`load_dataset` requires the path of an existing file; the builder reads the compiled recipe that it is given."""


def load(
    recipe: RecipeLike,
    *,
    split: Any = None,
    rows: int | None = None,
    trust_recipe: bool = False,
    **arguments: Any,
) -> Any:
    """The data set of a recipe with its label columns, from the cache when nothing has changed.

    The stable spelling of `load_dataset("hf_synthlabels", data_files=recipe)`: the same builder. Only rows of `split`
    are labeled, where `load_dataset` labels all splits and then selects.

    Args:
        recipe: a path, a packaged recipe's name, or a recipe.
        split: as `load_dataset` takes it, such as `test` or `train[:100]`; by default a `DatasetDict` of all splits.
            A list of splits gives a list, and a dict of them a dict; a row that occurs in two of them is labeled once.
        rows: label the first so many rows of each split only, to try a recipe.
        trust_recipe: send what the recipe names to the servers that it names, and remember that; needed once for a
            recipe from another source that names a server or files.
        **arguments: passed to `datasets.load_dataset`: `streaming`, `num_proc`, `cache_dir`, `features`; and
            `keep_going=True`, to go on when most of the first 50 rows get no label.

    Raises:
        UntrustedRecipeError: it sends a secret or a local file where the user has not agreed to send it.
        SynthLabelsError: as its subclasses say; what had been answered is kept.
    """
    register_builder()
    with confirmed(trust_recipe):
        job = compile_recipe(recipe)
        if isinstance(split, list | tuple | dict):
            # A wrong split is an error before the rows of another one are paid for.
            streaming = bool(arguments.get("streaming"))
            checked = partial(load_source, job.recipe, streaming=streaming, rows=rows)
            map_nested(lambda part: checked(take=_spelling(part)), split, map_tuple=True)
        loaded = map_nested(lambda part: _loaded(job, _spelling(part), rows, arguments), split, map_tuple=True)
    if not isinstance(split, dict):
        return loaded
    return datasets.IterableDatasetDict(loaded) if arguments.get("streaming") else datasets.DatasetDict(loaded)


def _spelling(split: Any) -> str | None:
    """A split as the text that `load_dataset` takes, such as `train[:10]`."""
    return None if split is None else split.to_spec() if hasattr(split, "to_spec") else str(split)


def _loaded(job: Job, spelling: str | None, rows: int | None, arguments: dict[str, Any]) -> Any:
    """The labeled rows of one spelling, or a `DatasetDict` of all splits."""
    limits = {key: value for key, value in (("take", spelling), ("rows", rows)) if value is not None}
    splits = datasets.load_dataset(BUILDER_NAME, data_files=PLACEHOLDER, job=job, **limits, **arguments)
    if spelling is None:
        return splits
    parts = [splits[name] for name in base_names(spelling) if name in splits] or list(splits.values())
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)


def annotate(
    dataset: Any,
    recipe: RecipeLike,
    *,
    client: ChatClient | None = None,
    progress: Progress | str | None = None,
    trust_recipe: bool = False,
) -> Any:
    """Add the label columns of a recipe to a data set; its rows keep their number and order, its format and split too.

    Args:
        dataset: a `Dataset`, a `DatasetDict`, an `IterableDataset` or a dict of them; also a list of rows, a dict of
            columns, a data frame, an Arrow table, or the path of a file.
        recipe: a path, a packaged recipe's name, or a recipe; its `source` is not read.
        client: asked instead of the recipe's annotator, for tests and for other kinds of servers.
        progress: called with the number of rows that were annotated since the last call. A text shows a bar of that
            name, with tokens, money, and the reason while the run waits.
        trust_recipe: see `load`.

    Returns:
        The same kind of object, or a `Dataset` of the rows, with the provenance of the labels in its
        `info.description`.

    Raises:
        DataError: the data set is empty, is no table, or lacks a column that the recipe names, or most of its human
            labels are not in the recipe's list.
        ClientError: the annotator cannot be reached, or fails on every row.
    """
    with confirmed(trust_recipe):
        job = compile_recipe(recipe)
    rows = as_dataset(dataset)
    if isinstance(rows, dict):
        if all(isinstance(part, datasets.Dataset) and len(part) == 0 for part in rows.values()):
            raise DataError("`dataset` has no rows. Give data with rows.")
        parts = {name: _annotated(part, job, client, progress) for name, part in rows.items()}
        return type(rows)(parts)
    if isinstance(rows, datasets.Dataset) and len(rows) == 0:
        raise DataError("`dataset` has no rows. Give data with rows.")
    return _annotated(rows, job, client, progress)


def _annotated(rows: Any, job: Job, client: ChatClient | None, progress: Progress | str | None) -> Any:
    if isinstance(rows, datasets.IterableDataset) and rows.features is None:
        rows = rows._resolve_features()  # no public way to have the features of a stream
    check_columns(named_columns(job.recipe), rows.features or [], "the data set")
    if isinstance(rows, datasets.IterableDataset):
        return _annotated_stream(rows, job, client)
    for section, variable in variable_sections(job.recipe).items():
        check_human_labels(variable, rows, "the data set", section)
    return _annotated_table(rows, job, client, progress)


def _annotated_table(
    dataset: datasets.Dataset, job: Job, client: ChatClient | None, progress: Progress | str | None
) -> datasets.Dataset:
    features = job.features(dataset.features)
    if len(dataset) == 0:
        # An empty split among others needs no annotator.
        _LOGGER.warning("A split has no rows; it gets empty label columns.")
        return _as_before(datasets.Dataset(features.arrow_schema.empty_table()), dataset)
    began = time.monotonic()
    with (
        open_annotator(job, dataset.features, client=client) as annotator,
        _reported(progress, job, annotator, len(dataset)) as report,
    ):
        # By tables: rows of a data set one by one cost as much as asking for their labels.
        tables = dataset.with_format("arrow").iter(batch_size=TABLE_ROWS)
        labelled = labelled_tables(annotator, tables, job.columns(dataset.features), job.label_columns, report)
        labels = [part for _, part in labelled]
    added = datasets.Dataset(pa.concat_tables(labels))
    joined = datasets.concatenate_datasets([dataset.with_format(None), added], axis=1).cast(features)
    if warning := truncation_warning(annotator.tally.truncated_prompts):
        _LOGGER.warning(warning)
    entries = records(job, annotator.tally, seconds=time.monotonic() - began)
    joined.info.description = embed_records([*provenance(dataset), *entries], dataset.info.description)
    return _as_before(joined, dataset)


@contextmanager
def _reported(
    progress: Progress | str | None, job: Job, annotator: RowAnnotator, total: int
) -> Iterator[Progress | None]:
    """What is called with each labeled row: the caller's function, or a bar."""
    if not isinstance(progress, str):
        yield progress
        return
    with shown_progress(job.client, annotator, total=total, what=progress) as bar:
        yield bar


def _as_before(joined: datasets.Dataset, dataset: datasets.Dataset) -> datasets.Dataset:
    """The annotated rows with the split and the format of the rows before; a format of all columns has the new ones."""
    joined._split = dataset.split  # there is no public way to set it
    shown = dataset.format
    if shown["type"] is None and list(shown["columns"]) == dataset.column_names:
        return joined
    columns = None if list(shown["columns"]) == dataset.column_names else shown["columns"]
    return joined.with_format(
        shown["type"], columns=columns, output_all_columns=shown["output_all_columns"], **shown["format_kwargs"]
    )


def _annotated_stream(
    dataset: datasets.IterableDataset, job: Job, client: ChatClient | None
) -> datasets.IterableDataset:
    features = job.features(dataset.features)
    shards = dataset.num_shards

    def tables(places: list[int]) -> Iterator[pa.Table]:
        with open_annotator(job, dataset.features, client=client) as annotator:
            part = selected_shards(dataset, places)
            yield from looked_at_tables(
                annotator, part, job.columns(dataset.features), job.label_columns, first=first_rows(job.client, client)
            )

    def rows(places: list[int]) -> Iterator[dict[str, Any]]:
        for table in tables(places):
            yield from table.to_pylist()

    stream = datasets.IterableDataset.from_generator(
        rows, features=features, gen_kwargs={"places": list(range(shards))}
    )
    stream._split = dataset.split  # there is no public way to set it
    entries = records(job, RunStats(), seconds=0.0)
    carry_over(dataset.info, stream.info)
    stream.info.description = embed_records([*provenance(dataset), *entries], dataset.info.description)
    kind = dataset._formatting.format_type if dataset._formatting is not None else None
    return stream if kind is None else stream.with_format(kind)
