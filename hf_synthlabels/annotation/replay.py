"""Taking a recipe's answers along: a file from which the `recorded` client repeats the run without a server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation.annotator import Annotator
from hf_synthlabels.annotation.opening import make_prompt, sampling, store_path
from hf_synthlabels.annotation.recipe import Recipe
from hf_synthlabels.annotation.source import load_source
from hf_synthlabels.clients import (
    Request,
    RequestKeys,
    ResponseStore,
    ScriptedClient,
    chat_identity,
    recorded_format,
)
from hf_synthlabels.errors import DataError, RecipeError

__all__ = ["export_answers"]

BATCH = 500


def export_answers(recipe: Recipe, key: str, output: str | Path) -> tuple[int, int]:
    """Write the stored answer of each row and draw of a recipe as JSON Lines; returns answers written and missing.

    A line has the row's key, the number of the draw and the answer, as the `recorded` client reads them, and the
    hash of the request with what the server said of it, as the store imports them.

    Args:
        recipe: whose teacher is a server.
        key: a column that tells the rows apart.
        output: the file; it has its name only when it is complete.

    Raises:
        RecipeError: the recipe's teacher is no server, or answers for several rows at once.
        DataError: a split lacks the column, or a key stands in two rows.
    """
    teacher = recipe.teacher
    if teacher.client != "openai" or recipe.task.rows_per_call > 1:
        raise RecipeError(
            f"`teacher.client` is {teacher.client!r} and `task.rows_per_call` {recipe.task.rows_per_call}: only "
            "answers of a server to single rows can be repeated row by row. Export the whole store instead."
        )
    target = Path(output)
    part = target.with_name(target.name + ".part")
    written = missing = 0
    with ResponseStore(store_path()) as store, part.open("w", encoding="utf-8") as lines:
        for request, hash_, payload in _answered(recipe, key, store):
            if payload is None:
                missing += 1
                continue
            content = dict(payload)
            line = {key: request.row[key], "draw": request.draw, "answer": content.pop("text"), "request": hash_}
            lines.write(json.dumps({**line, **content}, ensure_ascii=False, default=str) + "\n")
            written += 1
        lines.flush()
        os.fsync(lines.fileno())
    part.replace(target)
    return written, missing


def _answered(recipe: Recipe, key: str, store: ResponseStore) -> Iterator[tuple[Request, str, dict[str, Any] | None]]:
    """The recipe's requests with their hashes, and their answers where they are stored."""
    teacher = recipe.teacher
    base_url, model = teacher.base_url.rstrip("/"), str(teacher.model)
    form = teacher.response_format
    if form == "auto":
        form = recorded_format(store, base_url=base_url, model=model) or "text"
    prompt = make_prompt(recipe, as_json=form != "text")
    keys = RequestKeys(chat_identity(model, base_url, sampling(teacher, form)))
    annotator = Annotator(prompt.schema, prompt, ScriptedClient({}), draws=teacher.draws, form=recipe.task.form())
    seen: set[str] = set()
    for name, rows in load_source(recipe).items():
        if key not in rows.features:
            has = ", ".join(rows.features)
            raise DataError(f"`key` names the column {key!r}, which split {name!r} has not. It has: {has}.")
        pending = annotator.requests(rows)
        while batch := list(islice(pending, BATCH)):
            named = [(request, keys.of(request)) for request in batch]
            answers = store.get(hash_ for _, hash_ in named)
            for request, hash_ in named:
                row_key = str(request.row[key])
                if request.draw == 0 and row_key in seen:
                    raise DataError(f"`key` {key!r} has {row_key!r} in two rows. Name a column that tells rows apart.")
                seen.add(row_key)
                yield request, hash_, answers.get(hash_)
