"""Parser of a judge's replies into judgments.

Parse methods, in the order in which they are tried; a run uses the ones that `Extraction` names:

1. `schema`: the whole reply is a JSON object with the score.
2. `line`: the last line that starts with `score:`, or a reply that is only a score.
3. `logprobs`: the expectation over the tokens of the verdict replaces the written score.
4. `samples`: the mean over several replies.

A reply without a score, with a range, with different scores or with a score outside the scale is `unparsed`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hf_synthlabels.clients import Completion
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.judgment import Judgment, ParsedReply, ParseMethod, failed_status
from hf_synthlabels.judging.parsing.expected_score import ExpectedScore, expected_score
from hf_synthlabels.judging.parsing.line_parser import both_scores, label_end, read_text
from hf_synthlabels.judging.parsing.score_parser import ParsedScore, read_score, score_on_scale
from hf_synthlabels.judging.prompting.judge_prompt import LINE_ENDS
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.labels.digits import as_float
from hf_synthlabels.labels.parsing.json_values import LAST_FENCE, final_value
from hf_synthlabels.labels.schema import visible

EXTRACTION_VERSION = 2
"""Incremented when the same reply is parsed differently."""

PARSE_METHODS = ("schema", "line", "logprobs")

REASON_KEYS = ("reason", "reasoning", "explanation", "rationale", "analysis", "justification")

OTHER_LINE_ENDS = re.compile(rf"\r\n|[{LINE_ENDS}]")

FENCE = re.compile(r"^\s*```(?:json)?\s*", re.I)


@dataclass(frozen=True, slots=True)
class Extraction:
    """How scores are read from replies; part of a judge's fingerprint.

    Raises:
        ConfigError: a parse method is unknown, no method reads a reply, or a number is out of range.
    """

    parse_methods: tuple[ParseMethod, ...] = ("schema", "line")
    num_samples: int = 1
    """Replies per request. The score is the mean over the samples with a score."""
    min_probability_mass: float = 0.9
    """Minimum total probability of the score tokens for an expected score."""
    low_mass: Literal["verdict", "unscored"] = "verdict"
    """What counts below that probability, or without log-probabilities: the written verdict, or no score."""

    def __post_init__(self) -> None:
        if unknown := [method for method in self.parse_methods if method not in PARSE_METHODS]:
            hint = " Set `num_samples` for several samples." if "samples" in unknown else ""
            raise ConfigError(f"`parse_methods` has {unknown[0]!r}. Use some of: {', '.join(PARSE_METHODS)}.{hint}")
        if not {"schema", "line"} & set(self.parse_methods):
            raise ConfigError(f"`parse_methods` is {list(self.parse_methods)}. Add 'schema' or 'line'.")
        if self.num_samples < 1:
            raise ConfigError(f"`num_samples` is {self.num_samples}. Give a number from 1.")
        if not 0 < self.min_probability_mass <= 1:
            raise ConfigError(f"`min_probability_mass` is {self.min_probability_mass:g}. Give a probability above 0.")
        if self.low_mass not in ("verdict", "unscored"):
            raise ConfigError(f"`low_mass` is {self.low_mass!r}. Use 'verdict' or 'unscored'.")

    def fingerprint(self) -> str:
        """Hash of the settings and the parser version, 16 hexadecimal digits."""
        content = json.dumps({"version": EXTRACTION_VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def parse_judgment(rubric: Rubric, extraction: Extraction, completions: Sequence[Completion]) -> Judgment:
    """The replies to one request as a judgment."""
    return merged_samples(extraction, [_sample(rubric, extraction, completion) for completion in completions])


def merged_samples(extraction: Extraction, samples: Sequence[Judgment]) -> Judgment:
    """The judgments of several samples as one: the mean of their scores."""
    if extraction.num_samples == 1:
        return samples[0]
    scores = tuple(sample.score for sample in samples)
    raw = json.dumps([sample.raw for sample in samples], ensure_ascii=False)
    scored = [sample for sample in samples if sample.score is not None]
    if not scored:
        return Judgment(None, samples[0].status, raw=raw, samples=scores, error=samples[0].error)
    return Judgment(
        _mean([sample.score for sample in scored]),
        "scored",
        "samples",
        scored[0].reason,
        raw,
        scores,
        reference_score=_mean([sample.reference_score for sample in scored]),
        mass=_mean([sample.mass for sample in scored]),
    )


def read_reply(rubric: Rubric, text: str, parse_methods: Sequence[ParseMethod] = ("schema", "line")) -> ParsedReply:
    """Parse one reply by the methods `schema` and `line`, if they are among `parse_methods`."""
    cleaned = OTHER_LINE_ENDS.sub("\n", visible(text))
    if not cleaned:
        return ParsedReply(error="the reply is empty")
    found = _json_object(rubric, cleaned)
    if found is not None:
        fields, before = found
        method: ParseMethod = "line" if before else "schema"
        if method in parse_methods:
            return _from_json(rubric, fields, before, method)
        if "line" not in parse_methods:
            return ParsedReply(error="the reply is more than a JSON object")
    if "line" not in parse_methods:
        return ParsedReply(error=f"the reply is not a JSON object with `{rubric.verdict.name}`")
    return read_text(rubric, cleaned)


def _sample(rubric: Rubric, extraction: Extraction, completion: Completion) -> Judgment:
    failed = failed_status(completion)
    if failed is not None:
        status, error = failed
        return Judgment(None, status, raw=completion.text, samples=(None,), error=error)
    return judged_reply(rubric, extraction, completion, read_reply(rubric, completion.text, extraction.parse_methods))


def judged_reply(rubric: Rubric, extraction: Extraction, completion: Completion, reply: ParsedReply) -> Judgment:
    """A parsed reply as a judgment, with the expected score if log-probabilities are used."""
    score, method, error, mass = reply.score, reply.parse_method, reply.error, None
    if "logprobs" in extraction.parse_methods and score is not None:
        expected = _expected_score(rubric, completion, score)
        mass = None if expected is None else expected.mass
        if expected is not None and expected.mass >= extraction.min_probability_mass - 1e-9:
            score, method = expected.score, "logprobs"
        elif extraction.low_mass == "unscored":
            seen = "no log-probabilities" if mass is None else f"a mass of {mass:.3f} on the score tokens"
            score, method = None, None
            error = f"the reply has {seen}, below `min_probability_mass` {extraction.min_probability_mass:g}"
    return Judgment(
        score,
        "unparsed" if score is None else "scored",
        method,
        reply.reason or None,
        completion.text,
        (score,),
        error,
        reply.reference_score if score is not None else None,
        mass,
    )


def _expected_score(rubric: Rubric, completion: Completion, written: float) -> ExpectedScore | None:
    if completion.probabilities is not None:
        # The client scores all answers itself, so no probability is missing.
        known = {name: share for name, share in completion.probabilities.items() if name in rubric.answers}
        mass = sum(known.values())
        if mass <= 0:
            return None
        return ExpectedScore(sum(rubric.answers[name] * share for name, share in known.items()) / mass, min(1.0, mass))
    return expected_score(rubric, completion.tokens, written, label_end=label_end)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _json_object(rubric: Rubric, text: str) -> tuple[dict[str, Any], str] | None:
    """The JSON object with the verdict at the end of a reply, with lower-case keys, and the text before it."""
    found = final_value(LAST_FENCE.sub("", text))
    if found is None or not isinstance(found[0], dict):
        return None
    fields = {str(key).casefold().strip(): content for key, content in found[0].items()}
    if not any(name.casefold() in fields for name in (rubric.verdict.name, *rubric.verdict.aliases)):
        return None
    return fields, FENCE.sub("", found[1]).strip()


def _from_json(rubric: Rubric, fields: dict[str, Any], before: str, method: ParseMethod) -> ParsedReply:
    names = (rubric.verdict.name, *rubric.verdict.aliases)
    name = next(name.casefold() for name in names if name.casefold() in fields)
    parsed = json_score(rubric, fields[name])
    reason = next((str(fields[key]) for key in REASON_KEYS if isinstance(fields.get(key), str)), before).strip()
    if rubric.protocol == "joint":
        return both_scores((parsed, json_score(rubric, fields.get(f"reference_{name}"))), method, reason)
    return ParsedReply(parsed.score, method if parsed.score is not None else None, reason, parsed.error)


def json_score(rubric: Rubric, value: Any) -> ParsedScore:
    """A JSON value as a score."""
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return ParsedScore(error=f"`{rubric.verdict.name}` is {json.dumps(value)[:60]}, which is not a verdict")
    if isinstance(value, int | float) and rubric.scale is not None:
        return score_on_scale(rubric, as_float(value))
    return read_score(rubric, str(value))
