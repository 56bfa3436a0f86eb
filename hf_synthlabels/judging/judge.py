"""Judge: a rubric and a client that turn answers into judgments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.annotation.run.run_stats import check_all_failed
from hf_synthlabels.annotation.run.window import ordered_replies, planned_requests
from hf_synthlabels.clients import ChatClient, Completion, Price, Request
from hf_synthlabels.errors import AllFailedError, ConfigError
from hf_synthlabels.judging.items import References, judge_items
from hf_synthlabels.judging.judgment import Judgment, JudgmentStatus
from hf_synthlabels.judging.parsing.reply_parser import Extraction, parse_judgment
from hf_synthlabels.judging.prompt import Item, JudgePrompt
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.judging.summary import JudgeSummary, ScoreCount

DEFAULT_EXTRACTION = Extraction()

Replies = Sequence[Sequence[Completion]]
"""The replies about an item, sample by sample, for each order of its answers; empty if nothing was sent."""


class _HasStatus(Protocol):
    @property
    def status(self) -> JudgmentStatus: ...
    @property
    def error(self) -> str: ...


J = TypeVar("J", bound=_HasStatus)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Judged(Generic[J, S]):
    """Judgments in the order of the items, and their summary."""

    judgments: list[J]
    summary: S
    stats: RunStats
    stopped: str = ""
    """Why the run ended early; empty if it did not."""


@dataclass(frozen=True)
class Judge:
    """Scores answers one by one, with or without a reference, or together with it; see `judge_pairs` for comparisons.

    Args:
        rubric: what is judged.
        client: the LLM; wrapped in a `CachedClient`, an interrupted run can be resumed.
        extraction: how a score is read from a reply.
        as_json: whether to request JSON; None follows the client's own `response_format`.
        system: replaces the packaged system prompt.
        price: price of the client's tokens.
        window: maximum number of items in memory that wait for an earlier one; None for 16,384.

    Raises:
        ConfigError: the client does not return the log-probabilities to be used, or all samples would be equal.
    """

    rubric: Rubric
    client: ChatClient
    extraction: Extraction = DEFAULT_EXTRACTION
    as_json: bool | None = None
    system: str | None = None
    price: Price | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        identity = self.client.identity
        if identity.get("client") not in ("openai", "transformers"):
            return
        sampling = identity.get("sampling", identity)
        has_logprobs = sampling.get("top_logprobs") or identity.get("answers")
        if "logprobs" in self.extraction.parse_methods and not has_logprobs:
            raise ConfigError(
                "`parse_methods` has 'logprobs', but the client requests none. Set the client's `top_logprobs` (most "
                "servers allow up to 20), or remove 'logprobs'."
            )
        num_samples = self.extraction.num_samples
        if num_samples > 1 and sampling.get("temperature") == 0 and not sampling.get("reasoning"):
            raise ConfigError(
                f"`num_samples` is {num_samples}, but the client's `temperature` is 0, so all samples would be equal. "
                "Raise the temperature."
            )

    @cached_property
    def prompt(self) -> JudgePrompt:
        """Builds the conversations."""
        as_json = self.as_json
        if as_json is None:
            sampling = self.client.identity.get("sampling", {})
            as_json = isinstance(sampling, Mapping) and sampling.get("response_format", "text") != "text"
        return JudgePrompt(self.rubric, as_json, self.system)

    def fingerprint(self) -> str:
        """Hash of everything but the client that affects a score: rubric, prompt and extraction."""
        parts = (self.rubric.fingerprint(), self.prompt.fingerprint(), self.extraction.fingerprint())
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]

    def requests(self, items: Iterable[Item]) -> Iterator[Request]:
        """Build the requests without sending them."""
        return planned_requests(_JudgeRequests(self), self._judged_items(items))

    def skip_reason(self, item: Item) -> str:
        """Why there is nothing to judge; empty otherwise."""
        if not item.prediction.strip() or (self.rubric.protocol == "pairwise" and not item.other.strip()):
            return "an answer is empty" if self.rubric.protocol == "pairwise" else "the answer is empty"
        if self.rubric.reference == "required" and not any(text.strip() for text in item.references):
            return "there is no reference"
        return ""

    def stream(self, items: Iterable[Item], stats: RunStats | None = None) -> Iterator[Judgment]:
        """Judge items in their order and in bounded memory.

        Args:
            items: answers to judge; `judge_items` builds them from columns. Read only as fast as requests are sent.
            stats: counts calls and statuses.

        Raises:
            ConfigError: the rubric compares two answers.
            AllFailedError: the first 20 items, or all items if there are fewer, failed, or the server stays
                unavailable for too long. Replies so far remain in the response store.
        """
        if self.rubric.protocol == "pairwise":
            raise ConfigError(
                f"`rubric` {self.rubric.name!r} compares two answers. Use `judge_pairs`, or another rubric."
            )
        yield from self.stream_parsed(items, stats, self._judgment)

    def stream_parsed(
        self, items: Iterable[Item], stats: RunStats | None, parse: Callable[[str, Replies], J]
    ) -> Iterator[J]:
        """Send the requests about items, and parse the replies to each.

        `parse` gets the reason why nothing was sent, and one list of replies for each order of the answers.
        """
        stats = RunStats() if stats is None else stats
        requests, rows, size = _JudgeRequests(self), self._judged_items(items), self.extraction.num_samples
        for row, numbered in ordered_replies(self.client, requests, rows, stats, window_rows=self.window):
            replies = list(numbered.values())
            judgment = parse(row.skip_reason, [replies[start : start + size] for start in range(0, len(replies), size)])
            count_item(stats, judgment.status, judgment.error)
            check_all_failed(stats, unsent="empty", at_end=False)
            yield judgment
        check_all_failed(stats, unsent="empty", at_end=True)

    def judge(
        self,
        predictions: Sequence[str | None],
        references: References | None = None,
        inputs: Sequence[str | None] | None = None,
        *,
        level: float = 0.95,
        keep_on_failure: bool = False,
    ) -> Judged[Judgment, JudgeSummary]:
        """Judge answers.

        Args:
            predictions: the answers; one that is None or empty is not sent to the judge and has no score.
            references: one or several per answer.
            inputs: the prompt of each answer.
            level: confidence level of the mean.
            keep_on_failure: if the endpoint fails, return the scores so far instead of raising; the other answers are
                `failed`.

        Raises:
            ConfigError: the rubric never shows the references, or needs them.
            DataError: the columns differ in length, or hold other values than text.
            AllFailedError: see `stream`; not raised with `keep_on_failure`.
        """
        items = judge_items(self.rubric, predictions, references, inputs)
        stats, count = RunStats(), ScoreCount(self.rubric)
        judgments, stopped = collect(
            self.stream(items, stats),
            len(items),
            stats,
            lambda error: Judgment(None, "failed", error=error),
            keep_on_failure=keep_on_failure,
        )
        for judgment in judgments:
            count.add(judgment)
        return Judged(judgments, count.summary(stats, self.price, level), stats, stopped)

    def _judged_items(self, items: Iterable[Item]) -> Iterator[_JudgedItem]:
        for item in items:
            reason = self.skip_reason(item)
            yield _JudgedItem(item, reason, is_sent=not reason)

    def _judgment(self, skip_reason: str, replies: Replies) -> Judgment:
        if not replies:
            return Judgment(None, "empty", error=skip_reason)
        return parse_judgment(self.rubric, self.extraction, replies[0])


@dataclass(frozen=True, slots=True)
class _JudgedItem:
    """An item, and why there is nothing to judge."""

    item: Item
    skip_reason: str
    is_sent: bool


@dataclass(frozen=True, slots=True)
class _JudgeRequests:
    """Items as requests for verdicts, both orders of two answers one after the other; see `RowRequests`."""

    judge: Judge
    rows_per_call: int = 1

    @property
    def first_places(self) -> Sequence[int]:
        return range(self.judge.extraction.num_samples * (2 if self.judge.rubric.protocol == "pairwise" else 1))

    def next_places(self, row: _JudgedItem, replies: Mapping[int, Completion]) -> Sequence[int]:  # noqa: ARG002
        return ()

    def request(
        self,
        key: int,
        rows: Sequence[_JudgedItem],
        place: int,
        replies: Mapping[int, Completion],  # noqa: ARG002
    ) -> Request:
        item, prompt = rows[0].item, self.judge.prompt
        messages = prompt.messages(item, swapped=place >= self.judge.extraction.num_samples)
        # Samples are numbered across both orders, so that recorded replies to both are in one list.
        return Request(key, messages, place, prompt.response_schema, item.prediction, item.row)

    def read(self, rows: Sequence[_JudgedItem], completion: Completion) -> Sequence[Completion]:  # noqa: ARG002
        return [completion]


def count_item(stats: RunStats, status: str, error: str) -> None:
    """Count a finished item."""
    stats.rows += 1
    stats.statuses[status] += 1
    if status == "failed":
        stats.failures[error] += 1


def collect(
    stream: Iterator[J], size: int, stats: RunStats, failed: Callable[[str], J], *, keep_on_failure: bool
) -> tuple[list[J], str]:
    """The judgments of a stream, and why it ended early; `failed` makes those of the remaining items.

    Raises:
        AllFailedError: the stream raised it, and `keep_on_failure` is False.
    """
    judgments: list[J] = []
    stopped = ""
    try:
        for judgment in stream:
            judgments.append(judgment)
    except AllFailedError as error:
        if not keep_on_failure:
            raise
        stopped = str(error)
    for _ in range(size - len(judgments)):
        count_item(stats, "failed", stopped)
        judgments.append(failed(stopped))
    return judgments, stopped
