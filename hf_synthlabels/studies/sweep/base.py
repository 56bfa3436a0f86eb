"""The base mix: instructions and their answers, some of them held out to see what is forgotten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from datasets import Dataset

from hf_synthlabels.annotation import Recipe, load_source
from hf_synthlabels.errors import DataError, StudyError
from hf_synthlabels.studies.rows import select_rows
from hf_synthlabels.studies.study import RowSelection, recipe_file
from hf_synthlabels.studies.sweep.file import BaseMix
from hf_synthlabels.studies.sweep.values import human_values
from hf_synthlabels.studies.sweep.writing import INSTRUCTION, OUTPUT


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
