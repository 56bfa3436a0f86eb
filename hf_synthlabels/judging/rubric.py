"""Rubric: what is judged, by which criteria, and which verdicts there are from the worst to the best. A TOML file."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.annotation import StrictModel, validated
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.resources import packaged_file

Protocol = Literal["pointwise", "joint", "pairwise"]
"""One answer by itself; an answer and the reference, each with a score of its own; two answers, compared."""

TEXTS = ("input", "reference", "answer", "response")
"""What is quoted in a judge's prompt; a rubric's verdict can not be named so."""

MAX_GRID_SCORES = 101


class Criterion(StrictModel):
    """One thing that the judge looks at."""

    name: str = Field(min_length=1)
    text: str = ""


class Choice(StrictModel):
    """One verdict: what the judge writes, what it counts, and what it means."""

    answer: str
    score: float
    meaning: str = ""
    pattern: str | None = None
    """A regular expression that says this choice in replies that were recorded elsewhere."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"is {pattern!r}, which is no regular expression: {error}. Correct it.") from None
        return pattern


class Range(StrictModel):
    """The numbers that a score may be, both ends included."""

    low: float
    high: float
    step: float = Field(default=1.0, gt=0)
    """Between two scores that the judge is asked for."""
    fractions: bool = True
    """Whether a score between two steps counts when the judge gives one all the same, as in 4.5."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"runs from {self.low:g} to {self.high:g}. Give a low end below the high end.")
        if (self.high - self.low) / self.step > MAX_GRID_SCORES:
            raise ValueError(f"has more than {MAX_GRID_SCORES} scores. Give a larger `step`.")
        return self


class Verdict(StrictModel):
    """How the verdict stands in a reply."""

    name: str = "score"
    """Of the labelled line and of the field in JSON."""
    aliases: tuple[str, ...] = ()
    """Further names that the line may have."""
    anywhere: bool = False
    """Whether it may stand in a sentence; for replies that were recorded elsewhere, never for replies asked for here,
    where what stands before the last line may quote the judged text."""
    take: Literal["first", "last", "best", "worst"] = "last"
    """Which of several counts, where choices have patterns: the one that stands first or last, or the best or worst."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name in (self.name, *self.aliases):
            if not re.fullmatch(r"[^\W\d_](?:[\w -]*\w)?", name):
                raise ValueError(f"has the name {name!r}. Use words that begin with a letter.")
            if name.casefold() in TEXTS:
                raise ValueError(f"has the name {name!r}, which a part of the prompt has. Use another.")
        return self


