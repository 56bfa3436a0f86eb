"""Annotating: a recipe becomes a data set, or a data set at hand gets label columns."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import yaml

from hf_synthlabels.annotation.columns import with_label_features
from hf_synthlabels.annotation.opening import open_annotator
from hf_synthlabels.annotation.places import home
from hf_synthlabels.annotation.provenance import describe, package_version, provenance, record
from hf_synthlabels.annotation.recipe import Recipe
from hf_synthlabels.annotation.registration import BUILDER_NAME, register_builder
from hf_synthlabels.annotation.source import check_columns, needed_columns
from hf_synthlabels.annotation.stream import TABLE_ROWS, annotated_tables, labelled_tables
from hf_synthlabels.annotation.trust import confirmed
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.errors import DataError, RecipeError

__all__ = ["annotate", "load", "read_recipe", "recipe_path"]

Progress = Callable[[int], None]


def recipe_path(name: str) -> Path:
    """The file of a recipe that comes with the package, by its name without `.yaml`.

    Raises:
        RecipeError: there is no recipe of that name.
    """
    package = Path(__file__).resolve().parents[1]
    # In a wheel the configurations are inside the package, in a checkout beside it.
    folders = [package / "configs" / "recipes", package.parent / "configs" / "recipes"]
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = sorted(file.stem for folder in folders if folder.is_dir() for file in folder.glob("*.yaml"))
    raise RecipeError(
        f"`recipe` {name!r} is neither a file nor a packaged recipe. Give a path, or one of: {', '.join(known)}."
    )


def read_recipe(recipe: Recipe | dict[str, Any] | str | Path) -> Recipe:
    """A recipe from itself, from what its YAML holds, from a file, or by a packaged recipe's name."""
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, dict):
        return Recipe.from_dict(recipe, folder=Path.cwd())
    path = Path(recipe)
    if not path.is_file() and path.suffix not in (".yaml", ".yml"):
        path = recipe_path(str(recipe))
    return Recipe.from_yaml(path)


def load(recipe: Recipe | dict[str, Any] | str | Path, *, trust_recipe: bool = False, **arguments: Any) -> Any:
    """The data set of a recipe with its label columns, from the cache when nothing has changed.

    The stable spelling of `load_dataset("hf_synthlabels", data_files=recipe)`: the same builder.

    Args:
        recipe: a path, a packaged recipe's name, or a recipe.
        trust_recipe: send what the recipe names to the servers that it names, and remember that; needed once for a
            recipe from somebody else with a server or files of its choice.
        **arguments: passed to `datasets.load_dataset`: `split`, `streaming`, `num_proc`, `cache_dir`.

    Raises:
        UntrustedRecipeError: it sends a secret or a local file where the user has not agreed to send it.
        SynthLabelsError: as its subclasses say; what had been answered is kept.
    """
    register_builder()
    with confirmed(trust_recipe):
        path = Path(recipe) if isinstance(recipe, (str, Path)) else _kept(read_recipe(recipe))
        if not path.is_file() and path.suffix not in (".yaml", ".yml"):
            path = recipe_path(str(recipe))
        # Read it here first: a wrong recipe is told before `datasets` looks for its file.
        Recipe.from_yaml(path)
        return datasets.load_dataset(BUILDER_NAME, data_files=str(path), **arguments)


