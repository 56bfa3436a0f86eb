"""Task: what is asked of the annotator, as keys of a recipe."""

from __future__ import annotations

import json
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.annotation.rows import RowForm, RowText
from hf_synthlabels.annotation.strategy import CHOICES, Question, Strategy
from hf_synthlabels.annotation.strict_yaml import StrictModel
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import Kind, Label, LabelSchema, Scale, parse

__all__ = ["Example", "ScaleKeys", "SubQuestion", "Task"]

INSTRUCTIONS: dict[Kind, str] = {
    "text-classification": "Choose the label that fits the text.",
    "multi-label": "Choose all labels that fit the text.",
    "text-pair": "Choose the label that fits the two texts.",
    "text-scale": "Rate the text.",
    "token-classification": "Find the named entities in the text.",
    "question-answering": "Answer the question from the context.",
    "text-generation": "Answer the text.",
}


class Example(StrictModel):
    """A row with its right label, shown to the annotator."""

    text: str = ""
    row: dict[str, Any] = Field(default_factory=dict)
    """The columns of the row, where it is more than one text."""
    label: Any
    reasoning: str = ""
    """Shown before the label, where reasons are asked for."""
    answers: dict[str, str] = Field(default_factory=dict)
    """To the questions on the way to the label, where there are some."""

    def row_text(self, form: RowForm) -> RowText:
        """What of the example is shown."""
        return (form.read(self.row) if self.row else None) or form.of_text(self.text)

    def read_label(self, schema: LabelSchema, row: RowText) -> Label:
        """The example's label.

        Raises:
            ConfigError: it is not in the schema, or does not stand in the example's text.
        """
        shown = self.text or row.text
        if schema.kind in CHOICES:
            if self.label not in schema.names:
                raise ConfigError(
                    f"`teacher.examples` has the label {self.label!r} for {shown[:40]!r}. "
                    f"Use one of: {', '.join(schema.names)}."
                )
            return str(self.label)
        answer = parse(schema, json.dumps({"label": self.label}), row.context, row.question)
        if answer.label is None:
            raise ConfigError(f"`teacher.examples` has the label {self.label!r} for {shown[:40]!r}: {answer.reason}.")
        return answer.label


class ScaleKeys(StrictModel):
    """The numbers that a label may be."""

    low: float
    high: float
    step: float | None = 1.0


class SubQuestion(StrictModel):
    """A smaller question on the way to the label."""

    ask: str
    answers: list[str] = Field(default_factory=lambda: ["yes", "no"], min_length=2)

    @field_validator("answers", mode="before")
    @classmethod
    def _quoted(cls, answers: Any) -> Any:
        if isinstance(answers, list) and any(isinstance(answer, bool) for answer in answers):
            raise ValueError("has yes or no, which YAML reads as a truth value. Put them in quotes.")
        return answers


class Task(StrictModel):
    """What is asked of the annotator."""

    kind: Kind
    text: str | list[str] = "text"
    """The column to be labelled, or several; two for `text-pair`."""
    tokens: str | None = None
    """For `token-classification`: a column with lists of tokens, in place of `text`."""
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
        if self.tokens is not None and self.kind != "token-classification":
            raise ValueError("`task.tokens` belongs to kind 'token-classification'. Remove it.")
        if (self.kind == "question-answering") != (self.question is not None and self.context is not None):
            raise ValueError(
                f"`task.question` and `task.context` are {self.question!r} and {self.context!r}: kind "
                "'question-answering' needs both, other kinds none."
            )
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
        if self.decide and not self.questions:
            raise ValueError("`task.decide` needs `task.questions`, whose answers decide.")
        for label, conditions in self.decide.items():
            if label not in [*self.labels, "abstain"]:
                raise ValueError(f"`task.decide` has {label!r}, which is no label. Use: {', '.join(self.labels)}.")
            for name, answer in conditions.items():
                if name not in self.questions or answer not in self.questions[name].answers:
                    raise ValueError(
                        f"`task.decide.{label}` asks for {name!r} = {answer!r}, which no question can be answered."
                    )
        return self

    @property
    def columns(self) -> list[str]:
        """The columns that hold what is to be labelled, as a list."""
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
