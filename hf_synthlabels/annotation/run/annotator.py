"""Annotator: rows in, annotations out, in the order of the rows."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hf_synthlabels.annotation.prompting.examples import NearestExamples
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.prompting.row_inputs import RowForm, RowText
from hf_synthlabels.annotation.prompting.strategies import Reading
from hf_synthlabels.annotation.recipe.task import Example
from hf_synthlabels.annotation.run.early_stop import EarlyStop
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.clients import ChatClient, Completion, Failure, Request
from hf_synthlabels.clients.protocol.reasoning_parts import separate_reasoning
from hf_synthlabels.clients.protocol.truncation import checked_prompts
from hf_synthlabels.labels import Annotation, Answer, Entity, Label, LabelSchema, Status, aggregate, label_probabilities
from hf_synthlabels.labels.row_answers import split_row_answers

WINDOW_ROWS = 16_384
"""Rows that may wait for an earlier one; then no more are read until it is finished."""

NO_TEXT = "the row has no text"
"""The reason of rows without anything to label."""

LOOKAHEAD_ROWS = 256
"""Rows that are read at a time where examples are chosen for each."""


@dataclass(frozen=True, slots=True)
class Annotator:
    """Requests one or more samples of the label of each row from a client, and parses the answers.

    Rows are never dropped or reordered: a row that got no label carries a status that says why.
    """

    schema: LabelSchema
    prompt: Prompt
    client: ChatClient
    columns: tuple[str, ...] = ("text",)
    num_samples: int = 1
    tally: RunStats = field(default_factory=RunStats)
    form: RowForm | None = None
    """What of a row is shown; by default its `columns`."""
    nearest: NearestExamples | None = None
    """Selects examples for each row, instead of the prompt's own."""
    window_rows: int | None = None
    """Rows that may wait for an earlier one, which are held in memory; None for 16,384."""
    keep_going: bool = False
    """Whether to go on when most of the first 50 rows get no label."""
    alone: bool = True
    """Whether no other process labels for the same budget."""

    def annotate(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Annotation]:
        """One annotation for each row, in the order of the rows; rows are read only as fast as requests are sent.

        Raises:
            AllFailedError: the first 20 rows, or all when there are fewer, failed. What had been answered before
                stays in the response store.
            NothingLabelledError: most of the first 50 rows got an answer, but no label.
        """
        run, breaker = _Run(self, rows), EarlyStop(self.tally, self.keep_going, self.alone)
        while not run.is_over:
            # Calls that must be repeated are known only when others are answered, so there may be several passes.
            for completion in checked_prompts(self.client, run.requests(), self.tally.truncated_prompts):
                run.take(completion)
                yield from self._counted(run.finished(), breaker)
            run.give_up()
            yield from self._counted(run.finished(), breaker)
        breaker.check_failures(at_end=True)

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Request]:
        """Build the requests for some rows without sending them."""
        run = _Run(self, rows)
        for request in run.requests():
            run.forget(request)
            yield request

    def _counted(self, annotations: Iterable[Annotation], breaker: EarlyStop) -> Iterator[Annotation]:
        for annotation in annotations:
            self.tally.count_row(annotation)
            breaker.add(annotation)
            yield annotation


@dataclass(frozen=True, slots=True)
class _Call:
    """One request: its rows, and the index of the sample."""

    numbers: tuple[int, ...]
    sample: int


@dataclass(slots=True)
class _Open:
    """A row that is not finished."""

    row: Mapping[str, Any]
    text: RowText | None
    examples: Sequence[Example] | None = None
    samples: dict[int, Annotation] = field(default_factory=dict)
    """The annotation of each sample."""


