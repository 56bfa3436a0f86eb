"""Scores in words: what a short stretch of a reply says on a rubric's scale, or among its choices; never a guess."""

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
"""A number in digits or in a word; what repeats is never given back, so that no reply takes longer than its length. A
sign counts only where no word stands before it, so that 3-4 is no 3 and -4."""

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
class Said:
    """A score that was said, or why none was."""

    score: float | None = None
    trouble: str = ""


def read_score(rubric: Rubric, text: str, *, whole: bool = False) -> Said:
    """The one score that a stretch of text says.

    A range, several scores that differ, a score that is on another scale or off this one are none.

    Args:
        rubric: which scores there are.
        text: what follows `score:` in a reply, or a reply that has no such line.
        whole: whether nothing but the score may be in it.
    """
    said = _plain(text)
    if not said.strip(WRAPPERS + "|"):
        return Said(trouble="the verdict is empty")
    return _read_number(rubric, said, whole) if rubric.scale is not None else _read_choice(rubric, said, whole)


def read_two(rubric: Rubric, text: str) -> tuple[Said, Said]:
    """The two scores of a verdict such as `8, 9`: of the answer and of the reference."""
    said = _without_scale(rubric, _plain(text))
    parts = [part for part in re.split(r"\s*[,;&|]\s*|\s+and\s+|\s+", said.strip(WRAPPERS)) if re.search(r"\w", part)]
    if len(parts) != 2:
        none = Said(trouble=f"the verdict is {text.strip()[:60]!r}, which is not two numbers")
        return none, none
    first, second = (_read_number(rubric, part, whole=True) for part in parts)
    return first, second


def _plain(text: str) -> str:
    """A text in which each digit, dash and letter has one form."""
    text = re.sub(r"[^\S\n]+", " ", text)
    text = HALF.sub(lambda match: f"{number_value(match[1]) + 0.5:g}", text)
    return unicodedata.normalize("NFKC", text.replace("½", "0.5")).replace("*", "").replace("`", "").replace("_", " ")


def _read_number(rubric: Rubric, said: str, whole: bool) -> Said:
    bare = _without_scale(rubric, said)
    if other := [match for match in OUT_OF.finditer(bare) if number_value(match[2]) != rubric.high]:
        return Said(trouble=f"{other[0][0].strip()!r} is not on the scale {_scale(rubric)}")
    bare = OUT_OF.sub(lambda match: f" {match[1]} ", bare)
    bare = bare if whole else _led(bare)
    if PERCENT.search(bare):
        return Said(trouble=f"{said.strip()[:60]!r} is a percentage")
    if found := COMPARED.search(bare):
        return Said(trouble=f"{found[0].strip()!r} is no score but a bound")
    if found := RANGE.search(bare):
        return Said(trouble=f"{found[0].strip()!r} is a range")
    numbers = _numbers(bare)
    if not numbers:
        return Said(trouble=f"{said.strip()[:60]!r} has no number")
    around = bare[: numbers[0].start()] + re.sub(f"^{UNITS}", "", bare[numbers[-1].end() :], flags=re.I)
    if whole and around.strip(WRAPPERS + "|"):
        return Said(trouble=f"{said.strip()[:60]!r} is more than a number")
    if len({number_value(match[0]) for match in numbers}) > 1:
        return Said(trouble=f"{said.strip()[:60]!r} has several numbers")
    return _on_scale(rubric, number_value(numbers[0][0]))


def _led(text: str) -> str:
    """The number that a text begins with, where what follows is a sentence about it; else the text."""
    numbers = _numbers(text)
    if len(numbers) < 2 or text[: numbers[0].start()].strip(WRAPPERS):
        return text
    rest = text[numbers[0].end() :]
    return numbers[0][0] if _is_reason(rest, [text[match.start() :] for match in numbers[1:]]) else text


def _numbers(text: str) -> list[re.Match[str]]:
    numbers = list(re.finditer(NUMBER, text, re.I))
    # 'one' is most often no number where there are digits.
    if any(match[0][-1].isdigit() for match in numbers):
        numbers = [match for match in numbers if match[0].casefold() != "one"]
    return numbers


def _on_scale(rubric: Rubric, value: float) -> Said:
    return Said(value) if rubric.holds(value) else Said(trouble=f"{value:g} is not on the scale {_scale(rubric)}")


def _scale(rubric: Rubric) -> str:
    return f"{rubric.low:g} to {rubric.high:g}"


def _is_reason(rest: str, others: list[str], *, sentence: bool = False) -> bool:
    """Whether what follows a verdict is about it, rather than another verdict; a sentence may begin with a choice."""
    if REASON.match(rest) is None:
        return False
    between = rest[: len(rest) - len(others[0])]
    # Between the verdict and the next candidate there must be words, and none that takes the verdict back.
    words = rest if sentence and rest.lstrip()[:1] in ".;:" else between
    return re.search(r"[^\W\d_]{2,}", words) is not None and DOUBT.search(between) is None


def _without_scale(rubric: Rubric, said: str) -> str:
    """A text without what names the scale, as in '4 (on a scale of 1-5)'."""

    def dropped(match: re.Match[str]) -> str:
        ends = (number_value(match[1]), number_value(match[2]))
        return " " if ends == (rubric.low, rubric.high) else match[0]

    return RANGE.sub(dropped, said)


def _read_choice(rubric: Rubric, said: str, whole: bool) -> Said:
    bare = LEAD.sub("", said.strip(WRAPPERS), count=1).strip(WRAPPERS)
    scores = {answer.casefold(): score for answer, score in rubric.answers.items()}
    for form in (said.strip(), said.strip(WRAPPERS), bare):
        if form.casefold() in scores:
            return Said(scores[form.casefold()])
    if whole:
        return Said(trouble=f"{said.strip()[:60]!r} is none of: {', '.join(rubric.answers)}")
    mentions = sorted(_mentions(rubric, bare))
    found = {score for _, _, score in mentions}
    if len(found) == 1 and not NEGATION.search(_outside(bare, mentions)):
        return Said(found.pop())
    if mentions and mentions[0][0] == 0:
        _, end, score = mentions[0]
        others = [bare[start:] for start, _, other in mentions if other != score]
        if not others and REASON.match(bare[end:]):
            return Said(score)
        if others and _is_reason(bare[end:], others, sentence=True):
            return Said(score)
    what = "several verdicts" if len(found) > 1 else "no clear verdict"
    return Said(trouble=f"{said.strip()[:60]!r} has {what} of: {', '.join(rubric.answers)}")


def _mentions(rubric: Rubric, text: str) -> list[tuple[int, int, float]]:
    """Where the choices stand in a text, the longest first, so that 'not good' is no mention of 'good'."""
    found: list[tuple[int, int, float]] = []
    for pattern, score in _choice_patterns(rubric):
        for match in pattern.finditer(text):
            if not any(start < match.end() and match.start() < end for start, end, _ in found):
                found.append((match.start(), match.end(), score))
    return found


def _outside(text: str, mentions: list[tuple[int, int, float]]) -> str:
    for start, end, _ in reversed(mentions):
        text = text[:start] + " " + text[end:]
    return text


@lru_cache(maxsize=64)
def _choice_patterns(rubric: Rubric) -> tuple[tuple[re.Pattern[str], float], ...]:
    answers = sorted(rubric.answers.items(), key=lambda item: -len(item[0]))
    # 'a' is a word of its own, so that a single letter counts only as it is written.
    return tuple(
        (re.compile(rf"(?<![\w-]){re.escape(answer)}(?![\w-])", 0 if len(answer) == 1 else re.I), score)
        for answer, score in answers
    )
