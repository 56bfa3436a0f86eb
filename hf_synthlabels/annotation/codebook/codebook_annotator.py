"""CodebookAnnotator: rows in, the annotations of all variables out, in the order of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import tee
from typing import Any

from hf_synthlabels.annotation.codebook.codebook_requests import CodebookPrompts, CodebookRequests
from hf_synthlabels.annotation.codebook.groups import not_coded
from hf_synthlabels.annotation.prompting.examples import NearestExamples
from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.run.annotator import NO_TEXT, Annotator, InputRow, input_rows
from hf_synthlabels.annotation.run.run_stats import EarlyStop, RunStats
from hf_synthlabels.annotation.run.window import ordered_replies, planned_requests
from hf_synthlabels.clients import ChatClient, Request
from hf_synthlabels.errors import AllFailedError, NothingLabeledError
from hf_synthlabels.labels import Annotation

CodebookAnnotation = Mapping[str, Annotation]
"""The annotation of each variable of one row."""


@dataclass(frozen=True)
class CodebookAnnotator:
    """Requests the variables of each row from one client, together or in groups, and parses the answers.

    Rows are never dropped or reordered: a variable without a label carries a status that says why.
    """

    prompts: CodebookPrompts
    form: RowForm
    """What of a row is shown."""
    client: ChatClient
    num_samples: int = 1
    tally: RunStats = field(default_factory=RunStats)
    nearest: NearestExamples | None = None
    window_rows: int | None = None
    keep_going: bool = False
    alone: bool = True

    def annotate(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[CodebookAnnotation]:
        """The annotations of each row, in the order of the rows.

        Raises:
            AllFailedError: the first 20 rows of a variable, or all when there are fewer, failed.
            NothingLabeledError: most of the first 50 rows of a variable got an answer, but no label.
        """
        breakers = self.early_stop()
        for row in self.uncounted(rows):
            breakers.count_row(row)
            yield row
        breakers.end()

    def early_stop(self) -> EarlyStops:
        """Counts the rows of a run, and ends it when its first rows have no labels."""
        return EarlyStops(list(self.prompts.alone), self.tally, keep_going=self.keep_going, alone=self.alone)

    def uncounted(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[CodebookAnnotation]:
        """The annotations of each row, which the caller counts."""
        repeats = self.client.identity.get("client") != "recorded"
        requests = CodebookRequests(self.prompts, self.num_samples, repeats)
        inputs = self._inputs(rows)
        for row, replies in ordered_replies(self.client, requests, inputs, self.tally, window_rows=self.window_rows):
            if row.is_sent:
                yield requests.annotations(row, replies)
            else:
                yield dict.fromkeys(self.prompts.alone, row.unsent or Annotation("skipped", reason=NO_TEXT))

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Request]:
        """Build the requests for some rows without sending them, as if all conditions held."""
        requests = CodebookRequests(self.prompts, self.num_samples, with_conditional=True)
        return planned_requests(requests, self._inputs(rows))

    def _inputs(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[InputRow]:
        return (self.prompts.split(row) for row in input_rows(rows, self.form, self.nearest))


@dataclass(frozen=True)
class SeparateAnnotators:
    """Annotates each variable by its own annotator: an encoder, or a column of recorded answers."""

    prompts: CodebookPrompts
    form: RowForm
    annotators: Mapping[str, Annotator]
    tally: RunStats = field(default_factory=RunStats)
    keep_going: bool = False

    @property
    def client(self) -> ChatClient:
        """The client of the first variable."""
        return next(iter(self.annotators.values())).client

    def annotate(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[CodebookAnnotation]:
        """The annotations of each row; see `CodebookAnnotator.annotate`."""
        breakers = self.early_stop()
        for row in self.uncounted(rows):
            breakers.count_row(row)
            yield row
        breakers.end()

    def early_stop(self) -> EarlyStops:
        """Counts the rows of a run, and ends it when its first rows have no labels."""
        return EarlyStops(list(self.prompts.alone), self.tally, keep_going=self.keep_going, alone=True)

    def uncounted(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[CodebookAnnotation]:
        """The annotations of each row, which the caller counts."""
        names = list(self.annotators)
        copies = tee(rows, len(names))
        # All count their answers together; rows and statuses are those of the codebook.
        annotators = [replace(annotator, tally=self.tally) for annotator in self.annotators.values()]
        streams = [annotator.annotate_parts(copy) for annotator, copy in zip(annotators, copies, strict=True)]
        for together in zip(*streams, strict=True):
            resolved = self._resolved(dict(zip(names, together, strict=True)))
            yield {name: resolved[name] for name in self.prompts.alone}

    def _resolved(self, given: Mapping[str, tuple[InputRow, Sequence[Annotation]]]) -> dict[str, Annotation]:
        """The annotation of each variable in a row, from those in its parts."""
        resolved: dict[str, Annotation] = {}
        by_part: dict[str, Sequence[Annotation]] = {}
        for name, condition in self.prompts.conditions.items():
            row, parts = given[name]
            if condition is not None:
                parent = resolved[condition.variable]
                if not condition.holds(parent):
                    resolved[name] = not_coded(condition, parent)
                    continue
                if row.parts:
                    pairs = zip(by_part[condition.variable], parts, strict=True)
                    parts = [own if condition.holds(other) else not_coded(condition, other) for other, own in pairs]
            by_part[name] = parts
            resolved[name] = self.annotators[name].combined(row, parts)
        return resolved

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Request]:
        """Build the requests for some rows without sending them."""
        copies = tee(rows, len(self.annotators))
        for annotator, copy in zip(self.annotators.values(), copies, strict=True):
            yield from annotator.requests(copy)


class EarlyStops:
    """Counts rows and variables, and ends a run whose first rows show that a variable gets no labels."""

    def __init__(self, names: list[str], tally: RunStats, *, keep_going: bool, alone: bool) -> None:
        self._tally = tally
        self._open = {name: EarlyStop(RunStats(), keep_going, alone) for name in names}
        """Of variables that may still end the run."""
        self._has_settled = False

    def count_row(self, annotations: CodebookAnnotation) -> None:
        """Count a finished row.

        Raises:
            AllFailedError: the first rows of a variable failed.
            NothingLabeledError: most of the first rows of a variable have no label.
        """
        self._tally.count_variables(annotations)
        for name, breaker in list(self._open.items()):
            try:
                breaker.count_row(annotations[name])
            except (AllFailedError, NothingLabeledError) as error:
                raise type(error)(f"Variable `{name}`: {error}") from None
            if breaker.is_settled:
                self._has_settled = True
                del self._open[name]

    def end(self) -> None:
        """Raise `AllFailedError` if all rows of a run failed."""
        has_sent = self._has_settled or any(breaker.has_sent for breaker in self._open.values())
        for name, breaker in self._open.items():
            if has_sent and not breaker.has_sent:
                # Its texts are all too long; the other variables have labels all the same.
                continue
            try:
                # Rows in which a variable is not coded say nothing about the others.
                breaker.end(unsent="")
            except AllFailedError as error:
                raise AllFailedError(f"Variable `{name}`: {error}") from None
