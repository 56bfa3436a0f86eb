"""Agreement of label sets: several labels, or none, for each row."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.agreement.base import KindAgreement, class_agreement, row_accuracy
from hf_synthlabels.statistics.arrays import Floats, Mask, check_lengths, divided
from hf_synthlabels.statistics.bootstrap import (
    BootstrapConfig,
    RowContributions,
    class_balanced_weights,
    row_intervals,
    score_of_sums,
)
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.exhibits import Breakdown, shorten

NAME_WIDTH = 22
MISTAKES = 6

NOTE = (
    "A row without an LLM label is wrong: as a set, with Jaccard 0, every name of it counted by the Hamming loss, "
    "and its human names missed."
)


def multilabel_agreement(
    human: Sequence[Collection[str]],
    llm: Sequence[Collection[str] | None],
    names: Sequence[str],
    bootstrap: BootstrapConfig | None = None,
    design: SamplingDesign | None = None,
) -> KindAgreement:
    """Agreement of predicted label sets with human label sets.

    A row without a prediction is incorrect: its human labels are missed, its Jaccard index is 0, and all names count in
    the Hamming loss. The Jaccard index of two empty sets is 1.

    Args:
        human: human labels of each row, possibly none.
        llm: predicted labels; None is no prediction.
        names: all labels.
        bootstrap: level, resamples and seed.
        design: weights (with the mean 1), clusters and strata; None for a simple random sample.

    Raises:
        DataError: the lengths differ, or a label is not in `names`.
    """
    bootstrap = bootstrap or BootstrapConfig()
    check_lengths(human=human, llm=llm)
    truth = _indicators(human, names, "human")
    predicted = _indicators([each or () for each in llm], names, "llm")
    answered = np.array([each is not None for each in llm], dtype=bool)
    exact = (truth == predicted).all(axis=1) & answered
    wide = len(names)
    scores = row_intervals(
        _contributions(truth, predicted, answered, design),
        {
            "micro_f1": score_of_sums(lambda sums: micro_f1(sums[:, : 3 * wide])),
            "macro_f1": score_of_sums(lambda sums: mean_f1(sums[:, : 3 * wide])),
            "weighted_f1": score_of_sums(lambda sums: mean_f1(sums[:, : 3 * wide], weighted=True)),
            "jaccard": score_of_sums(lambda sums: divided(sums[:, -2], sums[:, -3])),
            "hamming_loss": score_of_sums(lambda sums: divided(sums[:, -1], wide * sums[:, -3])),
        },
        bootstrap,
        len(truth),
    )
    return KindAgreement(
        {**row_accuracy(answered, exact, design, bootstrap.level), **scores},
        tuple(
            class_agreement(name, truth[:, k] > 0, predicted[:, k] > 0, design, bootstrap.level)
            for k, name in enumerate(names)
        ),
        _mistakes(truth, predicted, answered, names),
        (NOTE,),
    )


def micro_f1(sums: Floats) -> Floats:
    """F1 of all names together, 2 TP / (predicted + human).

    Args:
        sums: correct, predicted and human occurrences of each name, side by side, shape (..., 3 K).
    """
    correct, predicted, human = (part.sum(axis=-1) for part in np.split(sums, 3, axis=-1))
    return divided(2 * correct, predicted + human)


def mean_f1(sums: Floats, *, weighted: bool = False) -> Floats:
    """The mean F1 over the names that occur, or weighted by human occurrences; `sums` as in `micro_f1`."""
    correct, predicted, human = np.split(sums, 3, axis=-1)
    weights = human if weighted else (predicted + human > 0).astype(np.float64)
    per_name = divided(2 * correct, predicted + human, otherwise=0.0)
    return divided((per_name * weights).sum(axis=-1), weights.sum(axis=-1))


def _indicators(sets: Sequence[Collection[str]], names: Sequence[str], field: str) -> Floats:
    """Which names each row has, shape (rows, K), as 0 and 1.

    Raises:
        DataError: a name is not in `names`.
    """
    codes = {name: code for code, name in enumerate(names)}
    out = np.zeros((len(sets), len(names)))
    for row, each in enumerate(sets):
        for name in each:
            if name not in codes:
                raise DataError(
                    f"`{field}` has {name!r} in row {row:,}, which is not in `names`. Add it or correct it."
                )
            out[row, codes[name]] = 1
    return out


def _contributions(truth: Floats, predicted: Floats, answered: Mask, design: SamplingDesign | None) -> RowContributions:
    """For each row TP, predicted and human of each name; then 1, its Jaccard index and its number of wrong names."""
    both, either = (truth * predicted).sum(axis=1), np.maximum(truth, predicted).sum(axis=1)
    jaccard = np.where(answered, divided(both, either, otherwise=1.0), 0.0)
    wrong_names = np.where(answered, (truth != predicted).sum(axis=1), truth.shape[1])
    ones, nothing = np.ones(len(truth)), np.zeros_like(truth)
    # A wrong pseudo-row misses each human name and has as many wrong ones instead; of an empty set, one.
    missed = np.clip(2 * truth.sum(axis=1), min(1, truth.shape[1]), truth.shape[1])
    return RowContributions(
        np.column_stack([truth * predicted, predicted, truth, ones, jaccard, wrong_names]),
        np.column_stack([truth, truth, truth, ones, ones, 0 * ones]),
        np.column_stack([nothing, truth, truth, ones, 0 * ones, missed]),
        class_balanced_weights(truth),
        design,
    )


def _mistakes(truth: Floats, predicted: Floats, answered: Mask, names: Sequence[str]) -> tuple[Breakdown, ...]:
    """The names that are most often missed, and most often added, in answered rows."""
    missed = ((truth > predicted) & answered[:, None]).sum(axis=0)
    added = ((predicted > truth) & answered[:, None]).sum(axis=0)
    cells = [("missed", name, int(missed[k]), int(truth[:, k].sum())) for k, name in enumerate(names)]
    cells += [("added", name, int(added[k]), int(predicted[:, k].sum())) for k, name in enumerate(names)]
    cells = sorted((cell for cell in cells if cell[2]), key=lambda cell: -cell[2])[:MISTAKES]
    rows = tuple((what, shorten(name, NAME_WIDTH), count, of) for what, name, count, of in cells)
    return (Breakdown(("most frequent mistakes", "name", "rows", "of"), rows),) if rows else ()
