"""CausalModel: a causal language model in this process, loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal

from hf_synthlabels.clients.local.chat_template import Renderer
from hf_synthlabels.clients.local.loading import quiet_loading
from hf_synthlabels.clients.local.model_files import Checkpoint, find_checkpoint
from hf_synthlabels.errors import ClientError, import_extra

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""How a model's weights are held; `auto` is how they were saved."""

NO_LIMIT = 10**9
"""Tokenizers without a limit say a number beyond it."""


class CausalModel:
    """A causal language model and its tokenizer, offline where its files are at hand.

    No code that comes with a model is run. Of the model's own settings for generation only the tokens that end an
    answer count: how it samples is said by the caller.

    Args:
        model: a folder, or a Hub id.
        dtype: how the weights are held.
        device: such as `cpu` or `cuda:1`; `auto` spreads the model over all there are. None takes an accelerator
            where there is one.
        thinking: whether the model may think before it answers, where its template asks that.

    Raises:
        ClientError: the model is not there, has no tokenizer, or is of another kind.
        MissingExtraError: torch or transformers is not installed.
    """

    def __init__(self, model: str, *, dtype: Dtype = "auto", device: str | None = None, thinking: bool = False) -> None:
        import_extra("torch", "train")
        import_extra("transformers", "train")
        self.checkpoint: Checkpoint = find_checkpoint(model)
        self._model = model
        self._dtype = dtype
        self._device = device
        self._config = self._read_config()
        self._tokenizer = self._read_tokenizer()
        self.renderer = Renderer(self._tokenizer, ends=self._ends(), thinking=thinking)

    @property
    def context(self) -> int | None:
        """The most tokens of a prompt and its answer together; None where nothing says so."""
        own = getattr(self._config.get_text_config(), "max_position_embeddings", None)
        limit = own or self._tokenizer.model_max_length
        return int(limit) if limit < NO_LIMIT else None

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the model."""
        return self._tokenizer

    @cached_property
    def network(self) -> Any:
        """The model itself, on its device, ready to be asked; loaded when it is first asked for.

        Raises:
            ClientError: it can not be loaded.
        """
        from transformers import AutoModelForCausalLM, GenerationConfig

        with self._told("loaded"), quiet_loading():
            network, found = AutoModelForCausalLM.from_pretrained(
                **self._where(),
                dtype=self._dtype,
                device_map="auto" if self._device == "auto" else None,
                output_loading_info=True,
            )
            if found["missing_keys"]:
                # Weights made up on the spot would answer, and nobody would know.
                raise ValueError(f"its files lack the weights {sorted(found['missing_keys'])[0]!r}")
            if self._device != "auto":
                network.to(self._device or _accelerator())
        network.generation_config = GenerationConfig(
            bos_token_id=self._tokenizer.bos_token_id,
            eos_token_id=list(self.renderer.ends) or None,
            pad_token_id=self.renderer.pad,
        )
        return network.eval()

    def _read_config(self) -> Any:
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        with self._told("read"):
            config = AutoConfig.from_pretrained(**self._where())
        if config.is_encoder_decoder or config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            raise ClientError(
                f"`annotator.model` {self._model!r} is of type {config.model_type!r}, not a causal language model. "
                "Give one that writes text."
            )
        return config

    def _read_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with self._told("read"):
            return AutoTokenizer.from_pretrained(**self._where())

    def _ends(self) -> list[int]:
        """The tokens that end an answer by the model's own settings."""
        from transformers import GenerationConfig

        try:
            settings = GenerationConfig.from_pretrained(
                self.checkpoint.path, revision=self.checkpoint.revision or "main"
            )
            ends = settings.eos_token_id
        except OSError:
            # Not every model has settings for generation.
            ends = getattr(self._config.get_text_config(), "eos_token_id", None)
        if ends is None:
            return []
        return [int(end) for end in ends] if isinstance(ends, list | tuple) else [int(ends)]

    def _where(self) -> dict[str, Any]:
        where: dict[str, Any] = {
            "pretrained_model_name_or_path": self.checkpoint.path,
            "trust_remote_code": False,
        }
        # What is loaded is what the fingerprint stands for, even when the Hub moves on meanwhile.
        return where if self.checkpoint.revision is None else {**where, "revision": self.checkpoint.revision}

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Whatever goes wrong with foreign files, in one line."""
        try:
            yield
        except Exception as error:
            if isinstance(error, ClientError):
                raise
            words = str(error).strip().splitlines()
            cause = words[0][:160] if words else type(error).__name__
            raise ClientError(
                f"`annotator.model` {self._model!r} cannot be {doing} ({cause}). Give a folder or a Hub id of a causal "
                "language model with its tokenizer."
            ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, on whatever device."""
    import torch

    words = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in words or "can't allocate memory" in words)
    )


def _accelerator() -> str:
    import torch

    return str(torch.accelerator.current_accelerator()) if torch.accelerator.is_available() else "cpu"
