"""The recipe file: source, task, annotator and output."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.annotation.prompting.strategies import PLAIN
from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig
from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.annotation.recipe.example import Example, examples_in_file
from hf_synthlabels.annotation.recipe.source_config import FilePaths, Source
from hf_synthlabels.annotation.recipe.strict_yaml import config_folder, read_yaml, validated
from hf_synthlabels.annotation.recipe.task import Task
from hf_synthlabels.annotation.trust.confirmation import check_trust
from hf_synthlabels.clients.config import ClientConfig, StrictModel
from hf_synthlabels.clients.local.client import scored_answers
from hf_synthlabels.errors import ConfigError, RecipeError
from hf_synthlabels.labels import LabelSchema

UNREAD_BY_ENCODERS = ("rows_per_call", "reasoning", "questions", "candidates", "confidence")
"""Keys of a task that change nothing but the prompt and what is read of the answer."""


UNHASHED: Any = {"engine": True, "annotator": {"keep_going": True, "escalate": {"expected_share"}}}
"""Keys that change no label."""


class Output(StrictModel):
    """Where the labels go."""

    column: str = "llm_label"
    probabilities: bool = False
    """Whether to add the soft labels as `<column>_probs`."""


class Recipe(StrictModel):
    """A recipe: source, task, annotator and output."""

    name: str
    source: Source
    task: Task
    annotator: AnnotatorConfig
    output: Output = Output()
    engine: Engine = Engine()
    folder: Path | str | None = Field(default=None, exclude=True)
    """Where the recipe was read, as a folder or an address: paths in it are relative to it."""
    codebook: Any = Field(default=None, exclude=True)
    """The codebook that requests the label with other variables; None for requests of this label alone."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"is {name!r}. Use letters, digits, '.', '_' and '-'.")
        return name

    @model_validator(mode="after")
    def _schema(self) -> Self:
        self.task.schema_of_labels()
        return self

    @model_validator(mode="after")
    def _scored(self) -> Self:
        if not any(
            annotator is not None and annotator.scoring for annotator in (self.annotator, self.annotator.second)
        ):
            return self
        scored_answers(self.task.schema_of_labels())
        if self.task.strategy() != PLAIN:
            raise ValueError(
                "`annotator.scoring` weighs the labels by themselves. Remove `task.reasoning`, `task.rows_per_call`, "
                "`task.questions`, `task.candidates` and `task.confidence`, or set it to false."
            )
        return self

    @model_validator(mode="after")
    def _engine_of_the_annotator(self) -> Self:
        if self.engine.name == "ray" and self.annotator.client.batch:
            raise ValueError(
                "`annotator.batch` is answered within a day, for which one machine can wait. Remove it, or `engine`."
            )
        return self

    @model_validator(mode="after")
    def _escalated(self) -> Self:
        if self.annotator.escalate is not None and self.engine.name == "ray":
            raise ValueError("`annotator.escalate` labels on one machine. Remove it, or `engine`.")
        if self.annotator.escalate is not None and not (self.annotator.has_confidence or self.task.confidence):
            probabilities = "" if self.task.why_no_logprobs() else "`logprobs: true`, "
            raise ValueError(
                f"`annotator` has `escalate`, but its labels have no confidence. Set {probabilities}`num_samples` with "
                "a `temperature`, or `task.confidence`."
            )
        return self

    @model_validator(mode="after")
    def _strategy_of_the_annotator(self) -> Self:
        task, client, selection = self.task, self.annotator.client.kind, self.annotator.example_selection
        if client == "recorded" and task.long_text is not None:
            raise ValueError(
                "`task.long_text` splits a text into several requests, but client 'recorded' has the answers of whole "
                "rows. Remove it."
            )
        unread = {"recorded": ("rows_per_call",), "embedding": UNREAD_BY_ENCODERS}.get(client, ())
        for key in unread:
            if getattr(task, key) != Task.model_fields[key].get_default(call_default_factory=True):
                raise ValueError(f"`task.{key}` is given, but client {client!r} reads no prompt. Remove it.")
        if selection is None:
            return self
        if not self.annotator.examples:
            raise ValueError(
                "`annotator.example_selection` chooses among `annotator.examples`, and there are none. Add examples."
            )
        if selection.method == "nearest" and task.rows_per_call > 1:
            raise ValueError(
                "`annotator.example_selection.method` is 'nearest', for one row, but `task.rows_per_call` is "
                f"{task.rows_per_call}. Use another method, or ask for one row."
            )
        if selection.method == "balanced" and task.kind in ("question-answering", "text-generation"):
            raise ValueError(
                f"`annotator.example_selection.method` is 'balanced', but labels of kind {task.kind!r} are all "
                "different. Use random or diverse."
            )
        return self

    @classmethod
    def from_yaml(cls, path: str | Path) -> Recipe:
        """Read a recipe file.

        Raises:
            RecipeError: the file is not there, is not YAML, or a key is missing, unknown or wrong.
        """
        return cls.from_dict(read_yaml(path, "recipe", RecipeError), folder=config_folder(path), origin=str(path))

    @classmethod
    def from_dict(cls, content: Any, *, folder: Path | str | None = None, origin: str = "recipe") -> Recipe:
        """Make a recipe from what a YAML file holds.

        Raises:
            RecipeError: a key is missing, unknown or wrong.
            UntrustedRecipeError: it sends a secret or a local file where the user has not agreed to send it.
        """
        if not isinstance(content, dict):
            raise RecipeError(f"{origin}: a recipe is a mapping with `name`, `source`, `task` and `annotator`.")
        check_trust(content, folder, origin)
        recipe = validated(cls, {**content, "folder": folder}, origin, RecipeError)
        # Not a validator: a judge makes a recipe too, and reads log-probabilities of numbers by itself.
        annotators = (recipe.annotator, recipe.annotator.second)
        has_logprobs = any(annotator is not None and annotator.logprobs for annotator in annotators)
        if has_logprobs and (why := recipe.task.why_no_logprobs()):
            raise RecipeError(f"{origin}: `annotator.logprobs` has no effect {why}. Remove it, or use `num_samples`.")
        return recipe

    def schema_of_labels(self) -> LabelSchema:
        """The label schema of the task, with the guidelines of its file where there is one.

        Raises:
            RecipeError: the file cannot be read.
        """
        if self.task.guidelines_file is None:
            return self.task.schema_of_labels()
        path = Path(self.paths.local(self.task.guidelines_file))
        try:
            text = path.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise RecipeError(f"`task.guidelines_file` {str(path)!r} cannot be read: {why}.") from None
        return self.task.schema_of_labels("\n\n".join(part for part in (self.task.guidelines.strip(), text) if part))

    def kept_going(self) -> Recipe:
        """The same recipe, for a run that goes on when most of its first rows get no label."""
        return self.model_copy(update={"annotator": self.annotator.model_copy(update={"keep_going": True})})

    def read_examples(self, schema: LabelSchema | None = None) -> list[Example]:
        """The few-shot examples, read from their file if there is one.

        Raises:
            RecipeError: the file cannot be read, or an example lacks a part of its row, has a label outside the
                schema, or does not answer the task's questions.
        """
        examples = self.annotator.examples
        if isinstance(examples, str):
            examples = examples_in_file(Path(self.paths.local(examples)), self.task)
        schema = schema or self.schema_of_labels()
        form, strategy = self.task.form(), self.task.strategy()
        for example in examples:
            try:
                example.check(schema, form, strategy)
            except ConfigError as error:
                raise RecipeError(str(error)) from None
        return examples

    @property
    def second(self) -> Recipe | None:
        """The same recipe with its second annotator; None without one."""
        annotator = self.annotator.second
        return None if annotator is None else self.model_copy(update={"annotator": annotator})

    @property
    def variables(self) -> dict[str, Recipe]:
        """The recipe itself, by the name of its label column."""
        return {self.output.column: self}

    @property
    def paths(self) -> FilePaths:
        """Finds the files that the recipe names."""
        return FilePaths(self.folder, self.source.homepage, RecipeError)

    def client(self) -> ClientConfig:
        """The annotator's client, with located paths."""
        return self.paths.located_client(self.annotator.client)

    def fingerprint(self) -> str:
        """A hash of the recipe's content; 16 hexadecimal digits. It holds no secret, since a recipe holds none."""
        content = self.model_dump(mode="json", exclude=UNHASHED)
        for key in ("encoding", "separator", "data_dir", "columns", "features", "options"):
            if not content["source"][key]:
                del content["source"][key]
        if content["task"]["confidence"] is None:
            # A recipe without a stated confidence has the same hash as before there was any.
            del content["task"]["confidence"]
        if self.codebook is not None:
            content["codebook"] = self.codebook.fingerprint()
        if isinstance(labels := content["task"]["labels"], dict):
            # The codes of the label column follow the order of its names, which sorted keys would lose.
            content["task"]["labels"] = list(labels.items())
        canonical = json.dumps(content, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
