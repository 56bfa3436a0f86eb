"""How likely each label is, from the log-probabilities of an answer's tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hf_synthlabels.labels.schema import LabelSchema

LABEL_KEY = re.compile(r'"label"\s*:\s*"')


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer, as likely as the model thought it and its alternatives."""

    text: str
    logprob: float
    """Natural logarithm."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens at this place, itself among them, each with its natural log-probability."""


def label_probabilities(schema: LabelSchema, tokens: Sequence[Token]) -> dict[str, float] | None:
    """The probability of each label name, from the tokens of an answer that is a name, bare or under `label` in JSON.

    Token by token along the answer: an alternative that only one name begins with gives that name its probability
    times that of the tokens before it, and so does the answer's own token as soon as no other name begins so. What
    the alternatives do not show stays unseen; the shares are of what was seen. None when the answer is no name, or
    the server gave no alternatives.
    """
    start = _label_start(tokens)
    if start is None or not any(token.alternatives for token in tokens):
        return None
    folded = {name: name.casefold() for name in schema.names}
    seen = dict.fromkeys(schema.names, 0.0)
    prefix, path = "", 0.0
    for place in range(start[0], len(tokens)):
        token = tokens[place]
        # The label may begin within its first token, behind a quotation mark or a space.
        skip = start[1] if place == start[0] else 0
        for text, logprob in token.alternatives:
            if text == token.text:
                continue
            fits = _fitting(folded, prefix + _bare(text[skip:] if text[:skip] == token.text[:skip] else text, prefix))
            if len(fits) == 1:
                seen[fits[0]] += math.exp(path + logprob)
        prefix += _bare(token.text[skip:], prefix)
        path += token.logprob
        fits = _fitting(folded, prefix)
        if len(fits) == 1:
            seen[fits[0]] += math.exp(path)
            total = sum(seen.values())
            return {name: share / total for name, share in seen.items()} if total > 0 else None
        if not fits:
            return None
    return None


def _label_start(tokens: Sequence[Token]) -> tuple[int, int] | None:
    """Token and character in it where the label begins."""
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
    """A piece of a name as it is compared; nothing but white space and quotes may stand before its first piece."""
    return text.casefold() if prefix else text.casefold().lstrip(" \t\n\"'`*")


def _fitting(folded: dict[str, str], prefix: str) -> list[str]:
    """The names that a text begins, or that begin it and are complete."""
    if not prefix:
        return list(folded)
    fits = [name for name, compared in folded.items() if compared.startswith(prefix)]
    # A closing quote or a full stop may come in one token with the end of a name.
    done = [name for name, compared in folded.items() if prefix.rstrip("\"'`*}., \n") == compared]
    if prefix not in folded.values() and done:
        return done
    return fits
