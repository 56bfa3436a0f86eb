"""Parser of one verdict: a number on the rubric's scale, or one of its choices."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.labels.digits import DIGITS, WORDS, number_value
from hf_synthlabels.labels.parsing.mentions import NEGATION
from hf_synthlabels.labels.parsing.names import WRAPPERS

NUMBER = rf"(?:(?<![\w.,])[-+−])?(?<![\w.]){DIGITS}(?![\w]|[.,]\d)|\b(?:{'|'.join(WORDS)})\b"
"""A number in digits or words. Repetitions are possessive, so that matching takes linear time. A sign counts only if no
word precedes it, so that 3-4 is not 3 and -4."""

UNITS = r"(?:\s*[-–]?\s*(?:stars?|points?|pts?|sterne?n?|punkten?|étoiles?|estrellas?))?"
OF = (
    r"\s*(?:/|⁄|\bout\s+of\b(?:\s+an?\b|\s+the\b)?|\bof\b|\bvon\b|\bsur\b|\bde\b|\bsu\b|\bиз\b)\s*"
    r"(?:(?:a\s+)?(?:total|possible|maximum)\s+(?:of\s+)?)?"
)
OUT_OF = re.compile(rf"({NUMBER}){UNITS}{OF}({NUMBER}){UNITS}", re.I)
BETWEEN = r"\s*(?:[-–—−~]|\bto\b|\bor\b|\bbis\b|\boder\b|\bou\b|\bà\b|\band\b|\bthrough\b)\s*(?:an?\s+)?"
LOOSE = rf"(?<!\d){DIGITS}|\b(?:{'|'.join(WORDS)})\b"
RANGE = re.compile(rf"(?<![\w.,])({LOOSE}){UNITS}{BETWEEN}({LOOSE})(?![\w%])", re.I)
PERCENT = re.compile(r"\d\s*(?:%|percent\b|per cent\b)", re.I)
COMPARED = re.compile(
    r"(?:[<>≥≤]=?|\b(?:at least|at most|more than|less than|fewer than|below|above|over|under|not|isn['’]t|never)\b)"
    rf"\s*(?:an?\s+)?(?:{LOOSE})(?!\s*>)",
    re.I,
)
HALF = re.compile(rf"({LOOSE})\s*(?:½|\s+and\s+a\s+half\b|\s+and\s+one[- ]half\b)", re.I)
DOUBT = re.compile(r"\b(?:or|maybe|perhaps|possibly|rather|between|actually|revised|if not|oder|ou)\b", re.I)
REASON = re.compile(r"\s*(?:[.;:–—]\s+|-\s+|\n|,?\s*(?:because|since|as|for|due to|given)\b|\()", re.I)
LEAD = re.compile(
    r"(?:(?:the|is|an?(?=\s+(?:tie|draw)\b)|answer|output|response|option|choice|verdict|summary|assistant)\s+)*", re.I
)


@dataclass(frozen=True, slots=True)
class ParsedScore:
    """A score, or the reason why the text has none."""

    score: float | None = None
    error: str = ""


def read_score(rubric: Rubric, text: str, *, whole: bool = False) -> ParsedScore:
    """The single score that a text states.

    Ranges, several different scores, and scores on another scale or outside this one are rejected.

    Args:
        rubric: the possible scores.
        text: the text after `score:` in a reply, or a reply without such a line.
        whole: whether the text may contain nothing but the score.
    """
    text = _normalized(text)
    if not text.strip(WRAPPERS + "|"):
        return ParsedScore(error="the verdict is empty")
    return _read_number(rubric, text, whole) if rubric.scale is not None else _read_choice(rubric, text, whole)


def read_two_scores(rubric: Rubric, text: str) -> tuple[ParsedScore, ParsedScore]:
    """The scores of the answer and the reference in a verdict such as `8, 9`."""
    bare = _without_scale(rubric, _normalized(text))
    parts = [part for part in re.split(r"\s*[,;&|]\s*|\s+and\s+|\s+", bare.strip(WRAPPERS)) if re.search(r"\w", part)]
    if len(parts) != 2:
        missing = ParsedScore(error=f"the verdict is {text.strip()[:60]!r}, which is not two numbers")
        return missing, missing
    first, second = (_read_number(rubric, part, whole=True) for part in parts)
    return first, second


def _normalized(text: str) -> str:
    """The text with a single form of every digit, dash and letter."""
    text = re.sub(r"[^\S\n]+", " ", text)
    text = HALF.sub(lambda match: f"{number_value(match[1]) + 0.5:g}", text)
    return unicodedata.normalize("NFKC", text.replace("½", "0.5")).replace("*", "").replace("`", "").replace("_", " ")


def _read_number(rubric: Rubric, text: str, whole: bool) -> ParsedScore:
    bare = _without_scale(rubric, text)
    shown = f"{text.strip()[:60]!r}"
    other_scales = [match for match in OUT_OF.finditer(bare) if number_value(match[2]) != rubric.high]
    if other_scales:
        return ParsedScore(error=f"{other_scales[0][0].strip()!r} is not on the scale {_scale(rubric)}")
    bare = OUT_OF.sub(lambda match: f" {match[1]} ", bare)
    bare = bare if whole else _leading_number(bare)
    if PERCENT.search(bare):
        return ParsedScore(error=f"{shown} is a percentage")
    if bound := COMPARED.search(bare):
        return ParsedScore(error=f"{bound[0].strip()!r} is a bound, not a score")
    if value_range := RANGE.search(bare):
        return ParsedScore(error=f"{value_range[0].strip()!r} is a range")
    numbers = _numbers(bare)
    if not numbers:
        return ParsedScore(error=f"{shown} contains no numbers")
    around = bare[: numbers[0].start()] + re.sub(f"^{UNITS}", "", bare[numbers[-1].end() :], flags=re.I)
    if whole and around.strip(WRAPPERS + "|"):
        return ParsedScore(error=f"{shown} is more than a number")
    if len({number_value(match[0]) for match in numbers}) > 1:
        return ParsedScore(error=f"{shown} has several numbers")
    return score_on_scale(rubric, number_value(numbers[0][0]))


def score_on_scale(rubric: Rubric, value: float) -> ParsedScore:
    """A number as a score, or an error if the rubric has no such score."""
    if rubric.holds(value):
        return ParsedScore(value)
    return ParsedScore(error=f"{value:g} is not on the scale {_scale(rubric)}")


def _leading_number(text: str) -> str:
    """The number at the start of a text, if a sentence about it follows; else the text."""
    numbers = _numbers(text)
    if len(numbers) < 2 or text[: numbers[0].start()].strip(WRAPPERS):
        return text
    rest = text[numbers[0].end() :]
    return numbers[0][0] if _is_reason(rest, [text[match.start() :] for match in numbers[1:]]) else text


def _numbers(text: str) -> list[re.Match[str]]:
    numbers = list(re.finditer(NUMBER, text, re.I))
    # Next to digits, the word 'one' is rarely a number.
    if any(match[0][-1].isdigit() for match in numbers):
        numbers = [match for match in numbers if match[0].casefold() != "one"]
    return numbers


def _scale(rubric: Rubric) -> str:
    return f"{rubric.low:g} to {rubric.high:g}"


def _is_reason(rest: str, others: list[str], *, sentence: bool = False) -> bool:
    """Whether the text after a verdict explains it and states no other verdict.

    Args:
        rest: the text after the verdict.
        others: the texts from each other candidate on.
        sentence: whether the explanation may start with a choice.
    """
    if REASON.match(rest) is None:
        return False
    between = rest[: len(rest) - len(others[0])]
    # There must be words before the next candidate, and none that revises the verdict.
    words = rest if sentence and rest.lstrip()[:1] in ".;:" else between
    return re.search(r"[^\W\d_]{2,}", words) is not None and DOUBT.search(between) is None


def _without_scale(rubric: Rubric, text: str) -> str:
    """A text without the scale's own range, as in '4 (on a scale of 1-5)'."""

    def dropped(match: re.Match[str]) -> str:
        ends = (number_value(match[1]), number_value(match[2]))
        return " " if ends == (rubric.low, rubric.high) else match[0]

    return RANGE.sub(dropped, text)


