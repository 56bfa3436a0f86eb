"""The expected score: the verdict as the judge believed it, from the log-probabilities of the verdict's tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.labels import Token

SKIPPED = " \t\r\n\"'`*_([{“”‘’«»„:"
"""What may stand before the first character of a verdict."""

ENDED = " \t\r\n\"'`*_)]}“”‘’«»,.;:/!"
"""What may follow its last character in the same token."""

LabelEnd = Callable[[Rubric, str], int | None]


@dataclass(frozen=True, slots=True)
class Expected:
    """An expected score, and how much of the probability it rests on."""

    score: float
    mass: float
    """The probability of all score tokens together, before it was scaled to 1."""


def expected_score(rubric: Rubric, tokens: Sequence[Token], written: float, *, label_end: LabelEnd) -> Expected | None:
    """The mean of the scores, weighted by the probability of their tokens where the verdict stands (G-Eval, Liu et al.
    2023, equation 1, with the probabilities scaled to sum to 1 over the score tokens).

    Args:
        rubric: whose answers are the score tokens.
        tokens: of the reply, with the likeliest alternatives of each.
        written: the score that was read from the reply; where the tokens spell another, they are not used.
        label_end: finds the character behind `score:` in a reply.

    Returns:
        None where the reply has no log-probabilities, or where the verdict is not found among its tokens.
    """
    if not any(token.alternatives for token in tokens):
        return None
    start = _verdict_start(rubric, "".join(token.text for token in tokens), label_end)
    if start is None:
        return None
    answers = {answer.casefold(): score for answer, score in rubric.answers.items()}
    seen = score_probabilities(answers, tokens, start)
    if seen is None or abs(answers[seen.written] - written) > 1e-9:
        return None
    mass = sum(seen.shares.values())
    if mass <= 0:
        return None
    score = sum(answers[answer] * share for answer, share in seen.shares.items()) / mass
    return Expected(score, min(1.0, mass))


@dataclass(frozen=True, slots=True)
class Shares:
    """The probability of each answer as far as the alternatives show it, and the answer that was written."""

    shares: Mapping[str, float]
    written: str


def score_probabilities(answers: Mapping[str, float], tokens: Sequence[Token], start: int) -> Shares | None:
    """How probable each answer is at a place of a reply.

    Token by token along the reply: an alternative that can be one answer only gives that answer its probability times
    that of the tokens before it. A piece that may be an answer or the beginning of another, as `1` of `1` and `10`,
    counts for the shorter one where the longer is a token of its own at the same place, so that it is not split;
    otherwise nobody knows, and it counts for none.

    Args:
        answers: in small letters.
        tokens: of the reply.
        start: the character at which the verdict begins.
    """
    place = _token_at(tokens, start)
    if place is None:
        return None
    shares = dict.fromkeys(answers, 0.0)
    prefix, path = "", 0.0
    for number in range(place[0], len(tokens)):
        token = tokens[number]
        skip = place[1] if number == place[0] else 0
        bare = token.text[skip:] if prefix else token.text[skip:].lstrip(SKIPPED)
        if not prefix and not bare:
            # White space, a quotation mark, a star: it may have had alternatives that begin the verdict at once.
            _share(shares, answers, token, skip, prefix, path)
            path += token.logprob
            continue
        alone = _share(shares, answers, token, skip, prefix, path)
        said = (prefix + bare).casefold()
        whole = _whole(answers, said, alone, ended=_ends(tokens, number, answers, said))
        path += token.logprob
        if whole is not None:
            shares[whole] += math.exp(path)
            return Shares(shares, whole)
        if not any(answer.startswith(said) for answer in answers):
            return None
        prefix += bare
    return None


def _share(
    shares: dict[str, float], answers: Mapping[str, float], token: Token, skip: int, prefix: str, path: float
) -> frozenset[str]:
    """Give answers the probability of the alternatives that can be nothing else; returns what is one token here."""
    pieces: list[tuple[str, float]] = []
    for text, logprob in token.alternatives:
        bare = text[skip:] if text[:skip] == token.text[:skip] else text
        bare = bare if prefix else bare.lstrip(SKIPPED)
        if bare:
            pieces.append(((prefix + bare).casefold(), logprob if text != token.text else math.nan))
    alone = frozenset(piece.rstrip(ENDED) for piece, _ in pieces)
    for piece, logprob in pieces:
        whole = _whole(answers, piece, alone, ended=False)
        if whole is not None and not math.isnan(logprob):
            shares[whole] += math.exp(path + logprob)
    return alone


def _whole(answers: Mapping[str, float], said: str, alone: frozenset[str], *, ended: bool) -> str | None:
    """The answer that a piece is, when it can be no other."""
    bare = said.rstrip(ENDED)
    longer = [answer for answer in answers if answer.startswith(bare) and answer != bare]
    if bare in answers:
        closed = ended or bare != said
        return bare if closed or not longer or all(answer in alone for answer in longer) else None
    return longer[0] if bare and len(longer) == 1 else None


def _ends(tokens: Sequence[Token], number: int, answers: Mapping[str, float], said: str) -> bool:
    """Whether the reply's own next token does not go on with a longer answer."""
    following = tokens[number + 1].text if number + 1 < len(tokens) else ""
    return not any(answer.startswith(said + following[:1].casefold()) for answer in answers) or not following


def _token_at(tokens: Sequence[Token], start: int) -> tuple[int, int] | None:
    position = 0
    for number, token in enumerate(tokens):
        if start < position + len(token.text):
            return number, start - position
        position += len(token.text)
    return None


def _verdict_start(rubric: Rubric, text: str, label_end: LabelEnd) -> int | None:
    """The character at which the verdict begins: behind its key in JSON, behind its label, else that of the reply."""
    key = re.compile(rf'"{re.escape(rubric.verdict.name)}"\s*:\s*"?', re.I)
    keys = list(key.finditer(text))
    if text.lstrip(" \t\r\n`").startswith(("{", "json")) and keys:
        # Where the key stands twice, one of them may be quoted.
        return keys[0].end() if len(keys) == 1 else None
    end = label_end(rubric, text)
    if end is None:
        return len(text) - len(text.lstrip(SKIPPED))
    return end
