"""Agreement of entities: labeled spans of texts, several or none in each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.agreement.base import ClassAgreement, KindAgreement, row_accuracy
from hf_synthlabels.statistics.agreement.multilabel import mean_f1, micro_f1
from hf_synthlabels.statistics.arrays import Floats, Mask, check_lengths, divided
from hf_synthlabels.statistics.bootstrap import (
    BootstrapConfig,
    RowContributions,
    RowScore,
    class_balanced_weights,
    row_intervals,
    score_of_sums,
)
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, subset_design
from hf_synthlabels.statistics.exhibits import Breakdown, shorten
from hf_synthlabels.statistics.intervals import Interval

Place = tuple[int, int, str]
"""An entity: its first character, the one after its last, and its label."""

TokenTags = tuple[Sequence[Sequence[str]], Sequence[Sequence[str] | None]]
"""Human and predicted tags of the tokens of each row."""

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
    tokens: TokenTags | None = None,
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
        tokens: tags, for `token_accuracy`.
        bootstrap: level, resamples and seed.
        design: weights (with the mean 1), clusters and strata of the rows; None for a simple random sample.

    Raises:
        DataError: the lengths differ, or a label is not in `names`.
    """
    bootstrap = bootstrap or BootstrapConfig()
    check_lengths(human=human, llm=llm)
    truth, predicted = _places(human, names, "human"), _places(llm, names, "llm")
    answered = np.array([row is not None for row in llm], dtype=bool)
    exact = answered & np.array([a == b for a, b in zip(truth, predicted, strict=True)], dtype=bool)
    codes = {name: code for code, name in enumerate(names)}
    both = [a & b for a, b in zip(truth, predicted, strict=True)]
    counts = np.stack([_counts_by_label(rows, codes) for rows in (both, predicted, truth)])
    spans = [[frozenset(place[:2] for place in row) for row in rows] for rows in (truth, predicted)]
    span_counts = np.array([(len(a & b), len(b), len(a)) for a, b in zip(*spans, strict=True)], dtype=np.float64)
    overall = _entity_scores(counts, bootstrap, design)
    macro_f1 = overall.pop("macro_f1")
    answered_only = _entity_scores(counts[:, answered], bootstrap, subset_design(design, answered))
    scores = {
        **row_accuracy(answered, exact, design, bootstrap.level),
        **overall,
        "entity_f1_answered": answered_only["entity_f1"],
        "macro_f1": macro_f1,
        "boundary_f1": _entity_scores(span_counts.reshape(-1, 3).T[:, :, None], bootstrap, design)["entity_f1"],
        **({} if tokens is None else _token_accuracy(tokens, bootstrap, design)),
    }
    classes = tuple(_label_agreement(name, counts[:, :, k : k + 1], bootstrap, design) for k, name in enumerate(names))
    return KindAgreement(scores, classes, _mistakes(truth, predicted, answered), (NOTE,))


def _places(rows: Sequence[Sequence[Place] | None], names: Sequence[str], field: str) -> list[frozenset[Place]]:
    places = [frozenset((int(start), int(end), str(label)) for start, end, label in row or ()) for row in rows]
    for number, row in enumerate(places):
        if unknown := {place[2] for place in row} - set(names):
            raise DataError(f"`{field}` has {min(unknown)!r} in row {number:,}, which is not in `names`. Add it.")
    return places


def _counts_by_label(rows: Sequence[frozenset[Place]], codes: Mapping[str, int]) -> Floats:
    """Entities of each label in each row, shape (rows, K)."""
    out = np.zeros((len(rows), len(codes)))
    for number, row in enumerate(rows):
        for _, _, label in row:
            out[number, codes[label]] += 1
    return out


