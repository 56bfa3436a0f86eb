"""Pairs: two answers are compared in both orders; where the orders disagree, it is a tie."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.errors import AllFailedError, ConfigError
from hf_synthlabels.judging.judge import Judge, References, counted, items_of
from hf_synthlabels.judging.judgment import Judgment, JudgmentStatus
from hf_synthlabels.judging.parsing.reply_parser import judged
from hf_synthlabels.judging.prompt import Item
from hf_synthlabels.judging.run.requests import Answered, check_breaker
from hf_synthlabels.judging.summary import JudgeSummary, ScoreCount
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.intervals import wilson

Winner = Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True)
class PairJudgment:
    """What a judge said of two answers, asked in both orders."""

    winner: Winner | None
    """None unless both orders have a verdict; a tie where they disagree."""
    status: JudgmentStatus
    """`scored`, or that of the first order that has none."""
    in_order: Judgment | None = None
    """With the first answer shown first; its score is that of the answer that was shown first. None when not asked."""
    swapped: Judgment | None = None
    """With the second answer shown first; here a high score speaks for the second answer."""
    trouble: str = ""

    @property
    def consistent(self) -> bool | None:
        """Whether both orders say the same; None unless both have a verdict."""
        if self.winner is None or self.in_order is None or self.swapped is None:
            return None
        return _winner(self.in_order) == _flipped(_winner(self.swapped))

    @property
    def preference(self) -> float | None:
        """How far the judge prefers the first answer, from 0 to 1: the mean of both orders.

        With expected scores a probability; from verdicts alone one of 0, 0.25, 0.5, 0.75 and 1.
        """
        if self.winner is None or self.in_order is None or self.swapped is None:
            return None
        assert self.in_order.score is not None
        assert self.swapped.score is not None
        return (self.in_order.score + 1 - self.swapped.score) / 2

    @property
    def score(self) -> float | None:
        """1 when the first answer wins, 0 when the second does, 0.5 for a tie."""
        return {None: None, "first": 1.0, "second": 0.0, "tie": 0.5}[self.winner]


@dataclass(frozen=True, slots=True)
class PairSummary:
    """What many comparisons come to."""

    wins: JudgeSummary
    """Of the scores of the first answers: a win counts 1, a tie 0.5."""
    winners: dict[str, int]
    consistency: Interval
    """Of the pairs with both verdicts the share on which both orders agree (Wilson)."""
    shown_first: Interval
    """Of the single verdicts that are no tie the share that prefers what was shown first (Wilson); a judge without
    position bias has 0.5. The two verdicts of a pair count as two, which makes the interval a little too narrow."""

    def as_dict(self) -> dict[str, Any]:
        """As plain numbers, texts and dictionaries of numbers; nan stays nan."""
        found = self.wins.as_dict()
        found["win_rate"] = found.pop("mean")
        found |= {"win_rate_low": found.pop("mean_low"), "win_rate_high": found.pop("mean_high")}
        found.pop("unit_mean")
        found["winners"] = dict(self.winners)
        for name, interval in (("consistency", self.consistency), ("shown_first", self.shown_first)):
            found |= {
                name: float(interval.estimate),
                f"{name}_low": float(interval.low),
                f"{name}_high": float(interval.high),
                f"{name}_n": interval.n,
            }
        return found

    def __str__(self) -> str:
        return (
            f"win rate: {self.wins}; both orders agree: {self.consistency}; prefers the first shown: {self.shown_first}"
        )


@dataclass(frozen=True, slots=True)
class PairsJudged:
    """The judgments of some pairs, in their order, and what they come to."""

    judgments: list[PairJudgment]
    summary: PairSummary
    tally: RunStats
    stopped: str = ""
    """Why the run ended early; empty when it did not."""


def stream_pairs(judge: Judge, items: Iterable[Item], tally: RunStats | None = None) -> Iterator[PairJudgment]:
    """One judgment for each pair, in their order, in bounded memory; both orders are always asked.

    Raises:
        ConfigError: the judge's rubric does not compare two answers.
        AllFailedError: as `Judge.stream`.
    """
    if judge.rubric.protocol != "pairwise":
        raise ConfigError(f"`rubric` {judge.rubric.name!r} judges one answer. Use `Judge.judge`, or another rubric.")
    tally = RunStats() if tally is None else tally
    for answered in judge.asked(items, tally):
        judgment = _judgment(judge, answered)
        counted(tally, judgment.status, judgment.trouble)
        check_breaker(tally, at_end=False)
        yield judgment
    check_breaker(tally, at_end=True)


def judge_pairs(
    judge: Judge,
    predictions: Sequence[str | None],
    others: Sequence[str | None],
    references: References | None = None,
    inputs: Sequence[str | None] | None = None,
    *,
    level: float = 0.95,
    keep_on_failure: bool = False,
) -> PairsJudged:
    """Compare answers with other answers to the same inputs.

    Args:
        judge: its rubric compares two answers.
        predictions: the first answers.
        others: the second ones.
        references: one for each pair, or several for each.
        inputs: what was asked, for each.
        level: of the intervals.
        keep_on_failure: when the endpoint is down, return what was judged, the rest as `failed`, rather than raise.

    Raises:
        ConfigError: the rubric judges one answer, never shows the references that are given, or lacks those it needs.
        DataError: the columns differ in length, or hold something other than text.
        AllFailedError: as `Judge.stream`, unless `keep_on_failure`.
    """
    items = items_of(judge.rubric, predictions, references, inputs, others)
    tally, count, judgments, stopped = RunStats(), PairCount(judge), [], ""
    try:
        for judgment in stream_pairs(judge, items, tally):
            judgments.append(judgment)
    except AllFailedError as error:
        if not keep_on_failure:
            raise
        stopped = str(error)
    for _ in range(len(items) - len(judgments)):
        counted(tally, "failed", stopped)
        judgments.append(PairJudgment(None, "failed", trouble=stopped))
    for judgment in judgments:
        count.add(judgment)
    return PairsJudged(judgments, count.summary(tally, level), tally, stopped)


class PairCount:
    """Counts comparisons as they come."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._scores = ScoreCount(judge.rubric)
        self._winners: Counter[str] = Counter()
        self._consistent = self._shown_first = self._decided = 0

    def add(self, pair: PairJudgment) -> None:
        """Count one."""
        rung = None if pair.in_order is None else pair.in_order.rung
        self._scores.add(Judgment(pair.score, pair.status, rung))
        for judgment in (pair.in_order, pair.swapped):
            winner = None if judgment is None else _winner(judgment)
            self._decided += winner in ("first", "second")
            self._shown_first += winner == "first"
        if pair.winner is not None:
            self._winners[pair.winner] += 1
            self._consistent += pair.consistent is True

    def summary(self, tally: RunStats, level: float = 0.95) -> PairSummary:
        """What was counted so far."""
        return PairSummary(
            self._scores.summary(tally, self._judge.price, level),
            {name: self._winners[name] for name in ("first", "tie", "second")},
            wilson(self._consistent, sum(self._winners.values()), level),
            wilson(self._shown_first, self._decided, level),
        )


def _judgment(judge: Judge, answered: Answered) -> PairJudgment:
    if not answered.replies:
        return PairJudgment(None, "empty", trouble=judge.trouble(answered.item))
    in_order, swapped = (judged(judge.rubric, judge.extraction, replies) for replies in answered.replies)
    for judgment in (in_order, swapped):
        if judgment.score is None:
            return PairJudgment(None, judgment.status, in_order, swapped, judgment.trouble)
    first, second = _winner(in_order), _flipped(_winner(swapped))
    return PairJudgment(first if first is not None and first == second else "tie", "scored", in_order, swapped)


def _winner(judgment: Judgment) -> Winner | None:
    """Who wins by one order: the first or the second that was shown."""
    if judgment.score is None:
        return None
    if math.isclose(judgment.score, 0.5, abs_tol=1e-9):
        return "tie"
    return "first" if judgment.score > 0.5 else "second"


def _flipped(winner: Winner | None) -> Winner | None:
    if winner == "first":
        return "second"
    return "first" if winner == "second" else winner
