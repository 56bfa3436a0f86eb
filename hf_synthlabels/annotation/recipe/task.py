"""The `task` section of a recipe."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.prompting.stated_confidence import Elicitation
from hf_synthlabels.annotation.prompting.strategies import CHOICES, Question, Strategy
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.labels import Kind, LabelSchema, Scale

INSTRUCTIONS: dict[Kind, str] = {
    "text-classification": "Choose the label that fits the text.",
    "multi-label": "Choose all labels that apply to the text.",
    "text-pair": "Choose the label that fits the pair of texts.",
    "text-scale": "Rate the text.",
    "token-classification": "Find the named entities in the text.",
    "question-answering": "Answer the question using the context.",
    "text-generation": "Respond to the text.",
}


Order = Literal["fixed", "shuffled"]
"""Shuffled: drawn for each row from its text and `seed`, so that equal inputs give equal orders."""

AGGREGATES: dict[Kind, tuple[str, ...]] = {
    "text-classification": ("majority",),
    "multi-label": ("any", "majority"),
    "text-scale": ("mean",),
    "token-classification": ("union",),
}
"""Rules by which the labels of a text's parts become one; the first is the default."""

Rule = Literal["any", "majority", "mean", "union"]

RESERVED = ("label", "labels", "answer", "candidates", "reasoning", "confidence", "row")
"""What the answer names by itself."""


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


class TextLimits(StrictModel):
    """The length of a text that is labeled in one piece, and how longer ones are split."""

    max_tokens: int = Field(ge=10)
    """Estimated tokens of a text, or of a part of it."""
    overlap: int = Field(default=0, ge=0)
    """Estimated tokens that a part repeats from the previous one."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.overlap >= self.max_tokens:
            raise ValueError(
                f"`task.long_text.overlap` is {self.overlap}, `max_tokens` {self.max_tokens}. Use a smaller one."
            )
        return self


class LongText(TextLimits):
    """How texts that are longer than a limit are labeled."""

    aggregate: Literal["default"] | Rule | None = None
    """How the labels of parts become one; without it a longer text fails."""

    def rule(self, kind: Kind) -> str | None:
        """The rule for labels of a kind; None if a longer text fails."""
        return AGGREGATES[kind][0] if self.aggregate == "default" else self.aggregate


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
    confidence: Elicitation | None = None
    """Whether the annotator states its confidence in the label."""
    label_order: Order = "fixed"
    """The order in which the prompt lists the labels."""
    seed: int = 0
    """Seed of shuffled orders."""
    long_text: LongText | None = None
    """How texts that are longer than a limit are labeled; by default like all others."""

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
        is_answer, given = self.kind == "question-answering", [self.question, self.context].count(None)
        if given == 1 or (given == 0 and not is_answer) or (given == 2 and is_answer and not self.instructions):
            raise ValueError(
                f"`task.question` and `task.context` are {self.question!r} and {self.context!r}: kind "
                "'question-answering' needs both, or `instructions` with one question about `text`; other kinds none."
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
        if self.confidence and (self.rows_per_call > 1 or self.candidates or self.decide or self.long_text):
            raise ValueError(
                f"`task.confidence` is {self.confidence!r}, which needs one stated label per answer. Remove it, or "
                "`rows_per_call`, `candidates`, `decide` and `long_text`."
            )
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

    @model_validator(mode="after")
    def _rule_of_the_kind(self) -> Self:
        if self.long_text is None:
            return self
        rules = AGGREGATES.get(self.kind, ())
        if self.long_text.aggregate not in (None, *rules, *(["default"] if rules else [])):
            raise ValueError(
                f"`task.long_text.aggregate` is {self.long_text.aggregate!r}. For kind {self.kind!r} "
                + (f"use {' or '.join(rules)}." if rules else "remove it: labels of parts cannot become one.")
            )
        if self.rows_per_call > 1:
            raise ValueError("`task.long_text` labels the parts of a row. Remove `task.rows_per_call`.")
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
        if self.kind not in CHOICES and not (self.scale is not None and self.schema_of_labels().choices):
            return f"for kind {self.kind!r}, whose label is not one of a list"
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
            confidence=self.confidence,
        )

    def schema_of_labels(self, guidelines: str | None = None) -> LabelSchema:
        """The label schema that the keys describe; `guidelines` are those of a file, once it is read."""
        text = self.guidelines if guidelines is None else guidelines
        if self.labels:
            return LabelSchema.from_labels(self.labels, kind=self.kind, guidelines=text, abstain=self.abstain)
        scale = None if self.scale is None else Scale(self.scale.low, self.scale.high, self.scale.step)
        return LabelSchema(kind=self.kind, guidelines=text, abstain=self.abstain, scale=scale)
