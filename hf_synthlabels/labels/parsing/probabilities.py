"""Class probabilities from the log-probabilities of an answer's tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

LABEL_KEY = re.compile(r'"label"\s*:\s*"?')


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer with its log-probability and alternatives."""

    text: str
    logprob: float
    """Natural logarithm of its probability."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The most likely tokens at this position, including itself, with their log-probabilities."""


def label_probabilities(
    names: Sequence[str], tokens: Sequence[Token], start: int | None = None
) -> dict[str, float] | None:
    """Return the probability of each name, from an answer that is a name, bare or under `label` in JSON.

    At each token, an alternative that is a prefix of exactly one name adds its path probability to that name, and so
    does the token itself once it identifies the name. The result is normalized over the probability mass seen. None if
    the answer is not a name or the server returned no alternatives.

    Args:
        names: Possible labels.
        tokens: Tokens of the answer.
        start: Character of the answer at which the label begins; None to search for it.
    """
    place = _label_place(tokens, start)
    if place is None or not any(token.alternatives for token in tokens):
        return None
    folded = {name: name.casefold() for name in names}
    mass = dict.fromkeys(names, 0.0)
    prefix, path = "", 0.0
    for position in range(place[0], len(tokens)):
        token = tokens[position]
        # The label may begin within its first token, after a quotation mark or a space.
        skip = place[1] if position == place[0] else 0
        for text, logprob in token.alternatives:
            if text == token.text:
                continue
            fits = _fitting(folded, prefix + _bare(text[skip:] if text[:skip] == token.text[:skip] else text, prefix))
            if len(fits) == 1:
                mass[fits[0]] += math.exp(path + logprob)
        prefix += _bare(token.text[skip:], prefix)
        path += token.logprob
        fits = _fitting(folded, prefix)
        if len(fits) == 1:
            mass[fits[0]] += math.exp(path)
            total = sum(mass.values())
            return {name: share / total for name, share in mass.items()} if total > 0 else None
        if not fits:
            return None
    return None


def _label_place(tokens: Sequence[Token], at: int | None) -> tuple[int, int] | None:
    """Return the token, and the character in it, at which the label begins."""
    if at is None:
        text = "".join(token.text for token in tokens)
        key = LABEL_KEY.search(text)
        at = key.end() if key else len(text) - len(text.lstrip(" \t\n\"'`*"))
    position = 0
    for number, token in enumerate(tokens):
        if at < position + len(token.text):
            return number, at - position
        position += len(token.text)
    return None


def _bare(text: str, prefix: str) -> str:
    """Fold a part of a name; the first part loses leading white space and quotes."""
    return text.casefold() if prefix else text.casefold().lstrip(" \t\n\"'`*")


def _fitting(folded: dict[str, str], prefix: str) -> list[str]:
    """Return the names that a text is a prefix of, or the complete name that it begins with."""
    if not prefix:
        return list(folded)
    fits = [name for name, compared in folded.items() if compared.startswith(prefix)]
    # One token may hold the end of a name and a closing quote or period.
    complete = [name for name, compared in folded.items() if prefix.rstrip("\"'`*}., \n") == compared]
    if prefix not in folded.values() and complete:
        return complete
    return fits
