"""The rater model of Dawid & Skene (1979): true classes and the raters' confusion matrices, by EM.

Given the true class, raters err independently. Three raters of each row are needed to identify an error matrix of each
(Kruskal 1977). Two raters identify one error rate, if both have the same one and all wrong classes are equally
frequent: the one-coin model. Votes without names of raters share one matrix.

Every matrix row has pseudo-votes: `PSEUDO_VOTES` with the mean error rate of all raters, of which the share that is
correct goes to the diagonal. So a rater who never errs, or a class that occurs once, does not give a rate of 0 or 1.
The share of each class has one pseudo-row in all. EM starts from the shares of the votes, and the classes are matched
to the labels by the matrices (Kuhn 1955), so that classes do not change their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints
from hf_synthlabels.statistics.raters.votes import Votes

Model = Literal["raters", "shared", "one-coin"]

PSEUDO_VOTES = 1.0
TOLERANCE = 1e-6
MAX_ITERATIONS = 1000
LEAST = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Estimates of B fits, one for each vector of row weights."""

    shares: Floats
    """Of the true classes, shape (B, K)."""
    matrices: Floats
    """Probability of each label (last axis) given the true class, of each rater: shape (B, G, K, K)."""
    posteriors: Floats
    """Probability of each true class of a pattern, shape (B, P, K)."""
    converged: NDArray[np.bool_]
    """Shape (B,)."""

    @property
    def accuracies(self) -> Floats:
        """Probability that a label of each rater is the true class, shape (B, G)."""
        accuracies: Floats = np.einsum("bk,bgkk->bg", self.shares, self.matrices)
        return accuracies


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """Distinct rows of votes."""

    counts: Floats
    """Votes of each rater for each label, flattened: shape (P, G * K)."""
    of_row: Ints
    """The pattern of each row, shape (rows,)."""
    classes: int

    @property
    def raters(self) -> int:
        """Raters with a matrix, G."""
        return int(self.counts.shape[1]) // self.classes

    @property
    def totals(self) -> Floats:
        """Votes for each label, shape (P, K)."""
        totals: Floats = self.counts.reshape(len(self.counts), -1, self.classes).sum(axis=1)
        return totals


def vote_patterns(votes: Votes, model: Model, extra: Ints | None = None) -> Patterns:
    """The distinct rows of votes; rows with different `extra` codes have different patterns."""
    size = len(votes.labels)
    table = (votes.codes[:, :, None] == np.arange(size)).astype(np.int64)
    table = table.sum(axis=1) if model == "shared" else table.reshape(len(table), -1)
    keys = table if extra is None else np.column_stack([table, extra])
    distinct, place = np.unique(keys, axis=0, return_inverse=True)
    counts = distinct if extra is None else distinct[:, :-1]
    return Patterns(counts.astype(np.float64), place.ravel().astype(np.int64), size)


def default_model(votes: Votes) -> Model | None:
    """The model that the votes identify; None without one, such as for a single vote per row."""
    most = int(votes.given.max(initial=0))
    if most < 2:
        return None
    if most == 2:
        return "one-coin"
    return "raters" if votes.raters else "shared"


def fit_raters(
    patterns: Patterns, weights: Floats, model: Model, start: Fit | None = None, tolerance: float = TOLERANCE
) -> Fit:
    """Fit the model for each vector of weights.

    Args:
        patterns: of the votes.
        weights: rows of each pattern, weighted, shape (B, P).
        model: which matrices are equal: none ("raters"), all ("shared"), or all with one error rate ("one-coin").
        start: a fit of one vector, or of each, to begin with; by default the shares of the votes.
        tolerance: largest change of a share of votes at which EM ends.
    """
    totals = patterns.totals
    votes = totals / np.maximum(1, totals.sum(axis=1, keepdims=True))
    correct = np.clip((weights @ (totals * votes).sum(axis=1)) / (weights @ totals.sum(axis=1)), 0.5, 0.99)
    prior = PSEUDO_VOTES * _coin(correct, patterns.classes)[:, None]
    shares, matrices = _maximize(patterns, weights, np.broadcast_to(votes, (len(weights), *votes.shape)), prior, model)
    if start is not None:
        shares, matrices = (
            np.broadcast_to(part, (len(weights), *part.shape[1:])).copy() for part in (start.shares, start.matrices)
        )
    # Fits that have converged are left out of further steps.
    active = np.arange(len(weights))
    for _ in range(MAX_ITERATIONS):
        posteriors = class_posteriors(patterns, shares[active], matrices[active])
        new_shares, new_matrices = _maximize(patterns, weights[active], posteriors, prior[active], model)
        # A class without rows has a matrix that does not matter: changes of votes count, not of probabilities.
        joint = new_shares[:, None, :, None] * new_matrices - shares[active][:, None, :, None] * matrices[active]
        shares[active], matrices[active] = new_shares, new_matrices
        active = active[np.abs(joint).max(axis=(1, 2, 3)) >= tolerance]
        if not len(active):
            break
    converged = np.ones(len(weights), dtype=np.bool_)
    converged[active] = False
    return Fit(shares, matrices, class_posteriors(patterns, shares, matrices), converged)


