"""Job: the shards of a source and their labels so far.

The output folder contains:

* `data/<split>-00000-of-00012.parquet`: the result, one file for each shard
* `provenance.json`: provenance of the labels, and the names of the result's files
* `_work/<job>/source/`: the source in shards, so that every machine can read it
* `_work/<job>/labels/`: labels of shards by row ID, in files that are never changed
* `_work/answers/`: copies of the paid answers
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
from hf_synthlabels.annotation.recipe.source import load_source, needed_columns
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.engines.ray.job_files import STATS, UNFINISHED_CODES, Folder
from hf_synthlabels.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

MIN_ROWS, MAX_ROWS = 250, 5000
"""Default size of a shard."""

SHARDS_PER_ACTOR = 4
"""Shards for each actor, so that no actor is idle for long at the end."""

NEUTRAL_KEYS = (
    *("max_in_flight", "requests_per_minute", "tokens_per_minute", "max_retries", "timeout_s", "api_key_env"),
    *("budget_usd", "budget_tokens", "price", "batch", "batch_size", "device"),
)
"""Keys that change no label: after changing them, a job resumes."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive rows of a split."""

    split: str
    number: int
    first: int
    """Index of its first row in the split."""
    rows: int

    @property
    def name(self) -> str:
        """Name of its files; characters of the split's name that file names cannot contain are replaced."""
        return f"{re.sub(r'[^A-Za-z0-9_.]+', '_', self.split).strip('_')}-{self.number:05d}"


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a recipe over a source, including resumed runs. It holds names only, no data."""

    output: Folder
    fingerprint: str
    shards: tuple[Shard, ...]
    column: str = "llm_label"
    """Name of the label column."""
    id_column: str | None = None

    @property
    def folder(self) -> Folder:
        """Folder of the job's intermediate files."""
        return self.output.folder("_work", self.fingerprint)

    def source(self, shard: Shard) -> pa.Table:
        """The rows of a shard."""
        return self.folder.folder("source").read_table(f"{shard.name}.parquet")

    def parts(self) -> dict[str, list[str]]:
        """Names of the label files of each shard, the earliest first."""
        parts: dict[str, list[str]] = {shard.name: [] for shard in self.shards}
        for name in self.folder.folder("labels").names():
            parts[name.rsplit(".", 4)[0]].append(name)
        return parts

    def labels(self, parts: Sequence[str]) -> list[pa.Table]:
        """The tables in label files of one shard; a row may be in several."""
        folder = self.folder.folder("labels")
        return [folder.read_table(name) for name in parts]

    def write_labels(self, shard: Shard, labels: pa.Table, stats: Mapping[str, Any], *, earlier: int) -> str:
        """Add a label file for all unfinished rows of a shard, after `earlier` others; returns its name."""
        status = labels.column(f"{self.column}_status").to_pylist()
        unfinished = sum(code in UNFINISHED_CODES for code in status)
        metadata = {**(labels.schema.metadata or {}), STATS: json.dumps(stats).encode()}
        # The suffix keeps two actors with the same shard from overwriting each other's file.
        name = f"{shard.name}.{earlier:04d}.{unfinished}.{uuid.uuid4().hex[:8]}.parquet"
        self.folder.folder("labels").write_table(name, labels.replace_schema_metadata(metadata))
        return name


def is_complete(parts: Sequence[str]) -> bool:
    """Whether the names of a shard's label files show that all its rows are finished."""
    return any(int(name.rsplit(".", 4)[2]) == 0 for name in parts)


def job_fingerprint(job: AnnotationJob) -> str:
    """A name that depends on all that can change a label: recipe, its files, source, prompt and parser."""
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
    """The job of a recipe in an output folder; the first call writes the shards of the source there.

    Raises:
        RecipeError: the source cannot be loaded.
        DataError: the source lacks a column or rows, or two rows have the same id.
    """
    recipe, fingerprint = job.recipe, job_fingerprint(job)
    empty = Job(output, fingerprint, (), recipe.output.column, recipe.engine.id)
    manifest = empty.folder.read_json("manifest.json")
    if manifest is None:
        shards = _write_shards(job, empty.folder.folder("source"), actors)
        # Written last: a job with a manifest has all its shards.
        empty.folder.write_json("manifest.json", {"shards": [asdict(shard) for shard in shards]})
    else:
        shards = [Shard(**content) for content in manifest["shards"]]
    return replace(empty, shards=tuple(shards))


