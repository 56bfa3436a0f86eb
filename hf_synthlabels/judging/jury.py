"""Jury: several judges on the same answers, folded into one score each."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, get_args

import numpy as np
from scipy import optimize, stats

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.judge import Judge, Judged, References
from hf_synthlabels.judging.judgment import Judgment, JudgmentStatus
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.judging.summary import ScoreCount, cost_usd

Reducer = Literal["mean", "median", "majority", "weighted"]
"""`majority` is the score that more than half of the members with a score give; without one the jury is split."""

MIN_ROWS = 20
"""Rows with human scores below which weights are noise."""


@dataclass(frozen=True, slots=True)
class JuryJudged:
    """What a jury came to."""

    judged: Judged
    """The jury's own judgments; the `draws` of each are the scores of the members, None for one without."""
    members: dict[str, Judged]
    left_out: dict[str, int]
    """How many items each member gave no score to, and was left out of."""


@dataclass(frozen=True)
class Jury:
    """Several judges, perhaps with rubrics of different scales, folded into one score on the first one's scale.

    A member's unscored item is left out of that item's score and counted; an item that no member scored is unscored.

    Args:
        judges: by name.
        reducer: how scores are folded.
        weights: by name, for `weighted`; `measured_weights` finds them.

    Raises:
        ConfigError: there are no judges, the reducer is not known, or the weights do not fit the judges.
    """

    judges: Mapping[str, Judge]
    reducer: Reducer = "mean"
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not self.judges:
            raise ConfigError("`judges` is empty. Give at least one judge.")
        if self.reducer not in get_args(Reducer):
            raise ConfigError(f"`reducer` is {self.reducer!r}. Use one of: {', '.join(get_args(Reducer))}.")
        if any(judge.rubric.protocol == "pairwise" for judge in self.judges.values()):
            raise ConfigError("`judges` has one whose rubric compares two answers. A jury scores answers one by one.")
        if (self.weights is not None) != (self.reducer == "weighted"):
            raise ConfigError("`weights` belong to the reducer 'weighted', and to no other. Give both or neither.")
        if self.weights is not None:
            _check_weights(self.weights, self.judges)

    def judge(
        self,
        predictions: Sequence[str | None],
        references: References | None = None,
        inputs: Sequence[str | None] | None = None,
        *,
        level: float = 0.95,
        keep_on_failure: bool = False,
    ) -> JuryJudged:
        """Let all judge the same answers, one after the other; see `Judge.judge`."""
        members = {
            name: judge.judge(predictions, references, inputs, level=level, keep_on_failure=keep_on_failure)
            for name, judge in self.judges.items()
        }
        rubrics = [judge.rubric for judge in self.judges.values()]
        weights = None if self.weights is None else [self.weights[name] for name in self.judges]
        columns = [member.judgments for member in members.values()]
        judgments = [_folded(rubrics, list(row), self.reducer, weights) for row in zip(*columns, strict=True)]
        count, tally = ScoreCount(rubrics[0]), RunStats()
        for judgment in judgments:
            count.add(judgment)
        for member in members.values():
            tally.add(member.tally.to_dict())
        summary = count.summary(tally, None, level)
        costs = [cost_usd(members[name].tally, judge.price) for name, judge in self.judges.items()]
        known = None if None in costs else math.fsum(cost for cost in costs if cost is not None)
        summary = replace(summary, cost_usd=known)
        stopped = next((member.stopped for member in members.values() if member.stopped), "")
        left_out = {
            name: sum(judgment.score is None for judgment in member.judgments) for name, member in members.items()
        }
        return JuryJudged(Judged(judgments, summary, tally, stopped), members, left_out)


def reduced(scores: Sequence[float | None], reducer: Reducer, weights: Sequence[float] | None = None) -> float | None:
    """One score of several; None where no member gave one, no majority is there, or those with one weigh nothing."""
    known = [
        (score, 1.0 if weights is None else weights[place]) for place, score in enumerate(scores) if score is not None
    ]
    values = [score for score, _ in known]
    if not known:
        return None
    if reducer == "median":
        return float(median(values))
    if reducer == "majority":
        value, times = Counter(values).most_common(1)[0]
        return value if 2 * times > len(values) else None
    total = math.fsum(weight for _, weight in known)
    return math.fsum(score * weight for score, weight in known) / total if total > 0 else None


