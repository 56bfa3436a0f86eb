"""Scores in sentences: how judges that were asked by others say them, read for replays of recorded replies.

Replies that are asked for here end with a line of a known form; nothing in their sentences is read, since they may
quote the judged text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hf_synthlabels.judging.judgment import Reading
from hf_synthlabels.judging.parsing.score_parser import NUMBER, Said, read_score
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.labels.digits import WORDS

LAST_SENTENCE = re.compile(r"[.!?:]\s+|\n")

CLAUSE = re.compile(r",\s|\s[-–—]\s|\s(?:with|in terms|for|on|because|due|and it|but)\b")

AFTER = (
    r"[*_\"'”)\]]*\s*(?:$|[.,;:!?()\[\]/\n–—-]|(?:out|of|in|for|on|because|due|with|stars?|points?|and|to|or|since|as|but"
    r"|indicating|meaning|based|given|overall)\b)"
)
"""What may follow a score in a sentence; 'scoring 15 penalties' gives none."""


def read_sentence(rubric: Rubric, text: str) -> Reading:
    """The score that a sentence gives: what follows the last `score`, else the last `4 out of 5`, else the only one."""
    if rubric.scale is None:
        said = read_score(rubric, text)
        return Reading(said.score, None if said.score is None else "line", text, said.trouble)
    statements = list(_statement(rubric).finditer(text))
    grades = list(_grade(rubric).finditer(text))
    last = LAST_SENTENCE.split(text.rstrip(" .*\"'”)"))[-1]
    if (bare := read_score(rubric, last, whole=True)).score is not None:
        said = bare
    elif grades and not text[: grades[0].start()].strip(" \t*\"'“"):
        said = read_score(rubric, grades[0][0])
    elif statements:
        said = _stated(rubric, text[statements[-1].start(1) :], len(statements[-1][1]))
    else:
        said = read_score(rubric, grades[-1][0] if grades else text)
    return Reading(said.score, None if said.score is None else "line", text, said.trouble)


def _stated(rubric: Rubric, text: str, length: int) -> Said:
    """What a statement says that begins with a number of so many characters."""
    clause = re.split(r"(?<=[\w*\"'”)])[.;!?](?:\s|$)|\n", text, maxsplit=1)[0]
    said = read_score(rubric, clause)
    if said.score is None and length < len(clause):
        # What follows the number is a sentence of its own accord, unless it makes a range of it.
        said = read_score(rubric, CLAUSE.split(clause, maxsplit=1)[0])
    return said


@lru_cache(maxsize=64)
def _statement(rubric: Rubric) -> re.Pattern[str]:
    """A number that a sentence says to be the score, as in 'scoring a 2' or 'a score of 4'."""
    names = "|".join(map(re.escape, (rubric.verdict.name, *rubric.verdict.aliases)))
    return re.compile(
        rf"(?<![\w-])(?:{names}|scor(?:e[sd]?|ing)|rat(?:ings?|e[sd]?)|grad(?:e[sd]?|ing))\b(?:\s*\([^)\n]*\))?"
        rf"(?:[\W_]{{0,6}}\b(?:is|of|as|an?|at|be|would|it|them|this|the|summary|response|final|only|given|with)\b){{0,5}}"
        rf"[\W_]{{0,6}}?({NUMBER})(?={AFTER})",
        re.I,
    )


@lru_cache(maxsize=64)
def _grade(rubric: Rubric) -> re.Pattern[str]:
    """A number with what it is out of, as in '4 out of 5' or 'four stars'."""
    high = "|".join([f"{rubric.high:g}", *(word for word, number in WORDS.items() if number == rubric.high)])
    return re.compile(rf"(?:{NUMBER})(?:\s*(?:/|out of|of)\s*(?:{high})\b|\s*-?\s*(?:stars?|points?)\b)", re.I)
