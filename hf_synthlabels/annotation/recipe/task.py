"""The `task` section of a recipe."""

from __future__ import annotations

import json
import re
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.annotation.prompting.row_inputs import RowForm, RowText
from hf_synthlabels.annotation.prompting.strategies import CHOICES, Question, Strategy
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import (
    Kind,
    Label,
    LabelSchema,
    Scale,
    Span,
    decode,
    from_bio,
    parse,
    token_offsets,
)

INSTRUCTIONS: dict[Kind, str] = {
    "text-classification": "Choose the label that fits the text.",
    "multi-label": "Choose all labels that apply to the text.",
    "text-pair": "Choose the label that fits the pair of texts.",
    "text-scale": "Rate the text.",
    "token-classification": "Find the named entities in the text.",
    "question-answering": "Answer the question using the context.",
    "text-generation": "Respond to the text.",
}


RESERVED = ("label", "labels", "answer", "candidates", "reasoning", "row")
"""What the answer names by itself."""


class Example(StrictModel):
    """A row with its right label, shown to the annotator."""

    text: str = ""
    row: dict[str, Any] = Field(default_factory=dict)
    """The columns of the row, where it is more than one text."""
    label: Any
    reasoning: str = ""
    """Shown before the label, where reasons are asked for."""
    answers: dict[str, str] = Field(default_factory=dict)
    """Answers to the subquestions, if there are any."""

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


class ScaleKeys(StrictModel):
    """The numbers that a label may be."""

    low: float
    high: float
    step: float | None = 1.0


class SubQuestion(StrictModel):
    """A subquestion whose answer leads to the label."""

    ask: str
    answers: list[str] = Field(default_factory=lambda: ["yes", "no"], min_length=2)

    @field_validator("answers", mode="before")
    @classmethod
    def _quoted(cls, answers: Any) -> Any:
        if isinstance(answers, list) and any(isinstance(answer, bool) for answer in answers):
            raise ValueError("has yes or no, which YAML reads as a truth value. Put them in quotes.")
        return answers


