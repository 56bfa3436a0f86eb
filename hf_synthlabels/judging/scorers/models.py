"""Scorers that ask a model in this process: sentence embeddings and reward models."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hf_synthlabels.clients.embedding import sentence_encoder
from hf_synthlabels.clients.local.causal_model import Dtype
from hf_synthlabels.clients.local.model_files import PACKAGED_ENCODER
from hf_synthlabels.errors import ClientError, ConfigError, DataError
from hf_synthlabels.judging.scorers.base import best_scores, check_score_columns
from hf_synthlabels.judging.scorers.encoder_files import LoadedModel, check_model_options, load_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Asked = tuple[str, str]
"""An input and the text that answers it."""


class EmbeddingSimilarity:
    """The cosine of the sentence embeddings of prediction and reference; one below 0 counts as 0, nothing in common.

    With its default, all-MiniLM-L6-v2, this is the SBERT scorer of arXiv 2310.14103, and needs no network.

    Args:
        model: a packaged encoder's name, a folder, or a Hub id; it is loaded when texts are first scored.
    """

    def __init__(self, model: str = PACKAGED_ENCODER) -> None:
        check_model_options(model, 1)
        self.model = model

    @property
    def name(self) -> str:
        """What its column is called."""
        return "embedding_similarity"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """The score of each prediction; see `Scorer.score`.

        Raises:
            ClientError: the model can not be loaded.
        """
        check_score_columns(predictions, references)
        texts = [text for text in predictions if text is not None] + [gold for golds in references for gold in golds]
        distinct = list(dict.fromkeys(texts))
        vectors = dict(zip(distinct, self._encode(distinct), strict=True)) if distinct else {}
        return best_scores(
            predictions, references, lambda prediction, gold: _unit(float(vectors[prediction] @ vectors[gold]))
        )

    @cached_property
    def _encode(self) -> Callable[[list[str]], NDArray[Any]]:
        try:
            return sentence_encoder(self.model)
        except ClientError as error:
            raise ClientError(
                f"`model` {self.model!r} is no sentence encoder that can be loaded. Give a folder, a Hub id, or "
                f"{PACKAGED_ENCODER!r}, which the extra `embedded` brings."
            ) from error


class RewardModel:
    """What a reward model thinks of each text as an answer to its input; `inputs` are needed.

    Any sequence-classification checkpoint can be asked. One with a chat template sees a user's turn and an assistant's,
    any other one a pair of texts; control tokens in either text are read as the letters that they are. A row that is
    longer than the model takes is not scored (nan), rather than cut.

    The raw score is the model's logit, on a scale of its own: it has no bounds, and needs no reference. Soft, it is the
    softmax over the logits of prediction and reference, the prediction's share in [0, 1], as arXiv 2310.14103 has it:
    1/2 where both are equally good.

    Args:
        model: a folder, or a Hub id; it is loaded when texts are first scored.
        soft: score against the reference.
        label: of a classifier with several labels the one whose logit counts, by number or name.
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
        soft: bool = False,
        label: int | str | None = None,
        batch_size: int = 16,
        dtype: Dtype = "float32",
        device: str | None = None,
    ) -> None:
        check_model_options(model, batch_size)
        self.model = model
        self.soft = soft
        self._label = label
        self._batch_size = batch_size
        self._dtype = dtype
        self._device = device

    @property
    def name(self) -> str:
        """What its column is called."""
        return "reward_soft" if self.soft else "reward"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,
    ) -> list[float]:
        """The score of each prediction; see `Scorer.score`.

        Raises:
            ClientError: the model can not be loaded.
            ConfigError: the model has several labels and `label` names none of them.
            DataError: there are no `inputs`.
        """
        if inputs is None:
            raise DataError("`inputs` is missing: a reward model scores a text as an answer to something. Give both.")
        check_score_columns(predictions, references, inputs)
        asked: dict[Asked, None] = {}
        for text, golds, question in zip(predictions, references, inputs, strict=True):
            if text is not None and (golds or not self.soft):
                asked |= dict.fromkeys((question, each) for each in ((text, *golds) if self.soft else (text,)))
        logits = dict(zip(asked, self._logits(list(asked)), strict=True)) if asked else {}
        return [
            self._score(logits, text, golds, question)
            for text, golds, question in zip(predictions, references, inputs, strict=True)
        ]

    def _score(self, logits: dict[Asked, float], text: str | None, golds: Sequence[str], question: str) -> float:
        if text is None or (self.soft and not golds):
            return math.nan
        own = logits[question, text]
        if not self.soft:
            return own
        rivals = [logits[question, gold] for gold in golds]
        # One that was not scored could have been the one that counts.
        return math.nan if any(map(math.isnan, (own, *rivals))) else max(_share(own - rival) for rival in rivals)

    @cached_property
    def _loaded(self) -> LoadedModel:
        return load_model(self.model, "classifier", dtype=self._dtype, device=self._device)

    @cached_property
    def _place(self) -> int:
        """Which logit counts."""
        names = self._loaded.network.config.id2label
        if self._label is None and len(names) == 1:
            return 0
        for place, name in names.items():
            if self._label is not None and self._label in (int(place), name):
                return int(place)
        known = ", ".join(f"{place} ({name})" for place, name in names.items())
        raise ConfigError(f"`label` is {self._label!r} and the model has the labels {known}: say which one counts.")

    def _logits(self, asked: Sequence[Asked]) -> list[float]:
        import torch

        loaded, place = self._loaded, self._place
        rows = [self._tokens(question, text) for question, text in asked]
        most = loaded.most_tokens
        fitting = [row for row, each in enumerate(rows) if most is None or len(each["input_ids"]) <= most]
        if longer := len(rows) - len(fitting):
            logger.warning("%d texts have more than the %d tokens that %r takes: not scored", longer, most, self.model)
        out = [math.nan] * len(rows)
        lengths = [len(rows[row]["input_ids"]) for row in fitting]
        with torch.inference_mode():
            for batch in loaded.batches(lengths, self._batch_size):
                places = [fitting[each] for each in batch]
                logits = loaded.network(**loaded.padded([rows[row] for row in places])).logits[:, place]
                for row, logit in zip(places, logits.float().tolist(), strict=True):
                    out[row] = logit
        return out

    def _tokens(self, question: str, text: str) -> dict[str, list[int]]:
        tokenizer = self._loaded.tokenizer
        if tokenizer.chat_template is None:
            return dict(tokenizer(question, text, split_special_tokens=True, verbose=False))
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": text}]
        return dict(tokenizer.apply_chat_template(turns, return_dict=True, sanitize_control_tokens=True))


def _share(difference: float) -> float:
    """exp(a) / (exp(a) + exp(b)) for a - b, without overflow."""
    if difference >= 0:
        return 1 / (1 + math.exp(-difference))
    odds = math.exp(difference)
    return odds / (1 + odds)


def _unit(cosine: float) -> float:
    """A cosine within 0 and 1: rounding takes that of equal texts a little beyond."""
    return min(1.0, max(0.0, cosine))
