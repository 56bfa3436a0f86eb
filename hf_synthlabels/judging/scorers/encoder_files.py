"""Checkpoint of an encoder or a reward model, loaded in this process to score texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from hf_synthlabels.clients.local.causal_model import Dtype
from hf_synthlabels.clients.local.model_files import model_path, quiet_loading
from hf_synthlabels.errors import ClientError, ConfigError, import_extra

ModelKind = Literal["encoder", "classifier"]

NO_LIMIT = 10**6
"""Tokenizers without a limit say a number beyond it."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network, ready to be asked, with its tokenizer."""

    network: Any
    tokenizer: Any
    device: str
    most_tokens: int | None
    """The longest text that it takes; None where nothing says so."""
    pads: bool
    """Whether texts of different lengths can be computed together."""

    def batches(self, lengths: Sequence[int], size: int) -> Iterator[list[int]]:
        """Places of texts that are computed together, the longest first, so that little is padding."""
        order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
        step = size if self.pads else 1
        for start in range(0, len(order), step):
            yield order[start : start + step]

    def padded(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
        """Token lists as tensors on the device."""
        if not self.pads:
            import torch

            return {name: torch.tensor([ids], device=self.device) for name, ids in rows[0].items()}
        found = self.tokenizer.pad(list(rows), padding=True, padding_side="right", return_tensors="pt")
        return {name: values.to(self.device) for name, values in found.items()}


def check_model_options(model: object, batch_size: int) -> None:
    """Refuse what no model can be loaded with.

    Raises:
        ConfigError: `model` is no name, or `batch_size` less than 1.
    """
    if not isinstance(model, str) or not model.strip():
        raise ConfigError(f"`model` is {model!r}: give a folder or a Hub id.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ConfigError(f"`batch_size` is {batch_size!r}: give a whole number from 1 on.")


def load_model(model: str, kind: ModelKind, *, dtype: Dtype = "float32", device: str | None = None) -> LoadedModel:
    """Load a model from a folder, by Hub id or by the name of a packaged encoder. No code that comes with it is run.

    Raises:
        ClientError: it is not there, is of another kind, or lacks weights that would be made up.
        MissingExtraError: torch or transformers is not installed.
    """
    torch: Any = import_extra("torch", "train")
    transformers: Any = import_extra("transformers", "train")
    opened = transformers.AutoModel if kind == "encoder" else transformers.AutoModelForSequenceClassification
    found = device or (str(torch.accelerator.current_accelerator()) if torch.accelerator.is_available() else "cpu")
    with _told(model, kind), quiet_loading():
        path = model_path(model)
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        network, info = opened.from_pretrained(path, trust_remote_code=False, dtype=dtype, output_loading_info=True)
        # A pooler is not asked for; any other weight that is made up would score, and nobody would know.
        if missing := sorted(name for name in info["missing_keys"] if kind == "classifier" or "pooler" not in name):
            raise ValueError(f"its files lack the weights {missing[0]!r}")
        if kind == "encoder" and network.config.is_encoder_decoder:
            network = network.get_encoder()
        network = network.to(found).eval()
    pad = tokenizer.pad_token_id
    # A classifier that knows of no padding reads its verdict off the last token, whatever that is.
    pads = pad is not None and (kind == "encoder" or network.config.pad_token_id == pad)
    return LoadedModel(network, tokenizer, found, _most_tokens(network.config, tokenizer), pads)


def _most_tokens(config: Any, tokenizer: Any) -> int | None:
    if tokenizer.model_max_length < NO_LIMIT:
        return int(tokenizer.model_max_length)
    places = getattr(config.get_text_config(), "max_position_embeddings", None)
    if not places or places < 0:
        return None
    # RoBERTa and its kin count places from behind that of padding.
    offset = (config.pad_token_id or 0) + 1 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    return int(places) - offset


@contextmanager
def _told(model: str, kind: ModelKind) -> Iterator[None]:
    """Whatever goes wrong with foreign files, in one line."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        words = str(error).strip().splitlines()
        cause = words[0][:160] if words else type(error).__name__
        wanted = "an encoder" if kind == "encoder" else "a sequence classifier"
        raise ClientError(
            f"`model` {model!r} can not be loaded ({cause}). Give a folder or a Hub id of {wanted} with its tokenizer."
        ) from error