class Task(StrictModel):
    """The labeling task."""

    kind: Kind
    text: str | list[str] = "text"
    """The column to label, or several; two for `text-pair`."""
    tokens: str | None = None
    """For `token-classification`: a column with lists of tokens, instead of `text`."""
    question: str | None = None
    context: str | None = None
    """For `question-answering`: the columns of the question and of the passage that holds its answer."""
    instructions: str = ""
    labels: dict[str, str | None] | list[str] = Field(default_factory=list)
    scale: ScaleKeys | None = None
    guidelines: str = ""
    guidelines_file: str | None = None
    """The codebook, in a text file."""
    abstain: bool = False
    human: str | None = None
    """The column with human labels, where there are some."""
    reasoning: bool = False
    rows_per_call: int = Field(default=1, ge=1)
    questions: dict[str, SubQuestion] = Field(default_factory=dict)
    decide: dict[str, dict[str, str]] = Field(default_factory=dict)
    candidates: int = Field(default=0, ge=0)

    @field_validator("questions")
    @classmethod
    def _question_names(cls, questions: dict[str, SubQuestion]) -> dict[str, SubQuestion]:
        for name in questions:
            if not re.fullmatch(r"[A-Za-z]\w*", name) or name in RESERVED:
                raise ValueError(
                    f"has the name {name!r}. Use letters, digits and '_', and none of: {', '.join(RESERVED)}."
                )
        return questions

    @field_validator("decide", mode="before")
    @classmethod
    def _quoted_answers(cls, decide: Any) -> Any:
        for conditions in decide.values() if isinstance(decide, dict) else ():
            if isinstance(conditions, dict) and any(isinstance(answer, bool) for answer in conditions.values()):
                raise ValueError("has yes or no, which YAML reads as a truth value. Put them in quotes.")
        return decide

    @field_validator("labels", mode="before")
    @classmethod
    def _quoted_names(cls, labels: Any) -> Any:
        for name in labels or []:
            if not isinstance(name, str):
                kind = "a truth value" if isinstance(name, bool) else type(name).__name__
                raise ValueError(f"has the name {name!r}, which YAML reads as {kind}. Put it in quotes.")
        return labels

    @model_validator(mode="after")
    def _columns_of_the_kind(self) -> Self:
        if self.kind == "text-pair" and len(self.columns) != 2:
            raise ValueError(
                f"`task.text` is {self.text!r}; kind 'text-pair' compares two columns. Give a list of two."
            )
        if self.scale is not None and self.kind != "text-scale":
            raise ValueError(f"`task.scale` belongs to kind 'text-scale', not to {self.kind!r}. Remove it.")
        if self.tokens is not None and self.kind != "token-classification":
            raise ValueError("`task.tokens` belongs to kind 'token-classification'. Remove it.")
        if self.kind == "token-classification" and len(self.columns) != 1:
            raise ValueError(f"`task.text` is {self.text!r}; entities are placed in one column. Give one, or `tokens`.")
        if (self.kind == "question-answering") != (self.question is not None and self.context is not None):
            raise ValueError(
                f"`task.question` and `task.context` are {self.question!r} and {self.context!r}: kind "
                "'question-answering' needs both, other kinds none."
            )
        if self.human is not None and self.human in self.columns:
            field = "tokens" if self.tokens else "text" if self.question is None else "question` or `task.context"
            raise ValueError(
                f"`task.human` is {self.human!r}, which is also `task.{field}`: the annotator would be shown the human "
                "label. Name the column with the human labels."
            )
        if len(set(self.columns)) != len(self.columns) or not self.columns:
            raise ValueError(f"`task.text` is {self.text!r}. Name each column once.")
        return self

    @model_validator(mode="after")
    def _one_strategy(self) -> Self:
        if self.rows_per_call > 1 and (self.reasoning or self.questions or self.candidates):
            raise ValueError(
                f"`task.rows_per_call` is {self.rows_per_call}: several rows in one call are answered with labels "
                "alone. Remove `reasoning`, `questions` and `candidates`, or ask for one row."
            )
        if self.candidates and (self.kind not in CHOICES or self.questions):
            raise ValueError("`task.candidates` needs a label chosen from a list, and no `questions`. Remove one.")
        if self.candidates == 1:
            raise ValueError("`task.candidates` is 1, which is one label. Give 2 or more, or remove it.")
        if self.decide and not self.questions:
            raise ValueError("`task.decide` needs `task.questions`, whose answers decide. Add them.")
        if self.decide and self.kind not in CHOICES:
            raise ValueError(
                f"`task.decide` needs one label per row, unlike kind {self.kind!r}. Remove it: the annotator "
                "then states the label after its answers."
            )
        for label, conditions in self.decide.items():
            self._check_line(label, conditions)
        return self

    def _check_line(self, label: str, conditions: dict[str, str]) -> None:
        """A line of `decide` must name a label, and answers that there may be."""
        labels = [*self.labels, *(["abstain"] if self.abstain else [])]
        if label not in labels:
            raise ValueError(f"`task.decide` has {label!r}, which is no label. Use: {', '.join(labels)}.")
        for name, answer in conditions.items():
            if name not in self.questions:
                raise ValueError(f"`task.decide.{label}` names {name!r}. Use: {', '.join(self.questions)}.")
            if answer not in self.questions[name].answers:
                raise ValueError(
                    f"`task.decide.{label}` has the answer {answer!r} to {name!r}. "
                    f"Use: {', '.join(self.questions[name].answers)}."
                )

    @property
    def columns(self) -> list[str]:
        """The columns that hold what is to label, as a list."""
        if self.tokens is not None:
            return [self.tokens]
        if self.question is not None and self.context is not None:
            return [self.context, self.question]
        return [self.text] if isinstance(self.text, str) else list(self.text)

    def instructions_or_default(self) -> str:
        """The instructions, or those of the kind."""
        return self.instructions or INSTRUCTIONS[self.kind]

    def form(self) -> RowForm:
        """What of a row is shown."""
        return RowForm(tuple(self.columns), self.kind == "text-pair", self.tokens, self.question, self.context)

    def why_no_logprobs(self) -> str | None:
        """Why log-probabilities make no label probabilities here; None if they do."""
        if self.kind not in CHOICES:
            return f"for kind {self.kind!r}, whose label is not one name"
        for key in ("rows_per_call", "candidates", "decide"):
            if getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True):
                return f"with `task.{key}`, where the label is not written by itself"
        return None

    def strategy(self) -> Strategy:
        """How the annotator is led to the label."""
        return Strategy(
            reasoning=self.reasoning,
            rows_per_call=self.rows_per_call,
            questions=tuple(Question(name, keys.ask, tuple(keys.answers)) for name, keys in self.questions.items()),
            decide=tuple((label, tuple(conditions.items())) for label, conditions in self.decide.items()),
            candidates=self.candidates,
        )

    def schema_of_labels(self, guidelines: str | None = None) -> LabelSchema:
        """The label schema that the keys describe; `guidelines` are those of a file, once it is read."""
        text = self.guidelines if guidelines is None else guidelines
        if self.labels:
            return LabelSchema.from_labels(self.labels, kind=self.kind, guidelines=text, abstain=self.abstain)
        scale = None if self.scale is None else Scale(self.scale.low, self.scale.high, self.scale.step)
        return LabelSchema(kind=self.kind, guidelines=text, abstain=self.abstain, scale=scale)
