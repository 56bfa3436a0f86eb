"""Annotator: rows in, annotations out, in the order of the rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_synthlabels.annotation.prompt import Prompt, row_text
from hf_synthlabels.clients import ChatClient, Completion, Request
from hf_synthlabels.errors import AllFailedError
from hf_synthlabels.labels import Annotation, LabelSchema, Status, aggregate, parse

__all__ = ["Annotator", "Tally"]

BREAKER_ROWS = 20
"""A run whose first so many rows all fail is stopped: the cause is not the rows."""


@dataclass(slots=True)
class Tally:
    """What a run has come to so far."""

    rows: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    stored: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    models: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            name: dict(sorted(value.items())) if isinstance(value := getattr(self, name), Counter) else value
            for name in Tally.__dataclass_fields__
        }

    def add(self, other: Mapping[str, Any]) -> None:
        """Add the numbers of another run, given by its `to_dict`."""
        for name in Tally.__dataclass_fields__:
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(other[name])
            else:
                setattr(self, name, mine + other[name])


@dataclass(frozen=True, slots=True)
class Annotator:
    """Asks a client for the label of each row, several times where draws are wished, and reads the answers.

    Rows are never dropped or reordered: a row that got no label carries a status that says why.
    """

    schema: LabelSchema
    prompt: Prompt
    client: ChatClient
    columns: tuple[str, ...] = ("text",)
    draws: int = 1
    tally: Tally = field(default_factory=Tally)

    def annotate(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Annotation]:
        """One annotation for each row, in the order of the rows; rows are read only as fast as they are asked.

        Raises:
            AllFailedError: the first 20 rows, or all when there are fewer, failed. What had been answered before
                stays in the response store.
        """
        waiting: dict[int, dict[int, Completion]] = {}
        blank: set[int] = set()
        count = _Count()
        following = 0
        for completion in self.client.complete(self._requests(rows, blank, count)):
            row, draw = divmod(completion.key, self.draws)
            waiting.setdefault(row, {})[draw] = completion
            while following in blank or len(waiting.get(following, ())) == self.draws:
                yield self._finished(waiting.pop(following, None))
                following += 1
        # What is left are rows without a text at the end: they were never asked.
        for row in range(following, count.rows):
            yield self._finished(waiting.pop(row, None))
        self._check_breaker(at_end=True)

    def _requests(self, rows: Iterable[Mapping[str, Any]], blank: set[int], count: _Count) -> Iterator[Request]:
        response_schema = self.schema.response_schema()
        for number, row in enumerate(rows):
            count.rows = number + 1
            text = row_text(row, self.columns)
            if not text:
                blank.add(number)
                continue
            messages = self.prompt.messages(text)
            for draw in range(self.draws):
                yield Request(number * self.draws + draw, messages, draw, response_schema, text, row)

    def _finished(self, completions: Mapping[int, Completion] | None) -> Annotation:
        if completions is None:
            annotation = Annotation("abstained", reason="the row has no text")
        else:
            annotation = self._read([completions[draw] for draw in range(self.draws)])
            for completion in completions.values():
                self._count(completion)
        self.tally.rows += 1
        self.tally.statuses[annotation.status] += 1
        if annotation.status == "failed":
            self.tally.failures[annotation.reason] += 1
        self._check_breaker(at_end=False)
        return annotation

    def _read(self, completions: list[Completion]) -> Annotation:
        readings = [_reading(self.schema, completion) for completion in completions]
        votes = tuple(reading.label for reading in readings)
        vote = aggregate(self.schema, votes)
        raw = (
            completions[0].text
            if len(completions) == 1
            else json.dumps([c.text for c in completions], ensure_ascii=False)
        )
        if vote.label is None:
            # The first draw's trouble stands for all; the raw answers hold the rest.
            return Annotation(readings[0].status, votes=votes, raw=raw, reason=readings[0].reason)
        probabilities = _mean_probabilities(completions, votes, self.schema.names)
        confidence = probabilities[vote.label] if probabilities else None
        if len(completions) > 1:
            confidence = vote.consistency
        return Annotation("labelled", vote.label, confidence, probabilities, votes, raw)

    def _count(self, completion: Completion) -> None:
        if completion.stored:
            self.tally.stored += 1
            return
        self.tally.requests += 1
        self.tally.prompt_tokens += completion.usage.prompt_tokens
        self.tally.completion_tokens += completion.usage.completion_tokens
        if completion.model:
            self.tally.models[completion.model] += 1

    def _check_breaker(self, *, at_end: bool) -> None:
        failed = self.tally.statuses["failed"]
        if failed and failed == self.tally.rows and (at_end or failed >= BREAKER_ROWS):
            cause, times = self.tally.failures.most_common(1)[0]
            raise AllFailedError(f"All of the first {failed} rows failed, {times} with: {cause}. Nothing was labelled.")


@dataclass(slots=True)
class _Count:
    rows: int = 0


def _reading(schema: LabelSchema, completion: Completion) -> Annotation:
    """One answer as an annotation of one draw."""
    status: Status
    if completion.failure is not None:
        failure = completion.failure
        http = f" (HTTP {failure.http_status})" if failure.http_status else ""
        return Annotation("failed", reason=f"{failure.message}{http}")
    if completion.refusal or completion.finish_reason == "content_filter":
        return Annotation("refused", reason="the model or its filter refused")
    if completion.finish_reason == "length":
        return Annotation("truncated", reason="the answer was cut at `max_tokens`")
    answer = parse(schema, completion.text)
    status = answer.status
    return Annotation(status, label=answer.label, reason=answer.reason)


def _mean_probabilities(
    completions: list[Completion], votes: tuple[str | None, ...], names: tuple[str, ...]
) -> dict[str, float] | None:
    """Label probabilities: the mean of what the client knows, else the shares of several draws, else unknown."""
    known = [completion.probabilities for completion in completions if completion.probabilities is not None]
    if known:
        return {name: sum(shares.get(name, 0.0) for shares in known) / len(known) for name in names}
    given = [vote for vote in votes if vote is not None]
    if len(completions) > 1:
        return {name: given.count(name) / len(given) for name in names}
    return None
