"""A compiled codebook: it has the methods of a compiled recipe, for several variables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from hf_synthlabels.annotation.codebook.codebook import Codebook
from hf_synthlabels.annotation.codebook.codebook_annotator import CodebookAnnotator
from hf_synthlabels.annotation.codebook.codebook_columns import CodebookColumns
from hf_synthlabels.annotation.codebook.codebook_requests import CodebookPrompts
from hf_synthlabels.annotation.codebook.joint_prompt import JointPrompt
from hf_synthlabels.annotation.codebook.joint_reading import VariablePrompt
from hf_synthlabels.annotation.columns import joined_features
from hf_synthlabels.annotation.compiled import LIST_KINDS, AnnotationJob, selected_examples, selection_encoder
from hf_synthlabels.annotation.prompting.examples import NearestExamples
from hf_synthlabels.annotation.prompting.prompt import PROMPT_VERSION
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.annotation.recipe.source import needed_columns, source_fingerprint
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.clients.config import ClientConfig, FormatKey
from hf_synthlabels.clients.factory import ClientUse
from hf_synthlabels.labels import PARSER_VERSION

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class CodebookJob:
    """A codebook with everything it names in files."""

    recipe: Codebook
    variables: Mapping[str, AnnotationJob]
    """The compiled recipe of each variable."""
    client: ClientConfig
    response_format: FormatKey

    @cached_property
    def second(self) -> CodebookJob | None:
        """The job of the second annotator; None without one."""
        recipe = self.recipe.second
        if recipe is None:
            return None
        variables = {name: second for name, job in self.variables.items() if (second := job.second) is not None}
        return replace(
            self,
            recipe=recipe,
            variables=variables,
            client=recipe.client(),
            response_format=recipe.annotator.response_format,
        )

    @property
    def annotator_names(self) -> tuple[str, str] | None:
        """Names of both annotators in the columns `<variable>_annotator`; None with only one."""
        return next(iter(self.variables.values())).annotator_names

    @cached_property
    def label_columns(self) -> CodebookColumns:
        """The columns that annotation adds."""
        return CodebookColumns({name: job.label_columns for name, job in self.variables.items()})

    @cached_property
    def shown_examples(self) -> list[Example]:
        """The few-shot examples that all rows share."""
        schema = next(iter(self.variables.values())).schema
        recipe = self.recipe
        return selected_examples(recipe.examples, recipe.annotator.example_selection, schema, recipe.task.form())

    def prompt(self, *, as_json: bool | None = None) -> CodebookPrompts:
        """The prompts; `as_json` overrides the recipe's response format."""
        task = self.recipe.task
        as_json = self.response_format != "text" if as_json is None else as_json
        alone = {name: job.prompt(as_json=as_json) for name, job in self.variables.items()}
        described = {
            name: VariablePrompt(name, prompt, self.recipe.conditions[name], task.variables[name].reasoning)
            for name, prompt in alone.items()
        }
        prompts = CodebookPrompts(self.recipe.conditions, self.recipe.groups, {}, alone, task.long_text, self._rules)
        groups = [*prompts.groups, *(prompts.groups_of_parts if self._rules else ())]
        joint = {
            group: JointPrompt(
                tuple(described[name] for name in group),
                task.instructions,
                examples=self.shown_examples,
                as_json=as_json,
                form=task.form(),
                shuffled_variables=task.variable_order == "shuffled",
                seed=task.seed,
            )
            for group in dict.fromkeys(groups)
            if len(group) > 1
        }
        return replace(prompts, joint=joint)

    @property
    def _rules(self) -> dict[str, str]:
        """How the labels of a long text's parts become one, by variable."""
        long_text = self.recipe.task.long_text
        if long_text is None:
            return {}
        rules = {name: long_text.rule(variable) for name, variable in self.recipe.task.variables.items()}
        return {name: rule for name, rule in rules.items() if rule is not None}

    def annotator(
        self, prompt: CodebookPrompts, client: ChatClient, num_samples: int | None = None, **options: Any
    ) -> CodebookAnnotator:
        """An annotator of this job with prompts, a client and options of `CodebookAnnotator`."""
        selection, form = self.recipe.annotator.example_selection, self.recipe.task.form()
        nearest = None
        if selection is not None and selection.method == "nearest":
            nearest = NearestExamples(self.recipe.examples, selection, form, selection_encoder(selection))
        samples = self.recipe.annotator.num_samples if num_samples is None else num_samples
        return CodebookAnnotator(prompt, form, client, samples, nearest=nearest, **options)

    def client_use(self, features: Mapping[str, Any]) -> ClientUse:
        """What the job needs from its client."""
        annotator = self.recipe.annotator
        kinds = {job.recipe.task.kind for job in self.variables.values()}
        return ClientUse(
            self.recipe.name,
            self.response_format,
            annotator.logprobs,
            answers_per_row=annotator.num_samples,
            features=features,
            list_labels=kinds <= set(LIST_KINDS),
        )

    def regrouped(self, group: Literal["joint", "separate"]) -> CodebookJob:
        """The same job with another number of variables per request."""
        return replace(self, recipe=self.recipe.regrouped(group))

    def kept_going(self) -> CodebookJob:
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
        for name, job in self.variables.items():
            joined_features(source, job.label_columns.features, name, field=f"task.variables.{name}")
        return joined_features(source, self.label_columns.features, "")

    def cache_key(self, *more: str) -> str:
        """A name that changes with everything that can change a label."""
        parts = [
            self.recipe.fingerprint(),
            self.prompt().fingerprint(),
            source_fingerprint(self.recipe),
            f"{PROMPT_VERSION}.{PARSER_VERSION}",
            *more,
        ]
        return f"{self.recipe.name}-{hashlib.sha256(chr(30).join(parts).encode()).hexdigest()[:16]}"
