"""The `datasets` builder: `load_dataset("hf_synthlabels", data_files="recipe.yaml")`."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key
from datasets.exceptions import DatasetGenerationError
from datasets.table import table_cast

from hf_synthlabels.annotation.compiler import Job, compile_recipe, open_annotator
from hf_synthlabels.annotation.provenance import carry_over, provenance, records
from hf_synthlabels.annotation.recipe.source import load_source
from hf_synthlabels.annotation.run.progress_bars import own_bars
from hf_synthlabels.annotation.run.run_progress import shown_progress
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.annotation.run.stream import (
    TABLE_ROWS,
    annotated_tables,
    first_rows,
    looked_at_tables,
    selected_shards,
)
from hf_synthlabels.clients.factory import split_rate_limits
from hf_synthlabels.errors import DataError, RecipeError, SynthLabelsError
from hf_synthlabels.registration import BUILDER_NAME
from hf_synthlabels.resources import home
from hf_synthlabels.tables import embed_records

SHARD_ROWS = 250
"""Rows that one process takes at a time under `num_proc`; at most `MAX_SHARDS` shards are made."""
MAX_SHARDS = 64

UNFINISHED = ("failed", "over_budget")
"""A table with such rows is not final: loading it again asks for them again."""

DEFAULT_SPLIT = "train"
"""The split of `data_files` that names none."""


@dataclass
class SynthLabelsConfig(datasets.BuilderConfig):
    """The recipe is the data file; the other values only say which of the source's rows are labeled."""

    take: str | None = None
    """Splits by the spelling of `datasets`, such as `train[:10]`; None for all of them."""
    rows: int | None = None
    """The first so many rows of each split; None for all of them."""
    keep_going: bool = False
    """Whether to continue when most of the first rows get no label; it changes no label."""
    job: Job | None = None
    """A compiled recipe, instead of the file."""

    def create_config_id(
        self,
        config_kwargs: dict[str, Any],  # noqa: ARG002  the recipe's content counts, not its path
        custom_features: datasets.Features | None = None,
    ) -> str:
        """The name of the cache folder: it changes with everything that can change the table.

        That is the recipe's content, its prompt, examples and guidelines, the state of the source, the versions
        of prompt construction and parser; and it counts the builds that left rows unfinished.
        """
        more = [repr(custom_features)]
        if self.take is not None or self.rows is not None or self.split is not None:
            more.append(f"{self.take}|{self.rows}|{self.split}")
        base = self.compiled.cache_key(*more)
        builds = _unfinished_builds(base)
        return f"{base}-again{builds}" if builds else base

    @cached_property
    def compiled(self) -> Job:
        """The compiled recipe: the one given, else that of `data_files`.

        Raises:
            RecipeError: `data_files` is not one recipe.
        """
        files = [str(file) for split in (self.data_files or {}).values() for file in split]
        if self.job is None and len(files) != 1:
            raise RecipeError(
                f"`data_files` names {len(files)} files. Give one recipe: "
                'load_dataset("hf_synthlabels", data_files="recipe.yaml").'
            )
        job = self.job or compile_recipe(files[0])
        return job.kept_going() if self.keep_going else job

    @property
    def split(self) -> str | None:
        """The split that `data_files` gives the recipe, as in `{"test": "recipe.yaml"}`."""
        names = [str(name) for name in self.data_files or {}]
        return names[0] if names and names[0] != DEFAULT_SPLIT else None


