"""Taking a recipe's answers along: a file from which the `recorded` client repeats the run without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation.compiled import AnnotationJob
from hf_synthlabels.annotation.compiler import RecipeLike, compile_recipe, compile_variable
from hf_synthlabels.annotation.planning.dry_run import LOOKUP_ROWS, StoredAnswers, dry_run
from hf_synthlabels.annotation.recipe.source import load_source
from hf_synthlabels.annotation.run.annotator import NO_TEXT
from hf_synthlabels.clients import ResponseFormat, ResponseStore
from hf_synthlabels.clients.factory import known_format
from hf_synthlabels.clients.store.export_import import answer_line, json_lines
from hf_synthlabels.clients.store.payloads import OPTIONAL_FIELDS, StoredAnswer
from hf_synthlabels.errors import DataError, RecipeError
from hf_synthlabels.resources import store_path

STORED_CLIENTS = ("openai", "transformers")

OWN_FIELDS = frozenset({"answer", "sample", "request", "model", "usage", "created_at", *OPTIONAL_FIELDS})

RowLines = tuple[Any, list[dict[str, Any] | None], str]
"""The key of a row, a line for each sample, None for a missing one, and what rows of the same key must share."""


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


def export_answers(recipe: RecipeLike, output: str | Path, key: str | None = None) -> Replay:
    """Write the stored answer of each row and sample of a recipe as JSON Lines.

    A line has the row's key, the sample index and the answer, as the `recorded` client reads them. If a request is for
    one row, the line also has what the store keeps of it, so that `import_answers` reads it. Answers to several rows at
    once are written row by row.

    Args:
        recipe: whose annotator is a server, or a causal model in this process.
        output: the file; it has its name only when it is complete.
        key: a column that identifies the rows; by default the text itself, if it is one column.

    Raises:
        RecipeError: the annotator's answers are not stored or are those of several variables or of parts of rows, or
            `key` is needed.
        DataError: a split lacks the column, or rows of the same key have different answers.
    """
    job = _exported(recipe)
    key = key or _text_key(job)
    seen: dict[str, str] = {}
    complete = incomplete = 0
    with ResponseStore(store_path()) as store, json_lines(output) as lines:
        for value, answers, identity in _row_lines(job, key, store):
            is_new = str(value) not in seen
            if seen.setdefault(str(value), identity) != identity:
                raise DataError(
                    f"`key` {key!r} has {str(value)[:40]!r} in two rows with different answers. Name a column that "
                    "identifies the rows."
                )
            incomplete += None in answers
            complete += None not in answers
            while answers and answers[-1] is None:
                answers.pop()
            # Equal rows share their answers, which are written once. Samples are identified by their order.
            for sample, line in enumerate(answers if is_new else ()):
                content = {key: value, "sample": sample, **(line or {"answer": None})}
                lines.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")
    return Replay(Path(output), key, complete, incomplete, job.recipe.annotator.num_samples)


def stored_keys(recipe: RecipeLike, store: ResponseStore) -> list[str]:
    """The keys of all stored answers that a recipe's rows use.

    Raises:
        RecipeError: the annotator's answers are not stored.
    """
    job = compile_variable(recipe)
    response_format = _stored_format(job, store)
    keys: dict[str, None] = {}
    for rows in load_source(job.recipe).values():
        for sample in range(job.recipe.annotator.num_samples):
            answers = StoredAnswers(job, response_format, store, sample)
            for _ in answers.annotate(rows.select_columns(job.columns())):
                pass
            keys.update(dict.fromkeys(answers.looked_up))
    return list(keys)


def _exported(recipe: RecipeLike) -> AnnotationJob:
    """The job whose answers are those of whole rows."""
    job = compile_recipe(recipe)
    if job.recipe.task.long_text is not None:
        raise RecipeError("`task.long_text` splits rows, whose answers cannot be exported by row. Remove it.")
    if len(job.variables) > 1:
        raise RecipeError(
            f"`task.variables` has {len(job.variables)} variables, whose joint answers cannot be exported by row. Keep "
            "the table that `annotate` writes: its `_raw` columns have the answers."
        )
    return next(iter(job.variables.values()))


def _stored_format(job: AnnotationJob, store: ResponseStore) -> ResponseFormat:
    """The format of a job's stored answers."""
    client = job.client
    if job.recipe.annotator.escalate is not None:
        raise RecipeError("`annotator.escalate` adds answers of a second annotator. Remove it to export the first's.")
    if client.kind not in STORED_CLIENTS:
        raise RecipeError(
            f"`annotator.client` is {client.kind!r}, whose answers are not stored. Give a recipe whose "
            f"client is one of: {', '.join(STORED_CLIENTS)}."
        )
    response_format = known_format(client, job.response_format, store)
    if response_format is None:
        raise RecipeError(
            f"`annotator.response_format` is 'auto', and no probe of {client.base_url} is recorded for model "
            f"{client.model!r}, so nothing can be stored. Run the recipe first, or name the format."
        )
    return response_format


def _text_key(job: AnnotationJob) -> str:
    columns = job.recipe.task.columns
    if len(columns) > 1 or job.recipe.task.tokens is not None:
        raise RecipeError("`--key` is missing: name the column that tells the recipe's rows apart.")
    return columns[0]


def _row_lines(job: AnnotationJob, key: str, store: ResponseStore) -> Iterator[RowLines]:
    if key in OWN_FIELDS:
        raise DataError(f"`key` {key!r} is the name of a field of the file itself. Name the column otherwise.")
    read = _from_single_requests if job.recipe.task.rows_per_call == 1 else _from_shared_requests
    for name, rows in load_source(job.recipe).items():
        if key not in rows.features:
            raise DataError(
                f"`key` names the column {key!r}, which is not in split {name!r}. Available columns: "
                f"{', '.join(rows.features)}."
            )
        yield from read(job, rows.select_columns(list(dict.fromkeys([*job.columns(), key]))), key, store)


def _from_single_requests(job: AnnotationJob, rows: Any, key: str, store: ResponseStore) -> Iterator[RowLines]:
    """Rows with their own requests, one for each sample."""
    num_samples = job.recipe.annotator.num_samples
    requests = dry_run(job, _stored_format(job, store)).requests(rows)
    while batch := list(islice(requests, LOOKUP_ROWS // num_samples * num_samples or num_samples)):
        stored = _stored_lines(store, [request_key for _, request_key in batch])
        for start in range(0, len(batch), num_samples):
            keys = [request_key for _, request_key in batch[start : start + num_samples]]
            yield batch[start][0].row[key], [stored.get(request_key) for request_key in keys], keys[0]


def _from_shared_requests(job: AnnotationJob, rows: Any, key: str, store: ResponseStore) -> Iterator[RowLines]:
    """Rows that share requests: their parts of the answers, read as the annotator reads them."""
    response_format = _stored_format(job, store)
    samples = [
        StoredAnswers(job, response_format, store, sample).annotate(rows)
        for sample in range(job.recipe.annotator.num_samples)
    ]
    for row, *parts in zip(rows, *samples, strict=True):
        if parts[0].reason != NO_TEXT:
            lines = [None if part.status == "over_budget" else {"answer": part.raw} for part in parts]
            yield row[key], lines, json.dumps(lines)


def _stored_lines(store: ResponseStore, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The lines of stored answers, by the keys of their requests."""
    marks = ",".join("?" * len(keys))
    query = f"SELECT key, payload, checksum, created_at FROM answers WHERE key IN ({marks})"
    entries = [StoredAnswer(*row) for row in store.select(query, keys)]
    return {entry.key: answer_line(entry) for entry in entries if entry.is_valid}
