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
from hf_synthlabels.annotation.recipe.task import LongText, TextLimits
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
        breaker = self.early_stop()
        for annotation in self.uncounted(rows):
            breaker.count_row(annotation)
            yield annotation
        breaker.end()

    def early_stop(self) -> EarlyStop:
        """Counts the rows of a run, and ends it when its first rows have no labels."""
        return EarlyStop(self.tally, self.keep_going, self.alone)

    def uncounted(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Annotation]:
        """One annotation for each row, which the caller counts."""
        return (self.combined(row, parts) for row, parts in self.annotate_parts(rows))

    def annotate_parts(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[InputRow, Sequence[Annotation]]]:
        """Each row with the annotation of each of its parts, and with one if it is not split."""
        requests, inputs, count = self._label_requests(), self._inputs(rows), self.num_samples
        for row, replies in ordered_replies(self.client, requests, inputs, self.tally, window_rows=self.window_rows):
            samples = list(replies.values())
            starts = range(0, len(samples), count)
            yield row, [combined_samples(self.schema, samples[start : start + count]) for start in starts]

    def combined(self, row: InputRow, parts: Sequence[Annotation]) -> Annotation:
        """The annotation of a row from those of its parts."""
        if not row.parts:
            return row.unsent or (parts[0] if parts else Annotation("skipped", reason=NO_TEXT))
        rule = None if self.long_text is None else self.long_text.rule(self.schema.kind)
        assert rule is not None
        return combined_parts(self.schema, rule, row.whole_text, row.parts, parts)

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Request]:
        """Build the requests for some rows without sending them."""
        return planned_requests(self._label_requests(), self._inputs(rows))

    def _label_requests(self) -> _LabelRequests:
        return _LabelRequests(self.prompt, self.num_samples, self.prompt.strategy.rows_per_call)

    def _inputs(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[InputRow]:
        inputs = input_rows(rows, self.prompt.form, self.nearest)
        if (limits := self.long_text) is None:
            return inputs
        has_rule = limits.rule(self.schema.kind) is not None
        return (split_row(row, limits, has_rule=has_rule) for row in inputs)


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
    num_samples: int
    rows_per_call: int

    def first_places(self, row: InputRow) -> Sequence[int]:
        """Those of the samples of all parts, part by part."""
        return range(self.num_samples * max(1, len(row.parts)))

    def next_places(self, row: InputRow, replies: Mapping[int, Annotation]) -> Sequence[int]:  # noqa: ARG002
        return ()

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
            prompt = prompt.without(texts[0])
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


def split_row(row: InputRow, limits: TextLimits, *, has_rule: bool) -> InputRow:
    """A row with its parts; without a rule for their labels, a longer row is not sent."""
    if estimate_tokens(row.whole_text) <= limits.max_tokens:
        return row
    if not has_rule:
        return replace(row, is_sent=False, unsent=too_long(limits))
    return replace(row, parts=tuple(split_text(row.whole_text, limits.max_tokens, limits.overlap)))


def too_long(limits: TextLimits) -> Annotation:
    """The annotation of a long text by parts whose labels cannot become one."""
    # The same for all rows, which are counted by their reason.
    reason = (
        f"the text is longer than `task.long_text.max_tokens` {limits.max_tokens:,}, and no rule makes the labels of "
        "its parts one"
    )
    return Annotation("failed", reason=reason)


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
