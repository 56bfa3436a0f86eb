"""Few-shot examples, in a recipe or in a JSON Lines file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from hf_synthlabels.annotation.prompting.row_inputs import RowForm, RowText
from hf_synthlabels.annotation.prompting.strategies import CHOICES, Strategy
from hf_synthlabels.annotation.recipe.source_config import FilePaths
from hf_synthlabels.annotation.recipe.task import Task
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.errors import ConfigError, DataError, RecipeError
from hf_synthlabels.labels import Label, LabelSchema, Span, decode, from_bio, parse, token_offsets


class Example(StrictModel):
    """A row with its right label, shown to the annotator."""

    text: str = ""
    row: dict[str, Any] = Field(default_factory=dict)
    """The columns of the row, where it is more than one text."""
    label: Any = None
    labels: dict[str, Any] = Field(default_factory=dict)
    """Of a codebook: the label of each variable; a variable that is not coded in this row is left out."""
    reasoning: str = ""
    """Shown before the label, where reasons are asked for."""
    answers: dict[str, str] = Field(default_factory=dict)
    """Answers to the subquestions, if there are any."""

    @model_validator(mode="after")
    def _has_label(self) -> Self:
        if (self.label is None) == (not self.labels):
            raise ValueError("needs either `label`, or `labels` with one for each variable of a codebook. Give one.")
        return self

    def row_text(self, form: RowForm) -> RowText:
        """What of the example is shown."""
        return (form.read(self.row) if self.row else None) or form.of_text(self.text)

    def check(self, schema: LabelSchema, form: RowForm, strategy: Strategy) -> None:
        """Check that an example has the columns, the label and the answers that the task needs.

        Raises:
            ConfigError: it is not.
        """
        row = self.row_text(form)
        if form.several and (not self.row or form.read(self.row) is None):
            raise ConfigError(
                f"`annotator.examples` has no `row` with {' and '.join(form.columns)} for the label {self.label!r}. "
                "Add it."
            )
        if not row.text.strip():
            raise ConfigError(f"`annotator.examples` has no text next to the label {self.label!r}. Add it.")
        self.read_label(schema, row)
        for question in strategy.questions:
            if self.answers.get(question.name) not in question.answers:
                raise ConfigError(
                    f"`annotator.examples` has {self.answers.get(question.name)!r} as answer to {question.name!r} for "
                    f"{row.text[:40]!r}. Add to `answers` one of: {', '.join(question.answers)}."
                )

    def read_label(self, schema: LabelSchema, row: RowText) -> Label:
        """The example's label.

        Raises:
            ConfigError: it is not in the schema, or does not occur in the example's text.
        """
        try:
            if (label := _decoded(schema, self.label, row)) is not None:
                return label
            answer = parse(schema, json.dumps({"label": self.label}), row.context, row.question)
            if answer.label is not None:
                return answer.label
            reason = f": {answer.reason}."
        except DataError as error:
            is_ambiguous = str(self.label) in schema.names
            lists = schema.kind in CHOICES and not is_ambiguous
            reason = f". Use one of: {', '.join(schema.names)}." if lists else f": {error}"
        shown = self.text or row.text
        raise ConfigError(f"`annotator.examples` has the label {self.label!r} for {shown[:40]!r}{reason}")


def _decoded(schema: LabelSchema, value: Any, row: RowText) -> Label | None:
    """The label of an example that is written like a human label; None if it is written like an answer."""
    if value == "abstain" and schema.abstain:
        return "abstain"
    items = value if isinstance(value, list) else []
    match schema.kind:
        case "text-classification" | "text-pair" | "text-scale" | "text-generation":
            return decode(schema, value)
        case "multi-label" if isinstance(value, list):
            return decode(schema, value)
        case "question-answering" if isinstance(value, dict):
            span = decode(schema, value)
            if isinstance(span, Span) and row.context[span.start : span.end] != span.text:
                raise DataError(f"{span.text!r} does not stand at {span.start} in the context.")
            return span
        case "token-classification" if items and all(isinstance(item, str) for item in items):
            return _tagged(schema, items, row.context)
        case "token-classification" if items and all(isinstance(item, dict) and "start" in item for item in items):
            return decode(schema, items, row.context)
        case _:
            return None


def _tagged(schema: LabelSchema, tags: list[str], text: str) -> Label:
    """Entities from one tag for each token of a text; tokens have a space between each two."""
    tokens = token_offsets(text.split(" "))
    if len(tokens) != len(tags):
        raise DataError(f"there are {len(tags)} tags for {len(tokens)} tokens.")
    entities = from_bio(tokens, tags, text)
    if unknown := [entity.label for entity in entities if entity.label not in schema.names]:
        raise DataError(f"the tag of {unknown[0]!r} is not in the schema: use a label of the schema.")
    return entities


def examples_in_file(path: Path, task: Task) -> list[Example]:
    """The examples in a file: `{"text": ..., "label": ...}` per line, or rows of the data with their human labels.

    Raises:
        RecipeError: the file cannot be read, or a line is not an example.
    """
    return _read_examples(path, lambda content: _example_of_row(content, task), '{"text": ..., "label": ...}')


def codebook_examples(examples: list[Example] | str, columns: list[str], paths: FilePaths) -> list[Example]:
    """The examples of a codebook, read from their file if there is one.

    Args:
        examples: the examples, or the path of a JSON Lines file of `{"text": ..., "labels": {...}}`.
        columns: the columns that an example of several columns needs.
        paths: finds the file.

    Raises:
        RecipeError: the file cannot be read, or an example lacks `labels` or a column.
    """
    if isinstance(examples, str):
        path = Path(paths.local(examples))
        examples = _read_examples(path, lambda content: content, '{"text": ..., "labels": {...}}')
    for example in examples:
        if not example.labels:
            raise RecipeError(
                f"`annotator.examples` has the label {example.label!r}, but a codebook needs one for each variable. "
                "Give `labels`."
            )
        if len(columns) > 1 and not set(columns) <= set(example.row):
            raise RecipeError(f"`annotator.examples` has no `row` with {' and '.join(columns)}. Add it.")
    return examples


def _read_examples(path: Path, read: Callable[[Any], Any], form: str) -> list[Example]:
    try:
        # Not splitlines(): a JSON text may hold line separators such as U+2028 as they are.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise RecipeError(f"`annotator.examples` {str(path)!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise RecipeError(f"`annotator.examples` {str(path)!r} is not UTF-8 text. Give a JSON Lines file.") from None
    examples = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            examples.append(Example.model_validate(read(json.loads(line))))
        except ValueError:
            raise RecipeError(
                f"`annotator.examples` {path.name!r}, line {number}: expected {form}, got {line[:60]!r}."
            ) from None
    return examples


def _example_of_row(content: Any, task: Task) -> Any:
    """A line that is a row of the data as an example with its human label; other lines are returned unchanged."""
    is_row = isinstance(content, dict) and "row" not in content and all(column in content for column in task.columns)
    if not is_row:
        return content
    human = content.get(task.human) if task.human else None
    if human is None and task.columns == ["text"]:
        return content
    # A row may have a column `label` with something else.
    label = content.get("label") if human is None else human
    further = {key: content[key] for key in ("reasoning", "answers") if key in content}
    return {"row": {column: content[column] for column in task.columns}, "label": label, **further}
