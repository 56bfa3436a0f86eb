"""Rubric: instructions, criteria and possible verdicts of a judge, read from a TOML file."""

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

from hf_synthlabels.annotation.recipe.strict_yaml import validated
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.criteria.criterion import (
    Aspect,
    Choice,
    Criterion,
    Missing,
    Range,
    check_criteria,
    check_verdicts,
    named_criteria,
)
from hf_synthlabels.resources import packaged_file

Protocol = Literal["pointwise", "joint", "pairwise"]
"""Score one answer; score an answer and the reference; compare two answers."""

RESERVED_NAMES = ("input", "reference", "answer", "response")
"""Tags of the prompt, which a verdict cannot have as its name."""


class Verdict(StrictModel):
    """Format of the verdict in a reply."""

    name: str = "score"
    """Label of the line, and name of the JSON field."""
    aliases: tuple[str, ...] = ()
    """Other accepted labels of the line."""
    anywhere: bool = False
    """Whether a sentence may contain it, for replies recorded with another prompt. In replies to the packaged prompt,
    the text before the last line may quote the judged text."""
    take: Literal["first", "last", "best", "worst"] = "last"
    """Which of several pattern matches counts."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name in (self.name, *self.aliases):
            if not re.fullmatch(r"[^\W\d_](?:[\w -]*\w)?", name):
                raise ValueError(f"has the name {name!r}. Use words that start with a letter.")
            if name.casefold() in RESERVED_NAMES:
                raise ValueError(f"has the name {name!r}, which is a tag of the prompt. Use another.")
        return self


class Rubric(StrictModel):
    """Instructions, criteria and possible verdicts of a judge."""

    name: str
    protocol: Protocol = "pointwise"
    instructions: str = Field(min_length=1)
    aspects: tuple[Aspect, ...] = ()
    """Points that the judge considers for its one score."""
    criteria: tuple[Criterion, ...] = ()
    """Criteria with a score each, in a file a mapping by name; they replace `scale` and `choices`."""
    missing_criterion: Missing = "unscored"
    """Whether an item without the score of a criterion has an overall score."""
    scale: Range | None = None
    choices: tuple[Choice, ...] = ()
    """From the worst to the best: the anchors of a scale, or without a scale all verdicts."""
    reference: Literal["never", "optional", "required"] = "optional"
    """Whether references are shown; if optional, when there is one."""
    reasoning: bool = True
    """Whether the judge explains its reasoning before the verdict."""
    verdict: Verdict = Verdict()

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"is {name!r}. Use letters, digits, '.', '_' and '-'.")
        return name

    @field_validator("criteria", mode="before")
    @classmethod
    def _criteria(cls, criteria: Any) -> Any:
        return named_criteria(criteria)

    @model_validator(mode="after")
    def _verdicts(self) -> Self:
        if not self.criteria:
            check_verdicts(self.scale, self.choices)
            if self.missing_criterion != "unscored":
                raise ValueError("`missing_criterion` is for rubrics with `criteria`. Remove it.")
            return self
        for key in ("scale", "choices", "verdict", "aspects"):
            if key in self.model_fields_set:
                raise ValueError(
                    f"`{key}` and `criteria` are both given. Move it to the criteria, or remove one of them."
                )
        if self.protocol != "pointwise":
            raise ValueError(
                f"`protocol` is {self.protocol!r}, but `criteria` are scored one answer at a time. Remove it."
            )
        check_criteria(self.criteria)
        return self

    @model_validator(mode="after")
    def _protocols(self) -> Self:
        if self.protocol == "joint" and (self.scale is None or self.reference != "required"):
            raise ValueError(
                "`protocol` is 'joint', which also scores the reference. Give a `scale`, and set "
                "`reference` to 'required'."
            )
        if self.protocol == "pairwise":
            scores = [choice.score for choice in self.choices]
            if self.scale is not None or scores not in ([0, 1], [0, 0.5, 1]):
                raise ValueError(
                    f"`choices` has the scores {scores}: `protocol: pairwise` needs 0 (second answer better) and "
                    "1 (first answer better), and optionally 0.5 (a tie)."
                )
        return self

    @classmethod
    def from_toml(cls, path: str | Path) -> Rubric:
        """Read a rubric file.

        Raises:
            ConfigError: the file does not exist, is not TOML, or has a missing, unknown or invalid key.
        """
        file = Path(path)
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"`rubric` {str(file)!r} cannot be read: {error.strerror}. Give the path of a TOML file."
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"`rubric` {file.name!r} is not UTF-8 text. Give the path of a TOML file.") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{file.name}: {error}. Correct the TOML.") from None
        return cls.from_dict(content, origin=file.name)

    @classmethod
    def from_dict(cls, content: Any, *, origin: str = "rubric") -> Rubric:
        """Parse the content of a rubric file.

        Raises:
            ConfigError: a key is missing, unknown or invalid.
        """
        if not isinstance(content, Mapping):
            raise ConfigError(f"{origin}: a rubric is a table with `name`, `instructions` and `choices` or `scale`.")
        return validated(cls, content, origin, ConfigError)

    @property
    def low(self) -> float:
        """The worst score, of several criteria the worst overall score."""
        if self.criteria:
            return self._overall_range[0]
        return self.choices[0].score if self.scale is None else self.scale.low

    @property
    def high(self) -> float:
        """The best score, of several criteria the best overall score."""
        if self.criteria:
            return self._overall_range[1]
        return self.choices[-1].score if self.scale is None else self.scale.high

    @property
    def is_binary(self) -> bool:
        """Whether there are exactly two verdicts."""
        return self.scale is None and len(self.choices) == 2

    @cached_property
    def answers(self) -> Mapping[str, float]:
        """The requested answers with their scores, from the worst to the best."""
        if self.scale is None:
            return {choice.answer: choice.score for choice in self.choices}
        count = int((self.scale.high - self.scale.low) / self.scale.step + 1e-9) + 1
        scores = [round(self.scale.low + place * self.scale.step, 9) for place in range(count)]
        return {f"{score:.10g}": score for score in scores}

    def unit(self, score: float) -> float:
        """A score rescaled from 0, the worst, to 1, the best."""
        return (score - self.low) / (self.high - self.low)

    def holds(self, score: float) -> bool:
        """Whether a number is a valid score."""
        if not self.low <= score <= self.high:
            return False
        if self.scale is not None and self.scale.fractions:
            return True
        return any(abs(score - known) < 1e-9 for known in self.answers.values())

    @cached_property
    def parts(self) -> Mapping[str, Rubric]:
        """A rubric with one score for each criterion, by its name."""
        return {
            criterion.name: Rubric(
                name=f"{self.name}.{criterion.name}",
                instructions=criterion.instructions,
                scale=criterion.scale,
                choices=criterion.choices,
                reference=self.reference,
                reasoning=self.reasoning,
                verdict=Verdict(name=criterion.name),
            )
            for criterion in self.criteria
        }

    @cached_property
    def weights(self) -> Mapping[str, float]:
        """The weight of each criterion in the overall score, by its name."""
        return {criterion.name: criterion.weight for criterion in self.criteria}

    def fingerprint(self) -> str:
        """Hash of the rubric, 16 hexadecimal digits."""
        values = self.model_dump(mode="json")
        # Rubrics with one score keep their hash, whatever keys belong to several.
        aspects, missing = values.pop("aspects"), values.pop("missing_criterion")
        values |= {"missing_criterion": missing} if self.criteria else {"criteria": aspects}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def _overall_range(self) -> tuple[float, float]:
        """The range of all criteria if it is the same, otherwise 0 to 1."""
        ranges = {(part.low, part.high) for part in self.parts.values()}
        return ranges.pop() if len(ranges) == 1 else (0.0, 1.0)


def rubric_path(name: str) -> Path:
    """Path of a packaged rubric, by its name without `.toml`.

    Raises:
        ConfigError: no packaged rubric has this name.
    """
    return packaged_file("rubric", "rubrics", name, ".toml")


def read_rubric(rubric: Rubric | Mapping[str, Any] | str | Path) -> Rubric:
    """Read a rubric from a path, a packaged rubric's name, or its content.

    Raises:
        ConfigError: it cannot be read, or a key is missing, unknown or invalid.
    """
    if isinstance(rubric, Rubric):
        return rubric
    if isinstance(rubric, Mapping):
        return Rubric.from_dict(rubric)
    path = Path(rubric)
    if not path.is_file() and path.suffix != ".toml":
        path = rubric_path(str(rubric))
    return Rubric.from_toml(path)
