"""Heads: what labels the embedding of a text, by the descriptions of the labels or by examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import ConfigError, import_extra
from hf_synthlabels.labels import Label, LabelSchema, Scale

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIMILARITY_SCALE = 20.0
"""Cosines are multiplied by it before the softmax: the scale of the loss that such encoders are trained with
(sentence-transformers, MultipleNegativesRankingLoss)."""

MIN_SIMILARITY = 0.2
"""The cosine from which a label fits among several that may. It suits the packaged encoder, in whose space texts and
descriptions that have nothing to do with each other lie below it; another encoder's space may be narrower."""

RIDGE_STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Of which the one is taken that foretells each example best from the others."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The label of one text, as an annotator would have answered it."""

    text: str
    probabilities: dict[str, float] | None = None
    """Of each label name; of several names that may fit each has its own, and they do not sum to 1."""


Head = Callable[["NDArray[Any]"], list[Choice]]
"""From embeddings, one row each, to their labels."""


def similarity_head(schema: LabelSchema, descriptions: NDArray[Any]) -> Head:
    """Labels by the nearest description, or by all that are near where several names may fit.

    Args:
        schema: the labels.
        descriptions: their embeddings, of unit length, in the order of the names.
    """
    if schema.kind == "multi-label":
        return lambda vectors: _several(schema, _odds((vectors @ descriptions.T - MIN_SIMILARITY) * SIMILARITY_SCALE))
    return lambda vectors: _one(schema.names, _shares(vectors @ descriptions.T * SIMILARITY_SCALE))


def fitted_head(schema: LabelSchema, vectors: NDArray[Any], labels: Sequence[Label]) -> Head:
    """Labels as the examples do.

    A linear head on the embeddings: multinomial logistic regression for one name, a logistic regression of its own
    for each of several names, ridge regression for a number, which is then moved to the nearest one on the scale.

    Args:
        schema: the labels.
        vectors: embeddings of the examples.
        labels: their labels; `abstain` is one of its own.

    Raises:
        ConfigError: a label has no example, or a scale fewer than two.
    """
    if schema.kind == "multi-label":
        return _fit_several(schema, vectors, labels)
    if schema.scale is not None:
        return _fit_number(schema.scale, vectors, labels)
    names = (*schema.names, *(["abstain"] if "abstain" in labels else []))
    if missing := [name for name in schema.names if name not in labels]:
        raise ConfigError(f"`annotator.examples` has no example of {missing[0]!r}. Give at least one of each label.")
    codes = [names.index(str(label)) for label in labels]
    head = _logistic().fit(vectors, codes)

    def logits(rows: NDArray[Any]) -> NDArray[Any]:
        import numpy as np

        found = head.decision_function(rows)
        # For two labels it is the log odds of the second.
        return np.stack([-found, found], axis=1) / 2 if len(names) == 2 else found

    return lambda rows: _one(names, _shares(logits(rows)))


def pair_features(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Two embeddings as features of their relation: both, their distance and their product in each dimension.

    As in InferSent (Conneau et al., 2017).
    """
    import numpy as np

    return np.concatenate([one, other, np.abs(one - other), one * other], axis=1)


def _fit_several(schema: LabelSchema, vectors: NDArray[Any], labels: Sequence[Label]) -> Head:
    import numpy as np

    columns = []
    for name in schema.names:
        fits = np.array([isinstance(label, tuple) and name in label for label in labels])
        if not fits.any():
            raise ConfigError(f"`annotator.examples` has no example of {name!r}. Give at least one of each label.")
        # Where every example has the label, nothing tells when it does not fit.
        columns.append(None if fits.all() else _logistic().fit(vectors, fits))

    def shares(rows: NDArray[Any]) -> NDArray[Any]:
        known = [np.full(len(rows), np.inf) if head is None else head.decision_function(rows) for head in columns]
        return _odds(np.stack(known, axis=1))

    return lambda rows: _several(schema, shares(rows))


def _fit_number(scale: Scale, vectors: NDArray[Any], labels: Sequence[Label]) -> Head:
    import numpy as np

    numbers = [float(label) for label in labels if isinstance(label, int | float)]
    if len(numbers) < 2:
        raise ConfigError(f"`annotator.examples` has {len(numbers)} numbers on the scale {scale}. Give at least two.")
    known = vectors[[isinstance(label, int | float) for label in labels]]
    head = import_extra("sklearn.linear_model", "embedded").RidgeCV(alphas=RIDGE_STRENGTHS).fit(known, numbers)

    def choices(rows: NDArray[Any]) -> list[Choice]:
        found = np.clip(head.predict(rows), scale.low, scale.high)
        return [Choice(json.dumps({"label": _on_scale(scale, float(number))})) for number in found]

    return choices


def _on_scale(scale: Scale, number: float) -> float:
    if scale.step is None:
        return number
    # The high end need not be a whole number of steps from the low one.
    steps = min(round((number - scale.low) / scale.step), int((scale.high - scale.low) / scale.step + 1e-9))
    return round(scale.low + steps * scale.step, 9)


def _logistic() -> Any:
    linear_model = import_extra("sklearn.linear_model", "embedded")
    # Embeddings have unit length, so weak regularisation is needed for the head to leave the mean at all.
    return linear_model.LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced")


def _one(names: Sequence[str], shares: NDArray[Any]) -> list[Choice]:
    return [
        Choice(names[int(row.argmax())], {name: float(share) for name, share in zip(names, row, strict=True)})
        for row in shares
    ]


def _several(schema: LabelSchema, shares: NDArray[Any]) -> list[Choice]:
    found = []
    for row in shares:
        known = {name: float(share) for name, share in zip(schema.names, row, strict=True)}
        fitting = [name for name, share in known.items() if share >= 0.5]
        found.append(Choice(json.dumps({"label": fitting}, ensure_ascii=False), known))
    return found


def _shares(logits: NDArray[Any]) -> NDArray[np.floating[Any]]:
    import numpy as np

    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.floating[Any]] = odds / odds.sum(axis=1, keepdims=True)
    return shares


def _odds(logits: NDArray[Any]) -> NDArray[np.floating[Any]]:
    from scipy.special import expit

    shares: NDArray[np.floating[Any]] = expit(logits)
    return shares
