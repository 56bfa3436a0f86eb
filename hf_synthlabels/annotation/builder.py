"""The `datasets` builder: `load_dataset("hf_synthlabels", data_files="recipe.yaml")`."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key
from datasets.exceptions import DatasetGenerationError

from hf_synthlabels.annotation.columns import with_label_features
from hf_synthlabels.annotation.opening import make_prompt, open_annotator
from hf_synthlabels.annotation.places import home
from hf_synthlabels.annotation.progress import shown_progress
from hf_synthlabels.annotation.prompt import PROMPT_VERSION
from hf_synthlabels.annotation.provenance import describe, package_version, record
from hf_synthlabels.annotation.recipe import Recipe
from hf_synthlabels.annotation.source import load_source, needed_columns, source_fingerprint
from hf_synthlabels.annotation.stream import TABLE_ROWS, annotated_tables
from hf_synthlabels.annotation.tally import Tally
from hf_synthlabels.errors import RecipeError, SynthLabelsError
from hf_synthlabels.labels import PARSER_VERSION

__all__ = ["SynthLabels", "SynthLabelsConfig"]

SHARD_ROWS = 250
"""Rows that one process takes at a time under `num_proc`; at most `MOST_SHARDS` shards are made."""
MOST_SHARDS = 64

UNFINISHED = ("failed", "over_budget")
"""A table with such rows is not final: loading it again asks for them again."""


@dataclass
class SynthLabelsConfig(datasets.BuilderConfig):
    """The recipe is the data file, so that nothing but its path is a configuration value."""

    def create_config_id(
        self,
        config_kwargs: dict[str, Any],  # noqa: ARG002  only the recipe's path, whose content counts
        custom_features: datasets.Features | None = None,
    ) -> str:
        """The name of the cache folder: it changes with everything that can change the table.

        That is the recipe's content, its prompt, examples and guidelines, the state of the source, the versions
        of prompt construction and parser; and it counts the builds that left rows unfinished.
        """
        recipe = self.recipe()
        parts = [
            recipe.fingerprint(),
            make_prompt(recipe).fingerprint(),
            source_fingerprint(recipe),
            f"{PROMPT_VERSION}.{PARSER_VERSION}",
            repr(custom_features),
        ]
        base = f"{recipe.name}-{hashlib.sha256(chr(30).join(parts).encode()).hexdigest()[:16]}"
        builds = _unfinished_builds(base)
        return f"{base}-again{builds}" if builds else base

    def recipe(self) -> Recipe:
        """The recipe that `data_files` names.

        Raises:
            RecipeError: there is none, or more than one.
        """
        files = [str(file) for split in (self.data_files or {}).values() for file in split]
        if len(files) != 1:
            raise RecipeError(
                f"`data_files` names {len(files)} files. Give one recipe: "
                'load_dataset("hf_synthlabels", data_files="recipe.yaml").'
            )
        return Recipe.from_yaml(files[0])


class SynthLabels(datasets.ArrowBasedBuilder):
    """The source's splits with the label columns of the recipe beside their own."""

    BUILDER_CONFIG_CLASS = SynthLabelsConfig

    def _info(self) -> datasets.DatasetInfo:
        recipe = self.config.recipe()
        homepage = recipe.source.homepage or ""
        return datasets.DatasetInfo(homepage=homepage, description=describe([], f"Recipe {recipe.name}."))

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        recipe = self.config.recipe()
        streaming = dl_manager.is_streaming
        splits = load_source(recipe, streaming=streaming)
        features = next(iter(splits.values())).features
        self.info.features = with_label_features(
            features, recipe.schema_of_labels(), recipe.output, tags=recipe.task.tokens is not None
        )
        return [
            datasets.SplitGenerator(
                name=name,
                gen_kwargs={
                    "shards": [(0, None)] if streaming else _shards(len(rows)),
                    "rows": rows,
                    "split": str(name),
                },
            )
            for name, rows in splits.items()
        ]

    def _generate_tables(
        self, shards: list[tuple[int, int | None]], rows: Any, split: str
    ) -> Iterator[tuple[Key, pa.Table]]:
        # The shards of one call follow each other, so they are one range.
        start, stop = shards[0][0], shards[-1][1]
        recipe = self.config.recipe()
        began = time.monotonic()
        part = rows if stop is None else rows.select(range(start, stop))
        tables = part.with_format("arrow").iter(batch_size=TABLE_ROWS)
        total = None if stop is None else stop - start
        with (
            open_annotator(recipe, rows.features) as annotator,
            shown_progress(recipe, annotator, total=total, what=split) as progress,
        ):
            needed = needed_columns(recipe, rows.features)
            annotated = annotated_tables(annotator, tables, needed, recipe.output, progress)
            for number, table in enumerate(annotated):
                yield Key(start, number), table.cast(self.info.features.arrow_schema)
        if stop is not None:
            # A stream that is read again and again leaves no record.
            self._journal(f"{split}-{start:09d}", annotator.tally, time.monotonic() - began)

    def _download_and_prepare(self, dl_manager: Any, verification_mode: Any, **prepare_split_kwargs: Any) -> None:
        # Processes of their own make the parts, so what each came to is read back from its journal.
        shutil.rmtree(self._journal_folder, ignore_errors=True)
        super()._download_and_prepare(dl_manager, verification_mode, **prepare_split_kwargs)
        tally, seconds = Tally(), 0.0
        for file in sorted(self._journal_folder.glob("*.json")):
            part = json.loads(file.read_text(encoding="utf-8"))
            tally.add(part["tally"])
            seconds += part["seconds"]
        recipe = self.config.recipe()
        self.info.description = describe(
            [record(recipe, tally, version=package_version(), seconds=seconds)], f"Recipe {recipe.name}."
        )
        if any(tally.statuses[status] for status in UNFINISHED):
            base = str(self.config_id).split("-again")[0]
            builds = _unfinished_builds(base)
            _marker(base).parent.mkdir(parents=True, exist_ok=True)
            _marker(base).write_text(str(builds + 1), encoding="utf-8")

    def _prepare_split_single(self, *arguments: Any, **keywords: Any) -> Iterator[Any]:
        # Here, since an error that comes from another process has lost its cause on the way.
        try:
            yield from super()._prepare_split_single(*arguments, **keywords)
        except DatasetGenerationError as error:
            cause = _own_cause(error)
            if cause is None:
                raise
            raise cause from error

    @property
    def _journal_folder(self) -> Path:
        return home() / "journals" / str(self.config_id)

    def _journal(self, name: str, tally: Tally, seconds: float) -> None:
        self._journal_folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"tally": tally.to_dict(), "seconds": seconds})
        (self._journal_folder / f"{name}.json").write_text(content, encoding="utf-8")


def _shards(n_rows: int) -> list[tuple[int, int]]:
    """Row ranges of nearly equal length, in order, covering all rows."""
    count = max(1, min(MOST_SHARDS, n_rows // SHARD_ROWS))
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
