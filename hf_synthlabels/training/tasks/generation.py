"""Text generation: a causal language model learns answers to instructions.

Packing fills rows of `max_length` with the best-fit-decreasing heuristic before training, so batch size and number of
steps are known. transformers' `DataCollatorWithFlattening` instead flattens each batch into one row of any length, and
requires Flash Attention for the isolation of examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
)

from hf_synthlabels.clients.base import Message
from hf_synthlabels.clients.local.chat_template import Renderer
from hf_synthlabels.errors import DataError, TrainingError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.batches import Collator
from hf_synthlabels.training.data.features import IGNORED, LABELS, WEIGHT, text_values
from hf_synthlabels.training.data.training_rows import TrainingRows, labelled_rows
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, Metrics
from hf_synthlabels.training.tasks.objectives import Completion, Objective

# Relative tolerance for float32 outputs, which depend on the order of summation.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class GenerationTask:
    """The answer to an instruction; only the tokens of the answer are learned."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """Cross-entropy of each answer token."""
        return Completion()

    @property
    def head(self) -> Head:
        """A causal language model."""
        return Head(AutoModelForCausalLM, {}, "write text")

    def rows(self, dataset: Dataset) -> TrainingRows:
        """The rows with an answer; the first of several is learned."""
        config = self.config
        return labelled_rows(dataset, config.label_column, self.schema, weight_column=config.weight_column)

    def learnable(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> TrainingRows:
        """The rows whose instruction leaves room for an answer.

        Raises:
            DataError: there are none, or all answers are equal.
        """
        if len(rows) > 1 and len({label[0] for label in rows.labels}) == 1:
            raise DataError(
                f"`{self.config.label_column}` is {rows.labels[0][0]!r} in all {len(rows)} labeled rows. A student "
                "needs different answers."
            )
        lengths = np.array([len(ids) for ids in self._prompts(dataset.select(rows.kept), tokenizer)])
        fits = lengths < self.config.max_length
        if not fits.any():
            raise DataError(
                f"`max_length` is {self.config.max_length}, but the shortest instruction alone has {lengths.min()} "
                "tokens. Increase it."
            )
        return rows.where(fits)

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """Tokens, positions and labels; `pack` joins several examples. Answers are cut at `max_length`."""
        renderer = Renderer(tokenizer)
        prompts = self._prompts(dataset.select(rows.kept), tokenizer)
        answers = renderer.continuations([label[0] for label in rows.labels])
        room = self.config.max_length
        ids = [[*prompt, *answer, *renderer.ends[:1]][:room] for prompt, answer in zip(prompts, answers, strict=True)]
        columns: dict[str, list[Any]] = {
            "input_ids": ids,
            "position_ids": [list(range(len(row))) for row in ids],
            # The first token has no context; in a packed row the preceding token belongs to another example.
            LABELS: [
                [IGNORED] * max(1, min(len(prompt), len(row))) + row[max(1, len(prompt)) :]
                for prompt, row in zip(prompts, ids, strict=True)
            ],
        }
        if rows.weights is not None:
            # Per token, so that examples in one packed row may differ.
            columns[WEIGHT] = [[weight] * len(row) for weight, row in zip(rows.weights.tolist(), ids, strict=True)]
        return Dataset.from_dict(columns)

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:
        """A collator that gives padding tokens the position 0, which isolates them."""
        return Collator(tokenizer)

    def metrics(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
        """None: the loss is the only metric."""
        return None

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """Greedy generations of up to `max_new_tokens`, in row order on every process; there is no confidence."""
        tokenizer: Any = trainer.processing_class
        prompts = self._prompts(dataset, tokenizer) if len(dataset) else []
        room = self.config.max_length
        order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
        rank, world = trainer.args.process_index, trainer.args.world_size
        shard = order[rank::world]
        size = trainer.args.per_device_eval_batch_size
        texts: dict[int, str] = {}
        for start in range(0, len(shard), size):
            chunk = shard[start : start + size]
            # An instruction that is too long is cut on the left, because the answer follows its end.
            generated = self._generate(trainer, [prompts[row][-room:] for row in chunk])
            texts |= dict(zip(chunk, generated, strict=True))
        if world > 1:
            from accelerate.utils import gather_object

            texts = {row: text for part in gather_object([texts]) for row, text in part.items()}
        labels = tuple(texts[row] for row in range(len(prompts)))
        return Prediction(self.schema, labels, np.full(len(labels), np.nan), np.empty((len(labels), 0)))

    def _generate(self, trainer: Trainer, prompts: Sequence[Sequence[int]]) -> list[str]:
        renderer = Renderer(trainer.processing_class)
        longest = max(map(len, prompts))
        # Padded on the left, so that the generated tokens follow the prompt.
        ids = torch.tensor([[renderer.pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        model: Any = trainer.accelerator.unwrap_model(trainer.model)
        was_training = model.training
        model.eval()
        settings = GenerationConfig(
            max_new_tokens=self.config.max_new_tokens,
            do_sample=False,
            eos_token_id=list(renderer.ends) or None,
            pad_token_id=renderer.pad,
        )
        device = trainer.args.device
        # An adapter's `generate` bypasses the forward pass that Trainer wrapped for half precision.
        with torch.no_grad(), trainer.accelerator.autocast():
            generated: NDArray[np.int64] = (
                model.generate(input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=settings)[
                    :, longest:
                ]
                .cpu()
                .numpy()
            )
        model.train(was_training)
        return [renderer.text(_before_end(row, renderer.ends)).strip() for row in generated.tolist()]

    def _prompts(self, dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
        texts = [text_values(dataset, column) for column in self.config.text_columns]
        instructions = ["\n\n".join(part for part in parts if part) for parts in zip(*texts, strict=True)]
        return Renderer(tokenizer).encode([[Message("user", text)] for text in instructions])


def _before_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    stop = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return list(ids[:stop])


def pack(features: Dataset, room: int) -> Dataset:
    """Join examples to rows of up to `room` tokens; each example starts at position 0."""
    columns = {name: features[name][:] for name in features.column_names}
    packs = packed_rows([len(ids) for ids in columns["input_ids"]], room)
    return Dataset.from_dict(
        {name: [[token for row in part for token in values[row]] for part in packs] for name, values in columns.items()}
    )


def packed_rows(lengths: Sequence[int] | NDArray[np.int64], room: int) -> list[list[int]]:
    """Assign examples to rows of `room` tokens: longest first, each to the fullest row with room (best-fit decreasing).

    Returns:
        The examples of each row.
    """
    free: dict[int, list[int]] = {}
    rows: list[list[int]] = []
    for example in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        length = int(lengths[example])
        # There are at most `room` different gaps.
        gap = min((gap for gap in free if gap >= length), default=None)
        if gap is None:
            rows.append([])
            row, gap = len(rows) - 1, room
        else:
            row = free[gap].pop()
            if not free[gap]:
                del free[gap]
        rows[row].append(example)
        if gap > length:
            free.setdefault(gap - length, []).append(row)
    return rows


def check_causal(model: PreTrainedModel) -> None:
    """Reject non-causal models, such as encoders, which would learn to copy their input.

    Raises:
        TrainingError: the outputs for some tokens depend on later tokens.
    """
    ids = _probe_ids(model)
    difference = _relative_difference(_logits(model, ids[None, :6])[0], _logits(model, ids[None])[0, :6])
    if difference > 1:
        raise TrainingError(
            f"`model` is a {type(model).__name__}, whose attention is not causal as configured. Use a causal language "
            "model such as Qwen or Llama."
        )


def check_isolation(model: PreTrainedModel) -> None:
    """Reject models in which packed examples attend to each other, with the configured attention implementation.

    Compares the outputs for a text alone with those for the same text as second example of a packed row.

    Raises:
        TrainingError: the outputs for the second example depend on the first.
    """
    ids, positions = _probe_ids(model), torch.arange(6, device=model.device)
    alone = _logits(model, ids[None, 6:], position_ids=positions[None])[0]
    packed = _logits(model, ids.expand(2, -1), position_ids=positions.repeat(2).expand(2, -1))[1, 6:]
    if _relative_difference(alone, packed) > 1:
        raise TrainingError(
            f"`packing` is true, but packed examples attend to each other with {type(model).__name__} and attention "
            f"{model.config._attn_implementation!r}. Set `packing: false`."
        )


def _probe_ids(model: PreTrainedModel) -> Tensor:
    """Twelve distinct tokens, evenly spaced in the vocabulary, without using a random state."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    return torch.arange(1, 13, device=model.device) * (vocabulary - 1) // 13


def _logits(model: PreTrainedModel, ids: Tensor, **positions: Tensor) -> Tensor:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs: Any = model(input_ids=ids, **positions)
    model.train(was_training)
    logits: Tensor = outputs.logits
    return logits


def _relative_difference(a: Tensor, b: Tensor) -> float:
    """The largest difference of two outputs, as a multiple of the tolerance."""
    tolerance = TOLERANCE if a.dtype == torch.float32 else 30 * TOLERANCE
    scale = float(a.float().abs().max().clamp(min=1e-6))
    return float((a.float() - b.float()).abs().max()) / scale / tolerance