@dataclass(frozen=True, slots=True)
class JuryWeights:
    """Weights of judges, measured on rows with human scores, and what they are worth on held-out ones.

    The validities are cross-validated: Spearman's rho with the human scores, of predictions for held-out rows.
    """

    weights: dict[str, float]
    """They sum to 1."""
    validity: float
    """Of the weighted jury."""
    equal_validity: float
    """Of the plain mean of all members."""
    member_validity: dict[str, float]
    kept_equal: bool
    """Whether the weights are equal because weighing was not better on held-out rows."""
    n: int
    folds: int
    seed: int


def measured_weights(
    scores: Mapping[str, Sequence[float | None]], human: Sequence[float | None], *, folds: int = 5, seed: int = 0
) -> JuryWeights:
    """Weigh judges by what they add to each other's agreement with human scores.

    The weights are those of stacked regression (Breiman 1996): the non-negative least squares fit of the human scores.
    Whether they are better than equal ones is decided on held-out rows, and if they are not, equal ones are kept.

    Args:
        scores: of each judge by name, on one scale; None or nan for an unscored item.
        human: for the same items; None or nan where there is none. Rows that lack any score are left out.
        folds: of the cross-validation.
        seed: which rows are held out together.

    Raises:
        DataError: the columns differ in length, or fewer than 20 rows have all scores.
        ConfigError: `folds` is less than 2.
    """
    if folds < 2:
        raise ConfigError(f"`folds` is {folds}. Give a number from 2.")
    if unequal := [name for name, column in scores.items() if len(column) != len(human)]:
        raise DataError(f"`scores` of {unequal[0]!r} has {len(scores[unequal[0]])} rows, and `human` {len(human)}.")
    table = np.array(
        [[math.nan if value is None else value for value in column] for column in scores.values()], dtype=float
    ).T
    truth = np.array([math.nan if value is None else value for value in human], dtype=float)
    whole = ~np.isnan(truth) & ~np.isnan(table).any(axis=1)
    table, truth = table[whole], truth[whole]
    if len(truth) < MIN_ROWS:
        raise DataError(f"`human` and all `scores` are there in {len(truth)} rows. Give at least {MIN_ROWS}.")
    part = np.random.default_rng(seed).permutation(len(truth)) % folds
    held_out = np.empty(len(truth))
    for fold in range(folds):
        inside = part != fold
        held_out[~inside] = table[~inside] @ _stacked(table[inside], truth[inside])
    validity, equal = _rho(held_out, truth), _rho(table.mean(axis=1), truth)
    better = validity > equal
    weights = _stacked(table, truth) if better else np.full(len(scores), 1 / len(scores))
    return JuryWeights(
        weights={name: float(weight) for name, weight in zip(scores, weights, strict=True)},
        validity=validity if better else equal,
        equal_validity=equal,
        member_validity={name: _rho(column, truth) for name, column in zip(scores, table.T, strict=True)},
        kept_equal=not better,
        n=len(truth),
        folds=folds,
        seed=seed,
    )


def _stacked(table: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Non-negative weights that sum to 1; equal ones where nothing agrees with the truth."""
    weights, _ = optimize.nnls(table - table.mean(axis=0), truth - truth.mean())
    total = weights.sum()
    return weights / total if total > 0 else np.full(table.shape[1], 1 / table.shape[1])


def _rho(one: np.ndarray, other: np.ndarray) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(stats.spearmanr(one, other).statistic)


def _folded(
    rubrics: Sequence[Rubric], row: Sequence[Judgment], reducer: Reducer, weights: Sequence[float] | None
) -> Judgment:
    """The judgments of one item as the jury's."""
    house = rubrics[0]
    scores = tuple(
        None if one.score is None else house.low + (house.high - house.low) * rubric.unit(one.score)
        for rubric, one in zip(rubrics, row, strict=True)
    )
    raw = json.dumps([one.raw for one in row], ensure_ascii=False)
    score = reduced(scores, reducer, weights)
    if score is not None:
        reason = next((one.reason for one in row if one.reason), None)
        return Judgment(score, "scored", "draws", reason, raw, scores)
    if any(known is not None for known in scores):
        return Judgment(None, "split", raw=raw, draws=scores, trouble="the members that gave a score decide on none")
    first: JudgmentStatus = row[0].status
    return Judgment(None, first, raw=raw, draws=scores, trouble=row[0].trouble)


def _check_weights(weights: Mapping[str, float], judges: Mapping[str, Judge]) -> None:
    if set(weights) != set(judges):
        raise ConfigError(
            f"`weights` are for {sorted(weights)}, and the judges are {sorted(judges)}. Give one for each."
        )
    if min(weights.values()) < 0 or not math.isfinite(math.fsum(weights.values())) or sum(weights.values()) <= 0:
        raise ConfigError(f"`weights` are {dict(weights)}. Give numbers from 0, one of them above it.")
