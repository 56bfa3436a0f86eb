"""Parser of replies with the verdicts of several criteria.

Each criterion is parsed by itself: one that is missing, repeated, out of scale or cut off has no score, and the others
keep theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hf_synthlabels.clients import Completion
from hf_synthlabels.judging.criteria.overall import overall_judgment
from hf_synthlabels.judging.judgment import Judgment, JudgmentStatus, ParsedReply, ParseMethod, failed_status
from hf_synthlabels.judging.parsing.reply_parser import (
    OTHER_LINE_ENDS,
    REASON_KEYS,
    Extraction,
    json_score,
    judged_reply,
    merged_samples,
)
from hf_synthlabels.judging.parsing.score_parser import ParsedScore, read_score
from hf_synthlabels.judging.prompting.criteria_prompt import ABSTAIN
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.labels.parsing.names import WRAPPERS
from hf_synthlabels.labels.parsing.properties import Problem, Properties, read_properties
from hf_synthlabels.labels.schema import visible

ABSTENTIONS = frozenset({ABSTAIN, "null", "none", "n/a", "na"})

STATUSES: Mapping[Problem, JudgmentStatus] = {
    "missing": "missing",
    "given twice": "repeated",
    "cut off": "truncated",
    "two objects": "unparsed",
    "malformed": "unparsed",
}

ERRORS: Mapping[Problem, str] = {
    "missing": "the reply has no verdict of `{}`",
    "given twice": "the reply has several verdicts of `{}`",
    "cut off": "the reply was cut before the end of the verdict of `{}`",
    "two objects": "the reply has two JSON objects",
    "malformed": "the reply is not valid JSON",
}

REPEATABLE: tuple[JudgmentStatus, ...] = ("unparsed", "truncated", "missing", "repeated")
"""Statuses of criteria that are requested again."""


def parse_criteria(
    rubric: Rubric, extraction: Extraction, joint: Sequence[Completion], alone: Mapping[str, Completion]
) -> Judgment:
    """The judgment of an item, from the joint replies and from those about a criterion alone."""
    names = tuple(rubric.parts)
    samples = [_sample(rubric, extraction, completion, names) for completion in joint]
    criteria: dict[str, Judgment] = {}
    for name in names:
        # The joint replies and their reasons belong to the item.
        by_joint = replace(merged_samples(extraction, [sample[name] for sample in samples]), raw="", reason=None)
        criteria[name] = _repeated(rubric, extraction, name, by_joint, alone[name]) if name in alone else by_joint
    reasons = [_reason(_properties(completion, names)) for completion in joint]
    raw = (
        joint[0].text if extraction.num_samples == 1 else json.dumps([each.text for each in joint], ensure_ascii=False)
    )
    reason = next((reason for reason in reasons if reason), None)
    return replace(overall_judgment(rubric, criteria), reason=reason, raw=raw)


def _repeated(
    rubric: Rubric, extraction: Extraction, name: str, by_joint: Judgment, completion: Completion
) -> Judgment:
    """The judgment of a criterion that was requested again; without a verdict that of the joint replies."""
    judgment = _sample(rubric, extraction, completion, (name,))[name]
    if judgment.score is None and judgment.status != "abstained":
        return replace(by_joint, raw=completion.text)
    return replace(judgment, raw=completion.text, reason=_reason(_properties(completion, (name,))))


def failed_criteria(rubric: Rubric, extraction: Extraction, joint: Sequence[Completion]) -> list[str]:
    """The criteria without a verdict in any of the joint replies, which are to be requested again alone."""
    methods = tuple(method for method in extraction.parse_methods if method != "logprobs")
    # A verdict with a low probability is a verdict.
    plain = replace(extraction, parse_methods=methods)
    samples = [_sample(rubric, plain, completion, tuple(rubric.parts)) for completion in joint]
    return [
        name
        for name in rubric.parts
        if all(sample[name].score is None for sample in samples)
        and any(sample[name].status in REPEATABLE for sample in samples)
    ]


def _sample(
    rubric: Rubric, extraction: Extraction, completion: Completion, names: tuple[str, ...]
) -> dict[str, Judgment]:
    """The judgment of each criterion by one reply."""
    failed = failed_status(completion)
    if failed is not None and failed[0] != "truncated":
        status, error = failed
        return {name: Judgment(None, status, samples=(None,), error=error) for name in names}
    properties = _properties(completion, names)
    method: ParseMethod = "schema" if properties.as_json and not properties.before else "line"
    return {name: _criterion(rubric.parts[name], extraction, completion, properties, method) for name in names}


def _properties(completion: Completion, names: tuple[str, ...]) -> Properties:
    text = OTHER_LINE_ENDS.sub("\n", visible(completion.text))
    return read_properties(text, names, is_cut=completion.finish_reason == "length")


def _criterion(
    part: Rubric, extraction: Extraction, completion: Completion, properties: Properties, method: ParseMethod
) -> Judgment:
    name = part.verdict.name
    if method not in extraction.parse_methods:
        return Judgment(None, "unparsed", samples=(None,), error="the reply is not a JSON object by itself")
    if name in properties.problems:
        problem = properties.problems[name]
        return Judgment(None, STATUSES[problem], samples=(None,), error=ERRORS[problem].format(name))
    text = properties.values[name]
    if _is_abstention(part, text, as_json=properties.as_json):
        return Judgment(None, "abstained", samples=(None,), error=f"the judge did not judge `{name}`")
    parsed = _score(part, text, as_json=properties.as_json)
    reply = ParsedReply(parsed.score, None if parsed.score is None else method, error=parsed.error)
    return judged_reply(part, extraction, completion, reply)


def _score(part: Rubric, text: str, *, as_json: bool) -> ParsedScore:
    if as_json:
        return json_score(part, json.loads(text, strict=False))
    return read_score(part, text.partition("\n")[0])


def _is_abstention(part: Rubric, text: str, *, as_json: bool) -> bool:
    value = json.loads(text, strict=False) if as_json else text.partition("\n")[0]
    if value is None:
        return True
    word = value.strip(WRAPPERS).casefold() if isinstance(value, str) else ""
    return word in ABSTENTIONS and word not in {answer.casefold() for answer in part.answers}


def _reason(properties: Properties) -> str | None:
    """The judge's explanation: a property of the object, or the text before the verdicts."""
    for key in REASON_KEYS:
        value = json.loads(properties.others[key], strict=False) if key in properties.others else None
        if isinstance(value, str) and value.strip():
            return value.strip()
    return properties.before or None