def _maximize(
    patterns: Patterns, weights: Floats, posteriors: Floats, prior: Floats, model: Model
) -> tuple[Floats, Floats]:
    """Shares of the classes and matrices given the probabilities of the classes."""
    mass = weights[:, :, None] * posteriors
    shares = mass.sum(axis=1) + 1 / patterns.classes
    sums = np.swapaxes(mass, 1, 2) @ patterns.counts
    sums = sums.reshape(len(weights), patterns.classes, -1, patterns.classes).swapaxes(1, 2)
    return shares / shares.sum(axis=1, keepdims=True), np.array(TIES[model](sums + prior))


def class_posteriors(patterns: Patterns, shares: Floats, matrices: Floats) -> Floats:
    """The probability of each true class of each pattern, shape (B, P, K)."""
    size = patterns.classes
    logs = np.log(np.maximum(matrices, LEAST)).swapaxes(2, 3).reshape(len(shares), -1, size)
    scores = np.log(np.maximum(shares, LEAST))[:, None] + patterns.counts @ logs
    scores -= scores.max(axis=2, keepdims=True)
    likely = np.exp(scores)
    posteriors: Floats = likely / likely.sum(axis=2, keepdims=True)
    return posteriors


def match_classes(fit: Fit) -> tuple[Fit, bool]:
    """A fit of one vector with its classes matched to the labels, and whether that changed their order."""
    gain = (fit.shares[0][:, None] * fit.matrices[0].mean(axis=0)).T
    _, order = optimize.linear_sum_assignment(gain, maximize=True)
    if (order == np.arange(len(order))).all():
        return fit, False
    return Fit(fit.shares[:, order], fit.matrices[:, :, order], fit.posteriors[:, :, order], fit.converged), True


def llm_accuracy(
    patterns: Patterns, llm: Ints, posteriors: Floats, weights: Floats, *, independent: bool = True
) -> Floats:
    """The probability that the LLM's label is the true class, shape (B,).

    The human votes alone give the prior probability of each class of a row. If the LLM errs independently of the raters
    given the class, its label is further evidence; its own confusion matrix is fitted by EM, with the raters' fixed.

    Args:
        patterns: of the votes and of the LLM's label.
        llm: label of each pattern, `MISSING` for none, shape (P,).
        posteriors: of the true class given the votes, shape (B, P, K).
        weights: rows of each pattern, weighted, shape (B, P).
        independent: whether the LLM's label is used as evidence.
    """
    size = patterns.classes
    labels = np.where(llm == MISSING, size, np.minimum(llm, size))
    columns = (labels[:, None] == np.arange(size + 1)).astype(np.float64)
    hits, responsibilities = columns[:, :size], posteriors
    total = weights.sum(axis=1)
    for _ in range(MAX_ITERATIONS if independent else 0):
        mass = weights[:, :, None] * responsibilities
        # The pseudo-votes are distributed as the LLM's labels, so that they carry no information on the class.
        overall = (weights @ columns + 1 / (size + 1)) / (total[:, None] + 1)
        sums = np.swapaxes(mass, 1, 2) @ columns + PSEUDO_VOTES * overall[:, None]
        matrix = sums / sums.sum(axis=2, keepdims=True)
        likely = posteriors * matrix[:, :, labels].swapaxes(1, 2)
        updated = likely / likely.sum(axis=2, keepdims=True)
        moved = np.abs((weights[:, :, None] * (updated - responsibilities)).sum(axis=1)).max(axis=1) / total
        responsibilities = updated
        if (moved < TOLERANCE / 10).all():
            break
    accuracy: Floats = ((responsibilities * hits).sum(axis=2) * weights).sum(axis=1) / total
    return accuracy


def _coin(correct: Floats, size: int) -> Floats:
    """Matrices with one accuracy, shape (B, K, K)."""
    eye, wrong = np.eye(size), (1 - correct) / max(1, size - 1)
    matrices: Floats = correct[:, None, None] * eye + wrong[:, None, None] * (1 - eye)
    return matrices


def _normalized(sums: Floats) -> Floats:
    matrices: Floats = sums / sums.sum(axis=3, keepdims=True)
    return matrices


def _shared(sums: Floats) -> Floats:
    return _normalized(np.broadcast_to(sums.sum(axis=1, keepdims=True), sums.shape))


def _one_coin(sums: Floats) -> Floats:
    correct = np.einsum("bgkk->b", sums) / sums.sum(axis=(1, 2, 3))
    return np.broadcast_to(_coin(correct, sums.shape[3])[:, None], sums.shape)


TIES: dict[Model, Callable[[Floats], Floats]] = {"raters": _normalized, "shared": _shared, "one-coin": _one_coin}
