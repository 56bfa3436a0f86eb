"""Jury: several judges score the same answers, and their scores are combined."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, get_args

import numpy as np
from scipy.optimize import nnls
from scipy.stats import spearmanr

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.criteria.overall import overall_judgment
from hf_synthlabels.judging.items import References
from hf_synthlabels.judging.judge import Judge, Judged
from hf_synthlabels.judging.judgment import Judgment
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.judging.summary import JudgeSummary, ScoreCount, cost_usd

Reducer = Literal["mean", "median", "majority", "weighted"]
"""`majority` is the score of more than half of the members with a score; without a majority the jury is split."""

MIN_ROWS = 20
"""Minimum number of rows with human scores to estimate weights."""


@dataclass(frozen=True, slots=True)
class JuryJudged:
    """Judgments of a jury and of its members."""

    judged: Judged[Judgment, JudgeSummary]
    """The jury's judgments; the `samples` of each are the scores of the members, None for an unscored item."""
    members: dict[str, Judged[Judgment, JudgeSummary]]
    n_unscored: dict[str, int]
    """Items that each member did not score."""


@dataclass(frozen=True)
class Jury:
    """Several judges, combined into one score on the first judge's scale.

    The score of an item combines the members that scored it. An item that no member scored is unscored.

    Args:
        judges: judges by name; their scales may differ.
        reducer: how scores are combined.
        weights: weights by name for the reducer `weighted`; `measured_weights` estimates them.

    Raises:
        ConfigError: there are no judges, the reducer is unknown, or the weights do not match the judges.
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
            raise ConfigError(
                "`judges` has a pairwise rubric, but a jury scores answers one by one. Use another rubric."
            )
        if len({tuple(judge.rubric.parts) for judge in self.judges.values()}) > 1:
            raise ConfigError("`judges` has rubrics with different criteria. Give all of them the same criteria.")
        if (self.weights is not None) != (self.reducer == "weighted"):
            raise ConfigError("`weights` belong to the reducer 'weighted' and to no other. Give both or neither.")
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
        """Judge the same answers with each member in turn; see `Judge.judge`."""
        members = {
            name: judge.judge(predictions, references, inputs, level=level, keep_on_failure=keep_on_failure)
            for name, judge in self.judges.items()
        }
        rubrics = [judge.rubric for judge in self.judges.values()]
        weights = None if self.weights is None else [self.weights[name] for name in self.judges]
        columns = [member.judgments for member in members.values()]
        judgments = [_combined(rubrics, list(row), self.reducer, weights) for row in zip(*columns, strict=True)]
        count, stats = ScoreCount(rubrics[0]), RunStats()
        for judgment in judgments:
            count.add(judgment)
        for member in members.values():
            stats.add(member.stats.to_dict())
        costs = [cost_usd(members[name].stats, judge.price) for name, judge in self.judges.items()]
        known_cost = None if None in costs else math.fsum(cost for cost in costs if cost is not None)
        summary = replace(count.summary(stats, None, level), cost_usd=known_cost)
        stopped = next((member.stopped for member in members.values() if member.stopped), "")
        n_unscored = {
            name: sum(judgment.score is None for judgment in member.judgments) for name, member in members.items()
        }
        return JuryJudged(Judged(judgments, summary, stats, stopped), members, n_unscored)


def combined_score(
    scores: Sequence[float | None], reducer: Reducer, weights: Sequence[float] | None = None
) -> float | None:
    """Several scores as one; None without scores, without a majority, or if the weights of all scores are 0."""
    known = [
        (score, 1.0 if weights is None else weights[place]) for place, score in enumerate(scores) if score is not None
    ]
    values = [score for score, _ in known]
    if not known:
        return None
    if reducer == "median":
        return float(median(values))
    if reducer == "majority":
        value, votes = Counter(values).most_common(1)[0]
        return value if 2 * votes > len(values) else None
    total = math.fsum(weight for _, weight in known)
    return math.fsum(score * weight for score, weight in known) / total if total > 0 else None


@dataclass(frozen=True, slots=True)
class JuryWeights:
    """Weights of judges, estimated on rows with human scores.

    Validities are cross-validated: Spearman's rho between human scores and predictions for held-out rows.
    """

    weights: dict[str, float]
    """They sum to 1."""
    validity: float
    """Validity of the weighted jury."""
    equal_validity: float
    """Validity of the unweighted mean of all members."""
    member_validity: dict[str, float]
    kept_equal: bool
    """Whether the weights are equal because weighting did not improve the validity."""
    n: int
    folds: int
    seed: int


def measured_weights(
    scores: Mapping[str, Sequence[float | None]], human: Sequence[float | None], *, folds: int = 5, seed: int = 0
) -> JuryWeights:
    """Estimate the weights of judges from their agreement with human scores.

    The weights are those of stacked regression (Breiman 1996), a non-negative least squares fit of the human scores.
    Equal weights are kept unless the estimated ones have a higher validity on held-out rows.

    Args:
        scores: scores of each judge on one scale; None or nan for an unscored item.
        human: human scores of the same items; None or nan if missing. Incomplete rows are dropped.
        folds: number of cross-validation folds.
        seed: random seed of the folds.

    Raises:
        DataError: the columns differ in length, or fewer than 20 rows are complete.
        ConfigError: `folds` is less than 2.
    """
    if folds < 2:
        raise ConfigError(f"`folds` is {folds}: give at least 2.")
    if unequal := [name for name, column in scores.items() if len(column) != len(human)]:
        raise DataError(f"`scores` of {unequal[0]!r} and `human` differ in length: give one value per row.")
    table = np.array(
        [[math.nan if value is None else value for value in column] for column in scores.values()], dtype=float
    ).T
    target = np.array([math.nan if value is None else value for value in human], dtype=float)
    complete = ~np.isnan(target) & ~np.isnan(table).any(axis=1)
    table, target = table[complete], target[complete]
    if len(target) < MIN_ROWS:
        raise DataError(f"`human` and all `scores` are known in {len(target)} rows. Give at least {MIN_ROWS}.")
    fold_of_row = np.random.default_rng(seed).permutation(len(target)) % folds
    held_out = np.empty(len(target))
    for fold in range(folds):
        fitted = fold_of_row != fold
        held_out[~fitted] = table[~fitted] @ _stacked_weights(table[fitted], target[fitted])
    validity, equal = _spearman(held_out, target), _spearman(table.mean(axis=1), target)
    better = validity > equal
    weights = _stacked_weights(table, target) if better else np.full(len(scores), 1 / len(scores))
    return JuryWeights(
        weights={name: float(weight) for name, weight in zip(scores, weights, strict=True)},
        validity=validity if better else equal,
        equal_validity=equal,
        member_validity={name: _spearman(column, target) for name, column in zip(scores, table.T, strict=True)},
        kept_equal=not better,
        n=len(target),
        folds=folds,
        seed=seed,
    )


def _stacked_weights(table: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Non-negative weights that sum to 1; equal ones if no column agrees with the target."""
    weights, _ = nnls(table - table.mean(axis=0), target - target.mean())
    total = weights.sum()
    return weights / total if total > 0 else np.full(table.shape[1], 1 / table.shape[1])


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(spearmanr(x, y).statistic)


