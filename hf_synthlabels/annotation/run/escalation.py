"""Escalation: rows that the first annotator is not sure of are labeled by a second one, in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, ClassVar, Protocol, Self

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.clients import ChatClient, Completion, Usage
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.labels import Annotation

CHUNK_ROWS = 2048
"""Rows that the first annotator labels before the second one gets its part of them."""

UNESCALATED = ("skipped", "over_budget")
"""Statuses that no second annotator can change: nothing was to be sent, or the budget is spent."""

RowAnnotation = Annotation | Mapping[str, Annotation]
"""The annotation of a row; of a codebook, those of its variables."""

Price = Callable[[Usage, int], float]
"""Cost of a usage in US dollars, for a number of requests."""


def second_price(config: ClientConfig) -> Price | None:
    """The price of a second annotator; None if it is unknown."""
    if config.kind != "openai":
        return lambda _usage, _requests: 0.0
    price = config.resolved_price
    if price is None:
        return None
    return lambda usage, requests: price.usd(usage, batch=config.batch, requests=requests)


class RowCounter(Protocol):
    """Counts the rows of an annotator, and ends a run whose first rows have no labels."""

    def count_row(self, annotation: Any, /) -> None:
        """Count a finished row."""

    def end(self) -> None:
        """Raise an error if all rows failed."""


class CascadePart(Protocol):
    """One of both annotators: of a recipe, or of a codebook."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def tally(self) -> RunStats:
        """The counts of its part."""

    @property
    def client(self) -> ChatClient:
        """Completes its requests."""

    @property
    def form(self) -> RowForm:
        """What of a row is shown."""

    def early_stop(self) -> RowCounter:
        """Counts the rows of a run."""

    def uncounted(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[RowAnnotation]:
        """The annotation of each row, which the caller counts."""


@dataclass(slots=True)
class PartStats(RunStats):
    """The counts of one of two annotators, whose requests are added to those of the run."""

    total: RunStats = field(default_factory=RunStats)
    is_second: bool = False
    price: Price | None = None

    def __post_init__(self) -> None:
        self.truncated_prompts = self.total.truncated_prompts

    def count_call(self, completion: Completion) -> None:
        """Count a request for this annotator and for the run."""
        counted = RunStats()
        counted.count_call(completion)
        for stats in (self, self.total):
            stats.add(counted.to_dict())
        if not self.is_second:
            return
        keys = ("requests", "stored", "prompt_tokens", "completion_tokens", "cached_tokens")
        self.total.second.update({key: getattr(counted, key) for key in keys})
        if self.price is not None and counted.requests:
            self.total.second["usd"] += self.price(completion.usage, 1)  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class EscalatingAnnotator:
    """Labels rows with a first annotator, and with a second one where the first is not sure.

    A row goes to the second annotator if its confidence is below the threshold or unknown, or if it has no label for
    another reason than the budget; of a codebook, if that is so for one of its variables. The second annotator labels
    all variables of the row, so that conditions hold. Whatever it answers counts.
    """

    first: CascadePart
    second: CascadePart
    below: float
    names: tuple[str, str]
    """Of both annotators, in the column of annotators."""
    tally: RunStats

    @classmethod
    def of(
        cls, first: CascadePart, second: CascadePart, below: float, names: tuple[str, str], *, price: Price | None
    ) -> Self:
        """Combine two annotators; their requests are counted together.

        Args:
            first: labels all rows.
            second: labels the rows with a lower confidence than `below`; not `alone`, as the first annotator may have
                spent the budget, which says nothing about the second.
            below: the threshold.
            names: of both.
            price: of the second.
        """
        total = RunStats()
        parts = PartStats(total=total), PartStats(total=total, is_second=True, price=price)
        return cls(replace(first, tally=parts[0]), replace(second, tally=parts[1]), below, names, total)

    @property
    def client(self) -> ChatClient:
        """The client of the first annotator."""
        return self.first.client

    @property
    def form(self) -> RowForm:
        """What of a row is shown."""
        return self.first.form

    def annotate(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[RowAnnotation]:
        """One annotation for each row, in the order of the rows.

        Raises:
            AllFailedError: the first rows of an annotator failed.
            NothingLabeledError: most of the first 50 rows of an annotator got an answer, but no label.
        """
        first, second = self.first.early_stop(), self.second.early_stop()
        pending = iter(rows)
        while chunk := list(islice(pending, CHUNK_ROWS)):
            labeled = list(_annotated(self.first, chunk, first))
            # Before the second annotator is paid for rows of a first one that does not work.
            first.end()
            unsure = [place for place, annotation in enumerate(labeled) if self.is_escalated(annotation)]
            self.tally.second["rows"] += len(unsure)
            answers = _annotated(self.second, [chunk[place] for place in unsure], second)
            second_answers = dict(zip(unsure, answers, strict=True)) if unsure else {}
            for place, annotation in enumerate(labeled):
                combined = self.combined(annotation, second_answers.get(place))
                if isinstance(combined, Mapping):
                    self.tally.count_variables(combined)
                else:
                    self.tally.count_row(combined)
                yield combined
        if self.second.tally.rows:
            second.end()

    def is_escalated(self, annotation: RowAnnotation) -> bool:
        """Whether the second annotator labels a row."""
        if isinstance(annotation, Mapping):
            return any(self.is_escalated(each) for each in annotation.values())
        if annotation.status == "labelled":
            return annotation.confidence is None or annotation.confidence < self.below
        return not _is_unsent(annotation)

    def combined(self, first: RowAnnotation, second: RowAnnotation | None) -> RowAnnotation:
        """The annotation of a row, with the name of its annotator."""
        if isinstance(first, Mapping):
            others: Mapping[str, Annotation] = second if isinstance(second, Mapping) else {}
            return {name: self._combined(annotation, others.get(name)) for name, annotation in first.items()}
        assert not isinstance(second, Mapping)
        return self._combined(first, second)

    def _combined(self, first: Annotation, second: Annotation | None) -> Annotation:
        if second is None:
            return first if _is_unsent(first) else replace(first, annotator=self.names[0])
        label = f"label {first.label!r}" if first.status == "labelled" else f"status {first.status!r}"
        confidence = "" if first.confidence is None else f" and confidence {first.confidence:.3f}"
        escalated = f"escalated: the first annotator gave {label}{confidence}"
        reason = f"{second.reason}; {escalated}" if second.reason else escalated
        # A variable whose condition does not hold was coded by neither.
        annotator = None if second.status == "skipped" else self.names[1]
        return replace(second, annotator=annotator, reason=reason)


def _is_unsent(annotation: Annotation) -> bool:
    """Whether there is nothing for a second annotator to send: no text, a condition, the budget, or a text too long."""
    return annotation.status in UNESCALATED or (annotation.status == "failed" and not annotation.votes)


def _annotated(
    annotator: CascadePart, rows: Iterable[Mapping[str, Any]], breaker: RowCounter
) -> Iterator[RowAnnotation]:
    for annotation in annotator.uncounted(rows):
        breaker.count_row(annotation)
        yield annotation


def escalation_lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Summarize the part of a second annotator from the provenance records of a run; nothing without one."""
    if (second := records[0].get("escalate")) is None:
        return []
    costs = [record["escalate"]["cost_usd"] for record in records]
    usd = "unknown" if None in costs else f"{sum(costs):.4f} USD"
    return [
        f"of these the second annotator {second['annotator']['model']}: {second['rows']:,} rows escalated, "
        f"{second['requests']:,} requests, {second['stored']:,} cache hits; cost: {usd}"
    ]
