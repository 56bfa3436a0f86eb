"""Tables that the runs of a task share: training texts, test rows, validation rows and the instruction mix."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset, concatenate_datasets, load_from_disk

from hf_synthlabels.annotation import Recipe, load_source
from hf_synthlabels.errors import DataError, StudyError
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.config_sections import BaseMix, RowSelection
from hf_synthlabels.studies.tasks.recipes import recipe_file
from hf_synthlabels.studies.tasks.rows import human_values, select_rows
from hf_synthlabels.studies.tasks.splits import Parts

INSTRUCTION, OUTPUT = "instruction", "output"
"""Columns of the instruction mix."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The texts of a task; labels come with the jobs."""

    pool: Dataset
    test: Dataset
    validation: Dataset | None = None
    """With the column `label`."""
    base: Dataset | None = None
    """Instruction mix that generative students are trained on besides the task."""
    held_out: Dataset | None = None
    """Of the same, to see what is forgotten."""


def open_tables(place: Path) -> Tables:
    """Map the tables of a task."""

    def part(name: str) -> Dataset | None:
        return load_from_disk(str(place / name)) if (place / name).exists() else None

    pool, test = part("pool"), part("test")
    if pool is None or test is None:
        raise FileNotFoundError(str(place))
    return Tables(pool, test, part("validation"), part("base"), part("held_out"))


def base_tables(base: BaseMix, folder: Path | None, seed: int) -> dict[str, Dataset]:
    """The tables `base` and `held_out`, with the columns `instruction` and `output`.

    Raises:
        StudyError: the recipe is of another kind.
        DataError: there are too few rows.
    """
    recipe = Recipe.from_yaml(recipe_file(base.recipe, folder))
    if recipe.task.kind != "text-generation":
        raise StudyError(f"`base.recipe` is of kind {recipe.task.kind!r}. Give one of text-generation.")
    rows = select_rows(load_source(recipe), RowSelection(split=base.split), "base")
    outputs = human_values(rows, recipe).labels
    form = recipe.task.form()
    texts = [form.read(row) for row in rows.select_columns(recipe.task.columns)]
    whole = [row for row, text in enumerate(texts) if text is not None and outputs[row]]
    drawn = np.random.default_rng(seed).permutation(whole)
    wanted = len(drawn) - base.held_out if base.rows is None else base.rows
    if wanted < 1 or base.held_out + wanted > len(drawn):
        raise DataError(
            f"`base` asks for {wanted} rows and {base.held_out} held-out ones, and {len(drawn)} have an instruction "
            "and an answer. Give fewer."
        )
    parts = {"held_out": drawn[: base.held_out], "base": drawn[base.held_out : base.held_out + wanted]}
    found = {}
    for name, places in parts.items():
        chosen = [int(row) for row in places]
        shown = [texts[row] for row in chosen]
        content = {
            INSTRUCTION: [
                "" if text is None else "\n\n".join(part for _, part in text.parts if part) for text in shown
            ],
            OUTPUT: [str(outputs[row]) for row in chosen],
        }
        found[name] = Dataset.from_dict(content)
    return found


def _tables(study: Study, recipe: Recipe, parts: Parts, pool: Dataset) -> dict[str, Dataset]:
    """The texts that the cells of a task read."""
    columns = list(recipe.task.columns)
    tables = {"pool": pool.select_columns(columns), "test": parts.test.select_columns(columns)}
    if parts.validation is not None:
        tables["validation"] = _with_labels(parts.validation, recipe)
    if study.base is not None:
        tables |= base_tables(study.base, study.folder, study.split_seed)
    return tables


def _share(tables: Mapping[str, Dataset], name: str, folder: Path) -> Path:
    """Write the texts into the study's folder, unless they are there already."""
    place = folder / "tables" / name
    if not place.exists():
        scratch = place.with_name(f".{place.name}.{os.getpid()}")
        shutil.rmtree(scratch, ignore_errors=True)
        for part, rows in tables.items():
            rows.flatten_indices().save_to_disk(scratch / part)
        try:
            scratch.replace(place)
        except OSError:
            # Another process was first.
            shutil.rmtree(scratch, ignore_errors=True)
    return place


def _with_labels(rows: Dataset, recipe: Recipe) -> Dataset:
    from datasets import Features

    schema = recipe.schema_of_labels()
    labels = list(human_values(rows, recipe).labels)
    added = Dataset.from_dict({"label": labels}, features=Features({"label": schema.feature()}))
    return concatenate_datasets([rows.select_columns(list(recipe.task.columns)), added], axis=1)
