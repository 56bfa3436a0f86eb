"""Checkpoints that are whole or not there: a save that is interrupted leaves the one before it usable."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from safetensors import SafetensorError
from transformers.trainer_utils import sort_checkpoints
from transformers.utils import logging

from hf_synthlabels.errors import ConfigError, TrainingError

logger = getLogger(__name__)

UNFINISHED = "unfinished"
"""File in a checkpoint that is being written. Who finds it later knows that nobody came to the end."""
STATE = "trainer_state.json"
ROWS = "training_rows.json"


@contextmanager
def saved_whole(trainer: Any, folder: str | Path) -> Iterator[None]:
    """Around the writing of the checkpoint of this step: older ones are deleted only when it is complete.

    Args:
        trainer: whose processes all come here.
        folder: where its checkpoints are.

    Raises:
        TrainingError: it could not be written.
    """
    args = trainer.args
    shown = logging.is_progress_bar_enabled()
    if args.disable_tqdm:
        logging.disable_progress_bar()
    checkpoint = Path(folder) / f"checkpoint-{trainer.state.global_step}"
    marker, limit = checkpoint / UNFINISHED, args.save_total_limit
    try:
        if args.should_save:
            checkpoint.mkdir(parents=True, exist_ok=True)
            marker.touch()
        trainer.accelerator.wait_for_everyone()
        # Trainer deletes older checkpoints before the processes know that this one is whole.
        args.save_total_limit = None
        yield
        trainer.accelerator.wait_for_everyone()
        if args.should_save:
            digest = rows_digest(trainer.train_dataset)
            (checkpoint / ROWS).write_text(json.dumps({"digest": digest}), encoding="utf-8")
            marker.unlink()
            _delete_older(Path(folder), limit, trainer.state.best_model_checkpoint)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"`output_dir` is {str(folder)!r}, where checkpoint-{trainer.state.global_step} could not be written "
            f"({reason}). Make room, and go on from the one before it with `resume_from_checkpoint: true`."
        ) from error
    finally:
        args.save_total_limit = limit
        if shown:
            logging.enable_progress_bar()


def checkpoint_to_resume(args: Any, given: str | bool | None, dataset: Any) -> str | None:
    """The checkpoint to go on from; None begins anew. What an interrupted save left behind is deleted.

    Args:
        args: with `output_dir`.
        given: True for the last whole one in `output_dir`, if there is one; or the folder of one.
        dataset: the rows to train on, which must be those of the checkpoint.

    Raises:
        ConfigError: the folder is no checkpoint, is not whole, or was made of other rows.
    """
    if given is None or given is False:
        return None
    if given is True:
        if args.should_save:
            _sweep(Path(args.output_dir))
        found = [Path(path) for path in sort_checkpoints(output_dir=args.output_dir, use_mtime=False) if _whole(path)]
        if not found:
            return None
        folder = found[-1]
    else:
        folder = Path(given)
        if not _whole(folder):
            what = "was not written to its end" if (folder / UNFINISHED).exists() else "is no checkpoint"
            raise ConfigError(
                f"`resume_from_checkpoint` is {str(given)!r}, which {what}. Give true for the last whole one in "
                "`output_dir`, or leave it out."
            )
    _check_rows(folder, dataset)
    return str(folder)


def rows_digest(dataset: Any) -> str | None:
    """What tells rows apart: a hash of their tokens and labels in order; None for rows that are not a Dataset."""
    if not isinstance(dataset, Dataset):
        return None
    found = hashlib.sha256(str(len(dataset)).encode())
    for column in sorted({"input_ids", "labels"} & set(dataset.column_names)):
        values = dataset.select_columns([column]).with_format("arrow")[column][:]
        for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
            while isinstance(chunk.type, pa.ListType | pa.LargeListType):
                found.update(pc.list_value_length(chunk).to_numpy(zero_copy_only=False).tobytes())
                chunk = chunk.flatten()
            found.update(chunk.to_numpy(zero_copy_only=False).tobytes())
    return found.hexdigest()


def _whole(folder: str | Path) -> bool:
    folder = Path(folder)
    return (folder / STATE).is_file() and not (folder / UNFINISHED).exists()


def _sweep(output: Path) -> None:
    for marker in output.glob(f"checkpoint-*/{UNFINISHED}"):
        logger.warning("%s was not written to its end, and is deleted", marker.parent.name)
        shutil.rmtree(marker.parent, ignore_errors=True)


def _delete_older(output: Path, limit: int | None, best: str | None) -> None:
    """Keep the newest checkpoints up to the limit, and the best one among them.

    By time, for an earlier run may have left higher steps behind.
    """
    if limit is None or limit <= 0:
        return
    found = [folder for folder in output.glob("checkpoint-*") if (folder / STATE).is_file()]
    found.sort(key=lambda folder: (folder / STATE).stat().st_mtime_ns)
    kept = [] if best is None else [folder for folder in found if folder.name == Path(best).name]
    newest = found[-1:]
    for folder in reversed(found):
        if len({*kept, *newest}) < limit:
            kept.append(folder)
    for folder in found:
        if folder not in (*kept, *newest):
            shutil.rmtree(folder, ignore_errors=True)


def _check_rows(folder: Path, dataset: Any) -> None:
    path = folder / ROWS
    digest = rows_digest(dataset)
    if digest is None or not path.is_file():
        return
    if json.loads(path.read_text(encoding="utf-8")).get("digest") != digest:
        raise ConfigError(
            f"`resume_from_checkpoint`: {str(folder)!r} was made of other rows than these. Train on the same rows, or "
            "leave `resume_from_checkpoint` out to begin anew."
        )
