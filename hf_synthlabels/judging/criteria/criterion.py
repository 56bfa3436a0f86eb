"""Criterion: one of several scores of a rubric, with its scale or labels and its weight."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hf_synthlabels.clients.config import StrictModel

MAX_GRID_SCORES = 101

MAX_CRITERIA = 20
"""More verdicts in one reply are not independent, and replies get long."""

CRITERION_COLUMNS = ("status", "parse_method", "reason", "samples", "raw")
"""Suffixes of the columns of a criterion."""

RESERVED_CRITERIA = frozenset(
    {
        *("score", "example", "own_answer", "winner", "consistent", "preference", "raw_swapped", "reference_score"),
        *(*CRITERION_COLUMNS, "overall", "unit", "lowest", "highest", "win_rate"),
        *("input", "reference", "answer", "response", "own"),
        *("reasoning", "explanation", "rationale", "analysis", "justification"),
    }
)
"""Suffixes of other columns, names of other results, tags of the prompt, and names of the judge's explanation."""


class Aspect(StrictModel):
    """A point that the judge considers for its one score."""

    name: str = Field(min_length=1)
    text: str = ""


class Choice(StrictModel):
    """One verdict: the answer that the judge writes, its score and its meaning."""

    answer: str
    score: float
    meaning: str = ""
    pattern: str | None = None
    """Regular expression for this choice in replies recorded with another prompt."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"is {pattern!r}, which is not a regular expression: {error}. Correct it.") from None
        return pattern


class Range(StrictModel):
    """Range of the scores, including both ends."""

    low: float
    high: float
    step: float = Field(default=1.0, gt=0)
    """Difference between two requested scores."""
    fractions: bool = True
    """Whether a score between two steps, such as 4.5, is accepted."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"has `low` {self.low:g} and `high` {self.high:g}. `low` must be less than `high`.")
        if (self.high - self.low) / self.step > MAX_GRID_SCORES:
            raise ValueError(f"has more than {MAX_GRID_SCORES} scores. Give a larger `step`.")
        return self


