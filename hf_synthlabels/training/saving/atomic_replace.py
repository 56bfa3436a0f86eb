"""A student's folder, written beside itself and then exchanged: an interrupted save leaves the student before it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from hf_synthlabels.errors import TrainingError

UNFINISHED = ".unfinished"
WEIGHTS = ("adapter_config.json", "adapter_model.*", "model*.safetensors", "model.safetensors.index.json")
"""What says which weights a folder holds; of an earlier student nothing of it may stay."""


@contextmanager
def exchanged(folder: str | Path) -> Iterator[Path]:
    """Yields a folder to write into; then its files take the place of those in `folder`, the weights last.

    Other files in `folder`, checkpoints for instance, stay. Between the first and the last file there are moments only;
    before, an interruption changes nothing.

    Raises:
        TrainingError: the files could not be written.
    """
    folder = Path(folder)
    new = folder / UNFINISHED
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        yield new
        files = [path.relative_to(new) for path in new.rglob("*") if path.is_file()]
        weights = {path for pattern in WEIGHTS for path in files if path.match(pattern) and len(path.parts) == 1}
        for path in (*(path for path in files if path not in weights), *sorted(weights)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(new / path, folder / path)
        for pattern in WEIGHTS:
            for path in folder.glob(pattern):
                if path.relative_to(folder) not in weights:
                    path.unlink()
        shutil.rmtree(new, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"the student could not be written to {str(folder)!r} ({reason}). Make room, or give another folder; what "
            "was there before is still there."
        ) from error