def _combined(
    rubrics: Sequence[Rubric], row: Sequence[Judgment], reducer: Reducer, weights: Sequence[float] | None
) -> Judgment:
    """The members' judgments of one item as the jury's judgment."""
    scale = rubrics[0]
    if scale.criteria:
        criteria = {
            name: replace(
                _combined(
                    [rubric.parts[name] for rubric in rubrics],
                    [judgment.criteria[name] for judgment in row],
                    reducer,
                    weights,
                ),
                raw="",
            )
            for name in scale.parts
        }
        raw = json.dumps([judgment.raw for judgment in row], ensure_ascii=False)
        reason = next((judgment.reason for judgment in row if judgment.reason), None)
        return replace(overall_judgment(scale, criteria), raw=raw, reason=reason)
    scores = tuple(
        None if judgment.score is None else scale.low + (scale.high - scale.low) * rubric.unit(judgment.score)
        for rubric, judgment in zip(rubrics, row, strict=True)
    )
    raw = json.dumps([judgment.raw for judgment in row], ensure_ascii=False)
    score = combined_score(scores, reducer, weights)
    if score is not None:
        reason = next((judgment.reason for judgment in row if judgment.reason), None)
        return Judgment(score, "scored", "samples", reason, raw, scores)
    if any(known is not None for known in scores):
        return Judgment(None, "split", raw=raw, samples=scores, error="the scores of the members have no majority")
    return Judgment(None, row[0].status, raw=raw, samples=scores, error=row[0].error)


def _check_weights(weights: Mapping[str, float], judges: Mapping[str, Judge]) -> None:
    if set(weights) != set(judges):
        raise ConfigError(
            f"`weights` are for {sorted(weights)}, but the judges are {sorted(judges)}. Give one for each."
        )
    if min(weights.values()) < 0 or not math.isfinite(math.fsum(weights.values())) or sum(weights.values()) <= 0:
        raise ConfigError(f"`weights` are {dict(weights)}. Give non-negative numbers, at least one above 0.")
