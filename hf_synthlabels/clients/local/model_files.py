"""Checkpoint: where a model's files lie, and which version of them it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hf_synthlabels.errors import ClientError

READ_SUFFIXES = frozenset({".json", ".safetensors", ".bin", ".model", ".txt", ".jinja", ".tiktoken"})
"""Files that a model or its tokenizer is read from."""

NEVER_READ = frozenset({"training_args.bin", "trainer_state.json", "optimizer.bin", "scheduler.bin"})

WHOLE_FILE_BYTES = 2**31
"""Larger files are not read for a fingerprint: their beginning, size and time of change stand for them."""

HEADER_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a model's files lie, and which version of them it is."""

    name: str
    """As people know it: the Hub id, or the name of the folder."""
    path: str
    """What is loaded: the Hub id, or the folder."""
    revision: str | None
    """The commit on the Hub; None for a folder."""
    fingerprint: str
    """Changes with anything that can change an answer; equal files have equal ones, wherever they lie."""


def find_checkpoint(model: str) -> Checkpoint:
    """Find a model by its folder or Hub id; of a model on the Hub at most its configuration is downloaded.

    Raises:
        ClientError: it is not there, or the folder is no model.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            kind = "an adapter; merge it into its model" if (folder / "adapter_config.json").is_file() else "no model"
            raise ClientError(f"`annotator.model` {model!r} holds {kind}: it has no config.json. Give a saved model.")
        path = str(folder.resolve())
        return Checkpoint(folder.resolve().name, path, None, folder_fingerprint(folder))
    from huggingface_hub import hf_hub_download

    try:
        file = Path(hf_hub_download(model, "config.json"))
    except (OSError, ValueError) as error:
        why = "no such folder" if model.startswith((".", "/", "~")) else type(error).__name__
        raise ClientError(
            f"`annotator.model` {model!r} cannot be found ({why}). Give the folder of a saved model, or a Hub id whose "
            "files are in the local cache or can be downloaded."
        ) from None
    # The Hub's cache names the folder of a version after its commit.
    return Checkpoint(model, model, file.parent.name, file.parent.name)


def folder_fingerprint(folder: str | Path) -> str:
    """A hash of all files that a model is read from, by name and content; 16 hexadecimal digits."""
    root = Path(folder)
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*")):
        parts = file.relative_to(root).parts
        if file.suffix not in READ_SUFFIXES or file.name in NEVER_READ or not file.is_file():
            continue
        if any(part.startswith((".", "checkpoint-", "runs")) for part in parts):
            continue
        digest.update(f"{'/'.join(parts)}\x1e{_state(file)}\x1e".encode())
    return digest.hexdigest()[:16]


def _state(file: Path) -> str:
    status = file.stat()
    with file.open("rb") as content:
        if status.st_size <= WHOLE_FILE_BYTES:
            return hashlib.file_digest(content, "sha256").hexdigest()
        header = hashlib.sha256(content.read(HEADER_BYTES)).hexdigest()
    return f"{header}|{status.st_size}|{status.st_mtime_ns}"