class _Run:
    """State of one run over the rows: open rows, pending calls and finished annotations.

    `requests` is read by the client, possibly in another thread; everything else belongs to the caller.
    """

    def __init__(self, annotator: Annotator, rows: Iterable[Mapping[str, Any]]) -> None:
        self._annotator = annotator
        self._form = annotator.form or RowForm(annotator.columns)
        self._rows = self._read(rows)
        self._open: dict[int, _Open] = {}
        self._calls: dict[int, _Call] = {}
        self._again: deque[_Call] = deque()
        self._asked = 0
        self._following = 0
        self._exhausted = False

    @property
    def is_over(self) -> bool:
        """Whether every row has been handed out."""
        return self._exhausted and not self._open and not self._again

    def requests(self) -> Iterator[Request]:
        """What is to be asked: first what must be asked again, then rows that have not been read yet."""
        at_once = self._annotator.prompt.strategy.rows_per_call
        while True:
            while self._again:
                yield self._request(self._again.popleft())
            if len(self._open) >= (self._annotator.window_rows or WINDOW_ROWS):
                # An early row takes long, or waits to be asked again: this pass ends, and the next begins with it.
                return
            numbers = self._next_rows(at_once)
            if not numbers and self._exhausted:
                return
            if numbers:
                for sample in range(self._annotator.num_samples):
                    yield self._request(_Call(tuple(numbers), sample))

    def forget(self, request: Request) -> None:
        """A request will never be answered: nothing is held for it."""
        call = self._calls.pop(request.key)
        if call.sample == self._annotator.num_samples - 1:
            last = call.numbers[-1]
            for number in [number for number in self._open if number <= last]:
                del self._open[number]

    def take(self, completion: Completion) -> None:
        """Parse a completion; a call whose answer has the wrong number of rows is split into halves."""
        call = self._calls.pop(completion.key, None)
        if call is None:
            # Answered twice: the first answer stands.
            return
        completion = separate_reasoning(completion)
        self._annotator.tally.count_call(completion)
        strategy = self._annotator.prompt.strategy
        if strategy.rows_per_call == 1:
            self._add_sample(call.numbers[0], call.sample, completion, completion.text)
            return
        texts = split_row_answers(completion.text, len(call.numbers)) if _is_whole(completion) else None
        if texts is None and len(call.numbers) > 1 and not _ends_all(completion):
            half = len(call.numbers) // 2
            self._again.extend(_Call(part, call.sample) for part in (call.numbers[:half], call.numbers[half:]))
            return
        for place, number in enumerate(call.numbers):
            # A single row's answer may lack its number.
            self._add_sample(number, call.sample, completion, completion.text if texts is None else texts[place])

    def give_up(self) -> None:
        """What a client was asked and ended without an answer to has failed."""
        for key in list(self._calls):
            self.take(Completion(key, failure=Failure("missing", "the client ended without an answer")))

    def finished(self) -> Iterator[Annotation]:
        """The annotations of the rows that are finished, as far as all before them are."""
        while (opened := self._open.get(self._following)) is not None:
            if opened.text is None:
                annotation = Annotation("skipped", reason=NO_TEXT)
            elif len(opened.samples) == self._annotator.num_samples:
                annotation = self._annotation(opened)
            else:
                return
            del self._open[self._following]
            self._following += 1
            yield annotation

    def _next_rows(self, count: int) -> list[int]:
        """Open rows until so many are to be asked, or no more may be open."""
        numbers: list[int] = []
        for number, opened in self._rows:
            if opened.text is not None:
                numbers.append(number)
            if len(numbers) == count or len(self._open) >= (self._annotator.window_rows or WINDOW_ROWS):
                break
        return numbers

    def _read(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, _Open]]:
        """Open the rows one by one, with their numbers."""
        nearest = self._annotator.nearest
        pending = iter(rows)
        number = 0
        while batch := list(islice(pending, 1 if nearest is None else LOOKAHEAD_ROWS)):
            opened = [_Open(row, self._form.read(row)) for row in batch]
            if nearest is not None:
                shown = [one for one in opened if one.text is not None]
                for one, examples in zip(shown, nearest.of([one.text.text for one in shown if one.text]), strict=True):
                    one.examples = examples
            for one in opened:
                self._open[number] = one
                yield number, one
                number += 1
        self._exhausted = True

    def _request(self, call: _Call) -> Request:
        key, self._asked = self._asked, self._asked + 1
        self._calls[key] = call
        prompt = self._annotator.prompt
        opened = [self._open[number] for number in call.numbers]
        texts = [one.text for one in opened if one.text is not None]
        examples = opened[0].examples
        single = prompt.strategy.rows_per_call == 1
        messages = prompt.messages(texts[0], examples) if single else prompt.batch(texts, examples)
        return Request(key, messages, call.sample, prompt.response_schema, texts[0].text, opened[0].row)

    def _add_sample(self, number: int, sample: int, completion: Completion, text: str) -> None:
        opened = self._open[number]
        assert opened.text is not None
        opened.samples[sample] = self._read_answer(completion, text, opened.text)

    def _read_answer(self, completion: Completion, text: str, row: RowText) -> Annotation:
        """One answer as an annotation of one sample."""
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
        schema = self._annotator.schema
        strategy = self._annotator.prompt.strategy
        reading: Reading = strategy.read(schema, text, row.context, row.question)
        answer: Answer = reading.answer
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

    def _annotation(self, opened: _Open) -> Annotation:
        """The annotation of one row from its samples."""
        if self._annotator.num_samples == 1:
            return opened.samples[0]
        samples = [opened.samples[sample] for sample in range(self._annotator.num_samples)]
        votes = tuple(sample.label for sample in samples)
        raw = json.dumps([sample.raw for sample in samples], ensure_ascii=False)
        vote = aggregate(self._annotator.schema, votes)
        if vote.label is None:
            # The first recorded sample explains the row; the raw answers keep the others.
            first = next((sample for sample in samples if sample.status != "skipped"), samples[0])
            return Annotation(first.status, votes=votes, raw=raw, reason=first.reason)
        probabilities = _label_probabilities(samples, self._annotator.schema.names)
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
