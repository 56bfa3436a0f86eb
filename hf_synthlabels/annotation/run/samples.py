"""Samples: one completion as the annotation of one row, and several samples as one annotation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.prompting.row_inputs import RowText
from hf_synthlabels.annotation.prompting.strategies import CHOICES
from hf_synthlabels.clients import Completion
from hf_synthlabels.labels import (
    Annotation,
    Answer,
    Entity,
    Label,
    LabelSchema,
    Status,
    aggregate,
    label_probabilities,
)
from hf_synthlabels.labels.digits import number_text

MAX_KNOWN_ANSWERS = 4096


def missing_sample(completion: Completion, text: str) -> Annotation | None:
    """The annotation of a completion without a readable answer; None if there is an answer to read."""
    if completion.failure is not None:
        failure = completion.failure
        http = f" (HTTP {failure.http_status})" if failure.http_status else ""
        if failure.kind == "skipped":
            return Annotation("skipped", votes=(None,), reason=failure.message)
        status: Status = "over_budget" if failure.kind == "over_budget" else "failed"
        return Annotation(status, votes=(None,), raw=text, reason=f"{failure.message}{http}")
    if completion.refusal or completion.finish_reason == "content_filter":
        return Annotation("refused", votes=(None,), raw=text, reason="the model or its filter refused")
    if completion.finish_reason == "length":
        return Annotation("truncated", votes=(None,), raw=text, reason="the answer was cut at `max_tokens`")
    return None


def read_sample(prompt: Prompt, completion: Completion, text: str, row: RowText) -> Annotation:
    """One answer as the annotation of one sample."""
    if (missing := missing_sample(completion, text)) is not None:
        return missing
    schema, strategy = prompt.schema, prompt.strategy
    # Nearly all answers repeat where they are class names, whose parsing needs no row.
    repeats = schema.kind in CHOICES and not completion.tokens and completion.probabilities is None
    if repeats and (known := prompt.known_answers.get(text)) is not None:
        return known
    reading = strategy.read(schema, text, row.context, row.question)
    probabilities = reading.probabilities or completion.probabilities
    if probabilities is None and completion.tokens and isinstance(reading.answer.label, str | float) and schema.choices:
        probabilities = label_probabilities(schema.choices, strategy.label_tokens(schema, completion.tokens))
    annotation = as_annotation(schema, reading.answer, probabilities, text)
    if strategy.confidence is not None:
        annotation = with_stated(annotation, reading.confidence, reading.note)
    if repeats and len(prompt.known_answers) < MAX_KNOWN_ANSWERS:
        prompt.known_answers[text] = annotation
    return annotation


def as_annotation(
    schema: LabelSchema, answer: Answer, probabilities: Mapping[str, float] | None, raw: str
) -> Annotation:
    """A parsed answer with the probabilities of its possible labels, where they are known."""
    label, names = answer.label, schema.names
    shares = confidence = expected = None
    if probabilities is not None and label is not None and names:
        shares = {name: probabilities.get(name, 0.0) for name in names}
        confidence = shares[label] if isinstance(label, str) else None
    elif probabilities is not None and isinstance(label, float):
        confidence = probabilities.get(number_text(label))
        weights = {name: probabilities.get(name, 0.0) for name in schema.choices}
        total = sum(weights.values())
        expected = sum(float(name) * weight for name, weight in weights.items()) / total if total > 0 else None
    reason = answer.reason or answer.match_type
    return Annotation(answer.status, label, confidence, shares, (label,), raw, reason, expected=expected)


def with_stated(annotation: Annotation, confidence: float | None, note: str) -> Annotation:
    """A label with the stated confidence instead of its probability; without a valid one it has a note."""
    if annotation.label is None:
        return annotation
    reason = "; ".join(part for part in (annotation.reason, note) if part)
    return replace(annotation, confidence=confidence, stated=True, reason=reason)


def combined_samples(schema: LabelSchema, samples: Sequence[Annotation]) -> Annotation:
    """The annotation of one row from its samples."""
    if len(samples) == 1:
        return samples[0]
    votes = tuple(sample.label for sample in samples)
    raw = json.dumps([sample.raw for sample in samples], ensure_ascii=False)
    vote = aggregate(schema, votes)
    if vote.label is None:
        # The first recorded sample explains the row; the raw answers keep the others.
        first = next((sample for sample in samples if sample.status != "skipped"), samples[0])
        return Annotation(first.status, votes=votes, raw=raw, reason=first.reason)
    probabilities = label_shares(samples, schema.names)
    expected = _expected(samples) if schema.kind == "text-scale" else None
    combined = Annotation("labelled", vote.label, vote.consistency, probabilities, votes, raw, expected=expected)
    if not any(sample.stated for sample in samples):
        return combined
    agreeing = [sample for sample in samples if sample.label == vote.label]
    stated = [sample.confidence for sample in agreeing if sample.confidence is not None]
    return replace(
        combined,
        confidence=sum(stated) / len(stated) if stated else None,
        agreement=vote.consistency,
        stated=True,
        reason="" if stated else next((sample.reason for sample in agreeing), ""),
    )


def _expected(samples: Sequence[Annotation]) -> float | None:
    """The mean over the samples of each one's expectation, or of its number without one."""
    numbers = [
        sample.label if sample.expected is None else sample.expected
        for sample in samples
        if isinstance(sample.label, float)
    ]
    return sum(numbers) / len(numbers) if numbers else None


def label_shares(samples: Sequence[Annotation], names: tuple[str, ...]) -> dict[str, float] | None:
    """Label probabilities: the mean of the client's, else the proportions of the samples, else unknown."""
    known = [sample.probabilities for sample in samples if sample.probabilities is not None]
    if known:
        return {name: sum(shares.get(name, 0.0) for shares in known) / len(known) for name in names}
    given: list[Label] = [sample.label for sample in samples if sample.label is not None]
    if given and names and not any(isinstance(item, Entity) for label in given for item in _items(label)):
        return {name: sum(name in _items(label) for label in given) / len(given) for name in names}
    return None


def _items(label: Label) -> Sequence[object]:
    return label if isinstance(label, tuple) else (label,)
