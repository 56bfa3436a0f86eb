"""Annotator: rows in, annotations out, in the order of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from hf_synthlabels.annotation.prompting.examples import NearestExamples
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.prompting.row_inputs import RowForm, RowText
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.annotation.recipe.task import LongText
from hf_synthlabels.annotation.run.long_texts import TextPart, combined_parts, split_text
from hf_synthlabels.annotation.run.run_stats import EarlyStop, RunStats
from hf_synthlabels.annotation.run.samples import combined_samples, read_sample
from hf_synthlabels.annotation.run.window import ordered_replies, planned_requests
from hf_synthlabels.clients import ChatClient, Completion, Request
from hf_synthlabels.clients.token_estimates import estimate_tokens
from hf_synthlabels.labels import Annotation, LabelSchema
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
    long_text: LongText | None = None
    """How texts that are longer than a limit are labeled."""

    @property
    def schema(self) -> LabelSchema:
        """The labels that a row can have."""
        return self.prompt.schema

    @property
    def form(self) -> RowForm:
        """What of a row is shown."""
        return self.prompt.form

    def annotate(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Annotation]:
        """One annotation for each row, in the order of the rows; rows are read only as fast as requests are sent.

        Raises:
            AllFailedError: the first 20 rows, or all when there are fewer, failed. What had been answered before
                stays in the response store.
            NothingLabeledError: most of the first 50 rows got an answer, but no label.
        """
        breaker = EarlyStop(self.tally, self.keep_going, self.alone)
        requests, inputs = self._label_requests(), self._inputs(rows)
        for row, replies in ordered_replies(self.client, requests, inputs, self.tally, window_rows=self.window_rows):
            annotation = row.unsent or self._annotation(row, list(replies.values()))
            breaker.count_row(annotation)
            yield annotation
        breaker.end()

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Request]:
        """Build the requests for some rows without sending them."""
        requests, inputs = self._label_requests(), self._inputs(rows)
        if self.long_text is None:
            return planned_requests(requests, inputs)
        places = ((row, place) for row in inputs if row.is_sent for place in requests.all_places(row))
        return (requests.request(key, [row], place, {}) for key, (row, place) in enumerate(places))

    def _label_requests(self) -> _LabelRequests:
        return _LabelRequests(self.prompt, range(self.num_samples), self.prompt.strategy.rows_per_call)

    def _inputs(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[InputRow]:
        inputs = input_rows(rows, self.prompt.form, self.nearest)
        return inputs if self.long_text is None else (_split(row, self.long_text) for row in inputs)

    def _annotation(self, row: InputRow, samples: Sequence[Annotation]) -> Annotation:
        """The annotation of a row from the samples of all its parts, part by part."""
        if not samples:
            return Annotation("skipped", reason=NO_TEXT)
        if not row.parts:
            return combined_samples(self.schema, samples)
        rule = self.long_text.aggregate if self.long_text is not None else None
        assert rule is not None
        count = self.num_samples
        annotations = [
            combined_samples(self.schema, samples[start : start + count]) for start in range(0, len(samples), count)
        ]
        return combined_parts(self.schema, rule, row.whole_text, row.parts, annotations)


@dataclass(frozen=True, slots=True)
class InputRow:
    """A row with what the prompt shows of it."""

    row: Mapping[str, Any]
    text: RowText | None
    """None without anything to label."""
    examples: Sequence[Example] | None = None
    """Selected for this row."""
    is_sent: bool = True
    parts: tuple[TextPart, ...] = ()
    """Of a text that is split; empty otherwise."""
    unsent: Annotation | None = None
    """Of a row with text that is not sent."""

    @property
    def whole_text(self) -> str:
        """The text in which parts have their places."""
        return "" if self.text is None else self.text.context or self.text.text

    def part_text(self, number: int, form: RowForm) -> RowText:
        """What is shown of a part; of a row that is not split, everything."""
        assert self.text is not None
        if not self.parts:
            return self.text
        part = self.parts[number]
        return form.of_text(self.whole_text[part.start : part.end])


def input_rows(rows: Iterable[Mapping[str, Any]], form: RowForm, nearest: NearestExamples | None) -> Iterator[InputRow]:
    """Rows with their texts and, where they are selected for each row, their examples."""
    if nearest is None:
        for row in rows:
            text = form.read(row)
            yield InputRow(row, text, is_sent=text is not None)
        return
    pending = iter(rows)
    while batch := list(islice(pending, LOOKAHEAD_ROWS)):
        texts = [form.read(row) for row in batch]
        selected = iter(nearest.of([text.text for text in texts if text is not None]))
        for row, text in zip(batch, texts, strict=True):
            yield InputRow(row, text, None if text is None else next(selected), is_sent=text is not None)


@dataclass(frozen=True, slots=True)
class _LabelRequests:
    """Rows as requests for labels, and completions as annotations; see `RowRequests`."""

    prompt: Prompt
    first_places: Sequence[int]
    """One request per sample."""
    rows_per_call: int

    @property
    def num_samples(self) -> int:
        return len(self.first_places)

    def all_places(self, row: InputRow) -> Sequence[int]:
        """Of the samples of all parts, part by part."""
        return range(self.num_samples * max(1, len(row.parts)))

    def next_places(self, row: InputRow, replies: Mapping[int, Annotation]) -> Sequence[int]:
        """Those of the second part and the following ones."""
        return [place for place in self.all_places(row) if place not in replies] if row.parts else ()

    def request(
        self,
        key: int,
        rows: Sequence[InputRow],
        place: int,
        replies: Mapping[int, Annotation],  # noqa: ARG002
    ) -> Request:
        texts, first = _texts(rows), rows[0]
        # The classes have the same order in all parts of a text.
        prompt = self.prompt.of_row(texts[0])
        part, sample = divmod(place, self.num_samples)
        if first.parts:
            texts = [first.part_text(part, self.prompt.form)]
        is_single = self.rows_per_call == 1
        messages = prompt.messages(texts[0], first.examples) if is_single else prompt.batch(texts, first.examples)
        return Request(key, messages, sample, self.prompt.response_schema, texts[0].text, first.row)

    def read(
        self,
        rows: Sequence[InputRow],
        completion: Completion,
        place: int,
    ) -> Sequence[Annotation] | None:
        answers: Sequence[str] | None = None
        texts = [row.part_text(place // self.num_samples, self.prompt.form) for row in rows if row.text is not None]
        if self.rows_per_call > 1:
            answers = split_row_answers(completion.text, len(rows)) if _is_whole(completion) else None
            if answers is None and len(rows) > 1 and not _ends_all(completion):
                return None
        # A single row's answer may lack its number.
        answers = [completion.text] * len(rows) if answers is None else answers
        return [read_sample(self.prompt, completion, answer, text) for answer, text in zip(answers, texts, strict=True)]


def _split(row: InputRow, long_text: LongText) -> InputRow:
    """A row with its parts; without a rule for them, a longer row is not sent."""
    tokens = estimate_tokens(row.whole_text)
    if tokens <= long_text.max_tokens:
        return row
    if long_text.aggregate is None:
        reason = f"the text has about {tokens:,} tokens, more than `task.long_text.max_tokens` {long_text.max_tokens:,}"
        return replace(row, is_sent=False, unsent=Annotation("failed", reason=reason))
    return replace(row, parts=tuple(split_text(row.whole_text, long_text.max_tokens, long_text.overlap)))


def _texts(rows: Sequence[InputRow]) -> list[RowText]:
    return [row.text for row in rows if row.text is not None]


def _is_whole(completion: Completion) -> bool:
    return completion.failure is None and completion.finish_reason == "stop" and not completion.refusal


def _ends_all(completion: Completion) -> bool:
    """Whether asking for fewer rows would not help: there was no answer, or the whole was refused for its length."""
    failure = completion.failure
    if failure is None or failure.kind == "too_long":
        return False
    return not (failure.kind == "http" and failure.http_status in (400, 413, 422))
