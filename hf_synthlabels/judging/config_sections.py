"""Sections of a judge file: columns, extraction, examples and output."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.judging.judgment import ParseMethod


class Columns(StrictModel):
    """The columns to judge."""

    prediction: str
    """The answers; in a comparison, the first answers."""
    other: str | None = None
    """In a comparison, the second answers."""
    reference: str | None = None
    """A text, or a list of texts."""
    input: str | None = None
    """The prompts of the answers."""

    def by_role(self) -> dict[str, str]:
        """The given columns by role."""
        return {name: column for name, column in self.model_dump().items() if column is not None}


class ExtractionKeys(StrictModel):
    """How a score is read from a reply; see `Extraction`. `judge.num_samples` sets the number of samples."""

    parse_methods: tuple[ParseMethod, ...] = ("schema", "line")
    min_probability_mass: float = 0.9
    low_mass: Literal["verdict", "unscored"] = "verdict"


class ExamplesKeys(StrictModel):
    """Few-shot examples of the judge."""

    file: str | dict[str, str]
    """JSON Lines file of rows with human scores, as the review exports it. With several criteria also a file for each;
    the rows with all scores are shown."""
    count: int | None = Field(default=None, ge=1)
    """Number of examples, the first of the file; null for all."""


class JudgeOutput(StrictModel):
    """The columns of the judgments."""

    column: str = Field(default="judge", min_length=1)
    """Prefix of the added columns."""