def _entity_scores(counts: Floats, bootstrap: BootstrapConfig, design: SamplingDesign | None) -> dict[str, Interval]:
    """Precision, recall and F1 of correct, predicted and human entities, shape (3, rows, K)."""
    correct, predicted, human = counts
    # A wrong pseudo-row has as many entities as a human found, all of them elsewhere; of a label that no human gave,
    # as many as were predicted.
    elsewhere = np.where(human.any(axis=0), human, predicted)
    rows = RowContributions(
        np.hstack([correct, predicted, human]),
        np.hstack([human, human, human]),
        np.hstack([0 * human, elsewhere, human]),
        class_balanced_weights(human if human.any() else predicted),
        design,
    )
    n_correct, n_predicted, n_human = (int(each.sum()) for each in counts)
    either = n_predicted + n_human - n_correct

    def share_of(part: int) -> RowScore:
        """Correct entities divided by the predicted (1) or the human (2) ones."""

        def ratio(sums: Floats) -> Floats:
            parts = np.split(sums, 3, axis=1)
            return divided(parts[0].sum(axis=1), parts[part].sum(axis=1))

        return score_of_sums(ratio)

    scores = {
        "entity_precision": share_of(1),
        "entity_recall": share_of(2),
        "entity_f1": score_of_sums(micro_f1),
        "macro_f1": score_of_sums(mean_f1),
    }
    return row_intervals(
        rows, scores, bootstrap, dict(zip(scores, (n_predicted, n_human, either, either), strict=True))
    )


def _label_agreement(
    name: str, counts: Floats, bootstrap: BootstrapConfig, design: SamplingDesign | None
) -> ClassAgreement:
    """The agreement on one label, from the counts of it alone."""
    scores = _entity_scores(counts, bootstrap, design)
    _, predicted, support = (int(each.sum()) for each in counts)
    precision, recall, f1 = (scores[f"entity_{score}"] for score in ("precision", "recall", "f1"))
    return ClassAgreement(name, support, predicted, precision, recall, f1)


def _token_accuracy(tags: TokenTags, bootstrap: BootstrapConfig, design: SamplingDesign | None) -> dict[str, Interval]:
    """The share of tokens with the correct tag, as `token_accuracy`."""
    cells = []
    for human, llm in zip(*tags, strict=True):
        same = 0 if llm is None else sum(a == b for a, b in zip(human, llm, strict=True))
        outside = sum(tag == "O" for tag in human)
        cells.append((same, len(human), max(0, 2 * outside - len(human))))
    correct, total, elsewhere = np.array(cells, dtype=np.float64).reshape(-1, 3).T
    # The wrong pseudo-row has its entities elsewhere, so that it misses their tokens and gives as many others a tag.
    parts = [np.column_stack([each, total]) for each in (correct, total, elsewhere)]
    rows = RowContributions(parts[0], parts[1], parts[2], class_balanced_weights(total[:, None]), design)
    accuracy = score_of_sums(lambda sums: divided(sums[:, 0], sums[:, 1]))
    return row_intervals(rows, {"token_accuracy": accuracy}, bootstrap, int(total.sum()))


ERROR_TYPES = (
    "right",
    "right place, another label",
    "another place that overlaps, right label",
    "another place that overlaps, another label",
    "missed",
    "in a row without an LLM label",
)


def _mistakes(
    truth: Sequence[frozenset[Place]], predicted: Sequence[frozenset[Place]], answered: Mask
) -> tuple[Breakdown, ...]:
    """Error types of human and predicted entities, and confused labels."""
    error_types: Counter[str] = Counter()
    confused: Counter[tuple[str, str]] = Counter()
    invented = 0
    for human, llm, has in zip(truth, predicted, answered, strict=True):
        labels = {place[:2]: place[2] for place in llm}
        for place in human:
            error_type = _error_type(place, llm) if has else ERROR_TYPES[5]
            error_types[error_type] += 1
            if error_type == ERROR_TYPES[1]:
                confused[place[2], labels[place[:2]]] += 1
        invented += sum(not any(_overlap(place, other) for other in human) for place in llm)
    lines = [(kind, error_types[kind], error_types.total()) for kind in ERROR_TYPES if error_types[kind]]
    if invented:
        lines.append(("found by the LLM where no human one is", invented, sum(map(len, predicted))))
    tables = [Breakdown(("outcome of human entities", "entities", "of"), tuple(lines))] if lines else []
    if confused:
        most = sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
        rows = tuple((shorten(a, NAME_WIDTH), shorten(b, NAME_WIDTH), count) for (a, b), count in most)
        tables.append(Breakdown(("most frequent wrong labels: human", "llm", "entities"), rows))
    return tuple(tables)


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
