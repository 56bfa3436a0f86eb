"""Atomic checkpoints: an interrupted save leaves the previous checkpoint usable."""

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

from hf_synthlabels.errors import ConfigError, TrainingError, first_line

logger = getLogger(__name__)

UNFINISHED = "unfinished"
"""Marker file in a checkpoint that is being written, or whose writing was interrupted."""
STATE = "trainer_state.json"
ROWS = "training_rows.json"


@contextmanager
def atomic_checkpoint(trainer: Any, folder: str | Path) -> Iterator[None]:
    """Wrap the writing of the current step's checkpoint on all processes; older ones are deleted once it is complete.

    Raises:
        TrainingError: the checkpoint could not be written.
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
        # Trainer would delete older checkpoints before all processes have finished this one.
        args.save_total_limit = None
        yield
        trainer.accelerator.wait_for_everyone()
        if args.should_save:
            digest = rows_digest(trainer.train_dataset)
            (checkpoint / ROWS).write_text(json.dumps({"digest": digest}), encoding="utf-8")
            marker.unlink()
            _delete_older(Path(folder), limit, trainer.state.best_model_checkpoint)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"`output_dir` is {str(folder)!r}, where checkpoint-{trainer.state.global_step} could not be written "
            f"({first_line(error)}). Free disk space, and resume from the previous one: `resume_from_checkpoint: true`."
        ) from error
    finally:
        args.save_total_limit = limit
        if shown:
            logging.enable_progress_bar()


def checkpoint_to_resume(args: Any, requested: str | bool | None, dataset: Any) -> str | None:
    """The checkpoint to resume from; None starts from the beginning. Incomplete checkpoints are deleted.

    Args:
        args: training arguments with `output_dir`.
        requested: a checkpoint folder, or True for the last complete one in `output_dir`, if any.
        dataset: the training rows, which must be those of the checkpoint.

    Raises:
        ConfigError: the folder is not a complete checkpoint, or belongs to other rows.
    """
    if requested is None or requested is False:
        return None
    if requested is True:
        if args.should_save:
            _delete_incomplete(Path(args.output_dir))
        checkpoints = [
            Path(path) for path in sort_checkpoints(output_dir=args.output_dir, use_mtime=False) if _is_complete(path)
        ]
        if not checkpoints:
            return None
        folder = checkpoints[-1]
    else:
        folder = Path(requested)
        if not _is_complete(folder):
            problem = "is incomplete" if (folder / UNFINISHED).exists() else "is not a checkpoint"
            raise ConfigError(
                f"`resume_from_checkpoint` is {str(requested)!r}, which {problem}. Set it to true for the last "
                "complete one in `output_dir`, or leave it out."
            )
    _check_rows(folder, dataset)
    return str(folder)


def rows_digest(dataset: Any) -> str | None:
    """A hash of the tokens and labels of all rows in order; None for rows that are not a Dataset."""
    if not isinstance(dataset, Dataset):
        return None
    digest = hashlib.sha256(str(len(dataset)).encode())
    for column in sorted({"input_ids", "labels"} & set(dataset.column_names)):
        values = dataset.select_columns([column]).with_format("arrow")[column][:]
        for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
            while isinstance(chunk.type, pa.ListType | pa.LargeListType):
                digest.update(pc.list_value_length(chunk).to_numpy(zero_copy_only=False).tobytes())
                chunk = chunk.flatten()
            digest.update(chunk.to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()


def _is_complete(folder: str | Path) -> bool:
    folder = Path(folder)
    return (folder / STATE).is_file() and not (folder / UNFINISHED).exists()


def _delete_incomplete(output: Path) -> None:
    for marker in output.glob(f"checkpoint-*/{UNFINISHED}"):
        logger.warning("deleting %s, which is incomplete", marker.parent.name)
        shutil.rmtree(marker.parent, ignore_errors=True)


def _delete_older(output: Path, limit: int | None, best: str | None) -> None:
    """Keep the newest checkpoints up to the limit, the best one included.

    They are sorted by time, because an earlier run may have left checkpoints of later steps.
    """
    if limit is None or limit <= 0:
        return
    checkpoints = [folder for folder in output.glob("checkpoint-*") if (folder / STATE).is_file()]
    checkpoints.sort(key=lambda folder: (folder / STATE).stat().st_mtime_ns)
    kept = [] if best is None else [folder for folder in checkpoints if folder.name == Path(best).name]
    newest = checkpoints[-1:]
    for folder in reversed(checkpoints):
        if len({*kept, *newest}) < limit:
            kept.append(folder)
    for folder in checkpoints:
        if folder not in (*kept, *newest):
            shutil.rmtree(folder, ignore_errors=True)


def _check_rows(folder: Path, dataset: Any) -> None:
    path = folder / ROWS
    digest = rows_digest(dataset)
    if digest is None or not path.is_file():
        return
    if json.loads(path.read_text(encoding="utf-8")).get("digest") != digest:
        raise ConfigError(
            f"`resume_from_checkpoint`: {str(folder)!r} belongs to other rows. Train on the same rows, or leave the "
            "option out to start again."
        )
