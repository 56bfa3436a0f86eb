"""Pairwise comparison of answers in both orders; disagreement of the orders is a tie."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.items import References, judge_items
from hf_synthlabels.judging.judge import Judge, Judged, collect
from hf_synthlabels.judging.judgment import Judgment, JudgmentStatus
from hf_synthlabels.judging.parsing.reply_parser import parse_judgment
from hf_synthlabels.judging.prompting.judge_prompt import Item
from hf_synthlabels.judging.prompting.judge_requests import NotJudged, Replies
from hf_synthlabels.judging.summary import JudgeSummary, ScoreCount
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.intervals import wilson

Winner = Literal["first", "second", "tie"]

FLIPPED: dict[Winner | None, Winner | None] = {"first": "second", "second": "first", "tie": "tie", None: None}


@dataclass(frozen=True, slots=True)
class PairJudgment:
    """Judgment of two answers in both orders."""

    winner: Winner | None
    """None unless both orders have a verdict; a tie if they disagree."""
    status: JudgmentStatus
    """`scored`, or the status of the first order without a verdict."""
    in_order: Judgment | None = None
    """With the first answer shown first; its score is that of the answer shown first. None if nothing was sent."""
    swapped: Judgment | None = None
    """With the second answer shown first; a high score is a preference for the second answer."""
    error: str = ""

    @property
    def consistent(self) -> bool | None:
        """Whether both orders agree; None unless both have a verdict."""
        if self.winner is None or self.in_order is None or self.swapped is None:
            return None
        return _winner(self.in_order) == FLIPPED[_winner(self.swapped)]

    @property
    def preference(self) -> float | None:
        """Preference for the first answer from 0 to 1, the mean of both orders.

        A probability with expected scores; with plain verdicts one of 0, 0.25, 0.5, 0.75 and 1.
        """
        if self.winner is None or self.in_order is None or self.swapped is None:
            return None
        assert self.in_order.score is not None
        assert self.swapped.score is not None
        return (self.in_order.score + 1 - self.swapped.score) / 2

    @property
    def score(self) -> float | None:
        """1 if the first answer wins, 0 if the second does, 0.5 for a tie."""
        return {None: None, "first": 1.0, "second": 0.0, "tie": 0.5}[self.winner]


@dataclass(frozen=True, slots=True)
class PairSummary:
    """Summary of comparisons."""

    wins: JudgeSummary
    """Summary of the scores of the first answers: a win counts 1, a tie 0.5."""
    winners: dict[str, int]
    consistency: Interval
    """Proportion of the pairs with both verdicts on which both orders agree (Wilson)."""
    shown_first: Interval
    """Proportion of the verdicts other than ties that prefer the answer shown first (Wilson); 0.5 without position
    bias. The two verdicts of a pair count separately, so the interval is slightly too narrow."""

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and dictionaries of numbers; nan stays nan."""
        values = self.wins.as_dict()
        values["win_rate"] = values.pop("mean")
        values |= {"win_rate_low": values.pop("mean_low"), "win_rate_high": values.pop("mean_high")}
        values.pop("unit_mean")
        values["winners"] = dict(self.winners)
        for name, interval in (("consistency", self.consistency), ("shown_first", self.shown_first)):
            values |= {
                name: float(interval.estimate),
                f"{name}_low": float(interval.low),
                f"{name}_high": float(interval.high),
                f"{name}_n": interval.n,
            }
        return values

    def __str__(self) -> str:
        return (
            f"win rate: {self.wins}; both orders agree: {self.consistency}; prefers the first shown: {self.shown_first}"
        )


def stream_pairs(judge: Judge, items: Iterable[Item], stats: RunStats | None = None) -> Iterator[PairJudgment]:
    """Compare pairs in their order and in bounded memory, always in both orders.

    Raises:
        ConfigError: the judge's rubric does not compare two answers.
        AllFailedError: see `Judge.stream`.
    """
    if judge.rubric.protocol != "pairwise":
        raise ConfigError(f"`rubric` {judge.rubric.name!r} judges one answer. Use `Judge.judge`, or another rubric.")
    yield from judge.stream_parsed(items, stats, lambda replies: _pair_judgment(judge, replies))


def judge_pairs(
    judge: Judge,
    predictions: Sequence[str | None],
    others: Sequence[str | None],
    references: References | None = None,
    inputs: Sequence[str | None] | None = None,
    *,
    level: float = 0.95,
    keep_on_failure: bool = False,
) -> Judged[PairJudgment, PairSummary]:
    """Compare answers with other answers to the same inputs.

    Args:
        judge: a judge with a pairwise rubric.
        predictions: the first answers.
        others: the second answers.
        references: one or several per pair.
        inputs: the prompt of each pair.
        level: confidence level of the intervals.
        keep_on_failure: if the endpoint fails, return the judgments so far instead of raising; the other pairs are
            `failed`.

    Raises:
        ConfigError: the rubric judges one answer, never shows the references, or needs them.
        DataError: the columns differ in length, or hold other values than text.
        AllFailedError: see `Judge.stream`; not raised with `keep_on_failure`.
    """
    items = judge_items(judge.rubric, predictions, references, inputs, others)
    stats, count = RunStats(), PairCount(judge)
    judgments, stopped = collect(
        stream_pairs(judge, items, stats),
        len(items),
        stats,
        lambda error: PairJudgment(None, "failed", error=error),
        keep_on_failure=keep_on_failure,
    )
    for judgment in judgments:
        count.add(judgment)
    return Judged(judgments, count.summary(stats, level), stats, stopped)


class PairCount:
    """Running counts of comparisons."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._scores = ScoreCount(judge.rubric)
        self._winners: Counter[str] = Counter()
        self._consistent = self._shown_first = self._decided = 0

    def add(self, pair: PairJudgment) -> None:
        """Count one comparison."""
        method = None if pair.in_order is None else pair.in_order.parse_method
        self._scores.add(Judgment(pair.score, pair.status, method))
        for judgment in (pair.in_order, pair.swapped):
            winner = None if judgment is None else _winner(judgment)
            self._decided += winner in ("first", "second")
            self._shown_first += winner == "first"
        if pair.winner is not None:
            self._winners[pair.winner] += 1
            self._consistent += pair.consistent is True

    def summary(self, stats: RunStats, level: float = 0.95) -> PairSummary:
        """Summary of the comparisons so far."""
        return PairSummary(
            self._scores.summary(stats, self._judge.price, level),
            {name: self._winners[name] for name in ("first", "tie", "second")},
            wilson(self._consistent, sum(self._winners.values()), level),
            wilson(self._shown_first, self._decided, level),
        )


def _pair_judgment(judge: Judge, replies: Replies | NotJudged) -> PairJudgment:
    if isinstance(replies, NotJudged):
        return PairJudgment(None, replies.status, error=replies.error)
    in_order, swapped = (parse_judgment(judge.rubric, judge.extraction, samples) for samples in replies.orders)
    if judge.commit_first:
        in_order = replace(in_order, own_answer=replies.own_answer)
    for judgment in (in_order, swapped):
        if judgment.score is None:
            return PairJudgment(None, judgment.status, in_order, swapped, judgment.error)
    first, second = _winner(in_order), FLIPPED[_winner(swapped)]
    return PairJudgment(first if first is not None and first == second else "tie", "scored", in_order, swapped)


def _winner(judgment: Judgment) -> Winner | None:
    """The winner by position in one order."""
    if judgment.score is None:
        return None
    if math.isclose(judgment.score, 0.5, abs_tol=1e-9):
        return "tie"
    return "first" if judgment.score > 0.5 else "second"
