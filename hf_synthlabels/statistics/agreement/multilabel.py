"""Agreement of sets of names: several labels, or none, for each row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.agreement.classification import KindAgreement
from hf_synthlabels.statistics.agreement.weighted import answer_scores, name_agreement
from hf_synthlabels.statistics.arrays import Floats, divided
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, Rows, of_sums, prior_weights, row_intervals
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.text_tables import Breakdown, shorten

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
    if len(human) != len(llm):
        raise DataError(f"`human` has {len(human):,} rows and `llm` {len(llm):,}: give one each per row.")
    truth, found = _indicators(human, names, "human"), _indicators([each or () for each in llm], names, "llm")
    answered = np.array([each is not None for each in llm], dtype=bool)
    exact = (truth == found).all(axis=1) & answered
    wide = len(names)
    scores = row_intervals(
        replace(_rows(truth, found, answered), design=design),
        {
            "micro_f1": of_sums(lambda sums: micro_f1(sums[:, : 3 * wide])),
            "macro_f1": of_sums(lambda sums: mean_f1(sums[:, : 3 * wide])),
            "weighted_f1": of_sums(lambda sums: mean_f1(sums[:, : 3 * wide], weighted=True)),
            "jaccard": of_sums(lambda sums: divided(sums[:, -2], sums[:, -3])),
            "hamming_loss": of_sums(lambda sums: divided(sums[:, -1], wide * sums[:, -3])),
        },
        bootstrap,
        len(truth),
    )
    return KindAgreement(
        {**answer_scores(answered, exact, design, bootstrap.level), **scores},
        tuple(
            name_agreement(name, truth[:, k] > 0, found[:, k] > 0, design, bootstrap.level)
            for k, name in enumerate(names)
        ),
        _mistakes(truth, found, answered, names),
        (NOTE,),
    )


def name_counts(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Right, predicted and human occurrences per name from sums of shape (..., 3 K), each (..., K)."""
    wide = sums.shape[-1] // 3
    return sums[..., :wide], sums[..., wide : 2 * wide], sums[..., 2 * wide :]


def micro_f1(sums: Floats) -> Floats:
    """F1 of all names together: 2 TP / (predicted + human); nan when nothing is predicted or human."""
    right, predicted, human = (part.sum(axis=-1) for part in name_counts(sums))
    return divided(2 * right, predicted + human)


def mean_f1(sums: Floats, *, weighted: bool = False) -> Floats:
    """The mean F1 over the names that occur, or weighted by how often humans gave them."""
    right, predicted, human = name_counts(sums)
    weights = human if weighted else (predicted + human > 0).astype(np.float64)
    per_name = np.nan_to_num(divided(2 * right, predicted + human))
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


def _rows(truth: Floats, found: Floats, answered: NDArray[np.bool_]) -> Rows:
    """Per row TP, predicted and human of each name; then 1, its Jaccard index and its number of wrong names."""
    both, either = (truth * found).sum(axis=1), np.maximum(truth, found).sum(axis=1)
    jaccard = np.where(answered, np.where(either > 0, both / np.maximum(either, 1), 1.0), 0.0)
    wrong_names = np.where(answered, (truth != found).sum(axis=1), truth.shape[1])
    ones, nothing = np.ones(len(truth)), np.zeros_like(truth)
    # A wrong pseudo-row misses each human name and has as many wrong ones instead; of an empty set, one.
    missed = np.clip(2 * truth.sum(axis=1), min(1, truth.shape[1]), truth.shape[1])
    return Rows(
        np.column_stack([truth * found, found, truth, ones, jaccard, wrong_names]),
        np.column_stack([truth, truth, truth, ones, ones, 0 * ones]),
        np.column_stack([nothing, truth, truth, ones, 0 * ones, missed]),
        prior_weights(truth),
    )


def _mistakes(truth: Floats, found: Floats, answered: NDArray[np.bool_], names: Sequence[str]) -> tuple[Breakdown, ...]:
    """The names that are most often missed, and most often added, in answered rows."""
    missed = ((truth > found) & answered[:, None]).sum(axis=0)
    added = ((found > truth) & answered[:, None]).sum(axis=0)
    cells = [("missed", name, int(missed[k]), int(truth[:, k].sum())) for k, name in enumerate(names)]
    cells += [("added", name, int(added[k]), int(found[:, k].sum())) for k, name in enumerate(names)]
    rows = sorted((cell for cell in cells if cell[2]), key=lambda cell: -cell[2])[:MISTAKES]
    head = ("most frequent mistakes", "name", "rows", "of")
    shown = tuple((what, shorten(name, NAME_WIDTH), count, of) for what, name, count, of in rows)
    return (Breakdown(head, shown),) if shown else ()
