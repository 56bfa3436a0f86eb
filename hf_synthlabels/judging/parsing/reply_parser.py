"""Extraction: the score of a reply, by a ladder whose rungs are chosen beforehand and recorded with each score.

The rungs, of which a run uses those that it names:

1. `schema`: the whole reply is a JSON object, and its field says the score;
2. `line`: the last line that begins with `score:` says it, or the whole reply is a score. Of several such lines the
   last one counts, and what it says is not rescued by an earlier one. For replies that were recorded elsewhere the
   pattern of a choice comes first, and with `verdict.anywhere` a sentence may say it;
3. `logprobs`: the expectation over the tokens at the verdict takes the place of what was written there;
4. `draws`: the mean over several replies.

What says no score, a range, scores that differ or one off the scale is `unparsed`, which is counted and shown.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from hf_synthlabels.clients import Completion
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.judgment import Judgment, JudgmentStatus, Reading, Rung, unanswered
from hf_synthlabels.judging.parsing.expected_score import Expected, expected_score
from hf_synthlabels.judging.parsing.score_parser import Said, read_score, read_two
from hf_synthlabels.judging.parsing.score_sentences import read_sentence
from hf_synthlabels.judging.prompt import LINE_ENDS
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.labels.digits import as_float
from hf_synthlabels.labels.parsing.json_values import LAST_FENCE, final_value
from hf_synthlabels.labels.schema import visible

EXTRACTION_VERSION = 2
"""Rises with every change of what is read from the same reply."""

READ_RUNGS = ("schema", "line", "logprobs")

REASON_KEYS = ("reason", "reasoning", "explanation", "rationale", "analysis", "justification")

OTHER_LINE_ENDS = re.compile(rf"\r\n|[{LINE_ENDS}]")

FENCE = re.compile(r"^\s*```(?:json)?\s*", re.I)


@dataclass(frozen=True, slots=True)
class Extraction:
    """Which rungs of the ladder are used; part of what a judge is, and of its fingerprint.

    Raises:
        ConfigError: a rung is not known, none reads a reply, or a number is out of its range.
    """

    rungs: tuple[Rung, ...] = ("schema", "line")
    draws: int = 1
    """Replies to each question; of several the mean counts, and those that say no score are left out of it."""
    min_probability_mass: float = 0.9
    """The probability that all score tokens together must have for the expectation to count."""
    low_mass: Literal["verdict", "unscored"] = "verdict"
    """What counts where they have less, or where there are no log-probabilities: what was written, or nothing."""

    def __post_init__(self) -> None:
        if unknown := [rung for rung in self.rungs if rung not in READ_RUNGS]:
            hint = " Several draws are said by `draws`." if "draws" in unknown else ""
            raise ConfigError(f"`rungs` has {unknown[0]!r}. Use some of: {', '.join(READ_RUNGS)}.{hint}")
        if not {"schema", "line"} & set(self.rungs):
            raise ConfigError(f"`rungs` is {list(self.rungs)}, and none of them reads a reply. Add 'schema' or 'line'.")
        if self.draws < 1:
            raise ConfigError(f"`draws` is {self.draws}. Give a number from 1.")
        if not 0 < self.min_probability_mass <= 1:
            raise ConfigError(f"`min_probability_mass` is {self.min_probability_mass:g}. Give a probability above 0.")
        if self.low_mass not in ("verdict", "unscored"):
            raise ConfigError(f"`low_mass` is {self.low_mass!r}. Use 'verdict' or 'unscored'.")

    def fingerprint(self) -> str:
        """A hash of the ladder and of the version of its reading; 16 hexadecimal digits."""
        content = json.dumps({"version": EXTRACTION_VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def judged(rubric: Rubric, extraction: Extraction, completions: Sequence[Completion]) -> Judgment:
    """The replies to one question as a judgment."""
    drawn = [_judged_once(rubric, extraction, completion) for completion in completions]
    if extraction.draws == 1:
        return drawn[0]
    scores = tuple(draw.score for draw in drawn)
    raw = json.dumps([draw.raw for draw in drawn], ensure_ascii=False)
    scored = [draw for draw in drawn if draw.score is not None]
    if not scored:
        # The first draw's trouble stands for all; the raw replies hold the rest.
        return Judgment(None, drawn[0].status, None, None, raw, scores, drawn[0].trouble)
    return Judgment(
        _mean([draw.score for draw in scored]),
        "scored",
        "draws",
        scored[0].reason,
        raw,
        scores,
        reference_score=_mean([draw.reference_score for draw in scored]),
        mass=_mean([draw.mass for draw in scored]),
    )


def read_reply(rubric: Rubric, text: str, rungs: Sequence[Rung] = ("schema", "line")) -> Reading:
    """Read one reply by the rungs `schema` and `line`, as far as they are named."""
    cleaned = OTHER_LINE_ENDS.sub("\n", visible(text))
    if not cleaned:
        return Reading(trouble="the reply is empty")
    found = _json_object(rubric, cleaned)
    if found is not None:
        value, before = found
        rung: Rung = "line" if before else "schema"
        if rung in rungs:
            return _from_json(rubric, value, before, rung)
        if "line" not in rungs:
            return Reading(trouble="the reply is more than a JSON object")
    if "line" not in rungs:
        return Reading(trouble=f"the reply is no JSON object with `{rubric.verdict.name}`")
    return _from_line(rubric, cleaned)


def _judged_once(rubric: Rubric, extraction: Extraction, completion: Completion) -> Judgment:
    if (none := unanswered(completion)) is not None:
        status, trouble = none
        return Judgment(None, status, raw=completion.text, draws=(None,), trouble=trouble)
    reading = read_reply(rubric, completion.text, extraction.rungs)
    score, rung, mass = reading.score, reading.rung, None
    status_now: JudgmentStatus = "unparsed" if score is None else "scored"
    trouble = reading.trouble
    if "logprobs" in extraction.rungs and score is not None:
        expected = _expected(rubric, completion, score)
        mass = None if expected is None else expected.mass
        if expected is not None and expected.mass >= extraction.min_probability_mass - 1e-9:
            score, rung = expected.score, "logprobs"
        elif extraction.low_mass == "unscored":
            seen = "no log-probabilities" if mass is None else f"a mass of {mass:.3f} on the score tokens"
            score, rung, status_now = None, None, "unparsed"
            trouble = f"the reply has {seen}, below `min_probability_mass` {extraction.min_probability_mass:g}"
    return Judgment(
        score,
        status_now,
        rung,
        reading.reason or None,
        completion.text,
        (score,),
        trouble,
        reading.reference_score if score is not None else None,
        mass,
    )


def _expected(rubric: Rubric, completion: Completion, written: float) -> Expected | None:
    if completion.probabilities is not None:
        # A client that weighs the answers themselves; nothing is unseen.
        known = {name: share for name, share in completion.probabilities.items() if name in rubric.answers}
        mass = sum(known.values())
        if mass <= 0:
            return None
        return Expected(sum(rubric.answers[name] * share for name, share in known.items()) / mass, min(1.0, mass))
    return expected_score(rubric, completion.tokens, written, label_end=_last_label_end)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _json_object(rubric: Rubric, text: str) -> tuple[dict[str, Any], str] | None:
    """The JSON object with the verdict that a reply ends with, its keys folded, and what stands before it."""
    found = final_value(LAST_FENCE.sub("", text))
    if found is None or not isinstance(found[0], dict):
        return None
    value = {str(key).casefold().strip(): content for key, content in found[0].items()}
    if not any(name.casefold() in value for name in (rubric.verdict.name, *rubric.verdict.aliases)):
        return None
    return value, FENCE.sub("", found[1]).strip()


def _from_json(rubric: Rubric, value: dict[str, Any], before: str, rung: Rung) -> Reading:
    name = next(name.casefold() for name in (rubric.verdict.name, *rubric.verdict.aliases) if name.casefold() in value)
    said = _json_score(rubric, value[name])
    reason = next((str(value[key]) for key in REASON_KEYS if isinstance(value.get(key), str)), before)
    if rubric.protocol != "joint":
        return Reading(said.score, rung if said.score is not None else None, reason.strip(), said.trouble)
    other = _json_score(rubric, value.get(f"reference_{name}"))
    return _both(said, other, rung, reason.strip())


def _json_score(rubric: Rubric, value: Any) -> Said:
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return Said(trouble=f"`{rubric.verdict.name}` is {json.dumps(value)[:60]}, which is no verdict")
    if isinstance(value, int | float) and rubric.scale is not None:
        if rubric.holds(as_float(value)):
            return Said(as_float(value))
        return Said(trouble=f"{as_float(value):g} is not on the scale {rubric.low:g} to {rubric.high:g}")
    return read_score(rubric, str(value))


def _both(first: Said, second: Said, rung: Rung, reason: str, place: int | None = None) -> Reading:
    """Two scores, of which none counts without the other."""
    if first.score is None or second.score is None:
        return Reading(reason=reason, trouble=first.trouble or second.trouble)
    return Reading(first.score, rung, reason, reference_score=second.score, place=place)


def _from_line(rubric: Rubric, text: str) -> Reading:
    by_pattern = _by_pattern(rubric, text)
    if by_pattern is not None:
        return by_pattern
    labels = _labels(rubric, text)
    if labels:
        last = labels[-1]
        line, _, after = text[last.end() :].lstrip("\n \t*_").partition("\n")
        reason = "\n".join(part for part in (text[: last.start()].strip(), after.strip()) if part)
        return _said(rubric, line, reason, whole=False)
    bare = _bare(rubric, text)
    if bare is not None:
        return bare
    if rubric.verdict.anywhere:
        return read_sentence(rubric, text)
    trouble = f"no line begins with `{rubric.verdict.name}:`, and the reply is no verdict by itself"
    if any(choice.pattern for choice in rubric.choices):
        trouble = f"the reply matches no pattern of `choices`, and no line begins with `{rubric.verdict.name}:`"
    return Reading(reason=text, trouble=trouble)


def _bare(rubric: Rubric, text: str) -> Reading | None:
    """A verdict without a label: the whole reply, or its first or last line where they do not contradict each other."""
    whole = _said(rubric, text, "", whole=True)
    if whole.score is not None:
        return whole
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2:
        return None
    ends = [(lines[0], lines[1:]), (lines[-1], lines[:-1])]
    found = [_said(rubric, line, "\n".join(rest), whole=True) for line, rest in ends]
    known = [one for one in found if one.score is not None]
    if len({(one.score, one.reference_score) for one in known}) != 1:
        return None
    return known[0]


def _said(rubric: Rubric, value: str, reason: str, *, whole: bool) -> Reading:
    if rubric.protocol == "joint":
        return _both(*read_two(rubric, value), "line", reason)
    said = read_score(rubric, value, whole=whole)
    return Reading(said.score, None if said.score is None else "line", reason, said.trouble)


def _by_pattern(rubric: Rubric, text: str) -> Reading | None:
    """The choice whose pattern matches a reply, by `verdict.take` where several do; None where none does.

    A pattern is the most exact description of a verdict, so it comes before lines that begin with the verdict's name.
    """
    places = [
        (match.start(), choice.score)
        for choice in rubric.choices
        if choice.pattern
        for match in re.finditer(choice.pattern, text)
    ]
    if not places:
        return None
    match rubric.verdict.take:
        case "first":
            score = min(places)[1]
        case "last":
            score = max(places)[1]
        case "best":
            score = max(score for _, score in places)
        case "worst":
            score = min(score for _, score in places)
    return Reading(score, "line", text)


def _labels(rubric: Rubric, text: str) -> list[re.Match[str]]:
    """The beginnings of lines that state the verdict; in the form that is asked for, else in a loose one."""
    strict, loose = _label_patterns(rubric)
    return list(strict.finditer(text)) or list(loose.finditer(text))


@lru_cache(maxsize=64)
def _label_patterns(rubric: Rubric) -> tuple[re.Pattern[str], re.Pattern[str]]:
    names = "|".join(map(re.escape, (rubric.verdict.name, *rubric.verdict.aliases)))
    # No quotation mark, bracket or '>' may lead: such a line quotes.
    start = (
        rf"^[ \t*_#•–—-]*(?:(?:final|overall|my|the|your)[ \t*_]+){{0,3}}(?:{names})[ \t*_`\"']*"
        rf"(?:\([^)\n]*\)|\[[^\]\n]*\])?[ \t*_`\"']*"
    )
    flags = re.I | re.M
    return re.compile(rf"{start}[:=：]", flags), re.compile(
        rf"{start}(?:(?<=[ \t])is\b[ \t]*|(?<=[ \t])[–—-][ \t])", flags
    )


def _last_label_end(rubric: Rubric, text: str) -> int | None:
    """The character behind the last labelled line's beginning; None when there is none."""
    labels = _labels(rubric, text)
    return labels[-1].end() if labels else None
