"""Agreement of entities: named stretches of texts, several or none in each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.agreement.classification import ClassAgreement, KindAgreement
from hf_synthlabels.statistics.agreement.multilabel import mean_f1, micro_f1, name_counts
from hf_synthlabels.statistics.agreement.weighted import answer_scores
from hf_synthlabels.statistics.arrays import Floats, divided
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, Rows, RowScore, of_sums, prior_weights, row_intervals
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, taken
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.text_tables import Breakdown, shorten
from hf_synthlabels.statistics.validation.measures import MEASURES

Place = tuple[int, int, str]
"""An entity: its first character, the one after its last, and its label."""


NAME_WIDTH = 22


CONFUSIONS = 5


NOTE = (
    "An entity is right when start, end and label are; for boundary F1, start and end. "
    "A row without an LLM label has found nothing: its human entities are missed, and none of its tokens is right."
)


def entity_agreement(
    human: Sequence[Sequence[Place]],
    llm: Sequence[Sequence[Place] | None],
    names: Sequence[str],
    *,
    tokens: tuple[Sequence[Sequence[str]], Sequence[Sequence[str] | None]] | None = None,
    bootstrap: BootstrapConfig | None = None,
    design: SamplingDesign | None = None,
) -> KindAgreement:
    """Strict agreement of predicted entities with human entities, as in the CoNLL-2003 evaluation.

    An entity is correct if start, end and label are; `boundary_f1` ignores the label. Scores are micro-averaged, macro
    F1 is the mean over the labels that occur. A row without a prediction has no entities. Duplicates count once.

    Args:
        human: entities of each row, possibly none.
        llm: predicted entities; None is no prediction.
        names: all labels.
        tokens: human and predicted tags of each row's tokens, for `token_accuracy`.
        bootstrap: level, resamples and seed.
        design: weights (with the mean 1), clusters and strata of the rows; None for a simple random sample.

    Raises:
        DataError: the lengths differ, or a label is not in `names`.
    """
    bootstrap = bootstrap or BootstrapConfig()
    if len(human) != len(llm):
        raise DataError(f"`human` has {len(human):,} rows and `llm` {len(llm):,}: give one each per row.")
    truth, found = [frozenset(map(_place, row)) for row in human], [frozenset(map(_place, row or ())) for row in llm]
    _check_labels((("human", truth), ("llm", found)), names)
    answered = np.array([row is not None for row in llm], dtype=bool)
    exact = answered & np.array([a == b for a, b in zip(truth, found, strict=True)], dtype=bool)
    codes = {name: code for code, name in enumerate(names)}
    both = [a & b for a, b in zip(truth, found, strict=True)]
    counts = np.stack([_of_labels(rows, codes) for rows in (both, found, truth)])
    bare = [[frozenset(place[:2] for place in row) for row in rows] for rows in (truth, found)]
    bare_counts = np.array([(len(a & b), len(b), len(a)) for a, b in zip(*bare, strict=True)], dtype=np.float64)
    scores = {
        **answer_scores(answered, exact, design, bootstrap.level),
        **_strict(counts, bootstrap, design),
        "entity_f1_answered": _strict(counts[:, answered], bootstrap, taken(design, answered))["entity_f1"],
        "boundary_f1": _strict(bare_counts.reshape(-1, 3).T[:, :, None], bootstrap, design)["entity_f1"],
        **({} if tokens is None else _token_accuracy(*tokens, bootstrap, design)),
    }
    return KindAgreement(
        {name: scores[name] for name in MEASURES["token-classification"] if name in scores},
        tuple(_of_name(name, counts[:, :, k : k + 1], bootstrap, design) for k, name in enumerate(names)),
        _mistakes(truth, found, answered),
        (NOTE,),
    )


def _check_labels(columns: Sequence[tuple[str, Sequence[frozenset[Place]]]], names: Sequence[str]) -> None:
    for field, rows in columns:
        for number, row in enumerate(rows):
            if unknown := {place[2] for place in row} - set(names):
                raise DataError(f"`{field}` has {min(unknown)!r} in row {number:,}, which is not in `names`. Add it.")


def _strict(counts: Floats, bootstrap: BootstrapConfig, design: SamplingDesign | None) -> dict[str, Interval]:
    """Precision, recall and F1 of right, predicted and human entities, shape (3, rows, K)."""
    right, predicted, human = counts
    # A wrong pseudo-row has as many entities as a human found, all of them elsewhere; of a label that no human gave,
    # as many as were predicted.
    elsewhere = np.where(human.any(axis=0), human, predicted)
    rows = Rows(
        np.hstack([right, predicted, human]),
        np.hstack([human, human, human]),
        np.hstack([0 * human, elsewhere, human]),
        prior_weights(human if human.any() else predicted),
        design,
    )
    totals = [int(each.sum()) for each in counts]
    of_either = totals[1] + totals[2] - totals[0]
    scores: dict[str, RowScore] = {
        "entity_precision": of_sums(lambda sums: divided(*(part.sum(axis=1) for part in name_counts(sums)[:2]))),
        "entity_recall": of_sums(lambda sums: divided(*(part.sum(axis=1) for part in name_counts(sums)[::2]))),
        "entity_f1": of_sums(micro_f1),
        "macro_f1": of_sums(mean_f1),
    }
    n = {
        "entity_precision": totals[1],
        "entity_recall": totals[2],
        "entity_f1": of_either,
        "macro_f1": of_either,
    }
    return row_intervals(rows, scores, bootstrap, n)


def _of_name(name: str, counts: Floats, bootstrap: BootstrapConfig, design: SamplingDesign | None) -> ClassAgreement:
    """The agreement on one label, from the counts of it alone."""
    scores = _strict(counts, bootstrap, design)
    _, predicted, support = (int(each.sum()) for each in counts)
    return ClassAgreement(
        name, support, predicted, scores["entity_precision"], scores["entity_recall"], scores["entity_f1"]
    )


def _token_accuracy(
    human: Sequence[Sequence[str]],
    llm: Sequence[Sequence[str] | None],
    bootstrap: BootstrapConfig,
    design: SamplingDesign | None,
) -> dict[str, Interval]:
    """The share of tokens with the right tag, as `token_accuracy`."""
    cells = []
    for tags, found in zip(human, llm, strict=True):
        same = 0 if found is None else sum(a == b for a, b in zip(tags, found, strict=True))
        outside = sum(tag == "O" for tag in tags)
        cells.append((same, len(tags), max(0, 2 * outside - len(tags))))
    right, total, elsewhere = np.array(cells, dtype=np.float64).reshape(-1, 3).T
    # The wrong pseudo-row has its entities elsewhere, so that it misses their tokens and gives as many others a tag.
    tokens = [np.column_stack([each, total]) for each in (right, total, elsewhere)]
    rows = Rows(tokens[0], tokens[1], tokens[2], prior_weights(total[:, None]), design)
    accuracy = of_sums(lambda sums: divided(sums[:, 0], sums[:, 1]))
    return row_intervals(rows, {"token_accuracy": accuracy}, bootstrap, int(total.sum()))


def _place(entity: Place) -> Place:
    start, end, label = entity
    return int(start), int(end), str(label)


def _of_labels(rows: Sequence[frozenset[Place]], codes: Mapping[str, int]) -> Floats:
    """Entities of each label in each row, shape (rows, K)."""
    out = np.zeros((len(rows), len(codes)))
    for number, row in enumerate(rows):
        for _, _, label in row:
            out[number, codes[label]] += 1
    return out


def _mistakes(
    truth: Sequence[frozenset[Place]], found: Sequence[frozenset[Place]], answered: NDArray[np.bool_]
) -> tuple[Breakdown, ...]:
    """Error types of human and predicted entities, and confused labels."""
    error_types: Counter[str] = Counter()
    confused: Counter[tuple[str, str]] = Counter()
    for human, llm, has in zip(truth, found, answered, strict=True):
        places = {place[:2]: place[2] for place in llm}
        for place in human:
            error_types[error_type := _error_type(place, llm) if has else "in a row without an LLM label"] += 1
            if error_type == "right place, another label":
                confused[place[2], places[place[:2]]] += 1
        error_types["llm"] += len(llm)
        error_types["invented"] += sum(not any(_overlap(place, other) for other in human) for place in llm)
    total, predicted = sum(map(len, truth)), error_types["llm"]
    lines = [(fate, error_types[fate], total) for fate in ERROR_TYPES if error_types[fate]]
    lines += (
        [("found by the LLM where no human one is", error_types["invented"], predicted)]
        if error_types["invented"]
        else []
    )
    tables = [Breakdown(("outcome of human entities", "entities", "of"), tuple(lines))] if lines else []
    if confused:
        rows = tuple(
            (shorten(a, NAME_WIDTH), shorten(b, NAME_WIDTH), count)
            for (a, b), count in sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
        )
        tables.append(Breakdown(("most frequent wrong labels: human", "llm", "entities"), rows))
    return tuple(tables)


ERROR_TYPES = (
    "right",
    "right place, another label",
    "another place that overlaps, right label",
    "another place that overlaps, another label",
    "missed",
    "in a row without an LLM label",
)


def _error_type(place: Place, llm: frozenset[Place]) -> str:
    """Error type of one human entity."""
    if place in llm:
        return ERROR_TYPES[0]
    if any(other[:2] == place[:2] for other in llm):
        return ERROR_TYPES[1]
    near = [other for other in llm if _overlap(place, other)]
    if not near:
        return ERROR_TYPES[4]
    return ERROR_TYPES[2] if any(other[2] == place[2] for other in near) else ERROR_TYPES[3]


def _overlap(a: Place, b: Place) -> bool:
    return a[0] < b[1] and b[0] < a[1]
