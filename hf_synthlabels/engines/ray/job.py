"""Job: the rows of one run in shards, what is labelled of them so far, and where all this is written.

Under the output folder:

* `data/<split>-00000-of-00012.parquet`: the result, one file for each shard
* `provenance.json`: how the labels were made, and which files are the result
* `_work/<job>/source/`: the source's rows, cut into shards once, so that every machine can read them
* `_work/<job>/labels/`: the labels of shards by row id, in files that are only added
* `_work/answers/`: the answers that were paid for, by request
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import AnnotationJob, AnnotatorConfig, Recipe
from hf_synthlabels.annotation.builder import UNFINISHED
from hf_synthlabels.annotation.recipe.source import load_source, needed_columns
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.engines.ray.job_files import Folder
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import STATUSES

if TYPE_CHECKING:
    import pyarrow as pa

ROW_ID = "__row_id__"
"""The column of row ids in files of labels."""

TALLY = b"hf_synthlabels.tally"
"""Where a file of labels says what it took to make them."""

UNFINISHED_CODES = frozenset(STATUSES.index(status) for status in UNFINISHED)
"""Statuses of rows that are asked again, as they stand in a column."""

MIN_ROWS, MAX_ROWS = 250, 5000
"""Of a shard where the recipe says nothing."""
SHARDS_PER_ACTOR = 4
"""So that no actor is long without work while another has some left."""

NEUTRAL_KEYS = (
    *("max_in_flight", "requests_per_minute", "tokens_per_minute", "max_retries", "timeout_s", "api_key_env"),
    *("budget_usd", "budget_tokens", "price", "batch", "batch_size", "device"),
)
"""Keys of an annotator that change no label: with others of them a job goes on where it was."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Some rows of a split that follow each other."""

    split: str
    number: int
    first: int
    """The place of its first row in the split."""
    rows: int

    @property
    def name(self) -> str:
        """What its files are called; also where the split's name can not be part of a file's."""
        return f"{re.sub(r'[^A-Za-z0-9_.]+', '_', self.split).strip('_')}-{self.number:05d}"


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a recipe over a source, however often it was interrupted; it holds nothing but names."""

    output: Folder
    fingerprint: str
    shards: tuple[Shard, ...]
    column: str = "llm_label"
    """Of the labels; the other label columns are named after it."""
    id_column: str | None = None

    @property
    def folder(self) -> Folder:
        """Where the job's own files are."""
        return self.output.folder("_work", self.fingerprint)

    def source(self, shard: Shard) -> pa.Table:
        """The rows of a shard as they stand in the source."""
        return self.folder.folder("source").read_table(f"{shard.name}.parquet")

    def parts(self) -> dict[str, list[str]]:
        """The files of labels there are so far for each shard by its name, the earliest first."""
        found: dict[str, list[str]] = {shard.name: [] for shard in self.shards}
        for name in self.folder.folder("labels").names():
            found[name.rsplit(".", 4)[0]].append(name)
        return found

    def labels(self, parts: Sequence[str]) -> list[pa.Table]:
        """The labels in some files of one shard; a row may be in several."""
        folder = self.folder.folder("labels")
        return [folder.read_table(name) for name in parts]

    def write_labels(self, shard: Shard, labels: pa.Table, tally: Mapping[str, Any], *, earlier: int) -> str:
        """Add labels of a shard: of all rows that had none, so that those unfinished among them are all that are left.

        Args:
            shard: whose rows.
            labels: the label columns behind a column of row ids.
            tally: what it took to make them.
            earlier: how many files of labels it has already.

        Returns:
            The name of the file.
        """
        status = labels.column(f"{self.column}_status").to_pylist()
        unfinished = sum(code in UNFINISHED_CODES for code in status)
        metadata = {**(labels.schema.metadata or {}), TALLY: json.dumps(tally).encode()}
        # Of two that label the same rows at the same time, neither overwrites the other's.
        name = f"{shard.name}.{earlier:04d}.{unfinished}.{uuid.uuid4().hex[:8]}.parquet"
        self.folder.folder("labels").write_table(name, labels.replace_schema_metadata(metadata))
        return name


def is_complete(parts: Sequence[str]) -> bool:
    """Whether some files of labels, by their names, leave no row of their shard unfinished."""
    return any(int(name.rsplit(".", 4)[2]) == 0 for name in parts)


