"""Scores of a reward model that runs in this process."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from hf_synthlabels.clients.local.causal_model import Dtype
from hf_synthlabels.clients.local.model_files import model_path, quiet_loading
from hf_synthlabels.errors import ConfigError, DataError, import_extra
from hf_synthlabels.judging.scorers.base import check_score_columns
from hf_synthlabels.judging.scorers.model_scorers import checked_model, loading_errors

logger = logging.getLogger(__name__)

InputAndText = tuple[str, str]

NO_LIMIT = 10**6
"""Tokenizers without a limit report a larger number."""


class RewardModel:
    """Score of each text as an answer to its input, by a sequence-classification model; `inputs` are required.

    A model with a chat template reads a user turn and an assistant turn; any other model reads a text pair. Control
    tokens in the texts are read as plain characters. A row longer than the model's limit is not truncated; its score is
    nan.

    The raw score is the model's unbounded logit and needs no reference. With `soft`, the score is the softmax over the
    logits of prediction and reference, as in arXiv 2310.14103: 1/2 if both are equally good.

    Args:
        model: folder or Hub ID; loaded on first use.
        soft: compare with the reference.
        label: index or name of the label whose logit counts, for a classifier with several labels.
        batch_size: texts per batch.
        dtype: data type of the weights; `auto` is the saved one.
        device: such as `cpu` or `cuda:1`; None takes an accelerator if there is one.

    Raises:
        ConfigError: `model` is empty, or `batch_size` is less than 1.
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
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigError(f"`batch_size` is {batch_size!r}: give a whole number from 1.")
        self.model = checked_model(model)
        self.soft = soft
        self._label = label
        self._batch_size = batch_size
        self._dtype = dtype
        self._device = device

    @property
    def name(self) -> str:
        """Name of the scorer's column."""
        return "reward_soft" if self.soft else "reward"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,
    ) -> list[float]:
        """Score each prediction; see `Scorer.score`.

        Raises:
            ClientError: the model cannot be loaded.
            ConfigError: the model has several labels, and `label` is not one of them.
            DataError: `inputs` is missing.
        """
        if inputs is None:
            raise DataError("`inputs` is missing: reward models need the prompts as well as the answers.")
        check_score_columns(predictions, references, inputs)
        pairs: dict[InputAndText, None] = {}
        for text, row_references, prompt in zip(predictions, references, inputs, strict=True):
            if text is not None and (row_references or not self.soft):
                pairs |= dict.fromkeys((prompt, each) for each in ((text, *row_references) if self.soft else (text,)))
        logits = dict(zip(pairs, self._logits(list(pairs)), strict=True)) if pairs else {}
        return [
            self._score(logits, text, row_references, prompt)
            for text, row_references, prompt in zip(predictions, references, inputs, strict=True)
        ]

    def _score(
        self, logits: dict[InputAndText, float], text: str | None, references: Sequence[str], prompt: str
    ) -> float:
        if text is None or (self.soft and not references):
            return math.nan
        logit = logits[prompt, text]
        if not self.soft:
            return logit
        others = [logits[prompt, reference] for reference in references]
        # An unscored reference could have been the one that counts.
        return math.nan if any(map(math.isnan, (logit, *others))) else max(_sigmoid(logit - other) for other in others)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Network and tokenizer; no code from the model's repository is executed."""
        torch: Any = import_extra("torch", "train")
        transformers: Any = import_extra("transformers", "train")
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
        with loading_errors(self.model, "a sequence classifier"), quiet_loading():
            path = model_path(self.model)
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            network, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                path, trust_remote_code=False, dtype=self._dtype, output_loading_info=True
            )
            # Missing weights would be initialized at random, without an error.
            if missing := sorted(info["missing_keys"]):
                raise ValueError(f"its files lack the weights {missing[0]!r}")
            return network.to(self._device or str(accelerator)).eval(), tokenizer

    @cached_property
    def _logit_index(self) -> int:
        names = self._loaded[0].config.id2label
        if self._label is None and len(names) == 1:
            return 0
        for index, name in names.items():
            if self._label is not None and self._label in (int(index), name):
                return int(index)
        known = ", ".join(f"{index} ({name})" for index, name in names.items())
        raise ConfigError(f"`label` is {self._label!r} and the model has the labels {known}: give one of them.")

    def _logits(self, pairs: Sequence[InputAndText]) -> list[float]:
        import torch

        (network, _), index = self._loaded, self._logit_index
        rows = [self._tokens(prompt, text) for prompt, text in pairs]
        limit = self._max_tokens()
        fitting = [row for row, tokens in enumerate(rows) if limit is None or len(tokens["input_ids"]) <= limit]
        if n_longer := len(rows) - len(fitting):
            logger.warning("%d texts exceed the limit of %d tokens of %r: not scored", n_longer, limit, self.model)
        logits = [math.nan] * len(rows)
        with torch.inference_mode():
            for batch in self._batches(fitting, rows):
                values = network(**self._padded([rows[row] for row in batch])).logits[:, index]
                for row, logit in zip(batch, values.float().tolist(), strict=True):
                    logits[row] = logit
        return logits

    def _batches(self, fitting: Sequence[int], rows: Sequence[dict[str, list[int]]]) -> Iterator[list[int]]:
        """Row numbers of each batch, the longest rows first to reduce padding."""
        order = sorted(fitting, key=lambda row: -len(rows[row]["input_ids"]))
        size = self._batch_size if self._pads else 1
        for start in range(0, len(order), size):
            yield order[start : start + size]

    @property
    def _pads(self) -> bool:
        """Whether texts of different lengths can share a batch.

        A classifier without a padding token would read its logit off a padding position.
        """
        network, tokenizer = self._loaded
        return tokenizer.pad_token_id is not None and network.config.pad_token_id == tokenizer.pad_token_id

    def _padded(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
        import torch

        network, tokenizer = self._loaded
        if not self._pads:
            return {name: torch.tensor([ids], device=network.device) for name, ids in rows[0].items()}
        batch = tokenizer.pad(list(rows), padding=True, padding_side="right", return_tensors="pt")
        return {name: values.to(network.device) for name, values in batch.items()}

    def _max_tokens(self) -> int | None:
        network, tokenizer = self._loaded
        if tokenizer.model_max_length < NO_LIMIT:
            return int(tokenizer.model_max_length)
        positions = getattr(network.config.get_text_config(), "max_position_embeddings", None)
        if not positions or positions < 0:
            return None
        # Models like RoBERTa number positions from the padding position on.
        is_offset = network.config.model_type in ("roberta", "xlm-roberta", "camembert")
        return int(positions) - ((network.config.pad_token_id or 0) + 1 if is_offset else 0)

    def _tokens(self, prompt: str, text: str) -> dict[str, list[int]]:
        tokenizer = self._loaded[1]
        if tokenizer.chat_template is None:
            return dict(tokenizer(prompt, text, split_special_tokens=True, verbose=False))
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
        return dict(tokenizer.apply_chat_template(turns, return_dict=True, sanitize_control_tokens=True))


def _sigmoid(difference: float) -> float:
    """exp(a) / (exp(a) + exp(b)) for a - b, without overflow."""
    if difference >= 0:
        return 1 / (1 + math.exp(-difference))
    odds = math.exp(difference)
    return odds / (1 + odds)
