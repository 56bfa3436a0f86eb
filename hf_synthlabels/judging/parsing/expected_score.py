"""Expected score of a verdict, from the log-probabilities of its tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.labels import Token

OPENING = " \t\r\n\"'`*_([{“”‘’«»„:"
"""Characters that may precede a verdict."""

CLOSING = " \t\r\n\"'`*_)]}“”‘’«»,.;:/!"
"""Characters that may follow a verdict in the same token."""

LabelEnd = Callable[[Rubric, str], int | None]


@dataclass(frozen=True, slots=True)
class ExpectedScore:
    """An expected score, and the probability that it is based on."""

    score: float
    mass: float
    """Total probability of the score tokens, before normalization."""


def expected_score(
    rubric: Rubric, tokens: Sequence[Token], written: float, *, label_end: LabelEnd
) -> ExpectedScore | None:
    """The mean of the scores, weighted by the normalized probabilities of their tokens (G-Eval, Liu et al. 2023).

    Args:
        rubric: its answers are the score tokens.
        tokens: tokens of the reply, with their most likely alternatives.
        written: the score that was parsed from the reply.
        label_end: finds the character after `score:` in a reply.

    Returns:
        None if the reply has no log-probabilities, or its tokens do not spell the parsed score.
    """
    if not any(token.alternatives for token in tokens):
        return None
    start = _verdict_start(rubric, "".join(token.text for token in tokens), label_end)
    if start is None:
        return None
    answers = {answer.casefold(): score for answer, score in rubric.answers.items()}
    probabilities = score_probabilities(answers, tokens, start)
    if probabilities is None or abs(answers[probabilities.written] - written) > 1e-9:
        return None
    mass = sum(probabilities.by_answer.values())
    if mass <= 0:
        return None
    score = sum(answers[answer] * share for answer, share in probabilities.by_answer.items()) / mass
    return ExpectedScore(score, min(1.0, mass))


@dataclass(frozen=True, slots=True)
class AnswerProbabilities:
    """The probability of each answer, as far as the alternatives show it, and the answer that was written."""

    by_answer: Mapping[str, float]
    written: str


def score_probabilities(
    answers: Mapping[str, float], tokens: Sequence[Token], start: int
) -> AnswerProbabilities | None:
    """The probability of each answer at a position of a reply.

    An alternative that can only be one answer adds its probability, times that of the tokens before it, to that answer.
    A piece that may be an answer or the start of another, such as `1` of `1` and `10`, counts for the shorter answer if
    the longer one is a single token at the same position; otherwise it is ambiguous and counts for neither.

    Args:
        answers: scores by answer in lower case.
        tokens: tokens of the reply.
        start: the first character of the verdict.
    """
    position = _token_at(tokens, start)
    if position is None:
        return None
    first, offset = position
    shares = dict.fromkeys(answers, 0.0)
    prefix, path = "", 0.0
    for number in range(first, len(tokens)):
        token = tokens[number]
        skip = offset if number == first else 0
        bare = token.text[skip:] if prefix else token.text[skip:].lstrip(OPENING)
        if not prefix and not bare:
            # White space, a quotation mark or a star may have alternatives that start the verdict at once.
            _add_alternatives(shares, answers, token, skip, prefix, path)
            path += token.logprob
            continue
        single_tokens = _add_alternatives(shares, answers, token, skip, prefix, path)
        text = (prefix + bare).casefold()
        answer = _complete_answer(answers, text, single_tokens, ended=_ends(tokens, number, answers, text))
        path += token.logprob
        if answer is not None:
            shares[answer] += math.exp(path)
            return AnswerProbabilities(shares, answer)
        if not any(candidate.startswith(text) for candidate in answers):
            return None
        prefix += bare
    return None


def _add_alternatives(
    shares: dict[str, float], answers: Mapping[str, float], token: Token, skip: int, prefix: str, path: float
) -> frozenset[str]:
    """Add the probabilities of the unambiguous alternatives; returns the texts that are single tokens here."""
    pieces: list[tuple[str, float]] = []
    for text, logprob in token.alternatives:
        bare = text[skip:] if text[:skip] == token.text[:skip] else text
        bare = bare if prefix else bare.lstrip(OPENING)
        if bare:
            pieces.append(((prefix + bare).casefold(), logprob if text != token.text else math.nan))
    single_tokens = frozenset(piece.rstrip(CLOSING) for piece, _ in pieces)
    for piece, logprob in pieces:
        answer = _complete_answer(answers, piece, single_tokens, ended=False)
        if answer is not None and not math.isnan(logprob):
            shares[answer] += math.exp(path + logprob)
    return single_tokens


def _complete_answer(
    answers: Mapping[str, float], text: str, single_tokens: frozenset[str], *, ended: bool
) -> str | None:
    """The only answer that a piece can be; None if it is ambiguous."""
    bare = text.rstrip(CLOSING)
    longer = [answer for answer in answers if answer.startswith(bare) and answer != bare]
    if bare in answers:
        closed = ended or bare != text
        return bare if closed or not longer or all(answer in single_tokens for answer in longer) else None
    return longer[0] if bare and len(longer) == 1 else None


def _ends(tokens: Sequence[Token], number: int, answers: Mapping[str, float], text: str) -> bool:
    """Whether the next token does not continue with a longer answer."""
    following = tokens[number + 1].text if number + 1 < len(tokens) else ""
    return not any(answer.startswith(text + following[:1].casefold()) for answer in answers) or not following


def _token_at(tokens: Sequence[Token], start: int) -> tuple[int, int] | None:
    """The token with a character, and the character's offset in it."""
    position = 0
    for number, token in enumerate(tokens):
        if start < position + len(token.text):
            return number, start - position
        position += len(token.text)
    return None


def _verdict_start(rubric: Rubric, text: str, label_end: LabelEnd) -> int | None:
    """The first character of the verdict: after its key in JSON, after its label, or of the reply."""
    key = re.compile(rf'"{re.escape(rubric.verdict.name)}"\s*:\s*"?', re.I)
    keys = list(key.finditer(text))
    if text.lstrip(" \t\r\n`").startswith(("{", "json")) and keys:
        # If the key occurs twice, one of them may be a quotation.
        return keys[0].end() if len(keys) == 1 else None
    end = label_end(rubric, text)
    if end is None:
        return len(text) - len(text.lstrip(OPENING))
    return end