def job_fingerprint(job: AnnotationJob) -> str:
    """A name that changes with all that can change a label: the recipe, its files, the source, prompt and parser."""
    defaults = {
        model: {
            key: model.model_fields[key].get_default(call_default_factory=True)
            for key in NEUTRAL_KEYS
            if key in model.model_fields
        }
        for model in (AnnotatorConfig, ClientConfig)
    }
    recipe = job.recipe
    annotator = recipe.annotator.with_client(**defaults[ClientConfig])
    neutral = recipe.model_copy(update={"annotator": annotator.model_copy(update=defaults[AnnotatorConfig])})
    return replace(job, recipe=neutral).cache_key(repr(recipe.engine.id))


def prepare(job: AnnotationJob, output: Folder, *, actors: int) -> Job:
    """The job of a recipe at an output folder; the first time the source is cut into shards there.

    Raises:
        RecipeError: the source can not be loaded.
        DataError: the source lacks a column or rows, or two rows have the same id.
    """
    recipe, fingerprint = job.recipe, job_fingerprint(job)
    empty = Job(output, fingerprint, (), recipe.output.column, recipe.engine.id)
    manifest = empty.folder.read_json("manifest.json")
    if manifest is None:
        shards = _cut(job, empty.folder.folder("source"), actors)
        # Last, so that a job with a list of shards has them all.
        empty.folder.write_json("manifest.json", {"shards": [asdict(shard) for shard in shards]})
    else:
        shards = [Shard(**content) for content in manifest["shards"]]
    return replace(empty, shards=tuple(shards))


def row_ids(rows: pa.Table, shard: Shard, column: str | None) -> list[str]:
    """What tells the rows of a shard apart: their place in the split, or the values of a column."""
    if column is None:
        return [str(shard.first + place) for place in range(shard.rows)]
    return [str(value) for value in rows.column(column).to_pylist()]


def _cut(job: AnnotationJob, folder: Folder, actors: int) -> list[Shard]:
    recipe = job.recipe
    splits = load_source(recipe)
    for name, rows in splits.items():
        # Told before anything is asked.
        job.features(rows.features)
        _check_ids(rows, recipe.engine.id, name)
    size = _shard_rows(recipe, sum(len(rows) for rows in splits.values()), actors)
    shards = []
    for name, rows in splits.items():
        schema = rows.features.arrow_schema
        tables = rows.with_format("arrow")
        for number, (first, end) in enumerate(pairwise(_bounds(recipe, rows, size))):
            shard = Shard(str(name), number, first, end - first)
            folder.write_table(f"{shard.name}.parquet", tables[first:end].cast(schema))
            shards.append(shard)
    names = [shard.name for shard in shards]
    if len(set(names)) < len(names):
        raise DataError(f"`source` has splits whose names are alike as files: {', '.join(map(str, splits))}.")
    return shards


def _shard_rows(recipe: Recipe, rows: int, actors: int) -> int:
    if recipe.engine.rows_per_shard is not None:
        return recipe.engine.rows_per_shard
    return min(MAX_ROWS, max(MIN_ROWS, math.ceil(rows / (actors * SHARDS_PER_ACTOR))))


def _bounds(recipe: Recipe, rows: Any, size: int) -> list[int]:
    """Where shards begin and end; between two calls, so that each asks for the same rows as on one machine."""
    at_once = recipe.task.rows_per_call
    if at_once == 1:
        return [*range(0, len(rows), size), len(rows)]
    asked_rows = math.ceil(size / at_once) * at_once
    bounds, asked, place = [0], 0, 0
    for table in rows.select_columns(needed_columns(recipe)).with_format("arrow").iter(batch_size=MAX_ROWS):
        for has_text in texts_in(table, recipe):
            place += 1
            asked += has_text
            if has_text and asked % asked_rows == 0:
                bounds.append(place)
    return bounds if bounds[-1] == len(rows) else [*bounds, len(rows)]


def texts_in(rows: pa.Table, recipe: Recipe) -> list[bool]:
    """Which rows have something to label: only these are part of calls."""
    form = recipe.task.form()
    return [form.read(row) is not None for row in rows.select(needed_columns(recipe)).to_pylist()]


def _check_ids(rows: Any, column: str | None, split: str) -> None:
    if column is None:
        return
    import pyarrow as pa
    import pyarrow.compute as pc

    if column not in rows.features:
        known: Sequence[str] = list(rows.features)
        raise DataError(f"`engine.id` names the column {column!r}, which split {split!r} has not: {', '.join(known)}.")
    values = rows.data.column(column)
    if pa.types.is_nested(values.type):
        raise DataError(f"`engine.id` names the column {column!r}, which holds lists. Name one of texts or numbers.")
    found = pc.count_distinct(values, mode="all").as_py()
    if found < len(rows) or values.null_count:
        raise DataError(
            f"`engine.id` names the column {column!r}, in which {len(rows)} rows of split {split!r} have only "
            f"{found - (values.null_count > 0)} different values. Name a column that tells rows apart, or none."
        )
