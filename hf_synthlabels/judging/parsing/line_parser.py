"""Parser of verdicts in text: a labeled line, a reply that is only a verdict, or a sentence of a recorded reply."""

from __future__ import annotations

import re
from functools import lru_cache

from hf_synthlabels.judging.judgment import ParsedReply, ParseMethod
from hf_synthlabels.judging.parsing.score_parser import NUMBER, ParsedScore, read_score, read_two_scores
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.labels.digits import WORDS

LAST_SENTENCE = re.compile(r"[.!?:]\s+|\n")

CLAUSE = re.compile(r",\s|\s[-–—]\s|\s(?:with|in terms|for|on|because|due|and it|but)\b")

AFTER_SCORE = (
    r"[*_\"'”)\]]*\s*(?:$|[.,;:!?()\[\]/\n–—-]|(?:out|of|in|for|on|because|due|with|stars?|points?|and|to|or|since|as|but"
    r"|indicating|meaning|based|given|overall)\b)"
)
"""What may follow a score in a sentence; 'scoring 15 penalties' is not a score."""


def read_text(rubric: Rubric, text: str) -> ParsedReply:
    """Parse a reply that is not JSON.

    Of several labeled lines the last one counts, and an earlier one never replaces it.
    """
    by_pattern = _by_pattern(rubric, text)
    if by_pattern is not None:
        return by_pattern
    labels = _labels(rubric, text)
    if labels:
        last = labels[-1]
        line, _, after = text[last.end() :].lstrip("\n \t*_").partition("\n")
        reason = "\n".join(part for part in (text[: last.start()].strip(), after.strip()) if part)
        return _read_verdict(rubric, line, reason, whole=False)
    bare = _bare_verdict(rubric, text)
    if bare is not None:
        return bare
    if rubric.verdict.anywhere:
        return _read_sentence(rubric, text)
    error = f"no line begins with `{rubric.verdict.name}:`, and the reply is not a verdict by itself"
    if any(choice.pattern for choice in rubric.choices):
        error = f"the reply matches no pattern of `choices`, and no line begins with `{rubric.verdict.name}:`"
    return ParsedReply(reason=text, error=error)


def label_end(rubric: Rubric, text: str) -> int | None:
    """The character after the label of the last labeled line; None without such a line."""
    labels = _labels(rubric, text)
    return labels[-1].end() if labels else None


def both_scores(scores: tuple[ParsedScore, ParsedScore], method: ParseMethod, reason: str) -> ParsedReply:
    """The scores of answer and reference; neither counts without the other."""
    answer, reference = scores
    if answer.score is None or reference.score is None:
        return ParsedReply(reason=reason, error=answer.error or reference.error)
    return ParsedReply(answer.score, method, reason, reference_score=reference.score)


def _read_verdict(rubric: Rubric, text: str, reason: str, *, whole: bool) -> ParsedReply:
    if rubric.protocol == "joint":
        return both_scores(read_two_scores(rubric, text), "line", reason)
    return _from_line(read_score(rubric, text, whole=whole), reason)


def _from_line(parsed: ParsedScore, reason: str) -> ParsedReply:
    return ParsedReply(parsed.score, None if parsed.score is None else "line", reason, parsed.error)


def _bare_verdict(rubric: Rubric, text: str) -> ParsedReply | None:
    """A verdict without a label: the whole reply, or its first or last line if they do not contradict each other."""
    whole = _read_verdict(rubric, text, "", whole=True)
    if whole.score is not None:
        return whole
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2:
        return None
    ends = [(lines[0], lines[1:]), (lines[-1], lines[:-1])]
    replies = [_read_verdict(rubric, line, "\n".join(rest), whole=True) for line, rest in ends]
    scored = [reply for reply in replies if reply.score is not None]
    if len({(reply.score, reply.reference_score) for reply in scored}) != 1:
        return None
    return scored[0]


def _by_pattern(rubric: Rubric, text: str) -> ParsedReply | None:
    """The choice whose pattern matches a reply, selected by `verdict.take` if several match; None without a match.

    A pattern describes a verdict most exactly, so it precedes labeled lines.
    """
    matches = [
        (match.start(), choice.score)
        for choice in rubric.choices
        if choice.pattern
        for match in re.finditer(choice.pattern, text)
    ]
    if not matches:
        return None
    match rubric.verdict.take:
        case "first":
            score = min(matches)[1]
        case "last":
            score = max(matches)[1]
        case "best":
            score = max(score for _, score in matches)
        case "worst":
            score = min(score for _, score in matches)
    return ParsedReply(score, "line", text)


