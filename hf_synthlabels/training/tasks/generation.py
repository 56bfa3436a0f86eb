"""GenerationTask: a text that is written, learnt from examples of an instruction and its answer."""

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
from hf_synthlabels.training.data.features import LABELS, WEIGHT, text_values
from hf_synthlabels.training.data.packing import packed_rows
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, LabelledRows, Metrics, Rows, labelled_rows
from hf_synthlabels.training.tasks.losses import IGNORED
from hf_synthlabels.training.tasks.objectives import Objective
from hf_synthlabels.training.tasks.token_objectives import Completion


@dataclass(frozen=True, slots=True, eq=False)
class _Examples:
    """The tokens of each row's prompt, and of what is to be written after it, its end included."""

    prompts: list[list[int]]
    answers: list[list[int]]


@dataclass(frozen=True, slots=True)
class GenerationTask:
    """The answer to an instruction: its tokens are learnt, those of the instruction are not."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """The cross-entropy of each token of the answers."""
        return Completion()

    @property
    def head(self) -> Head:
        """The next token."""
        return Head(AutoModelForCausalLM, {}, "write text")

    def rows(self, dataset: Dataset) -> LabelledRows:
        """The rows that have an answer; of several the first is learnt."""
        config = self.config
        column = label_column(dataset, config.label_column, "text-generation")
        return labelled_rows(
            dataset,
            config.label_column,
            lambda row: read_label(column, row, "text-generation", (), None, None),
            weight_column=config.weight_column,
        )

    def check(self, rows: Rows) -> None:
        """Two different answers at least must occur."""
        assert isinstance(rows, LabelledRows)
        if len(rows) > 1 and len({label[0] for label in rows.labels}) == 1:
            raise DataError(
                f"`{self.config.label_column}` is {rows.labels[0][0]!r} in all {len(rows)} labelled rows. A student "
                "needs different answers."
            )

    def learnable(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> LabelledRows:
        """The rows whose instruction leaves room for an answer.

        Raises:
            DataError: there is none.
        """
        assert isinstance(rows, LabelledRows)
        lengths = np.array([len(ids) for ids in self._prompts(dataset.select(rows.kept), tokenizer)])
        stay = lengths < self.config.max_length
        if not stay.any():
            raise DataError(
                f"`max_length` is {self.config.max_length}, but the shortest instruction alone has {lengths.min()} "
                "tokens. Give a greater one."
            )
        labels = tuple(label for label, kept in zip(rows.labels, stay, strict=True) if kept)
        weights = None if rows.weights is None else rows.weights[stay]
        return LabelledRows(rows.kept[stay], labels, rows.names, rows.n_unlabelled, int((~stay).sum()), weights)

    def features(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, training: bool) -> Dataset:
        """Tokens, positions and labels; for training several examples in a row of `max_length`, if the config says so.

        An answer that is too long is cut at `max_length`. Weights are those of the tokens.
        """
        assert isinstance(rows, LabelledRows)
        made = self._examples(dataset.select(rows.kept), rows, tokenizer)
        room = self.config.max_length
        ids = [(prompt + answer)[:room] for prompt, answer in zip(made.prompts, made.answers, strict=True)]
        # The first token has nothing before it to be learnt from, and in a packed row what stands there is another's.
        labels = [
            [IGNORED] * max(1, min(len(prompt), len(row))) + row[max(1, len(prompt)) :]
            for prompt, row in zip(made.prompts, ids, strict=True)
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
        """Padding has the position 0, so that each such token is a text of its own."""
        return Collator(tokenizer)

    def metrics(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
        """None: the loss of each token, and texts when they are asked for."""
        return None

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """What the student writes for each row, greedily, up to `max_new_tokens`; in row order on every process.

        There is no confidence.
        """
        tokenizer: Any = trainer.processing_class
        prompts = self._prompts(dataset, tokenizer) if len(dataset) else []
        room = self.config.max_length
        order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
        rank, world = trainer.args.process_index, trainer.args.world_size
        own = order[rank::world]
        size = trainer.args.per_device_eval_batch_size
        said: dict[int, str] = {}
        for start in range(0, len(own), size):
            chunk = own[start : start + size]
            # Of an instruction that is too long the end counts, where the answer begins.
            texts = self._written(trainer, [prompts[row][-room:] for row in chunk])
            said |= dict(zip(chunk, texts, strict=True))
        if world > 1:
            from accelerate.utils import gather_object

            said = {row: text for part in gather_object([said]) for row, text in part.items()}
        labels = tuple(said[row] for row in range(len(prompts)))
        return Prediction(self.schema, labels, np.full(len(labels), np.nan), np.empty((len(labels), 0)))

    def _written(self, trainer: Trainer, prompts: Sequence[Sequence[int]]) -> list[str]:
        renderer = Renderer(trainer.processing_class)
        longest = max(map(len, prompts))
        # Padded on the left, so that what is written follows its prompt.
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
        # An adapter's `generate` goes around the forward pass that was made ready for half precision.
        with torch.no_grad(), trainer.accelerator.autocast():
            found: NDArray[np.int64] = (
                model.generate(input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=settings)[
                    :, longest:
                ]
                .cpu()
                .numpy()
            )
        model.train(was_training)
        return [renderer.text(_before_end(row, renderer.ends)).strip() for row in found.tolist()]

    def _prompts(self, dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
        texts = [text_values(dataset, column) for column in self.config.text_columns]
        asked = ["\n\n".join(part for part in parts if part) for parts in zip(*texts, strict=True)]
        return Renderer(tokenizer).encode([[Message("user", text)] for text in asked])

    def _examples(self, dataset: Dataset, rows: LabelledRows, tokenizer: PreTrainedTokenizerBase) -> _Examples:
        renderer = Renderer(tokenizer)
        answers = renderer.continuations([label[0] for label in rows.labels])
        return _Examples(self._prompts(dataset, tokenizer), [[*answer, *renderer.ends[:1]] for answer in answers])


def _before_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    stop = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return list(ids[:stop])
