"""Surface forms: the same answer said in several formats, right and wrong, to see which scorers mind the format.

A scorer is task- and format-agnostic (Faysse et al. 2023, arXiv:2310.14103) when it gives an answer the same score in
every form, and a right answer in any form more than a wrong answer in the form of the reference. Exact match and ROUGE
can not by construction; whether a judge can is to be measured.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from hf_synthlabels.errors import ConfigError, DataError

Form = Literal["label", "sentence", "json", "markdown", "preamble", "upper"]
"""The bare answer, a sentence with it, a JSON object, Markdown, talk before and after it, the answer in capitals."""

FORMS: tuple[Form, ...] = get_args(Form)

HOUSE_FORM: Form = "label"
"""The form in which references are written."""

Kind = Literal["classification", "entities", "qa", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Answer = str | Sequence[tuple[str, str]]
"""A text; for the kind `entities` (mention, type) pairs in their order."""

PREAMBLE = "Sure! I read the input carefully and thought about it step by step."
AFTERWORD = "Let me know if you need anything else."
NOTHING = "none"
"""What stands for an empty list of entities."""

MARK = "{answer}"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words around an answer.

    Raises:
        ConfigError: `sentence` does not have `{answer}` exactly once, or `key` is empty.
    """

    sentence: str
    """With `{answer}` where the answer goes, once."""
    key: str
    """The key of the JSON object, and the heading in Markdown."""

    def __post_init__(self) -> None:
        if self.sentence.count(MARK) != 1:
            raise ConfigError(f"`sentence` is {self.sentence!r}: write {MARK} once, where the answer goes.")
        if not self.key:
            raise ConfigError("`key` is '': give the JSON object's key, such as 'answer'.")


