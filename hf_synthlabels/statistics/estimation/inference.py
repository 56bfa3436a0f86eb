"""Inference: what is said of how the human labels were drawn, and how estimates are to be made."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.estimation.surrogate import Learner, ridge
from hf_synthlabels.statistics.label_ids import check_level
from hf_synthlabels.statistics.raters.ratings import Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """How the human labels were drawn, and how estimates are to be made of them.

    Raises:
        ConfigError: `level` is not between 0 and 1, there are fewer than 2 folds or no split, or `finite` and
            `clusters` are both given.
    """

    probabilities: Numbers | None = None
    """With what chance each row was chosen to get a human label, shape (rows,); only those of rows with one are read.
    None: all had the same chance."""
    clusters: ArrayLike | None = None
    """Which rows hang together, such as sentences of one article, shape (rows,); None if none do."""
    features: ArrayLike | None = None
    """More to guess a human label from than the LLM's and the predictors, such as its confidence: shape (rows,) or
    (rows, p), nothing missing. DSL alone uses them."""
    learner: Learner = ridge
    """What guesses in DSL: any function of features and labels to learn from, and features to guess for."""
    folds: int = 5
    """Parts into which rows are cut for DSL, so that no guess has seen its own row's label."""
    splits: int = 10
    """How often they are cut anew; the median counts, so that the chance in one cut does not."""
    seed: int = 0
    """Of the cuts."""
    level: float = 0.95
    finite: bool = False
    """Whether the question is of these rows alone, and not of all that are like them: then only the drawing is by
    chance, a human label of every row leaves nothing open, and variances shrink by 1 - chance (Cochran 1977, 2.6;
    Hajek 1964 for unequal chances)."""

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.folds < 2:
            raise ConfigError(f"`folds` is {self.folds!r}: give 2 or more; 5 is usual.")
        if self.splits < 1:
            raise ConfigError(f"`splits` is {self.splits!r}: give 1 or more; 10 is usual.")
        if self.finite and self.clusters is not None:
            raise ConfigError(
                "`clusters` is given with `finite`: of these rows alone only the drawing is by chance, and rows were "
                "drawn one by one. Leave one of them out."
            )