class Rubric(StrictModel):
    """What is judged, by which criteria, and which verdicts there are from the worst to the best."""

    name: str
    protocol: Protocol = "pointwise"
    instructions: str = Field(min_length=1)
    criteria: tuple[Criterion, ...] = ()
    scale: Range | None = None
    choices: tuple[Choice, ...] = ()
    """From the worst to the best. With a scale some of its numbers and what they mean, else all verdicts there are."""
    reference: Literal["never", "optional", "required"] = "optional"
    """Whether a reference is shown; where it is optional, when there is one."""
    reasoning: bool = True
    """Whether the judge gives its reasons before the verdict."""
    verdict: Verdict = Verdict()

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"is {name!r}. Use letters, digits, '.', '_' and '-'.")
        return name

    @model_validator(mode="after")
    def _verdicts(self) -> Self:
        if self.scale is None and len(self.choices) < 2:
            raise ValueError("`choices` needs at least two verdicts, from the worst to the best, or give a `scale`.")
        answers = [choice.answer.strip().casefold() for choice in self.choices]
        if not all(answers) or len(set(answers)) < len(answers):
            raise ValueError(f"`choices` has the answers {answers}. Each needs an answer of its own.")
        scores = [choice.score for choice in self.choices]
        if scores != sorted(set(scores)):
            raise ValueError(f"`choices` has the scores {scores}. Put them from the worst to the best, no two alike.")
        if self.scale is not None:
            for choice in self.choices:
                self._check_anchor(choice, self.scale)
        return self

    @model_validator(mode="after")
    def _protocols(self) -> Self:
        if self.protocol == "joint" and (self.scale is None or self.reference != "required"):
            raise ValueError(
                "`protocol` is 'joint', which scores the reference too. Give a `scale`, and set "
                "`reference` to 'required'."
            )
        if self.protocol == "pairwise":
            scores = [choice.score for choice in self.choices]
            if self.scale is not None or scores not in ([0, 1], [0, 0.5, 1]):
                raise ValueError(
                    "`protocol` is 'pairwise': give `choices` with the scores 0 (the second answer is better), "
                    f"0.5 (a tie, which may be left out) and 1 (the first is better). They are {scores}."
                )
        return self

    @classmethod
    def from_toml(cls, path: str | Path) -> Rubric:
        """Read a rubric file.

        Raises:
            ConfigError: the file is not there, is not TOML, or a key is missing, unknown or wrong.
        """
        file = Path(path)
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"`rubric` {str(file)!r} can not be read: {error.strerror}. Give the path of a TOML file."
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"`rubric` {file.name!r} is not UTF-8 text. Give the path of a TOML file.") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{file.name}: {error}. Correct the TOML.") from None
        return cls.from_dict(content, origin=file.name)

    @classmethod
    def from_dict(cls, content: Any, *, origin: str = "rubric") -> Rubric:
        """Make a rubric from what a TOML file holds.

        Raises:
            ConfigError: a key is missing, unknown or wrong.
        """
        if not isinstance(content, Mapping):
            raise ConfigError(f"{origin}: a rubric is a table with `name`, `instructions` and `choices` or `scale`.")
        return validated(cls, content, origin, ConfigError)

    @property
    def low(self) -> float:
        """The worst score."""
        return self.choices[0].score if self.scale is None else self.scale.low

    @property
    def high(self) -> float:
        """The best score."""
        return self.choices[-1].score if self.scale is None else self.scale.high

    @property
    def is_binary(self) -> bool:
        """Whether there are two verdicts only."""
        return self.scale is None and len(self.choices) == 2

    @cached_property
    def answers(self) -> Mapping[str, float]:
        """What the judge is asked to write, with the score of each, from the worst to the best."""
        if self.scale is None:
            return {choice.answer: choice.score for choice in self.choices}
        count = int((self.scale.high - self.scale.low) / self.scale.step + 1e-9) + 1
        scores = [round(self.scale.low + place * self.scale.step, 9) for place in range(count)]
        return {f"{score:.10g}": score for score in scores}

    def unit(self, score: float) -> float:
        """A score between 0, the worst, and 1, the best."""
        return (score - self.low) / (self.high - self.low)

    def holds(self, score: float) -> bool:
        """Whether a number is a score of this rubric."""
        if not self.low <= score <= self.high:
            return False
        if self.scale is not None and self.scale.fractions:
            return True
        return any(abs(score - known) < 1e-9 for known in self.answers.values())

    def fingerprint(self) -> str:
        """A hash of all that the rubric says; 16 hexadecimal digits."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _check_anchor(self, choice: Choice, scale: Range) -> None:
        try:
            number = float(choice.answer)
        except ValueError:
            number = float("nan")
        if number != choice.score or not scale.low <= number <= scale.high:
            raise ValueError(
                f"`choices` has the answer {choice.answer!r} with score {choice.score:g}. With a `scale` from "
                f"{scale.low:g} to {scale.high:g} each answer is its score, a number on it."
            )


def rubric_path(name: str) -> Path:
    """Path of a packaged rubric, by its name without `.toml`.

    Raises:
        ConfigError: no packaged rubric has this name.
    """
    return packaged_file("rubric", "rubrics", name, ".toml")


def read_rubric(rubric: Rubric | Mapping[str, Any] | str | Path) -> Rubric:
    """A rubric from itself, from what its TOML holds, from a file, or by a packaged rubric's name.

    Raises:
        ConfigError: it can not be read, or a key is missing, unknown or wrong.
    """
    if isinstance(rubric, Rubric):
        return rubric
    if isinstance(rubric, Mapping):
        return Rubric.from_dict(rubric)
    path = Path(rubric)
    if not path.is_file() and path.suffix != ".toml":
        path = rubric_path(str(rubric))
    return Rubric.from_toml(path)