def _labels(rubric: Rubric, text: str) -> list[re.Match[str]]:
    """The labels of lines with a verdict, in the requested form, or else in a loose form."""
    strict, loose = _label_patterns(rubric)
    return list(strict.finditer(text)) or list(loose.finditer(text))


@lru_cache(maxsize=64)
def _label_patterns(rubric: Rubric) -> tuple[re.Pattern[str], re.Pattern[str]]:
    names = "|".join(map(re.escape, (rubric.verdict.name, *rubric.verdict.aliases)))
    # A line that starts with a quotation mark, a bracket or '>' is a quotation.
    start = (
        rf"^[ \t*_#•–—-]*(?:(?:final|overall|my|the|your)[ \t*_]+){{0,3}}(?:{names})[ \t*_`\"']*"
        rf"(?:\([^)\n]*\)|\[[^\]\n]*\])?[ \t*_`\"']*"
    )
    flags = re.I | re.M
    return re.compile(rf"{start}[:=：]", flags), re.compile(
        rf"{start}(?:(?<=[ \t])is\b[ \t]*|(?<=[ \t])[–—-][ \t])", flags
    )


def _read_sentence(rubric: Rubric, text: str) -> ParsedReply:
    """The score in a sentence: after the last `score`, else the last `4 out of 5`, else the only one."""
    if rubric.scale is None:
        return _from_line(read_score(rubric, text), text)
    statements = list(_statement(rubric).finditer(text))
    grades = list(_grade(rubric).finditer(text))
    last_sentence = LAST_SENTENCE.split(text.rstrip(" .*\"'”)"))[-1]
    parsed = read_score(rubric, last_sentence, whole=True)
    if parsed.score is not None:
        return _from_line(parsed, text)
    if grades and not text[: grades[0].start()].strip(" \t*\"'“"):
        parsed = read_score(rubric, grades[0][0])
    elif statements:
        parsed = _read_statement(rubric, text[statements[-1].start(1) :], len(statements[-1][1]))
    else:
        parsed = read_score(rubric, grades[-1][0] if grades else text)
    return _from_line(parsed, text)


def _read_statement(rubric: Rubric, text: str, length: int) -> ParsedScore:
    """The score of a statement that starts with a number of `length` characters."""
    clause = re.split(r"(?<=[\w*\"'”)])[.;!?](?:\s|$)|\n", text, maxsplit=1)[0]
    parsed = read_score(rubric, clause)
    if parsed.score is None and length < len(clause):
        # A separate clause follows the number, unless it turns the number into a range.
        parsed = read_score(rubric, CLAUSE.split(clause, maxsplit=1)[0])
    return parsed


@lru_cache(maxsize=64)
def _statement(rubric: Rubric) -> re.Pattern[str]:
    """A number that a sentence calls the score, as in 'scoring a 2' or 'a score of 4'."""
    names = "|".join(map(re.escape, (rubric.verdict.name, *rubric.verdict.aliases)))
    return re.compile(
        rf"(?<![\w-])(?:{names}|scor(?:e[sd]?|ing)|rat(?:ings?|e[sd]?)|grad(?:e[sd]?|ing))\b(?:\s*\([^)\n]*\))?"
        rf"(?:[\W_]{{0,6}}\b(?:is|of|as|an?|at|be|would|it|them|this|the|summary|response|final|only|given|with)\b){{0,5}}"
        rf"[\W_]{{0,6}}?({NUMBER})(?={AFTER_SCORE})",
        re.I,
    )


@lru_cache(maxsize=64)
def _grade(rubric: Rubric) -> re.Pattern[str]:
    """A number with its maximum, as in '4 out of 5' or 'four stars'."""
    high = "|".join([f"{rubric.high:g}", *(word for word, number in WORDS.items() if number == rubric.high)])
    return re.compile(rf"(?:{NUMBER})(?:\s*(?:/|out of|of)\s*(?:{high})\b|\s*-?\s*(?:stars?|points?)\b)", re.I)
