"""Annotator: rows in, annotations out, in the order of the rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hf_synthlabels.annotation.prompting.examples import NearestExamples
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.prompting.row_inputs import RowText
from hf_synthlabels.annotation.recipe.task import Example
from hf_synthlabels.annotation.run.run_stats import EarlyStop, RunStats, check_all_failed
from hf_synthlabels.annotation.run.window import ordered_replies, planned_requests
from hf_synthlabels.clients import ChatClient, Completion, Request
from hf_synthlabels.labels import Annotation, Entity, Label, LabelSchema, Status, aggregate, label_probabilities
from hf_synthlabels.labels.row_answers import split_row_answers

NO_TEXT = "the row has no text"
"""The reason of rows without anything to label."""

LOOKAHEAD_ROWS = 256
"""Rows that are read at a time where examples are chosen for each."""


@dataclass(frozen=True, slots=True)
class Annotator:
    """Requests one or more samples of the label of each row from a client, and parses the answers.

    Rows are never dropped or reordered: a row that got no label carries a status that says why.
    """

    prompt: Prompt
    """With the label schema, and the columns that are shown."""
    client: ChatClient
    num_samples: int = 1
    tally: RunStats = field(default_factory=RunStats)
    nearest: NearestExamples | None = None
    """Selects examples for each row, instead of the prompt's own."""
    window_rows: int | None = None
    """Rows that may wait for an earlier one, which are held in memory; None for 16,384."""
    keep_going: bool = False
    """Whether to go on when most of the first 50 rows get no label."""
    alone: bool = True
    """Whether no other process labels for the same budget."""

    @property
    def schema(self) -> LabelSchema:
        """The labels that a row can have."""
        return self.prompt.schema

    def annotate(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Annotation]:
        """One annotation for each row, in the order of the rows; rows are read only as fast as requests are sent.

        Raises:
            AllFailedError: the first 20 rows, or all when there are fewer, failed. What had been answered before
                stays in the response store.
            NothingLabeledError: most of the first 50 rows got an answer, but no label.
        """
        breaker = EarlyStop(self.tally, self.keep_going, self.alone)
        requests = _LabelRequests(self.prompt, self.num_samples, self.prompt.strategy.rows_per_call)
        inputs = _input_rows(rows, self.prompt, self.nearest)
        for _, samples in ordered_replies(self.client, requests, inputs, self.tally, window_rows=self.window_rows):
            annotation = _aggregated(self.schema, samples) if samples else Annotation("skipped", reason=NO_TEXT)
            breaker.count_row(annotation)
            yield annotation
        check_all_failed(self.tally, at_end=True)

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Request]:
        """Build the requests for some rows without sending them."""
        inputs = _input_rows(rows, self.prompt, self.nearest)
        requests = _LabelRequests(self.prompt, self.num_samples, self.prompt.strategy.rows_per_call)
        return planned_requests(requests, inputs)


@dataclass(frozen=True, slots=True)
class _InputRow:
    """A row with what the prompt shows of it."""

    row: Mapping[str, Any]
    text: RowText | None
    """None without anything to label."""
    examples: Sequence[Example] | None = None
    """Selected for this row."""
    is_sent: bool = True


def _input_rows(
    rows: Iterable[Mapping[str, Any]], prompt: Prompt, nearest: NearestExamples | None
) -> Iterator[_InputRow]:
    """Rows with their texts and, where they are selected for each row, their examples."""
    if nearest is None:
        for row in rows:
            text = prompt.form.read(row)
            yield _InputRow(row, text, is_sent=text is not None)
        return
    pending = iter(rows)
    while batch := list(islice(pending, LOOKAHEAD_ROWS)):
        texts = [prompt.form.read(row) for row in batch]
        selected = iter(nearest.of([text.text for text in texts if text is not None]))
        for row, text in zip(batch, texts, strict=True):
            yield _InputRow(row, text, None if text is None else next(selected), is_sent=text is not None)


@dataclass(frozen=True, slots=True)
class _LabelRequests:
    """Rows as requests for labels, and completions as annotations; see `RowRequests`."""

    prompt: Prompt
    replies_per_row: int
    rows_per_call: int

    def request(self, key: int, rows: Sequence[_InputRow], place: int) -> Request:
        texts, first = _texts(rows), rows[0]
        is_single = self.rows_per_call == 1
        build = (
            self.prompt.messages(texts[0], first.examples) if is_single else self.prompt.batch(texts, first.examples)
        )
        return Request(key, build, place, self.prompt.response_schema, texts[0].text, first.row)

    def read(self, rows: Sequence[_InputRow], completion: Completion) -> Sequence[Annotation] | None:
        answers: Sequence[str] | None = None
        if self.rows_per_call > 1:
            answers = split_row_answers(completion.text, len(rows)) if _is_whole(completion) else None
            if answers is None and len(rows) > 1 and not _ends_all(completion):
                return None
        # A single row's answer may lack its number.
        answers = [completion.text] * len(rows) if answers is None else answers
        return [
            _annotation(self.prompt, completion, answer, text)
            for answer, text in zip(answers, _texts(rows), strict=True)
        ]


def _texts(rows: Sequence[_InputRow]) -> list[RowText]:
    return [row.text for row in rows if row.text is not None]


def _annotation(prompt: Prompt, completion: Completion, text: str, row: RowText) -> Annotation:
    """One answer as the annotation of one sample."""
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
    schema, strategy = prompt.schema, prompt.strategy
    reading = strategy.read(schema, text, row.context, row.question)
    answer = reading.answer
    probabilities = reading.probabilities or completion.probabilities
    if probabilities is None and completion.tokens and isinstance(answer.label, str) and schema.names:
        probabilities = label_probabilities(schema, strategy.label_tokens(schema, completion.tokens))
    label, names = answer.label, schema.names
    shares = confidence = None
    if probabilities is not None and label is not None and names:
        shares = {name: probabilities.get(name, 0.0) for name in names}
        confidence = shares[label] if isinstance(label, str) else None
    elif probabilities is not None and isinstance(label, float):
        # Of a number on a scale the answer itself is the name.
        confidence = probabilities.get(text)
    return Annotation(answer.status, label, confidence, shares, (label,), text, answer.reason or answer.match_type)


def _aggregated(schema: LabelSchema, samples: Sequence[Annotation]) -> Annotation:
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
    probabilities = _label_probabilities(samples, schema.names)
    return Annotation("labelled", vote.label, vote.consistency, probabilities, votes, raw)


def _is_whole(completion: Completion) -> bool:
    return completion.failure is None and completion.finish_reason == "stop" and not completion.refusal


def _ends_all(completion: Completion) -> bool:
    """Whether asking for fewer rows would not help: there was no answer, or the whole was refused for its length."""
    failure = completion.failure
    if failure is None or failure.kind == "too_long":
        return False
    return not (failure.kind == "http" and failure.http_status in (400, 413, 422))


def _label_probabilities(samples: Sequence[Annotation], names: tuple[str, ...]) -> dict[str, float] | None:
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
