"""Codebook: a recipe with several variables, each with a separate recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from hf_synthlabels.annotation.codebook.codebook_keys import CodebookKeys, CodebookTask, conditions_of
from hf_synthlabels.annotation.codebook.groups import Condition, Group, ordered_variables, request_groups
from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig, AnsweringKeys
from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.annotation.recipe.example import Example, codebook_examples
from hf_synthlabels.annotation.recipe.recipe import Output, Recipe
from hf_synthlabels.annotation.recipe.source_config import FilePaths, Source
from hf_synthlabels.annotation.recipe.strict_yaml import validated
from hf_synthlabels.annotation.trust.confirmation import check_trust
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.errors import RecipeError

MAX_GROUP = 50
"""Variables of a request: servers with strict JSON schemas accept 100 properties, and a variable may have two."""

LONG_KINDS = ("token-classification", "question-answering", "text-generation")
VALUE_TOKENS, LONG_VALUE_TOKENS, CONFIDENCE_TOKENS = 24, 200, 12
"""Tokens of a value by which the default limit of a joint answer is longer than that of a single one."""

PLACEHOLDER = "{variable}"
"""In `annotator.column`: each variable's recorded answers have their own column."""


@dataclass(frozen=True)
class Codebook:
    """A recipe with several variables; it has the attributes that a `Recipe` has."""

    keys: CodebookKeys
    variables: Mapping[str, Recipe]
    """A recipe for each variable, whose label column has the variable's name."""
    folder: Path | str | None = None

    @classmethod
    def from_dict(cls, content: Any, *, folder: Path | str | None = None, origin: str = "recipe") -> Codebook:
        """Make a codebook from the content of a YAML file.

        Raises:
            RecipeError: a key is missing, unknown or wrong.
            UntrustedRecipeError: it sends a secret or a local file where the user has not agreed to send it.
        """
        check_trust(content, folder, origin)
        keys = validated(CodebookKeys, dict(content), origin, RecipeError)
        content = _with_longer_answers(content, keys)
        keys = validated(CodebookKeys, content, origin, RecipeError)
        _check_annotator(keys, origin)
        ordered_variables(conditions_of(keys.task), origin)
        paths = FilePaths(folder, keys.source.homepage, RecipeError)
        examples = codebook_examples(keys.annotator.examples, keys.task.columns, paths)
        variables = {
            name: _variable_recipe(content, keys, name, examples, folder, origin) for name in keys.task.variables
        }
        _check_conditions(keys.task, variables, origin)
        codebook = cls(keys, variables, folder)
        if (largest := max(map(len, codebook.groups))) > MAX_GROUP:
            raise RecipeError(
                f"{origin}: `task.group` is {keys.task.group!r}, which puts {largest} variables into one request. Use "
                f"a number up to {MAX_GROUP}."
            )
        return codebook

    @property
    def name(self) -> str:
        """The name of the recipe and of its budget."""
        return self.keys.name

    @property
    def source(self) -> Source:
        """Where the rows come from."""
        return self.keys.source

    @property
    def task(self) -> CodebookTask:
        """The variables and how they are requested."""
        return self.keys.task

    @property
    def annotator(self) -> AnnotatorConfig:
        """The annotator of all variables."""
        return self.keys.annotator

    @property
    def output(self) -> Output:
        """The label columns."""
        return self.keys.output

    @property
    def engine(self) -> Engine:
        """Where it runs."""
        return self.keys.engine

    @property
    def paths(self) -> FilePaths:
        """Finds the files that the recipe names."""
        return FilePaths(self.folder, self.source.homepage, RecipeError)

    @cached_property
    def examples(self) -> list[Example]:
        """The few-shot examples, with a label for each variable."""
        return codebook_examples(self.annotator.examples, self.task.columns, self.paths)

    @cached_property
    def conditions(self) -> dict[str, Condition | None]:
        """The condition of each variable, in an order in which a condition's variable comes first."""
        conditions = conditions_of(self.task)
        return {name: conditions[name] for name in ordered_variables(conditions, self.name)}

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The variables of each request."""
        return request_groups(self.conditions, self.task.group)

    @property
    def has_own_clients(self) -> bool:
        """Whether each variable has its own client: an encoder, or its own column of recorded answers."""
        client = self.annotator.client
        return client.kind == "embedding" or (client.kind == "recorded" and PLACEHOLDER in (client.column or ""))

    def client(self) -> ClientConfig:
        """The annotator's client, with located paths."""
        return self.paths.located_client(self.annotator.client)

    def regrouped(self, group: Literal["joint", "separate"]) -> Codebook:
        """The same codebook with another number of variables per request."""
        return replace(self, keys=self.keys.model_copy(update={"task": self.task.model_copy(update={"group": group})}))

    @property
    def second(self) -> Codebook | None:
        """The same codebook with its second annotator; None without one."""
        annotator = self.annotator.second
        if annotator is None:
            return None
        variables = {name: second for name, recipe in self.variables.items() if (second := recipe.second) is not None}
        return replace(self, keys=self.keys.model_copy(update={"annotator": annotator}), variables=variables)

    def kept_going(self) -> Codebook:
        """The same codebook, for a run that goes on when most of its first rows get no label."""
        annotator = self.annotator.model_copy(update={"keep_going": True})
        variables = {name: recipe.kept_going() for name, recipe in self.variables.items()}
        return replace(self, keys=self.keys.model_copy(update={"annotator": annotator}), variables=variables)

    def fingerprint(self) -> str:
        """A hash of the content; 16 hexadecimal digits. It holds no secret, since a recipe holds none."""
        content = {
            "variables": {name: recipe.fingerprint() for name, recipe in self.variables.items()},
            "task": self.task.model_dump(mode="json", exclude={"variables"}),
            "conditions": {name: str(condition) for name, condition in self.conditions.items()},
            "order": list(self.variables),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _variable_recipe(
    content: Mapping[str, Any],
    keys: CodebookKeys,
    name: str,
    examples: list[Example],
    folder: Path | str | None,
    origin: str,
) -> Recipe:
    """The recipe of one variable, which asks for it alone."""
    task, variable = keys.task, keys.task.variables[name]
    own = variable.model_dump(mode="json", exclude={"ask_if", "aggregate"}, exclude_defaults=True)
    if task.long_text is not None:
        own["long_text"] = {
            **task.long_text.model_dump(include={"max_tokens", "overlap"}),
            "aggregate": task.long_text.rule(variable),
        }
    if isinstance(variable.labels, dict):
        own["labels"] = dict(variable.labels)
    shared = {"text": task.text} if task.tokens is None or variable.kind != "token-classification" else {}
    if task.tokens is not None:
        shared = {"tokens": task.tokens} if variable.kind == "token-classification" else {"text": task.tokens}
    annotator = dict(content["annotator"])
    if variable.kind not in ("text-classification", "text-pair", "text-scale"):
        annotator = _without_logprobs(annotator)
    if annotator.get("column"):
        annotator["column"] = str(annotator["column"]).replace(PLACEHOLDER, name)
    annotator["examples"] = [
        example.model_copy(update={"label": example.labels[name], "labels": {}}).model_dump(mode="json")
        for example in examples
        if example.labels.get(name) is not None
    ]
    if not annotator["examples"]:
        annotator.pop("example_selection", None)
    return Recipe.from_dict(
        {
            "name": f"{keys.name}.{name}",
            "source": content["source"],
            "task": {
                **shared,
                **own,
                "kind": variable.kind,
                **task.model_dump(include={"label_order", "confidence", "seed"}),
            },
            "annotator": annotator,
            "output": {"column": name, "probabilities": keys.output.probabilities},
        },
        folder=folder,
        origin=f"{origin}: `task.variables.{name}`",
    )


def _without_logprobs(annotator: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both annotators for a variable whose value has no label probabilities."""
    keys = {key: value for key, value in annotator.items() if key != "logprobs"}
    if (escalate := keys.get("escalate")) is not None:
        keys["escalate"] = {**escalate, "to": _without_logprobs(escalate["to"])}
    return keys


def _with_longer_answers(content: Mapping[str, Any], keys: CodebookKeys) -> dict[str, Any]:
    """The content with a default limit of answer tokens that is enough for all variables of a request."""
    annotator = {**content["annotator"], **_longer_answers(content["annotator"], keys.annotator.client, keys)}
    if (escalate := keys.annotator.escalate) is not None:
        to = annotator["escalate"]["to"]
        longer = {**to, **_longer_answers(to, escalate.to.client, keys)}
        annotator["escalate"] = {**annotator["escalate"], "to": longer}
    return {**content, "annotator": annotator}


def _longer_answers(annotator: Mapping[str, Any], client: ClientConfig, keys: CodebookKeys) -> dict[str, int]:
    """The default limit of answer tokens of an annotator, where its requests have several variables."""
    if client.kind not in ("openai", "transformers") or annotator.get("max_tokens") is not None:
        return {}
    conditions = conditions_of(keys.task)
    largest = max(map(len, request_groups(dict(conditions), keys.task.group)))
    usual = client.max_answer_tokens
    if largest == 1 or usual is None:
        return {}
    variables = keys.task.variables.values()
    long = sum(variable.reasoning or variable.kind in LONG_KINDS for variable in variables)
    per_value = VALUE_TOKENS + CONFIDENCE_TOKENS * (keys.task.confidence is not None)
    tokens = usual + per_value * largest + LONG_VALUE_TOKENS * min(long, largest)
    return {"max_tokens": tokens}


def _check_annotator(keys: CodebookKeys, origin: str) -> None:
    annotator, output = keys.annotator, keys.output
    if output.column != Output().column:
        raise RecipeError(
            f"{origin}: `output.column` is {output.column!r}, but each variable names its own column. Remove it."
        )
    _check_answering(annotator, "annotator", origin)
    if annotator.escalate is not None:
        _check_answering(annotator.escalate.to, "annotator.escalate.to", origin)
    if keys.engine.name == "ray":
        raise RecipeError(f"{origin}: `engine.name` is 'ray', which labels one variable. Remove it.")
    if annotator.example_selection is not None and annotator.example_selection.method == "balanced":
        raise RecipeError(
            f"{origin}: `annotator.example_selection.method` is 'balanced', which needs one label per example. Use "
            "random or diverse."
        )


def _check_answering(keys: AnsweringKeys, section: str, origin: str) -> None:
    if keys.system is not None:
        raise RecipeError(
            f"{origin}: `{section}.system` replaces the prompt of one variable. Remove it, and use `task.instructions`."
        )
    if keys.scoring:
        raise RecipeError(
            f"{origin}: `{section}.scoring` scores the labels of one variable. Set it to false, or use a recipe for "
            "each variable."
        )


def _check_conditions(task: CodebookTask, variables: Mapping[str, Recipe], origin: str) -> None:
    """Conditions name class labels of their variable."""
    for name, condition in conditions_of(task).items():
        if condition is None:
            continue
        schema = variables[condition.variable].task.schema_of_labels()
        if schema.kind not in ("text-classification", "text-pair", "multi-label"):
            raise RecipeError(
                f"{origin}: `task.variables.{name}.ask_if` names {condition.variable!r} of kind {schema.kind!r}, which "
                "has no list of labels. Name a variable with classes."
            )
        if unknown := [label for label in condition.labels if label not in schema.names]:
            raise RecipeError(
                f"{origin}: `task.variables.{name}.ask_if` has {unknown[0]!r}, which is no label of "
                f"{condition.variable!r}. Use: {', '.join(schema.names)}."
            )
