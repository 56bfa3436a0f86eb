"""BertScore: how well the words of two texts match in the space of an encoder."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from hf_synthlabels.clients.local.causal_model import Dtype
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.scorers.base import check_score_columns
from hf_synthlabels.judging.scorers.encoder_files import LoadedModel, check_model_options, load_model

logger = logging.getLogger(__name__)

LAYERS = {
    "bert-base-uncased": 9,
    "bert-large-uncased": 18,
    "bert-base-multilingual-cased": 9,
    "distilbert-base-uncased": 5,
    "distilroberta-base": 5,
    "microsoft/deberta-base-mnli": 9,
    "microsoft/deberta-large-mnli": 18,
    "microsoft/deberta-xlarge-mnli": 40,
    "roberta-base": 10,
    "roberta-large": 17,
    "xlm-roberta-base": 9,
    "xlm-roberta-large": 17,
}
"""The layer that agreed best with humans in WMT16, by the table of bert-score 0.3.13."""

CHUNK_PAIRS = 128
"""Pairs whose word vectors are held in memory together: of texts of 512 tokens and 1,024 numbers half a gigabyte."""

LED_BY_SPACE = ("gpt2", "roberta")
"""Types of models to which a word at the beginning of a text is another one than the same word within it."""

Words = tuple[Any, Any]
"""The vectors of a text's tokens, of unit length, shape (tokens, d), and which of them are the text's own."""


class BertScore:
    """BERTScore F1 (Zhang et al. 2020): each word's nearest word on the other side, by the cosine of their embeddings.

    As in bert-score 0.3.13 without idf weights and without rescaling: tokens that the tokenizer adds, such as [SEP],
    may be a word's nearest but are no words themselves; texts that are too long for the model are cut; a text without
    words scores 0. Scores are in [0, 1], and even of unrelated texts seldom near 0: compare them with each other only.

    Args:
        model: a folder, or a Hub id of an encoder; it is loaded when texts are first scored. arXiv 2310.14103 has
            `microsoft/deberta-base-mnli`.
        layer: whose vectors are compared, 0 being the embeddings themselves; None takes that of `LAYERS`, and the
            last one of a model that is not there.
        batch_size: how many texts are computed together.
        dtype: how the weights are held; `auto` is how they were saved.
        device: such as `cpu` or `cuda:1`; None takes an accelerator where there is one.

    Raises:
        ConfigError: `model` is no name, or `batch_size` less than 1.
    """

    def __init__(
        self,
        model: str,
        *,
        layer: int | None = None,
        batch_size: int = 32,
        dtype: Dtype = "float32",
        device: str | None = None,
    ) -> None:
        check_model_options(model, batch_size)
        self.model = model
        self._asked_layer = layer
        self._batch_size = batch_size
        self._dtype = dtype
        self._device = device

    @property
    def name(self) -> str:
        """What its column is called."""
        return "bertscore"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """The score of each prediction; see `Scorer.score`.

        Raises:
            ClientError: the model can not be loaded.
            ConfigError: the model has no such layer.
        """
        check_score_columns(predictions, references)
        rows = list(zip(predictions, references, strict=True))
        pairs = dict.fromkeys((text, gold) for text, golds in rows if text is not None for gold in golds)
        known = dict(self._scored(pairs))
        return [
            math.nan if text is None or not golds else max(known[text, gold] for gold in golds) for text, golds in rows
        ]

    @cached_property
    def layer(self) -> int:
        """The layer whose vectors are compared."""
        there = int(self._loaded.network.config.get_text_config().num_hidden_layers)
        layer = LAYERS.get(self.model, there) if self._asked_layer is None else self._asked_layer
        if not 0 <= layer <= there:
            raise ConfigError(f"`layer` is {layer!r} and {self.model!r} has {there}: give 0 to {there}.")
        return layer

    @cached_property
    def _loaded(self) -> LoadedModel:
        return load_model(self.model, "encoder", dtype=self._dtype, device=self._device)

    def _scored(self, pairs: dict[tuple[str, str], None]) -> Iterator[tuple[tuple[str, str], float]]:
        pending = iter(pairs)
        while chunk := list(islice(pending, CHUNK_PAIRS)):
            words = self._words(list(dict.fromkeys(text for pair in chunk for text in pair)))
            for text, gold in chunk:
                yield (text, gold), greedy_f(words[text], words[gold])

    def _words(self, texts: Sequence[str]) -> dict[str, Words]:
        import torch

        loaded, layer = self._loaded, self.layer
        rows = self._tokens(texts)
        owns = [[not added for added in row.pop("special_tokens_mask")] for row in rows]
        out: dict[str, Words] = {}
        with torch.inference_mode():
            for batch in loaded.batches([len(row["input_ids"]) for row in rows], self._batch_size):
                found = loaded.network(**loaded.padded([rows[place] for place in batch]), output_hidden_states=True)
                vectors = torch.nn.functional.normalize(found.hidden_states[layer].float(), dim=-1).cpu()
                for place, own in zip(batch, vectors, strict=True):
                    size = len(rows[place]["input_ids"])
                    out[texts[place]] = own[:size], torch.tensor(owns[place])
        return out

    def _tokens(self, texts: Sequence[str]) -> list[dict[str, list[int]]]:
        loaded = self._loaded
        lead = " " if loaded.network.config.model_type in LED_BY_SPACE else ""
        found = loaded.tokenizer(
            [lead + text.strip() if text.strip() else "" for text in texts],
            truncation=loaded.most_tokens is not None,
            max_length=loaded.most_tokens,
            split_special_tokens=True,
            return_special_tokens_mask=True,
        )
        if cut := sum(len(ids) == loaded.most_tokens for ids in found["input_ids"]):
            logger.warning(
                "%d texts fill the %d tokens of %r: what is beyond is cut", cut, loaded.most_tokens, self.model
            )
        return [{name: found[name][row] for name in found} for row in range(len(texts))]


def greedy_f(prediction: Words, reference: Words) -> float:
    """The F1 of greedy matching, in [0, 1].

    Precision is the mean, over the prediction's words, of the largest cosine to any token of the reference; recall the
    same with the sides changed (Zhang et al. 2020, section 3, without weights). 0 where a text has no words.

    Args:
        prediction: unit vectors of shape (tokens, d), and which of them are words, shape (tokens,).
        reference: the same.
    """
    (said, said_words), (gold, gold_words) = prediction, reference
    if not said_words.any() or not gold_words.any():
        return 0.0
    cosines = said @ gold.T
    precision = float(cosines.max(dim=1).values[said_words].mean())
    recall = float(cosines.max(dim=0).values[gold_words].mean())
    # Negative ones are possible, if only for vectors that no encoder makes.
    return 0.0 if min(precision, recall) <= 0 else min(1.0, 2 * precision * recall / (precision + recall))
