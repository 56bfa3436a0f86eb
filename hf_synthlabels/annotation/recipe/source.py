"""The source of a recipe: the rows to label, and a fingerprint that changes when they do."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyarrow import ArrowException

from hf_synthlabels.annotation.recipe.human_labels import check_human_labels
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.splits import select_splits
from hf_synthlabels.clients.factory import status_column
from hf_synthlabels.clients.local.model_files import find_checkpoint, folder_fingerprint
from hf_synthlabels.errors import DataError, RecipeError, SynthLabelsError
from hf_synthlabels.tables import ReadOptions, RowSource, load_rows
from hf_synthlabels.tables.loading import local_files, source_state

_LOGGER = logging.getLogger(__name__)


def load_source(
    recipe: Recipe, *, streaming: bool = False, take: str | None = None, rows: int | None = None
) -> dict[str, Any]:
    """The splits of the source by name: a `Dataset` each, or an `IterableDataset` each when streaming.

    A split without rows is left out, with a warning, where others have some.

    Args:
        recipe: whose source is read.
        streaming: read it as a stream.
        take: the splits, or slices of them, that are wanted of those that the recipe names.
        rows: the first so many rows of each split; None for all of them.

    Raises:
        RecipeError: a file is not there, the data set does not exist, or it cannot be read.
        DataError: a split does not exist, all are without rows, or one lacks a column that the recipe names,
            or most human labels of one are not in the recipe's list.
    """
    loaded = _guarded(recipe, lambda: load_rows(_row_source(recipe), _read_options(recipe), streaming=streaming))
    splits = select_splits(select_splits(loaded, recipe.source.split), take, rows, field="split")
    for name, part in list(splits.items()):
        if streaming and part.features is None:
            splits[name] = part = part._resolve_features()  # no public way to have the features of a stream
        if not streaming and len(part) == 0:
            if len(splits) == 1:
                raise DataError(f"`source` {recipe.source.path!r}: split {name!r} has no rows. Give data with rows.")
            _LOGGER.warning("Split %r of the source has no rows, and is left out.", name)
            del splits[name]
            continue
        splits[name] = part = _typed(recipe, part)
        check_columns(recipe, part.features or {}, f"split {name!r}")
        if not streaming:
            check_human_labels(recipe, part, f"split {name!r}")
    if not streaming:
        check_keys(recipe, splits)
    return splits


def source_fingerprint(recipe: Recipe) -> str:
    """A hash that changes with the source's files or revision, with the example file and with recorded answers.

    It is computed without reading the rows: files count by path, size and time of change, Hub data by revision.
    """
    parts = [_guarded(recipe, lambda: source_state(_row_source(recipe), _read_options(recipe)))]
    for path in (recipe.annotator.client.file, recipe.annotator.examples, recipe.task.guidelines_file):
        if isinstance(path, str):
            parts.append(_file_state(Path(recipe.local_path(path))))
    # A model that was trained further answers otherwise, under the same name.
    if (model := recipe.model()) is not None and recipe.annotator.client.kind == "transformers":
        parts.append(find_checkpoint(model).fingerprint)
    elif model is not None and recipe.annotator.client.kind == "embedding" and Path(model).is_dir():
        parts.append(folder_fingerprint(model))
    return hashlib.sha256("\x1e".join(parts).encode()).hexdigest()[:16]


def source_files(recipe: Recipe) -> list[Path]:
    """The local files that rows, examples and recorded answers come from: none of them may be overwritten."""
    source, annotator = _row_source(recipe), recipe.annotator
    further = (recipe.task.guidelines_file, annotator.examples, annotator.client.file)
    return [*local_files(source), *(Path(recipe.local_path(path)) for path in further if isinstance(path, str))]


def needed_columns(recipe: Recipe, present: Iterable[str] = ()) -> list[str]:
    """The columns that annotation reads.

    Args:
        recipe: the task and its annotator.
        present: the columns of the rows; those that are read only where they exist are taken from it.
    """
    client = recipe.annotator.client
    looked_up = [client.column, client.key if client.file else None, status_column(client, present)]
    return [*recipe.task.columns, *(name for name in looked_up if name and name not in recipe.task.columns)]


def check_columns(recipe: Recipe, columns: Sequence[str] | Any, where: str) -> None:
    """Every column that the recipe names must be there.

    Raises:
        DataError: one is not.
    """
    task = recipe.task
    fields = {name: "task.text" for name in task.columns}
    fields |= {
        column: f"task.{key}"
        for key, column in (("tokens", task.tokens), ("question", task.question), ("context", task.context))
        if column is not None
    }
    if recipe.task.human:
        fields.setdefault(recipe.task.human, "task.human")
    for name in needed_columns(recipe):
        fields.setdefault(name, "annotator.column" if recipe.annotator.client.column else "annotator.key")
    for name, field in fields.items():
        if name not in columns:
            near = difflib.get_close_matches(name, list(columns), n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise DataError(
                f"`{field}` names the column {name!r}, which is not in {where}. {hint}Available columns: "
                f"{', '.join(columns)}."
            )


def check_keys(recipe: Recipe, splits: Mapping[str, Any]) -> None:
    """Refuse two different rows with the same `annotator.key`: both would get the same recorded answer.

    Args:
        recipe: whose answers may be in a file.
        splits: the rows of the source, by split.

    Raises:
        DataError: a key is in two rows with different texts.
    """
    key = recipe.annotator.client.key
    if recipe.annotator.client.file is None or key is None:
        return
    form = recipe.task.form()
    seen: dict[str, int] = {}
    for name, rows in splits.items():
        for row in rows.select_columns(list(dict.fromkeys([*recipe.task.columns, key]))):
            text = form.read(row)
            if text is None:
                continue
            question = hash(text.parts)
            if seen.setdefault(str(row[key]), question) != question:
                raise DataError(
                    f"`annotator.key` {key!r} has {str(row[key])[:40]!r} in two different rows, the second in split "
                    f"{name!r}. Name a column that identifies each row."
                )


def _row_source(recipe: Recipe) -> RowSource:
    source = recipe.located_source()
    return RowSource(
        source.path, source.name, source.data_files, source.revision, source.data_dir, tuple(source.options.items())
    )


def _typed(recipe: Recipe, rows: Any) -> Any:
    """Rows with the columns and types that the source gives.

    Raises:
        DataError: a column is not there, or cannot have the type.
    """
    from datasets import Features

    source = recipe.source
    for field, names in (("columns", source.columns or ()), ("features", source.features or ())):
        if missing := [name for name in names if name not in rows.features]:
            raise DataError(f"`source.{field}` names {missing[0]!r}. The columns are: {', '.join(rows.features)}.")
    if source.columns is not None:
        rows = rows.select_columns(source.columns)
    if source.features is None:
        return rows
    try:
        given = Features._from_yaml_list([{"name": name, "dtype": dtype} for name, dtype in source.features.items()])
        return rows.cast(Features({**rows.features, **given}))
    except (ArrowException, TypeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"`source.features` does not fit the rows: {reason.rstrip('.')}.") from None


def _read_options(recipe: Recipe) -> ReadOptions:
    """Texts and labels stay as they are written, unless the labels are of a scale."""
    task, annotator = recipe.task, recipe.annotator
    columns = [*task.columns, task.human, task.question, task.context, annotator.client.column, annotator.client.key]
    return ReadOptions(
        tuple(column for column in columns if column),
        numbers=task.kind == "text-scale",
        encoding=recipe.source.encoding,
        separator=recipe.source.separator,
    )


def _guarded(recipe: Recipe, load: Any) -> Any:
    """Run a loading function of `datasets`, its many errors told in one line that names the source."""
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    try:
        return load()
    except SynthLabelsError:
        raise
    except StopIteration:
        # So the reader of JSON ends on a file without a line.
        raise DataError(f"`source` {recipe.source.path!r}: a file has no rows. Give data with rows.") from None
    except (DatasetGenerationError, DatasetNotFoundError, OSError, ValueError) as error:
        cause = error.__cause__ or error
        words = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        if "corresponds to no data" in words:
            # A table without a row has no split either.
            raise DataError(f"`source` {recipe.source.path!r}: a file has no rows. Give data with rows.") from None
        raise RecipeError(
            f"`source` {recipe.source.path!r} with data_files {recipe.source.data_files!r} cannot be loaded: "
            f"{words[:240]}. Paths are relative to the recipe."
        ) from error


def _file_state(path: Path) -> str:
    try:
        state = path.stat()
    except OSError as error:
        raise RecipeError(
            f"`annotator` names the file {str(path)!r}, which cannot be read: {error.strerror}."
        ) from None
    return f"{path}|{state.st_size}|{state.st_mtime_ns}"