def annotate(
    dataset: Any,
    recipe: Recipe | dict[str, Any] | str | Path,
    *,
    client: ChatClient | None = None,
    progress: Progress | None = None,
    trust_recipe: bool = False,
) -> Any:
    """Add the label columns of a recipe to a data set that is at hand; its rows keep their number and order.

    Args:
        dataset: a `Dataset`, a `DatasetDict`, an `IterableDataset` or a dict of them.
        recipe: a path, a packaged recipe's name, or a recipe; its `source` is not read.
        client: asked in place of the recipe's teacher, for tests and for servers of one's own kind.
        progress: called with the number of rows that were annotated since the last call.
        trust_recipe: see `load`.

    Returns:
        The same kind of object, with the provenance of the labels in its `info.description`.

    Raises:
        DataError: the data set is empty, or lacks a column that the recipe names.
        ClientError: the teacher can not be reached, or fails on every row.
    """
    with confirmed(trust_recipe):
        plan = read_recipe(recipe)
    if isinstance(dataset, dict):
        parts = {name: annotate(part, plan, client=client, progress=progress) for name, part in dataset.items()}
        return type(dataset)(parts)
    if isinstance(dataset, datasets.IterableDataset) and dataset.features is None:
        dataset = dataset._resolve_features()  # no public way to have the features of a stream
    check_columns(plan, dataset.features or [], "the data set")
    if isinstance(dataset, datasets.IterableDataset):
        return _annotated_stream(dataset, plan, client)
    if len(dataset) == 0:
        raise DataError("`dataset` has no rows. Give data with rows.")
    return _annotated_table(dataset, plan, client, progress)


def _annotated_table(
    dataset: datasets.Dataset, plan: Recipe, client: ChatClient | None, progress: Progress | None
) -> datasets.Dataset:
    tags = plan.task.tokens is not None
    features = with_label_features(dataset.features, plan.schema_of_labels(), plan.output, tags=tags)
    began = time.monotonic()
    with open_annotator(plan, dataset.features, client=client) as annotator:
        # By tables: rows of a data set one by one cost as much as asking for their labels.
        tables = dataset.with_format("arrow").iter(batch_size=TABLE_ROWS)
        labelled = labelled_tables(annotator, tables, needed_columns(plan, dataset.features), plan.output, progress)
        labels = [part for _, part in labelled]
    added = datasets.Dataset(pa.concat_tables(labels))
    joined = datasets.concatenate_datasets([dataset, added], axis=1).cast(features)
    entry = record(plan, annotator.tally, version=package_version(), seconds=time.monotonic() - began)
    joined.info.description = describe([*provenance(dataset), entry], dataset.info.description)
    return joined


def _annotated_stream(
    dataset: datasets.IterableDataset, plan: Recipe, client: ChatClient | None
) -> datasets.IterableDataset:
    tags = plan.task.tokens is not None
    features = with_label_features(dataset.features, plan.schema_of_labels(), plan.output, tags=tags)

    def rows() -> Iterator[dict[str, Any]]:
        tables = dataset.with_format("arrow").iter(batch_size=TABLE_ROWS)
        with open_annotator(plan, dataset.features, client=client) as annotator:
            for table in annotated_tables(annotator, tables, needed_columns(plan, dataset.features), plan.output):
                yield from table.to_pylist()

    return datasets.IterableDataset.from_generator(rows, features=features)


def _kept(recipe: Recipe) -> Path:
    """A file with a recipe that was in none; it stays, since a stream reads it whenever it is read."""
    content = yaml.safe_dump(_absolute(recipe), sort_keys=False).encode()
    path = home() / "recipes" / f"{recipe.name}-{hashlib.sha256(content).hexdigest()[:16]}.yaml"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may do the same: it must never see half a file.
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(content)
        part.replace(path)
    return path


def _absolute(recipe: Recipe) -> dict[str, Any]:
    """A recipe as YAML content whose relative paths are made absolute, so that it can be stored elsewhere."""
    # With every null in it: one stands for no key, no temperature, no definition, where the default is another.
    content = recipe.model_dump(mode="json")
    files = content["source"].get("data_files")
    if isinstance(files, str):
        content["source"]["data_files"] = recipe.resolve(files)
    elif isinstance(files, list):
        content["source"]["data_files"] = [recipe.resolve(file) for file in files]
    elif isinstance(files, dict):
        content["source"]["data_files"] = {
            split: [recipe.resolve(file) for file in ([part] if isinstance(part, str) else part)]
            for split, part in files.items()
        }
    if (path := recipe.task.guidelines_file) is not None:
        content["task"]["guidelines_file"] = recipe.resolve(path)
    for key in ("file", "examples"):
        if isinstance(path := getattr(recipe.teacher, key), str):
            content["teacher"][key] = recipe.resolve(path)
    content["teacher"]["model"] = recipe.model()
    return content
