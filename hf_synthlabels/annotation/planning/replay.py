"""Taking a recipe's answers along: a file from which the `recorded` client repeats the run without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation.compiled import AnnotationJob, RecipeLike, compile_recipe
from hf_synthlabels.annotation.planning.requests import RequestDryRun, StoredAnswers
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.source import load_source, needed_columns
from hf_synthlabels.annotation.run.annotator import NO_TEXT
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients.factory import known_format
from hf_synthlabels.clients.store.export_import import answer_line, json_lines
from hf_synthlabels.clients.store.payloads import OPTIONAL_FIELDS, StoredAnswer
from hf_synthlabels.errors import DataError, RecipeError
from hf_synthlabels.resources import store_path

LOOKUP_ROWS = 200

STORED_CLIENTS = ("openai", "transformers")

OWN_FIELDS = frozenset({"answer", "sample", "request", "model", "usage", "created_at", *OPTIONAL_FIELDS})


@dataclass(frozen=True, slots=True)
class Replay:
    """A file of answers, row by row."""

    path: Path
    key: str
    """The column by which rows find their answers."""
    rows: int
    """Rows with an answer for every sample."""
    incomplete: int
    """Rows without an answer for at least one sample."""
    num_samples: int

    def annotator(self) -> str:
        """The `annotator` section that repeats the run."""
        samples = f", num_samples: {self.num_samples}" if self.num_samples > 1 else ""
        return f"{{client: recorded, file: {self.path.name}, key: {self.key}{samples}}}"


@dataclass(frozen=True, slots=True)
class _Row:
    """The answers of a row, one per sample; None if missing."""

    value: Any
    lines: list[dict[str, Any] | None]
    identity: str
    """What was asked and answered; rows that share their key must share it."""


def export_answers(recipe: RecipeLike, output: str | Path, key: str | None = None) -> Replay:
    """Write the stored answer of each row and sample of a recipe as JSON Lines.

    A line has the row's key, the sample index and the answer, as the `recorded` client reads them; and, where a
    request was for one row, what the store keeps of it, so that `import_answers` reads it as well. Answers to several
    rows at once are written row by row.

    Args:
        recipe: whose annotator is a server, or a causal model in this process.
        output: the file; it has its name only when it is complete.
        key: a column that identifies the rows; by default the text itself, if it is one column.

    Raises:
        RecipeError: the annotator's answers are not stored, or `key` is needed.
        DataError: a split lacks the column, or rows of the same key have different answers.
    """
    job = compile_recipe(recipe)
    key = key or _text_key(job.recipe)
    seen: dict[str, str] = {}
    complete = incomplete = 0
    with ResponseStore(store_path()) as store, json_lines(output) as lines:
        for row in _rows(job, key, store):
            written = str(row.value)
            is_new = written not in seen
            if seen.setdefault(written, row.identity) != row.identity:
                raise DataError(
                    f"`key` {key!r} has {written[:40]!r} in two rows with different answers. Name a column that "
                    "identifies the rows."
                )
            if None in row.lines:
                incomplete += 1
            else:
                complete += 1
            # Equal rows share their answers, which are written once.
            for line in _placed(key, row) if is_new else ():
                lines.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    return Replay(Path(output), key, complete, incomplete, job.recipe.annotator.num_samples)


def stored_keys(recipe: RecipeLike, store: ResponseStore) -> list[str]:
    """The keys of all stored answers that a recipe's rows use.

    Raises:
        RecipeError: the annotator's answers are not stored.
    """
    job = compile_recipe(recipe)
    dry_run, recipe = _dry_run(job, store), job.recipe
    found: dict[str, None] = {}
    for rows in load_source(recipe).values():
        for sample in range(recipe.annotator.num_samples):
            answers = StoredAnswers(store, dry_run.keys, sample)
            for _ in dry_run.annotator(answers, num_samples=1).annotate(rows.select_columns(needed_columns(recipe))):
                pass
            found.update(dict.fromkeys(answers.looked_up))
    return list(found)


def _dry_run(job: AnnotationJob, store: ResponseStore) -> RequestDryRun:
    recipe = job.recipe
    client = recipe.annotator.client
    if client.kind not in STORED_CLIENTS:
        raise RecipeError(
            f"`annotator.client` is {client.kind!r}, whose answers are not stored. Give a recipe whose "
            f"client is one of: {', '.join(STORED_CLIENTS)}."
        )
    form = known_format(recipe.annotator.client, recipe.annotator.response_format, store)
    if form is None:
        raise RecipeError(
            f"`annotator.response_format` is 'auto', and no probe of {client.base_url} is recorded for model "
            f"{client.model!r}, so nothing can be stored. Run the recipe first, or say the form."
        )
    return RequestDryRun(job, form)


def _text_key(recipe: Recipe) -> str:
    columns = recipe.task.columns
    if len(columns) > 1 or recipe.task.tokens is not None:
        raise RecipeError("`--key` is missing: name the column that tells the recipe's rows apart.")
    return columns[0]


def _rows(job: AnnotationJob, key: str, store: ResponseStore) -> Iterator[_Row]:
    if key in OWN_FIELDS:
        raise DataError(f"`key` {key!r} is the name of a field of the file itself. Name the column otherwise.")
    dry_run, recipe = _dry_run(job, store), job.recipe
    single = recipe.task.rows_per_call == 1
    for name, rows in load_source(recipe).items():
        if key not in rows.features:
            has = ", ".join(rows.features)
            raise DataError(
                f"`key` names the column {key!r}, which is not in split {name!r}. Available columns: {has}."
            )
        wanted = rows.select_columns(list(dict.fromkeys([*needed_columns(recipe), key])))
        read = _asked_singly if single else _asked_together
        yield from read(dry_run, wanted, key, store, recipe.annotator.num_samples)


def _asked_singly(
    dry_run: RequestDryRun, rows: Any, key: str, store: ResponseStore, num_samples: int
) -> Iterator[_Row]:
    """Rows with their own requests, one per sample."""
    asked = dry_run.requests(rows)
    while batch := list(islice(asked, LOOKUP_ROWS * num_samples)):
        known = _entries(store, [hash_ for _, hash_ in batch])
        for start in range(0, len(batch), num_samples):
            hashes = [hash_ for _, hash_ in batch[start : start + num_samples]]
            lines = [answer_line(known[hash_]) if hash_ in known else None for hash_ in hashes]
            yield _Row(batch[start][0].row[key], lines, hashes[0])


def _asked_together(
    dry_run: RequestDryRun, rows: Any, key: str, store: ResponseStore, num_samples: int
) -> Iterator[_Row]:
    """Rows that were asked several in one call: their parts of the answers, read as the annotator reads them."""
    drawn = [
        dry_run.annotator(StoredAnswers(store, dry_run.keys, sample), num_samples=1).annotate(rows)
        for sample in range(num_samples)
    ]
    for row, *parts in zip(rows, *drawn, strict=True):
        if parts[0].reason == NO_TEXT:
            continue
        lines = [None if part.status == "over_budget" else {"answer": part.raw} for part in parts]
        yield _Row(row[key], lines, json.dumps(lines))


def _placed(key: str, row: _Row) -> Iterator[dict[str, Any]]:
    """The lines of a row; samples are identified by their order, so a missing one becomes an empty line."""
    known = [sample for sample, line in enumerate(row.lines) if line is not None]
    for sample in range(known[-1] + 1 if known else 0):
        yield {key: row.value, "sample": sample, **(row.lines[sample] or {"answer": None})}


def _entries(store: ResponseStore, keys: list[str]) -> dict[str, StoredAnswer]:
    marks = ",".join("?" * len(keys))
    query = f"SELECT key, payload, checksum, created_at FROM answers WHERE key IN ({marks})"
    entries = [StoredAnswer(*row) for row in store.select(query, keys)]
    return {entry.key: entry for entry in entries if entry.is_valid}