def row_ids(rows: pa.Table, shard: Shard, column: str | None) -> list[str]:
    """Row IDs of a shard: indices in the split, or the values of a column."""
    if column is None:
        return [str(shard.first + place) for place in range(shard.rows)]
    return [str(value) for value in rows.column(column).to_pylist()]


def _write_shards(job: AnnotationJob, folder: Folder, actors: int) -> list[Shard]:
    recipe = job.recipe
    splits = load_source(recipe)
    for name, rows in splits.items():
        # Raises before any request is sent.
        job.features(rows.features)
        _check_ids(rows, recipe.engine.id, name)
    size = _shard_rows(recipe, sum(len(rows) for rows in splits.values()), actors)
    shards = []
    for name, rows in splits.items():
        schema = rows.features.arrow_schema
        tables = rows.with_format("arrow")
        for number, (first, end) in enumerate(pairwise(_shard_bounds(recipe, rows, size))):
            shard = Shard(str(name), number, first, end - first)
            folder.write_table(f"{shard.name}.parquet", tables[first:end].cast(schema))
            shards.append(shard)
    names = [shard.name for shard in shards]
    if len(set(names)) < len(names):
        raise DataError(f"`source` has splits that would share file names; rename one: {', '.join(map(str, splits))}.")
    return shards


def _shard_rows(recipe: Recipe, rows: int, actors: int) -> int:
    if recipe.engine.rows_per_shard is not None:
        return recipe.engine.rows_per_shard
    return min(MAX_ROWS, max(MIN_ROWS, math.ceil(rows / (actors * SHARDS_PER_ACTOR))))


def _shard_bounds(recipe: Recipe, rows: Any, size: int) -> list[int]:
    """Boundaries of shards. They fall between two requests, so that each contains the same rows as on one machine."""
    rows_per_call = recipe.task.rows_per_call
    if rows_per_call == 1:
        return [*range(0, len(rows), size), len(rows)]
    shard_rows = math.ceil(size / rows_per_call) * rows_per_call
    bounds, requested, place = [0], 0, 0
    for table in rows.select_columns(needed_columns(recipe)).with_format("arrow").iter(batch_size=MAX_ROWS):
        for has_text in texts_in(table, recipe):
            place += 1
            requested += has_text
            if has_text and requested % shard_rows == 0:
                bounds.append(place)
    return bounds if bounds[-1] == len(rows) else [*bounds, len(rows)]


def texts_in(rows: pa.Table, recipe: Recipe) -> list[bool]:
    """Which rows have a text: only these are part of requests."""
    form = recipe.task.form()
    return [form.read(row) is not None for row in rows.select(needed_columns(recipe)).to_pylist()]


def _check_ids(rows: Any, column: str | None, split: str) -> None:
    if column is None:
        return
    import pyarrow as pa
    import pyarrow.compute as pc

    if column not in rows.features:
        known: Sequence[str] = list(rows.features)
        raise DataError(f"`engine.id`: split {split!r} has no column {column!r}; its columns are {', '.join(known)}.")
    values = rows.data.column(column)
    if pa.types.is_nested(values.type):
        raise DataError(f"`engine.id`: column {column!r} contains lists; name a column of texts or numbers.")
    distinct = pc.count_distinct(values, mode="all").as_py()
    if distinct < len(rows) or values.null_count:
        raise DataError(
            f"`engine.id`: column {column!r} has {distinct - (values.null_count > 0)} distinct values for {len(rows)} "
            f"rows of split {split!r}; name a column with unique values, or remove the key."
        )
