"""Task: what is asked of the annotator, as keys of a recipe."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from hf_synthlabels.annotation.strict_yaml import StrictModel
from hf_synthlabels.labels import Kind, LabelSchema

__all__ = ["Example", "Task"]


class Example(StrictModel):
    """A text with its right label, shown to the annotator."""

    text: str
    label: str


class Task(StrictModel):
    """What is asked of the annotator."""

    kind: Kind
    text: str | list[str] = "text"
    """The column to be labelled, or several."""
    instructions: str = "Choose the label that fits the text."
    labels: dict[str, str | None] | list[str]
    guidelines: str = ""
    abstain: bool = False
    human: str | None = None
    """The column with human labels, where there are some."""

    @field_validator("labels", mode="before")
    @classmethod
    def _quoted_names(cls, labels: Any) -> Any:
        for name in labels or []:
            if not isinstance(name, str):
                kind = "a truth value" if isinstance(name, bool) else type(name).__name__
                raise ValueError(f"has the name {name!r}, which YAML reads as {kind}. Put it in quotes.")
        return labels

    @property
    def columns(self) -> list[str]:
        """The text columns as a list."""
        return [self.text] if isinstance(self.text, str) else list(self.text)

    def schema_of_labels(self) -> LabelSchema:
        """The label schema that the keys describe."""
        return LabelSchema.from_labels(self.labels, kind=self.kind, guidelines=self.guidelines, abstain=self.abstain)
