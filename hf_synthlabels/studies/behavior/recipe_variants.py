"""Variants of a recipe or codebook: the same task with another order of classes, other names, or one variable."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hf_synthlabels.annotation import Codebook, Recipe, compile_recipe, read_codebook
from hf_synthlabels.annotation.compiler import Job
from hf_synthlabels.studies.behavior.rewording import TASK, Rewording

CLASS_KINDS = ("text-classification", "text-pair", "multi-label", "token-classification")

NeutralNames = Mapping[str, Mapping[str, str]]
"""By variable, the neutral name of each class."""


def reordered(job: Job) -> Job:
    """The job with the classes of all variables in reverse order."""
    content = _content(job)
    for _, task in _tasks(content, job):
        task["labels"] = _labels_of(task, reverse=True)
    content["task"]["label_order"] = "fixed"
    return _compiled(content, job)


def renamed(job: Job) -> tuple[Job, NeutralNames]:
    """The job with neutral names for the classes of variables in which each class has a definition, and these names.

    A class name in backticks is replaced in instructions and guidelines too; other mentions stay.
    """
    content = _content(job)
    names = {
        name: {label: f"label {letters}" for label, letters in zip(task["labels"], _letters(), strict=False)}
        for name, task in _tasks(content, job)
        if _is_defined(task)
    }
    for name, task in _tasks(content, job):
        if own := names.get(name):
            task["labels"] = {own[label]: definition for label, definition in task["labels"].items()}
            task["decide"] = {own.get(label, label): line for label, line in (task.get("decide") or {}).items()}
            for key in ("instructions", "guidelines"):
                for label, neutral in own.items():
                    task[key] = task[key].replace(f"`{label}`", f"`{neutral}`")
        if (condition := task.get("ask_if")) and (others := names.get(condition["variable"])):
            condition["is"] = [others[label] for label in condition["is"]]
        if not task.get("decide"):
            task.pop("decide", None)
    for example in content["annotator"]["examples"]:
        for name, own in names.items():
            if example.get("labels"):
                example["labels"] = {
                    key: _renamed_label(label, own) if key == name else label
                    for key, label in example["labels"].items()
                }
            else:
                example["label"] = _renamed_label(example["label"], own)
    return _compiled(content, job), names


def reworded(job: Job, rewording: Rewording) -> Job:
    """The job with reworded instructions; where `annotator.system` replaces the prompt, with that text reworded."""
    content = _content(job)
    if system := content["annotator"].get("system"):
        content["annotator"]["system"] = rewording.of(next(iter(job.variables)), system)
    if isinstance(job.recipe, Codebook):
        content["task"]["instructions"] = rewording.of(TASK, job.recipe.keys.task.instructions)
    for name, task in _tasks(content, job, all_kinds=True):
        task["instructions"] = rewording.of(name, job.variables[name].recipe.task.instructions_or_default())
    return _compiled(content, job)


def shuffled(job: Job, seed: int) -> Job:
    """The job with the classes of each row in a random order, which depends on the row and the seed."""
    content = _content(job)
    content["task"] |= {"label_order": "shuffled", "seed": seed}
    return _compiled(content, job)


def resampled(job: Job, samples: int, temperature: float | None) -> Job:
    """The job with several samples of each answer.

    Args:
        job: of the recipe.
        samples: number of samples.
        temperature: replaces that of the recipe; None leaves it.
    """
    content = _content(job)
    content["annotator"]["num_samples"] = samples
    if temperature is not None:
        content["annotator"]["temperature"] = temperature
    return _compiled(content, job)


def of_variable(job: Job, name: str) -> Job:
    """The job with one of its variables alone and without its condition; it keeps the recipe's budget."""
    if isinstance(job.recipe, Recipe):
        return job
    content = _content(job)
    variable = content["task"]["variables"][name]
    variable.pop("ask_if", None)
    content["task"]["variables"] = {name: variable}
    long_text = content["task"].get("long_text") or {}
    if isinstance(rules := long_text.get("aggregate"), Mapping):
        long_text["aggregate"] = {kind: rule for kind, rule in rules.items() if kind == variable["kind"]}
    examples = content["annotator"]["examples"]
    kept = [{**each, "labels": {name: label}} for each in examples if (label := each["labels"].get(name)) is not None]
    content["annotator"]["examples"] = kept
    if not kept:
        content["annotator"].pop("example_selection", None)
    return _compiled(content, job)


def definitions(job: Job) -> dict[str, dict[str, str]]:
    """By variable, the definition of each class that has one."""
    given: dict[str, dict[str, str]] = {}
    for name, variable in job.variables.items():
        schema = variable.schema
        if schema.kind in CLASS_KINDS and schema.definitions:
            pairs = zip(schema.names, schema.definitions, strict=True)
            given[name] = {label: definition for label, definition in pairs if definition}
    return given


def _content(job: Job) -> dict[str, Any]:
    """The content of a recipe file that makes the job, with the files it names read."""
    recipe: Recipe | Codebook = job.recipe
    keys = recipe.keys if isinstance(recipe, Codebook) else recipe
    content = keys.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    content["annotator"]["examples"] = [example.model_dump(mode="json") for example in _examples(job)]
    content["task"].pop("human", None)
    for name, task in _tasks(content, job, all_kinds=True):
        task["guidelines"] = job.variables[name].schema.guidelines
        task.setdefault("instructions", "")
        for key in ("guidelines_file", "human"):
            task.pop(key, None)
    return content


def _examples(job: Job) -> Sequence[Any]:
    recipe = job.recipe
    return recipe.examples if isinstance(recipe, Codebook) else job.variables[recipe.output.column].examples


def _tasks(content: Mapping[str, Any], job: Job, *, all_kinds: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """The keys of each variable that has classes."""
    task = content["task"]
    variables = task["variables"] if isinstance(job.recipe, Codebook) else {job.recipe.output.column: task}
    for name, keys in variables.items():
        if all_kinds or keys["kind"] in CLASS_KINDS:
            yield name, keys


def _compiled(content: Mapping[str, Any], job: Job) -> Job:
    reader = Codebook if isinstance(job.recipe, Codebook) else Recipe
    return compile_recipe(read_codebook(reader.from_dict(dict(content), folder=job.recipe.folder))).kept_going()


def _labels_of(task: Mapping[str, Any], *, reverse: bool) -> Any:
    labels = task["labels"]
    names = list(reversed(labels)) if reverse else list(labels)
    return {name: labels[name] for name in names} if isinstance(labels, Mapping) else names


def _is_defined(task: Mapping[str, Any]) -> bool:
    return isinstance(task["labels"], Mapping) and all(task["labels"].values())


def _letters() -> Iterator[str]:
    """A to Z, then AA, AB and so on."""
    yield from string.ascii_uppercase
    yield from (first + second for first in string.ascii_uppercase for second in string.ascii_uppercase)


def _renamed_label(label: Any, names: Mapping[str, str]) -> Any:
    """A label of an example with neutral names: a class, a list of them, tags, or entities."""
    if isinstance(label, list):
        return [_renamed_label(item, names) for item in label]
    if isinstance(label, dict) and "label" in label:
        return {**label, "label": names[label["label"]]}
    if isinstance(label, str):
        prefix, dash, name = label.partition("-")
        if dash and prefix in ("B", "I") and label not in names:
            return f"{prefix}-{names.get(name, name)}"
        return names.get(label, label)
    return label
