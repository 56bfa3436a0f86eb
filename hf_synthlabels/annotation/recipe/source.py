"""The rows of a source, and a fingerprint that changes when they do."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyarrow import ArrowException

from hf_synthlabels.annotation.codebook.source_recipe import SourceRecipe, has_numbers, variable_sections
from hf_synthlabels.annotation.recipe.human_labels import check_human_labels
from hf_synthlabels.annotation.recipe.source_config import FilePaths, Source
from hf_synthlabels.annotation.recipe.splits import select_splits
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.clients.factory import status_column
from hf_synthlabels.clients.local.model_files import find_checkpoint, folder_fingerprint
from hf_synthlabels.errors import DataError, SynthLabelsError
from hf_synthlabels.tables import ReadOptions, RowSource, load_rows
from hf_synthlabels.tables.loading import local_files, source_state

_LOGGER = logging.getLogger(__name__)


def load_source(
    recipe: SourceRecipe, *, streaming: bool = False, take: str | None = None, rows: int | None = None
) -> dict[str, Any]:
    """The splits of a recipe's source by name; see `read_source`.

    Raises:
        RecipeError: a file is not there, the data set does not exist, or it cannot be read.
        DataError: a split does not exist, all are without rows, or one lacks a column that the recipe names,
            or most human labels of one are not in the recipe's list.
    """
    is_scale = has_numbers(recipe)
    splits = read_source(
        recipe.source, recipe.paths, named_columns(recipe), streaming=streaming, take=take, rows=rows, numbers=is_scale
    )
    if not streaming:
        for name, part in splits.items():
            for section, variable in variable_sections(recipe).items():
                check_human_labels(variable, part, f"split {name!r}", section)
        form = recipe.task.form()
        check_keys(
            recipe.annotator.client,
            splits,
            recipe.task.columns,
            lambda row: None if (text := form.read(row)) is None else text.parts,
        )
    return splits


def read_source(
    source: Source,
    paths: FilePaths,
    columns: Mapping[str, str],
    *,
    streaming: bool = False,
    take: str | None = None,
    rows: int | None = None,
    numbers: bool = False,
) -> dict[str, Any]:
    """The splits of a source by name: a `Dataset` each, or an `IterableDataset` each when streaming.

    A split without rows is left out, with a warning, where others have some.

    Args:
        source: what to read.
        paths: finds its files.
        columns: the columns that must be there, each with the key that names it.
        streaming: read it as a stream.
        take: the splits, or slices of them, that are wanted of those that the source names.
        rows: the first so many rows of each split; None for all of them.
        numbers: read texts that are numbers as numbers; otherwise they stay as they are written.

    Raises:
        ConfigError: a file is not there, the data set does not exist, or it cannot be read.
        DataError: a split does not exist, all are without rows, or one lacks a column.
    """
    options = ReadOptions(tuple(columns), numbers=numbers, encoding=source.encoding, separator=source.separator)
    loaded = _guarded(source, paths, lambda rows: load_rows(rows, options, streaming=streaming))
    splits = select_splits(select_splits(loaded, source.split), take, rows, field="split")
    for name, part in list(splits.items()):
        if streaming and part.features is None:
            part = part._resolve_features()  # no public way to have the features of a stream
        if not streaming and len(part) == 0:
            if len(splits) == 1:
                raise DataError(f"`source` {source.path!r}: split {name!r} has no rows. Give data with rows.")
            _LOGGER.warning("Split %r of the source has no rows, and is left out.", name)
            del splits[name]
            continue
        splits[name] = part = _typed(source, part)
        check_columns(columns, part.features or {}, f"split {name!r}")
    return splits


def source_fingerprint(recipe: SourceRecipe) -> str:
    """A hash that changes with the source's files or revision, with the example file and with recorded answers.

    It is computed without reading the rows: files count by path, size and time of change, Hub data by revision.
    """
    source = recipe.source
    options = ReadOptions(
        tuple(named_columns(recipe)),
        numbers=has_numbers(recipe),
        encoding=source.encoding,
        separator=source.separator,
    )
    parts = [_guarded(source, recipe.paths, lambda rows: source_state(rows, options))]
    parts += [_file_state(recipe.paths, key, path) for key, path in _further_files(recipe).items()]
    # A model that was trained further answers otherwise, under the same name.
    client = recipe.client()
    if client.model is not None and client.kind == "transformers":
        parts.append(find_checkpoint(client.model).fingerprint)
    elif client.model is not None and client.kind == "embedding" and Path(client.model).is_dir():
        parts.append(folder_fingerprint(client.model))
    return hashlib.sha256("\x1e".join(parts).encode()).hexdigest()[:16]


def source_files(source: Source, paths: FilePaths, further: Iterable[str] = ()) -> list[Path]:
    """The local files of a source, and further files of the same configuration."""
    return [*local_files(_row_source(source, paths)), *(Path(paths.local(path)) for path in further)]


def recipe_files(recipe: SourceRecipe) -> list[Path]:
    """The local files that rows, examples and recorded answers come from: none of them may be overwritten."""
    return source_files(recipe.source, recipe.paths, _further_files(recipe).values())


def needed_columns(recipe: SourceRecipe, present: Iterable[str] = ()) -> list[str]:
    """The columns that annotation reads.

    Args:
        recipe: the task and its annotator.
        present: the columns of the rows; those that are read only where they exist are taken from it.
    """
    present = list(present)
    recorded = [name for each in recipe.variables.values() for name in recorded_columns(each.annotator.client, present)]
    return list(dict.fromkeys([*recipe.task.columns, *recorded]))


def recorded_columns(client: ClientConfig, present: Iterable[str] = ()) -> list[str]:
    """The columns in which a client looks up recorded answers; see `needed_columns`."""
    columns = (client.column, client.key if client.file else None, status_column(client, present))
    return [column for column in columns if column]


def named_columns(recipe: SourceRecipe) -> dict[str, str]:
    """The columns that a recipe names, each with its key."""
    keys: dict[str | None, str] = dict.fromkeys(recipe.task.columns, "task.text")
    variables = recipe.variables.values()
    for task in (variable.task for variable in variables):
        keys |= {task.tokens: "task.tokens", task.question: "task.question", task.context: "task.context"}
    for section, variable in variable_sections(recipe).items():
        recorded = recorded_keys(variable.annotator.client, "annotator")
        for name, key in ((variable.task.human, f"{section}.human"), *recorded.items()):
            keys.setdefault(name, key)
    return {name: key for name, key in keys.items() if name}


def recorded_keys(client: ClientConfig, section: str) -> dict[str, str]:
    """The columns in which a client looks up recorded answers, each with its key in a section."""
    key = f"{section}.column" if client.column else f"{section}.key"
    return dict.fromkeys(recorded_columns(client), key)


def check_columns(columns: Mapping[str, str], present: Sequence[str] | Any, where: str) -> None:
    """Every named column must be there.

    Args:
        columns: the columns, each with the key that names it.
        present: the columns of the rows.
        where: how errors name the rows.

    Raises:
        DataError: a column is not there.
    """
    for name, key in columns.items():
        if name not in present:
            near = difflib.get_close_matches(name, list(present), n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise DataError(
                f"`{key}` names the column {name!r}, which is not in {where}. {hint}Available columns: "
                f"{', '.join(present)}."
            )


def check_keys(
    client: ClientConfig,
    splits: Mapping[str, Any],
    columns: Sequence[str],
    read: Callable[[Mapping[str, Any]], Hashable | None],
) -> None:
    """Refuse two different rows with the same key of recorded answers: both would get the same answer.

    Args:
        client: whose answers may be in a file.
        splits: the rows of the source, by split.
        columns: what `read` needs of a row.
        read: what is shown of a row; None for a row that is left out.

    Raises:
        DataError: a key is in two rows with different texts.
    """
    key = client.key
    if client.file is None or key is None:
        return
    seen: dict[str, int] = {}
    for name, rows in splits.items():
        for row in rows.select_columns(list(dict.fromkeys([*columns, key]))):
            shown = read(row)
            if shown is not None and seen.setdefault(str(row[key]), hash(shown)) != hash(shown):
                raise DataError(
                    f"`key` {key!r} has {str(row[key])[:40]!r} in two different rows, the second in split "
                    f"{name!r}. Name a column that identifies each row."
                )


def _further_files(recipe: SourceRecipe) -> dict[str, str]:
    """The files that a recipe names besides its source, by key."""
    annotator = recipe.annotator
    files = {
        "annotator.file": annotator.client.file,
        "annotator.examples": annotator.examples,
    }
    for name, variable in recipe.variables.items():
        key = "task.guidelines_file" if variable is recipe else f"task.variables.{name}.guidelines_file"
        files[key] = variable.task.guidelines_file
    return {key: path for key, path in files.items() if isinstance(path, str)}


def _row_source(source: Source, paths: FilePaths) -> RowSource:
    located = paths.located_source(source)
    return RowSource(
        located.path,
        located.name,
        located.data_files,
        located.revision,
        located.data_dir,
        tuple(located.options.items()),
    )


def _typed(source: Source, rows: Any) -> Any:
    """Rows with the columns and types that the source gives.

    Raises:
        DataError: a column is not there, or cannot have the type.
    """
    from datasets import Features

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


def _guarded(source: Source, paths: FilePaths, load: Callable[[RowSource], Any]) -> Any:
    """Run a loading function of `datasets`, its many errors told in one line that names the source."""
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    no_rows = DataError(f"`source` {source.path!r}: a file has no rows. Give data with rows.")
    try:
        return load(_row_source(source, paths))
    except SynthLabelsError:
        raise
    except StopIteration:
        # So the reader of JSON ends on a file without a line.
        raise no_rows from None
    except (DatasetGenerationError, DatasetNotFoundError, OSError, ValueError) as error:
        cause = error.__cause__ or error
        words = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        if "corresponds to no data" in words:
            # A table without a row has no split either.
            raise no_rows from None
        raise paths.error(
            f"`source` {source.path!r} with data_files {source.data_files!r} cannot be loaded: {words[:240]}. "
            "Paths are relative to the YAML file."
        ) from error


def _file_state(paths: FilePaths, key: str, file: str) -> str:
    path = Path(paths.local(file))
    try:
        state = path.stat()
    except OSError as error:
        raise paths.error(f"`{key}` names the file {str(path)!r}, which cannot be read: {error.strerror}.") from None
    return f"{path}|{state.st_size}|{state.st_mtime_ns}"
