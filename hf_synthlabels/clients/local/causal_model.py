"""A causal language model and its tokenizer, loaded on first use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal

from hf_synthlabels.clients.local.chat_template import Renderer
from hf_synthlabels.clients.local.model_files import Checkpoint, find_checkpoint, quiet_loading
from hf_synthlabels.errors import ClientError, import_extra

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""Data type of the weights; `auto` is the one they were saved with."""

NO_LIMIT = 10**9
"""Tokenizers without a length limit report a larger number."""


class CausalModel:
    """A causal language model and its tokenizer; offline if its files are cached.

    Remote code of a model is never run. From its generation settings only the end tokens are used: the caller decides
    how to sample.

    Args:
        model: folder or Hub ID.
        dtype: data type of the weights.
        device: device such as `cpu` or `cuda:1`; `auto` spreads the model over all devices. None is the accelerator,
            or the CPU if there is none.
        thinking: let the model reason before it answers, if its chat template supports this.

    Raises:
        ClientError: the model does not exist, has no tokenizer, or is not a causal language model.
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
        self.tokenizer = self._read_tokenizer()
        self.renderer = Renderer(self.tokenizer, ends=self._end_tokens(), thinking=thinking)

    @property
    def version(self) -> str:
        """Name of the model with the beginning of its fingerprint."""
        return f"{self.checkpoint.name}@{self.checkpoint.fingerprint[:12]}"

    @property
    def context(self) -> int | None:
        """Context length in tokens; None if neither the model nor the tokenizer states it."""
        limit = getattr(self._config.get_text_config(), "max_position_embeddings", None)
        limit = limit or self.tokenizer.model_max_length
        return int(limit) if limit < NO_LIMIT else None

    @cached_property
    def network(self) -> Any:
        """The model on its device, in evaluation mode; loaded on first access.

        Raises:
            ClientError: it cannot be loaded.
        """
        from transformers import AutoModelForCausalLM, GenerationConfig

        with self._one_line_errors("loaded"), quiet_loading():
            network, info = AutoModelForCausalLM.from_pretrained(
                **self._location(),
                dtype=self._dtype,
                device_map="auto" if self._device == "auto" else None,
                output_loading_info=True,
            )
            if info["missing_keys"]:
                # transformers initializes them randomly, with no more than a warning.
                raise ValueError(f"its files lack the weights {sorted(info['missing_keys'])[0]!r}")
            if self._device != "auto":
                network.to(self._device or _accelerator())
        network.generation_config = GenerationConfig(
            bos_token_id=self.tokenizer.bos_token_id,
            eos_token_id=list(self.renderer.ends) or None,
            pad_token_id=self.renderer.pad,
        )
        return network.eval()

    def _read_config(self) -> Any:
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        with self._one_line_errors("read"):
            config = AutoConfig.from_pretrained(**self._location())
        if config.is_encoder_decoder or config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            raise ClientError(
                f"`model` {self._model!r} is of type {config.model_type!r}; give a causal language model."
            )
        return config

    def _read_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with self._one_line_errors("read"):
            return AutoTokenizer.from_pretrained(**self._location())

    def _end_tokens(self) -> list[int]:
        """End tokens in the model's generation settings."""
        from transformers import GenerationConfig

        try:
            settings = GenerationConfig.from_pretrained(
                self.checkpoint.path, revision=self.checkpoint.revision or "main"
            )
            ends = settings.eos_token_id
        except OSError:
            # Not every model has generation settings.
            ends = getattr(self._config.get_text_config(), "eos_token_id", None)
        if ends is None:
            return []
        return [int(end) for end in ends] if isinstance(ends, list | tuple) else [int(ends)]

    def _location(self) -> dict[str, Any]:
        location: dict[str, Any] = {
            "pretrained_model_name_or_path": self.checkpoint.path,
            "trust_remote_code": False,
        }
        # Load the version that was fingerprinted, even if the Hub has a newer one by now.
        return location if self.checkpoint.revision is None else {**location, "revision": self.checkpoint.revision}

    @contextmanager
    def _one_line_errors(self, action: str) -> Iterator[None]:
        """Turn any error of foreign files into a `ClientError` of one line."""
        try:
            yield
        except Exception as error:
            if isinstance(error, ClientError):
                raise
            lines = str(error).strip().splitlines()
            cause = lines[0][:160] if lines else type(error).__name__
            raise ClientError(
                f"`model` {self._model!r} cannot be {action} ({cause}). Give the folder or Hub ID of a "
                "causal language model with its tokenizer."
            ) from error


def _accelerator() -> str:
    import torch

    return str(torch.accelerator.current_accelerator()) if torch.accelerator.is_available() else "cpu"