WORDINGS: Mapping[Kind, Wording] = {
    "classification": Wording("The correct label for this input is {answer}.", "label"),
    "entities": Wording("The entities in this text are {answer}.", "entities"),
    "qa": Wording("The answer to the question is {answer}.", "answer"),
    "text": Wording("Here is what I would write: {answer}", "text"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """One question with its right answer."""

    item: str
    answer: Answer
    prompt: str = ""
    """What was asked, for judges that need to see it."""


@dataclass(frozen=True, slots=True)
class PerturbedRow:
    """One answer in one form, ready to be scored; its house form stands beside it as the reference."""

    item: str
    right: bool
    form: Form
    prediction: str
    reference: str
    """The right answer in the house form."""
    prompt: str


def surface_forms(
    answer: Answer, kind: Kind, *, wording: Wording | None = None, forms: Sequence[Form] = FORMS
) -> dict[Form, str]:
    """The same answer in each form, in the order of `forms`; equal inputs give equal texts.

    Args:
        answer: a text, or (mention, type) pairs for the kind `entities`.
        kind: of the answer; it decides the words around it unless `wording` does.
        wording: other words, in the task's language or domain.
        forms: which forms.

    Raises:
        ConfigError: `kind` or one of `forms` does not exist, or a form is named twice.
        DataError: the answer does not fit the kind.
    """
    _check(kind, forms)
    words = wording or WORDINGS[kind]
    bare = _bare(answer, kind)
    texts: dict[Form, str] = {
        "label": bare,
        "sentence": words.sentence.replace(MARK, bare),
        "json": json.dumps({words.key: _json_value(answer, kind)}, ensure_ascii=False),
        "markdown": _markdown(answer, kind, words.key),
        "preamble": f"{PREAMBLE}\n\n{words.sentence.replace(MARK, bare)}\n\n{AFTERWORD}",
        "upper": bare.upper(),
    }
    return {form: texts[form] for form in forms}


def wrong_answer(place: int, answers: Sequence[Answer], kind: Kind, *, seed: int = 0) -> Answer | None:
    """A wrong answer to the question at `place`: what is right elsewhere and is not right here.

    For `classification` another of the labels that occur, for `qa`, `text` and most `entities` the right answer of
    another row, chosen by a hash of the seed, the place and the right answer. An answer that differs
    only in case, spaces or punctuation, or holds the right one, or is held by it, is not wrong and is passed over.
    None when no row has a wrong one.

    Raises:
        ConfigError: `kind` does not exist.
        DataError: `place` is not a row, or an answer does not fit the kind.
    """
    _check(kind, ())
    if not 0 <= place < len(answers):
        raise DataError(f"`place` is {place!r} with {len(answers)} answers: give 0 to {len(answers) - 1}.")
    bare = [_bare(answer, kind) for answer in answers]
    others = {_plain(text): answer for text, answer in zip(reversed(bare), reversed(answers), strict=True)}
    here = _plain(bare[place])
    choices = sorted(key for key in others if not _overlap(key, here, kind))
    if not choices:
        return None
    drawn = int.from_bytes(hashlib.sha256(f"{seed}/{place}/{bare[place]}".encode()).digest()[:8], "big")
    return others[choices[drawn % len(choices)]]


def perturbed_rows(
    sources: Sequence[Source],
    kind: Kind,
    *,
    wording: Wording | None = None,
    forms: Sequence[Form] = FORMS,
    seed: int = 0,
) -> list[PerturbedRow]:
    """Every source's right answer and a wrong one, each in every form: 2 x forms rows for a source.

    A source without a wrong answer (all rows have the same one) gives its right answer only. Rows keep the order of
    the sources: the right answer first, forms in the order given.

    Raises:
        ConfigError: `kind` or one of `forms` does not exist.
        DataError: an answer does not fit the kind, or an item stands twice.
    """
    items = [source.item for source in sources]
    if len(set(items)) != len(items):
        twice = next(item for item in items if items.count(item) > 1)
        raise DataError(f"`item` {twice!r} stands in more than one source: give each a name of its own.")
    answers = [source.answer for source in sources]
    rows: list[PerturbedRow] = []
    for place, source in enumerate(sources):
        reference = _bare(source.answer, kind)
        wrong = wrong_answer(place, answers, kind, seed=seed)
        for right, answer in ((True, source.answer), (False, wrong)):
            if answer is None:
                continue
            for form, text in surface_forms(answer, kind, wording=wording, forms=forms).items():
                rows.append(PerturbedRow(source.item, right, form, text, reference, source.prompt))
    return rows


def _check(kind: str, forms: Sequence[str]) -> None:
    if kind not in KINDS:
        raise ConfigError(f"`kind` is {kind!r}: give one of {', '.join(KINDS)}.")
    unknown = [form for form in forms if form not in FORMS]
    if unknown:
        raise ConfigError(f"`forms` has {unknown[0]!r}: give some of {', '.join(FORMS)}.")
    if len(set(forms)) != len(forms):
        raise ConfigError(f"`forms` is {list(forms)!r}: name each form once.")


def _bare(answer: Answer, kind: Kind) -> str:
    """The answer as a reference would say it."""
    if kind != "entities":
        if not isinstance(answer, str) or not answer.strip():
            raise DataError(f"`answer` is {answer!r}: give a text that is not empty for the kind {kind!r}.")
        return answer.strip()
    return ", ".join(f"{mention} ({name})" for mention, name in _pairs(answer)) or NOTHING


def _pairs(answer: Answer) -> list[tuple[str, str]]:
    try:
        if isinstance(answer, str):
            raise TypeError
        return [(str(mention), str(name)) for mention, name in answer]
    except (TypeError, ValueError):
        raise DataError(f"`answer` is {answer!r}: give (mention, type) pairs for the kind 'entities'.") from None


def _json_value(answer: Answer, kind: Kind) -> object:
    if kind != "entities":
        return _bare(answer, kind)
    return [{"text": mention, "type": name} for mention, name in _pairs(answer)]


def _markdown(answer: Answer, kind: Kind, key: str) -> str:
    if kind != "entities":
        return f"### {key.capitalize()}\n\n**{_bare(answer, kind)}**"
    lines = [f"- **{mention}**: {name}" for mention, name in _pairs(answer)] or [f"- {NOTHING}"]
    return "\n".join([f"### {key.capitalize()}", "", *lines])


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _overlap(one: str, other: str, kind: Kind) -> bool:
    """Whether one plain text says the other as well; labels such as `positive` and `not positive` are two labels."""
    if one == other or kind in ("classification", "entities"):
        return one == other
    return f" {one} " in f" {other} " or f" {other} " in f" {one} "
