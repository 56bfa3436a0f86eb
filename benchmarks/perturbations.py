"""Right and wrong answers in six formats, to measure which scorers depend on the format of an answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from hf_synthlabels.errors import DataError

__all__ = ["FORMATS", "REFERENCE_FORMAT", "Format", "PerturbedRow", "Source", "in_formats", "perturbed_rows"]

Format = Literal["label", "sentence", "json", "markdown", "preamble", "upper"]
"""The bare answer, a sentence, a JSON object, Markdown, text before and after the answer, the answer in capitals."""

FORMATS: tuple[Format, ...] = get_args(Format)

REFERENCE_FORMAT: Format = "label"
"""The format in which references are written."""

Kind = Literal["classification", "entities", "qa", "text"]

Answer = str | Sequence[tuple[str, str]]
"""A text; for the kind `entities`, (mention, type) pairs in order."""

PREAMBLE = "Sure! I read the input carefully and thought about it step by step."
AFTERWORD = "Let me know if you need anything else."
NO_ENTITIES = "none"

SENTENCES: Mapping[Kind, tuple[str, str]] = {
    "classification": ("The correct label for this input is {answer}.", "label"),
    "entities": ("The entities in this text are {answer}.", "entities"),
    "qa": ("The answer to the question is {answer}.", "answer"),
    "text": ("Here is what I would write: {answer}", "text"),
}
"""The sentence around an answer, and the JSON key or Markdown heading of the answer."""


@dataclass(frozen=True, slots=True)
class Source:
    """One question with its correct answer."""

    item: str
    answer: Answer
    prompt: str = ""
    """The question, for judges that need to see it."""


@dataclass(frozen=True, slots=True)
class PerturbedRow:
    """One answer in one format, with the correct answer in the reference format as its reference."""

    item: str
    right: bool
    form: Format
    prediction: str
    reference: str
    prompt: str


def in_formats(answer: Answer, kind: Kind) -> dict[Format, str]:
    """The same answer in each format.

    Raises:
        DataError: `answer` does not fit `kind`.
    """
    sentence, key = SENTENCES[kind]
    bare = _bare(answer, kind)
    in_sentence = sentence.replace("{answer}", bare)
    return {
        "label": bare,
        "sentence": in_sentence,
        "json": json.dumps({key: _json_value(answer, kind)}, ensure_ascii=False),
        "markdown": _markdown(answer, kind, key),
        "preamble": f"{PREAMBLE}\n\n{in_sentence}\n\n{AFTERWORD}",
        "upper": bare.upper(),
    }


def wrong_answer(place: int, answers: Sequence[Answer], kind: Kind, *, seed: int = 0) -> Answer | None:
    """A wrong answer to the question at `place`: the correct answer of another row, chosen by a hash.

    An answer that differs only in case, spaces or punctuation, contains the correct one, or is contained in it, is not
    wrong. None if no row has a wrong answer.
    """
    bare = [_bare(answer, kind) for answer in answers]
    by_text = {_plain(text): answer for text, answer in zip(reversed(bare), reversed(answers), strict=True)}
    correct = _plain(bare[place])
    choices = sorted(text for text in by_text if not _overlap(text, correct, kind))
    if not choices:
        return None
    index = int.from_bytes(hashlib.sha256(f"{seed}/{place}/{bare[place]}".encode()).digest()[:8], "big")
    return by_text[choices[index % len(choices)]]


def perturbed_rows(sources: Sequence[Source], kind: Kind, *, seed: int = 0) -> list[PerturbedRow]:
    """The correct answer of each source and a wrong one, each in every format; the correct answer comes first.

    A source without a wrong answer, because all rows have the same one, has its correct answer only.

    Raises:
        DataError: an answer does not fit `kind`.
    """
    answers = [source.answer for source in sources]
    rows: list[PerturbedRow] = []
    for place, source in enumerate(sources):
        reference = _bare(source.answer, kind)
        wrong = wrong_answer(place, answers, kind, seed=seed)
        for right, answer in ((True, source.answer), (False, wrong)):
            if answer is None:
                continue
            for form, text in in_formats(answer, kind).items():
                rows.append(PerturbedRow(source.item, right, form, text, reference, source.prompt))
    return rows


def _bare(answer: Answer, kind: Kind) -> str:
    """The answer as a reference writes it."""
    if kind != "entities":
        if not isinstance(answer, str) or not answer.strip():
            raise DataError(f"`answer` is {answer!r}: give a text that is not empty for the kind {kind!r}.")
        return answer.strip()
    return ", ".join(f"{mention} ({name})" for mention, name in _pairs(answer)) or NO_ENTITIES


def _pairs(answer: Answer) -> list[tuple[str, str]]:
    if isinstance(answer, str):
        raise DataError(f"`answer` is {answer!r}: give (mention, type) pairs for the kind 'entities'.")
    return list(answer)


def _json_value(answer: Answer, kind: Kind) -> object:
    if kind != "entities":
        return _bare(answer, kind)
    return [{"text": mention, "type": name} for mention, name in _pairs(answer)]


def _markdown(answer: Answer, kind: Kind, key: str) -> str:
    if kind != "entities":
        return f"### {key.capitalize()}\n\n**{_bare(answer, kind)}**"
    lines = [f"- **{mention}**: {name}" for mention, name in _pairs(answer)] or [f"- {NO_ENTITIES}"]
    return "\n".join([f"### {key.capitalize()}", "", *lines])


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _overlap(text: str, other: str, kind: Kind) -> bool:
    """Whether one plain text says the other as well; `positive` and `not positive` are two labels."""
    if text == other or kind in ("classification", "entities"):
        return text == other
    return f" {text} " in f" {other} " or f" {other} " in f" {text} "