def _read_choice(rubric: Rubric, text: str, whole: bool) -> ParsedScore:
    bare = LEAD.sub("", text.strip(WRAPPERS), count=1).strip(WRAPPERS)
    scores = {answer.casefold(): score for answer, score in rubric.answers.items()}
    for form in (text.strip(), text.strip(WRAPPERS), bare):
        if form.casefold() in scores:
            return ParsedScore(scores[form.casefold()])
    if whole:
        return ParsedScore(error=f"{text.strip()[:60]!r} is not one of: {', '.join(rubric.answers)}")
    mentions = sorted(_mentions(rubric, bare))
    mentioned = {score for _, _, score in mentions}
    if len(mentioned) == 1 and not NEGATION.search(_outside(bare, mentions)):
        return ParsedScore(mentioned.pop())
    if mentions and mentions[0][0] == 0:
        _, end, score = mentions[0]
        others = [bare[start:] for start, _, other in mentions if other != score]
        if not others and REASON.match(bare[end:]):
            return ParsedScore(score)
        if others and _is_reason(bare[end:], others, sentence=True):
            return ParsedScore(score)
    what = "several verdicts" if len(mentioned) > 1 else "no clear verdict"
    return ParsedScore(error=f"{text.strip()[:60]!r} has {what} of: {', '.join(rubric.answers)}")


def _mentions(rubric: Rubric, text: str) -> list[tuple[int, int, float]]:
    """Start, end and score of each choice in a text, longest first, so that 'not good' is not a mention of 'good'."""
    mentions: list[tuple[int, int, float]] = []
    for pattern, score in _choice_patterns(rubric):
        for match in pattern.finditer(text):
            if not any(start < match.end() and match.start() < end for start, end, _ in mentions):
                mentions.append((match.start(), match.end(), score))
    return mentions


def _outside(text: str, mentions: list[tuple[int, int, float]]) -> str:
    for start, end, _ in reversed(mentions):
        text = text[:start] + " " + text[end:]
    return text


@lru_cache(maxsize=64)
def _choice_patterns(rubric: Rubric) -> tuple[tuple[re.Pattern[str], float], ...]:
    answers = sorted(rubric.answers.items(), key=lambda item: -len(item[0]))
    # 'a' is also an article, so single letters are case-sensitive.
    return tuple(
        (re.compile(rf"(?<![\w-]){re.escape(answer)}(?![\w-])", 0 if len(answer) == 1 else re.I), score)
        for answer, score in answers
    )
