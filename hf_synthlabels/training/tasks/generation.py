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
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.clients.base import Message
from hf_synthlabels.clients.local.chat_template import Renderer
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.statistics.validation.label_columns import label_column, read_label
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.collators import Collator
from hf_synthlabels.training.data.features import IGNORED, LABELS, WEIGHT, text_values
from hf_synthlabels.training.data.packing import packed_rows
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, LabelledRows, Metrics, Rows, labelled_rows
from hf_synthlabels.training.tasks.objectives import Completion, Objective


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

    def rows(self, dataset: Dataset) -> LabelledRows:
        """The rows with an answer; the first of several is learned."""
        config = self.config
        column = label_column(dataset, config.label_column, "text-generation")
        return labelled_rows(
            dataset,
            config.label_column,
            lambda row: read_label(column, row, "text-generation", (), None, None),
            weight_column=config.weight_column,
        )

    def check(self, rows: Rows) -> None:
        """Require two different answers."""
        assert isinstance(rows, LabelledRows)
        if len(rows) > 1 and len({label[0] for label in rows.labels}) == 1:
            raise DataError(
                f"`{self.config.label_column}` is {rows.labels[0][0]!r} in all {len(rows)} labeled rows. A student "
                "needs different answers."
            )

    def learnable(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> LabelledRows:
        """The rows whose instruction leaves room for an answer.

        Raises:
            DataError: there are none.
        """
        assert isinstance(rows, LabelledRows)
        lengths = np.array([len(ids) for ids in self._prompts(dataset.select(rows.kept), tokenizer)])
        fits = lengths < self.config.max_length
        if not fits.any():
            raise DataError(
                f"`max_length` is {self.config.max_length}, but the shortest instruction alone has {lengths.min()} "
                "tokens. Increase it."
            )
        return rows.where(fits)

    def features(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, training: bool) -> Dataset:
        """Tokens, positions and labels; with `packing`, training rows contain several examples.

        Answers are cut at `max_length`. Weights are per token.
        """
        assert isinstance(rows, LabelledRows)
        renderer = Renderer(tokenizer)
        prompts = self._prompts(dataset.select(rows.kept), tokenizer)
        answers = renderer.continuations([label[0] for label in rows.labels])
        room = self.config.max_length
        ids = [[*prompt, *answer, *renderer.ends[:1]][:room] for prompt, answer in zip(prompts, answers, strict=True)]
        # The first token has no context; in a packed row the preceding token belongs to another example.
        labels = [
            [IGNORED] * max(1, min(len(prompt), len(row))) + row[max(1, len(prompt)) :]
            for prompt, row in zip(prompts, ids, strict=True)
        ]
        packs = [[row] for row in range(len(ids))]
        if training and self.config.packing:
            packs = packed_rows([len(row) for row in ids], room)
        columns: dict[str, list[Any]] = {
            "input_ids": [[token for row in pack for token in ids[row]] for pack in packs],
            "position_ids": [[place for row in pack for place in range(len(ids[row]))] for pack in packs],
            LABELS: [[label for row in pack for label in labels[row]] for pack in packs],
        }
        if rows.weights is not None:
            weights = rows.weights.tolist()
            columns[WEIGHT] = [[weights[row] for row in pack for _ in ids[row]] for pack in packs]
        return Dataset.from_dict(columns)

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:
        """A collator that gives padding tokens the position 0, which isolates them."""
        return Collator(tokenizer)

    def metrics(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
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