class SynthLabels(datasets.ArrowBasedBuilder):
    """Builds the splits of the source with the label columns of the recipe."""

    BUILDER_CONFIG_CLASS = SynthLabelsConfig

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.info.builder_name = BUILDER_NAME
        self._processes = 1
        self._journal_folder: Path | None = None
        self._carried: list[dict[str, Any]] = []

    def _info(self) -> datasets.DatasetInfo:
        job = self.config.compiled
        homepage = job.recipe.source.homepage or ""
        return datasets.DatasetInfo(homepage=homepage, description=embed_records([], f"Recipe {job.recipe.name}."))

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        job = self.config.compiled
        streaming = dl_manager.is_streaming
        splits = load_source(job.recipe, streaming=streaming, take=self.config.take, rows=self.config.rows)
        splits = _as_named(splits, self.config.split)
        first = next(iter(splits.values()))
        self.info.features = _wanted_features(self.info.features, job.features(first.features))
        carry_over(first.info, self.info)
        self._carried = provenance(first)
        if streaming:
            # What it will come to is not known yet.
            entries = records(job, RunStats(), seconds=0.0)
            self.info.description = embed_records([*self._carried, *entries], f"Recipe {job.recipe.name}.")
        return [
            datasets.SplitGenerator(
                name=name,
                gen_kwargs={
                    "shards": [(place, None) for place in range(rows.num_shards)] if streaming else _shards(len(rows)),
                    "rows": rows,
                    "split": str(name),
                    "processes": 1 if streaming else min(self._processes, len(_shards(len(rows)))),
                },
            )
            for name, rows in splits.items()
        ]

    def _generate_tables(
        self, shards: list[tuple[int, int | None]], rows: Any, split: str, processes: int
    ) -> Iterator[tuple[Key, pa.Table]]:
        # The shards of one call follow each other, so they are one range.
        start, stop = shards[0][0], shards[-1][1]
        job = self.config.compiled
        # The smallest part, so that all processes together stay within the recipe's limits.
        config = split_rate_limits(job.client, processes)[-1]
        began = time.monotonic()
        needed, total = job.columns(rows.features), None if stop is None else stop - start
        with (
            open_annotator(job, rows.features, config=config, alone=processes == 1) as annotator,
            shown_progress(job.client, annotator, total=total, what=split) as progress,
        ):
            if stop is None:
                part = selected_shards(rows, [place for place, _ in shards])
                annotated = looked_at_tables(
                    annotator, part, needed, job.label_columns, first=first_rows(config), progress=progress
                )
            else:
                tables = rows.select(range(start, stop)).with_format("arrow").iter(batch_size=TABLE_ROWS)
                annotated = annotated_tables(annotator, tables, needed, job.label_columns, progress)
            for number, table in enumerate(annotated):
                yield Key(start, number), table_cast(table, self.info.features.arrow_schema)
        if self._journal_folder is not None:
            # A stream that is read again and again leaves no record.
            content = json.dumps({"tally": annotator.tally.to_dict(), "seconds": time.monotonic() - began})
            (self._journal_folder / f"{split}-{start:09d}.json").write_text(content, encoding="utf-8")

    def _download_and_prepare(self, dl_manager: Any, verification_mode: Any, **prepare_split_kwargs: Any) -> None:
        job = self.config.compiled
        if (wanted := prepare_split_kwargs.get("num_proc")) is not None:
            self._processes = len(split_rate_limits(job.client, wanted))
            prepare_split_kwargs["num_proc"] = self._processes if self._processes > 1 else None
        # Other processes build the parts, so each part's tally comes back by a file.
        with tempfile.TemporaryDirectory(prefix="hf_synthlabels-") as folder:
            self._journal_folder = Path(folder)
            with own_bars():
                super()._download_and_prepare(dl_manager, verification_mode, **prepare_split_kwargs)
            tally, seconds = RunStats(), 0.0
            for file in sorted(self._journal_folder.glob("*.json")):
                part = json.loads(file.read_text(encoding="utf-8"))
                tally.add(part["tally"])
                seconds += part["seconds"]
        self._journal_folder = None
        entries = records(job, tally, seconds=seconds)
        self.info.description = embed_records([*self._carried, *entries], f"Recipe {job.recipe.name}.")
        if any(tally.statuses[status] for status in UNFINISHED):
            base = re.sub(r"-again\d+$", "", str(self.config_id))
            builds = _unfinished_builds(base)
            _marker(base).parent.mkdir(parents=True, exist_ok=True)
            _marker(base).write_text(str(builds + 1), encoding="utf-8")

    def _prepare_split_single(self, *arguments: Any, **keywords: Any) -> Iterator[Any]:
        # Here, because an error from another process arrives without its cause.
        try:
            yield from super()._prepare_split_single(*arguments, **keywords)
        except DatasetGenerationError as error:
            cause = _own_cause(error)
            if cause is None:
                raise
            raise cause from error


def _as_named(splits: dict[str, Any], name: str | None) -> dict[str, Any]:
    """The splits under the name that `data_files` gives the recipe.

    Raises:
        DataError: it is the name of none of several splits.
    """
    if name is None:
        return splits
    if name in splits:
        return {name: splits[name]}
    if len(splits) > 1:
        raise DataError(
            f"`data_files` names the split {name!r}, which is not in the source. Available splits: {', '.join(splits)}."
        )
    return {name: next(iter(splits.values()))}


def _wanted_features(wanted: datasets.Features | None, made: datasets.Features) -> datasets.Features:
    """The features that the user gave, if they are of the same columns; else those that the recipe makes.

    Raises:
        DataError: `features` has other columns.
    """
    if wanted is None:
        return made
    if set(wanted) != set(made):
        odd = sorted(set(wanted) ^ set(made))[0]
        raise DataError(f"`features` differs from the table in the column {odd!r}. The columns are: {', '.join(made)}.")
    return datasets.Features({name: wanted[name] for name in made})


def _shards(n_rows: int) -> list[tuple[int, int]]:
    """Row ranges of nearly equal length, in order, covering all rows."""
    count = max(1, min(MAX_SHARDS, n_rows // SHARD_ROWS))
    bounds = [n_rows * number // count for number in range(count + 1)]
    return list(pairwise(bounds))


def _own_cause(error: BaseException) -> SynthLabelsError | None:
    """The error of this package that `datasets` wrapped, if it did."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SynthLabelsError):
        cause = cause.__cause__
    return cause


def _marker(base: str) -> Path:
    return home() / "unfinished" / base


def _unfinished_builds(base: str) -> int:
    """How many builds of a table so far left rows that failed."""
    try:
        return int(_marker(base).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