class Criterion(StrictModel):
    """One score of a rubric with several: a number on a `scale`, or one of several `choices`.

    In a file, `anchors: {1: bad, 5: good}` are short for the choices of a scale. `labels: [rude, polite]` are short for
    choices with the scores 0, 1, ... from the worst to the best, and may be a mapping from each label to its meaning.
    """

    name: str
    instructions: str = Field(min_length=1)
    scale: Range | None = None
    choices: tuple[Choice, ...] = ()
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight in the overall score; 0 leaves the criterion out of it."""

    @model_validator(mode="before")
    @classmethod
    def _long_form(cls, keys: Any) -> Any:
        if not isinstance(keys, Mapping) or not {"anchors", "labels"} & set(keys):
            return keys
        keys = dict(keys)
        anchors, labels = keys.pop("anchors", None), keys.pop("labels", None)
        if "choices" in keys or (anchors is not None and labels is not None):
            raise ValueError("has several of `anchors`, `labels` and `choices`. Give one of them.")
        if anchors is not None and not isinstance(anchors, Mapping):
            raise ValueError(f"has `anchors` {anchors!r}. Give a mapping from a score to its meaning.")
        return {**keys, "choices": _anchor_choices(anchors) if anchors is not None else _label_choices(labels)}

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*", name):
            raise ValueError(f"is {name!r}. Use letters, digits and '_', starting with a letter.")
        if name.casefold() in RESERVED_CRITERIA:
            raise ValueError(
                f"is {name!r}, which names another column, result or tag of a judge. Rename the criterion."
            )
        return name

    @model_validator(mode="after")
    def _verdicts(self) -> Self:
        check_verdicts(self.scale, self.choices)
        return self


def check_verdicts(scale: Range | None, choices: Sequence[Choice]) -> None:
    """Check that a scale and its anchors, or the choices alone, define the possible verdicts.

    Raises:
        ValueError: they do not.
    """
    if scale is None and len(choices) < 2:
        raise ValueError("`choices` needs at least two verdicts, from the worst to the best, or give a `scale`.")
    answers = [choice.answer.strip().casefold() for choice in choices]
    if not all(answers) or len(set(answers)) < len(answers):
        raise ValueError(f"`choices` has the answers {answers}. Give each choice a different answer.")
    scores = [choice.score for choice in choices]
    if scores != sorted(set(scores)):
        raise ValueError(f"`choices` has the scores {scores}. Sort them from worst to best, without duplicates.")
    if scale is not None:
        for choice in choices:
            _check_anchor(choice, scale)


def check_criteria(criteria: Sequence[Criterion]) -> None:
    """Check that criteria have different columns and a weight.

    Raises:
        ValueError: two need the same column, all weights are 0, or there are too many.
    """
    if len(criteria) > MAX_CRITERIA:
        raise ValueError(f"`criteria` has {len(criteria)} criteria. Give at most {MAX_CRITERIA}.")
    if all(criterion.weight == 0 for criterion in criteria):
        raise ValueError("`criteria` has only weights of 0, so there is no overall score. Give one a `weight` above 0.")
    owners: dict[str, str] = {}
    for criterion in criteria:
        name = criterion.name.casefold()
        for column in (name, *(f"{name}_{suffix}" for suffix in CRITERION_COLUMNS)):
            if column in owners:
                raise ValueError(
                    f"`criteria` has {owners[column]!r} and {criterion.name!r}, which both need the column {column!r}. "
                    "Rename one."
                )
            owners[column] = criterion.name


def named_criteria(criteria: Any) -> Any:
    """Criteria of a file, a mapping by name, as a list.

    Raises:
        ValueError: they are not a mapping of mappings.
    """
    if isinstance(criteria, tuple):
        return criteria
    if not isinstance(criteria, Mapping) or not all(isinstance(keys, Mapping) for keys in criteria.values()):
        raise ValueError(
            "is not a mapping from the name of a criterion to its keys. Points that the judge considers for one score "
            "are `aspects`."
        )
    return tuple({"name": str(name), **keys} for name, keys in criteria.items())


Missing = Literal["unscored", "ignored"]
"""What an overall score does without the score of a criterion: it is missing too, or the other weights count."""


def _anchor_choices(anchors: Mapping[Any, Any]) -> list[dict[str, Any]]:
    try:
        scores = {str(answer): float(answer) for answer in anchors}
    except (TypeError, ValueError):
        raise ValueError(f"has `anchors` for {list(anchors)}. Give a mapping from a score to its meaning.") from None
    meanings = {str(answer): meaning for answer, meaning in anchors.items()}
    by_score = sorted(scores.items(), key=lambda item: item[1])
    return [{"answer": answer, "score": score, "meaning": meanings[answer]} for answer, score in by_score]


def _label_choices(labels: Any) -> list[dict[str, Any]]:
    if isinstance(labels, str) or not isinstance(labels, Mapping | Sequence):
        raise ValueError(f"has `labels` {labels!r}. Give a list of names, from the worst to the best.")
    meanings = labels if isinstance(labels, Mapping) else dict.fromkeys(labels, "")
    if any(not isinstance(label, str) for label in meanings) or len(meanings) < len(labels):
        raise ValueError(
            f"has `labels` {list(labels)}. Give different texts, in quotation marks where YAML needs them."
        )
    return [
        {"answer": label, "score": place, "meaning": meaning or ""}
        for place, (label, meaning) in enumerate(meanings.items())
    ]


def _check_anchor(choice: Choice, scale: Range) -> None:
    try:
        number = float(choice.answer)
    except ValueError:
        number = float("nan")
    if number != choice.score or not scale.low <= number <= scale.high:
        raise ValueError(
            f"`choices` has the answer {choice.answer!r} with score {choice.score:g}. With a `scale` from "
            f"{scale.low:g} to {scale.high:g} each answer is its score, a number on it."
        )
