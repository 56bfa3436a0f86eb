"""Heads that label the embeddings of texts: by similarity to label descriptions, or fitted to examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import ConfigError, import_extra
from hf_synthlabels.labels import Label, LabelSchema, Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIMILARITY_SCALE = 20.0
"""Factor of cosine similarities before the softmax: the scale of the encoder's training loss
(MultipleNegativesRankingLoss of sentence-transformers)."""

MIN_SIMILARITY = 0.2
"""Cosine similarity from which a label applies in multi-label classification. It suits the packaged encoder, where
unrelated texts and descriptions are below it; other encoders may need another threshold."""

RIDGE_ALPHAS = (0.01, 0.1, 1.0, 10.0)
"""Candidates for the regularization of `RidgeCV`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The label of one text, as an answer that the parser reads."""

    text: str
    probabilities: dict[str, float] | None = None
    """Probability of each label; in multi-label classification they are independent and do not sum to 1."""


Head = Callable[["NDArray[Any]"], list[Choice]]
"""Labels the embeddings in the rows of an array."""


def similarity_head(schema: LabelSchema, descriptions: NDArray[Any]) -> Head:
    """Label by the nearest description; in multi-label classification, by all descriptions that are near.

    The descriptions are normalized embeddings, in the order of the labels.
    """
    from scipy.special import expit, softmax

    if schema.kind == "multi-label":
        return lambda vectors: _multi_label(
            schema, expit((vectors @ descriptions.T - MIN_SIMILARITY) * SIMILARITY_SCALE)
        )
    return lambda vectors: _single_label(schema.names, softmax(vectors @ descriptions.T * SIMILARITY_SCALE, axis=1))


def fitted_head(schema: LabelSchema, vectors: NDArray[Any], labels: Sequence[Label]) -> Head:
    """Fit a linear head to examples with scikit-learn.

    Classification uses multinomial logistic regression, multi-label classification one binary logistic regression per
    label, and rating ridge regression, rounded to the scale.

    Raises:
        ConfigError: a label has no example, or a scale has fewer than two.
    """
    if schema.kind == "multi-label":
        return _fit_multi_label(schema, vectors, labels)
    if schema.scale is not None:
        return _fit_scale(schema.scale, vectors, labels)
    names = (*schema.names, *(["abstain"] if "abstain" in labels else []))
    if missing := [name for name in schema.names if name not in labels]:
        raise ConfigError(f"`annotator.examples` has no example of {missing[0]!r}; give at least one of each label.")
    head = _logistic_regression().fit(vectors, [names.index(str(label)) for label in labels])
    return lambda rows: _single_label(names, head.predict_proba(rows))


def pair_features(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Features of a text pair: both embeddings, and their absolute difference and product in each dimension.

    As in InferSent (Conneau et al., 2017).
    """
    import numpy as np

    return np.concatenate([one, other, np.abs(one - other), one * other], axis=1)


def _fit_multi_label(schema: LabelSchema, vectors: NDArray[Any], labels: Sequence[Label]) -> Head:
    import numpy as np

    heads = []
    for name in schema.names:
        applies = np.array([isinstance(label, tuple) and name in label for label in labels])
        if not applies.any():
            raise ConfigError(f"`annotator.examples` has no example of {name!r}; give at least one of each label.")
        # A label of all examples is predicted for every text.
        heads.append(None if applies.all() else _logistic_regression().fit(vectors, applies))

    def probabilities(rows: NDArray[Any]) -> NDArray[Any]:
        columns = [np.ones(len(rows)) if head is None else head.predict_proba(rows)[:, 1] for head in heads]
        return np.stack(columns, axis=1)

    return lambda rows: _multi_label(schema, probabilities(rows))


def _fit_scale(scale: Scale, vectors: NDArray[Any], labels: Sequence[Label]) -> Head:
    import numpy as np

    numbers = [float(label) for label in labels if isinstance(label, int | float)]
    if len(numbers) < 2:
        raise ConfigError(f"`annotator.examples` has {len(numbers)} numbers on the scale {scale}; give at least two.")
    known = vectors[[isinstance(label, int | float) for label in labels]]
    head = import_extra("sklearn.linear_model", "embedded").RidgeCV(alphas=RIDGE_ALPHAS).fit(known, numbers)

    def choices(rows: NDArray[Any]) -> list[Choice]:
        predictions = np.clip(head.predict(rows), scale.low, scale.high)
        return [Choice(json.dumps({"label": _round_to_scale(scale, float(number))})) for number in predictions]

    return choices


def _round_to_scale(scale: Scale, number: float) -> float:
    if scale.step is None:
        return number
    # The high end of the scale need not be a whole number of steps above the low end.
    steps = min(round((number - scale.low) / scale.step), scale.num_steps)
    return round(scale.low + steps * scale.step, 9)


def _logistic_regression() -> Any:
    linear_model = import_extra("sklearn.linear_model", "embedded")
    # Normalized embeddings need weak regularization; otherwise predictions stay near the class means.
    return linear_model.LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced")


def _single_label(names: Sequence[str], probabilities: NDArray[Any]) -> list[Choice]:
    return [Choice(names[int(row.argmax())], dict(zip(names, row.tolist(), strict=True))) for row in probabilities]


def _multi_label(schema: LabelSchema, probabilities: NDArray[Any]) -> list[Choice]:
    choices = []
    for row in probabilities:
        by_name = dict(zip(schema.names, row.tolist(), strict=True))
        labels = [name for name, probability in by_name.items() if probability >= 0.5]
        choices.append(Choice(json.dumps({"label": labels}, ensure_ascii=False), by_name))
    return choices
