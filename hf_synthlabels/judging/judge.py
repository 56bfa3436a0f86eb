"""Judge: a rubric and a client that turn answers into judgments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.annotation.run.run_stats import check_all_failed
from hf_synthlabels.annotation.run.window import ordered_replies
from hf_synthlabels.clients import ChatClient, Price, Request
from hf_synthlabels.errors import AllFailedError, ConfigError
from hf_synthlabels.judging.criteria.overall import unscored_judgment
from hf_synthlabels.judging.items import References, judge_items
from hf_synthlabels.judging.judgment import Judgment, JudgmentStatus
from hf_synthlabels.judging.parsing.criteria_parser import parse_criteria
from hf_synthlabels.judging.parsing.reply_parser import Extraction, parse_judgment
from hf_synthlabels.judging.prompting.criteria_prompt import CriteriaPrompt
from hf_synthlabels.judging.prompting.judge_prompt import Item, JudgeExample, JudgePrompt
from hf_synthlabels.judging.prompting.judge_requests import (
    JudgedItem,
    JudgeRequests,
    NotJudged,
    Replies,
    planned_requests,
)
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.judging.summary import JudgeSummary, ScoreCount

DEFAULT_EXTRACTION = Extraction()


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
        examples: shown to the judge before each item.
        commit_first: whether the judge first answers the input itself, before it sees the answer to judge.

    Raises:
        ConfigError: the client does not return the log-probabilities to be used, all samples would be equal, or the
            replies are recorded and `commit_first` needs new ones.
    """

    rubric: Rubric
    client: ChatClient
    extraction: Extraction = DEFAULT_EXTRACTION
    as_json: bool | None = None
    system: str | None = None
    price: Price | None = None
    window: int | None = None
    examples: tuple[JudgeExample, ...] = ()
    commit_first: bool = False

    def __post_init__(self) -> None:
        identity = self.client.identity
        if self.commit_first and identity.get("client") == "recorded":
            raise ConfigError("`commit_first` needs a judge that answers the inputs, but its replies are recorded.")
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
        kind = CriteriaPrompt if self.rubric.criteria else JudgePrompt
        return kind(self.rubric, as_json, self.system, self.examples, self.commit_first)

    def fingerprint(self) -> str:
        """Hash of everything but the client that affects a score: rubric, prompt and extraction."""
        parts = (self.rubric.fingerprint(), self.prompt.fingerprint(), self.extraction.fingerprint())
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]

    def requests(
        self, items: Iterable[Item], own_answer: Callable[[Request], str | None] | None = None
    ) -> Iterator[Request]:
        """Build the requests without sending them; criteria that are requested again are not foreseen.

        Args:
            items: the items.
            own_answer: looks up the judge's own answer by its request; an unknown one has a usual length.
        """
        return planned_requests(self._requests, self._judged_items(items), own_answer)

    def skip_reason(self, item: Item) -> str:
        """Why there is nothing to judge; empty otherwise."""
        if not item.prediction.strip() or (self.rubric.protocol == "pairwise" and not item.other.strip()):
            return "an answer is empty" if self.rubric.protocol == "pairwise" else "the answer is empty"
        if self.rubric.reference == "required" and not any(text.strip() for text in item.references):
            return "there is no reference"
        return "the input is empty" if self.commit_first and not item.input.strip() else ""

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
        self, items: Iterable[Item], stats: RunStats | None, parse: Callable[[Replies | NotJudged], J]
    ) -> Iterator[J]:
        """Send the requests about items, and parse the replies to each, or why there are none."""
        stats = RunStats() if stats is None else stats
        requests, rows = self._requests, self._judged_items(items)
        for row, replies in ordered_replies(self.client, requests, rows, stats, window_rows=self.window):
            judgment = parse(requests.replies(row, replies))
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
            lambda error: unscored_judgment(self.rubric, "failed", error),
            keep_on_failure=keep_on_failure,
        )
        for judgment in judgments:
            count.add(judgment)
        return Judged(judgments, count.summary(stats, self.price, level), stats, stopped)

    @cached_property
    def _requests(self) -> JudgeRequests:
        # A recorded reply is the same when it is requested again.
        repeats = self.client.identity.get("client") != "recorded"
        return JudgeRequests(self.prompt, self.extraction, repeats)

    def _judged_items(self, items: Iterable[Item]) -> Iterator[JudgedItem]:
        for item in items:
            reason = self.skip_reason(item)
            yield JudgedItem(item, reason, is_sent=not reason)

    def _judgment(self, replies: Replies | NotJudged) -> Judgment:
        if isinstance(replies, NotJudged):
            return unscored_judgment(self.rubric, replies.status, replies.error)
        if self.rubric.criteria:
            judgment = parse_criteria(self.rubric, self.extraction, replies.orders[0], replies.alone)
        else:
            judgment = parse_judgment(self.rubric, self.extraction, replies.orders[0])
        return replace(judgment, own_answer=replies.own_answer) if self.commit_first else judgment


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
