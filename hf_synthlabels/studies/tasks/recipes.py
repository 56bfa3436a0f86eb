"""Recipes of a study's annotators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation import Codebook, Recipe, read_codebook, read_recipe, recipe_path
from hf_synthlabels.annotation.recipe.strict_yaml import read_yaml
from hf_synthlabels.errors import RecipeError, StudyError
from hf_synthlabels.studies.config import Study
from hf_synthlabels.studies.config_sections import NO_PROMPT, SourceKeys


def recipe_file(recipe: str, folder: Path | None) -> Path:
    """Path of a recipe: relative to the study, or packaged.

    Raises:
        RecipeError: it is neither.
    """
    beside = (folder or Path()) / recipe
    return beside if beside.is_file() else recipe_path(recipe)


def task_recipe(study: Study, task: str) -> Recipe:
    """The recipe of a task, or of its variable.

    Raises:
        RecipeError: the recipe cannot be read, or `variable` is missing or is none of its variables.
    """
    keys = study.tasks[task]
    return in_codebook(read_codebook(recipe_file(keys.recipe, study.folder)), keys.variable)


def in_codebook(read: Recipe | Codebook, variable: str | None) -> Recipe:
    """The recipe of a variable, which is requested as its codebook says."""
    recipe = read_recipe(read, variable)
    return recipe if isinstance(read, Recipe) else recipe.model_copy(update={"codebook": read})


def changed_recipe(
    file: Path, changes: Mapping[str, Mapping[str, Any]], origin: str, variable: str | None = None
) -> Recipe:
    """A recipe with other keys in its `task` and `annotator`.

    Args:
        file: of the recipe.
        changes: keys by section.
        origin: which part of the study changes it, for errors.
        variable: which variable of a recipe with several.

    Raises:
        StudyError: a change is of another section.
        RecipeError: the recipe cannot be read, or a changed key is wrong.
    """
    if other := set(changes) - {"task", "annotator"}:
        raise StudyError(f"`{origin}` changes {', '.join(sorted(other))}. Only `task` and `annotator` may differ.")
    content = read_yaml(file, "recipe", RecipeError)
    if not isinstance(content, dict):
        raise RecipeError(f"{file.name}: a recipe is a mapping with `name`, `source`, `task` and `annotator`.")
    parts = {part: {**(content.get(part) or {}), **changed} for part, changed in changes.items()}
    changed = {**content, **parts}
    is_codebook = "variables" in (changed.get("task") or {})
    kind = Codebook if is_codebook else Recipe
    return in_codebook(kind.from_dict(changed, folder=file.parent, origin=origin), variable)


def check_same_labels(recipe: Recipe, first: Recipe, origin: str, other: str) -> None:
    """Two annotators can be compared only if their labels are of one schema.

    Raises:
        StudyError: the kind, the names, the scale, the human column or the output column differ.
    """
    if _label_schema_key(recipe) != _label_schema_key(first):
        raise StudyError(
            f"`{origin}` gives other labels than {other}: the kind, the names, the scale and `human` must be the same "
            "to be compared."
        )


def _label_schema_key(recipe: Recipe) -> tuple[Any, ...]:
    schema = recipe.schema_of_labels()
    return schema.kind, schema.names, schema.scale, recipe.task.human, recipe.output.column


def annotator_recipes(study: Study, task: str) -> dict[tuple[str, str], Recipe]:
    """By source and prompt the recipe of each annotator of a task.

    Raises:
        StudyError: one gives other labels than the task's recipe.
        RecipeError: one cannot be read.
    """
    first = task_recipe(study, task)
    made = {}
    for source, keys in study.task_sources(task).items():
        if not keys.is_annotator:
            continue
        for prompt in study.prompts or (NO_PROMPT,):
            origin = f"sources.{source}" + ("" if prompt == NO_PROMPT else f" with prompts.{prompt}")
            recipe = _recipe_of(study, task, keys, prompt, origin)
            check_same_labels(recipe, first, origin, f"`tasks.{task}.recipe`")
            made[source, prompt] = recipe
    return made


def _recipe_of(study: Study, task: str, keys: SourceKeys, prompt: str, origin: str) -> Recipe:
    ways = study.prompts.get(prompt, {})
    if other := set(ways) - {"task", "annotator"}:
        raise StudyError(
            f"`prompts.{prompt}` changes {', '.join(sorted(other))}. Only `task` and `annotator` may differ."
        )
    changes = {
        part: {**getattr(keys, part), **ways.get(part, {})}
        for part in ("task", "annotator")
        if getattr(keys, part) or part in ways
    }
    file = recipe_file(keys.recipe or study.tasks[task].recipe, study.folder)
    return changed_recipe(file, changes, origin, study.tasks[task].variable)
