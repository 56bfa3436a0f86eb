"""Rows of a grid: split and tokenized once, and memory-mapped by all runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset, concatenate_datasets, load_from_disk
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from hf_synthlabels.errors import DataError
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.features import LABELS, PROBS, WEIGHT, tokenize
from hf_synthlabels.training.data.training_data import TrainingData
from hf_synthlabels.training.data.training_rows import TrainingRows, training_rows
from hf_synthlabels.training.search.config import GridFile, GridRun

VALIDATION_SEED = 0
"""Seed for the sample of validation rows."""


@dataclass(frozen=True, slots=True, eq=False)
class GridRows:
    """The rows of a grid before tokenization, and the labels of each source."""

    pool: Dataset
    """Training rows: those with a label of every source, without the validation rows."""
    sources: dict[str, TrainingRows]
    """Labels of the pool by label source; every row is kept."""
    validation: Dataset
    validation_codes: NDArray[np.int64]
    """Human labels of the validation rows."""
    test: Dataset | None
    test_codes: NDArray[np.int64]
    """Human labels of the test rows; empty without test rows."""
    names: tuple[str, ...]
    n_left_out: int
    """Number of training rows without a label of some source."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedRows:
    """Tokenized rows, memory-mapped, with separate label columns per source."""

    pool: Dataset
    validation: Dataset
    test: Dataset | None
    names: tuple[str, ...]
    fingerprint: str

    def training_part(self, run: GridRun) -> Dataset:
        """The rows of a run: a sample by its seed, in which smaller sizes are subsets of larger ones.

        Raises:
            DataError: there are fewer rows than the size, or all have the same label.
        """
        size = len(self.pool) if run.size is None else run.size
        if size > len(self.pool):
            raise DataError(f"`size` is {size}, but there are only {len(self.pool)} training rows. Lower it.")
        sample = np.sort(np.random.default_rng(run.seed).permutation(len(self.pool))[:size])
        tokens = [name for name in self.pool.column_names if ":" not in name]
        labels = {f"{column}:{run.source}": column for column in (LABELS, PROBS, WEIGHT)}
        labels = {name: column for name, column in labels.items() if name in self.pool.column_names}
        part = self.pool.select_columns([*tokens, *labels]).rename_columns(labels)
        part = part if size == len(self.pool) else part.select(sample)
        if len(set(part[LABELS][:])) < 2 and PROBS not in part.column_names:
            raise DataError(f"`size` {size} with seed {run.seed} samples rows of a single label. Increase it.")
        return part


def grid_rows(file: GridFile, data: TrainingData) -> GridRows:
    """Split off the validation rows, and read the labels of every source for the rest.

    Raises:
        DataError: a column is missing or invalid, or there are too few rows.
    """
    grid, names = file.grid, data.names
    human = training_rows(data.train, names=names, label_column=grid.human)
    if len(human) <= grid.validation_rows:
        raise DataError(
            f"`validation_rows` is {grid.validation_rows}, but only {len(human)} rows have a human label in "
            f"`{grid.human}`, and some must remain for training. Lower it."
        )
    sample = np.random.default_rng(VALIDATION_SEED).permutation(len(human))[: grid.validation_rows]
    validation = np.sort(human.kept[sample])
    rest = np.setdiff1d(np.arange(len(data.train)), validation)
    common = rest
    for source in grid.label_source:
        common = np.intersect1d(common, _source_rows(data.train, file, source, names).kept)
    if len(common) < 2:
        raise DataError(f"{len(common)} rows have a label of every source in `label_source`. Label more rows.")
    pool = data.train.select(common)
    test = None if data.test is None else training_rows(data.test, names=names, label_column=grid.human)
    code_of = dict(zip(human.kept.tolist(), human.codes.tolist(), strict=True))
    return GridRows(
        pool=pool,
        sources={source: _source_rows(pool, file, source, names) for source in grid.label_source},
        validation=data.train.select(validation),
        validation_codes=np.array([code_of[row] for row in validation.tolist()], dtype=np.int64),
        test=None if data.test is None or test is None else data.test.select(test.kept),
        test_codes=np.empty(0, dtype=np.int64) if test is None else test.codes,
        names=names,
        n_left_out=len(rest) - len(common),
    )


def tokenize_shared_rows(
    rows: GridRows, config: StudentConfig, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> SharedRows:
    """Tokenize the rows into a subfolder of the grid's folder, unless it exists, and map them from there."""
    fingerprint = _fingerprint(rows, config)
    place = folder / "tokens" / fingerprint
    if not place.exists():
        scratch = place.with_name(f".{fingerprint}.{os.getpid()}")
        shutil.rmtree(scratch, ignore_errors=True)
        parts = {"pool": rows.pool, "validation": rows.validation, "test": rows.test}
        for name, part in parts.items():
            if part is None:
                continue
            tokens = tokenize(part, tokenizer, text_columns=config.text_columns, max_length=config.max_length)
            if name == "pool":
                tokens = concatenate_datasets([tokens, _label_columns(rows)], axis=1)
            tokens.save_to_disk(scratch / name)
        try:
            scratch.replace(place)
        except OSError:
            # Another process wrote the folder meanwhile.
            shutil.rmtree(scratch, ignore_errors=True)
    return open_rows(place, rows.names)


def open_rows(place: Path, names: Sequence[str]) -> SharedRows:
    """Map tokenized rows from their folder."""
    test = load_from_disk(str(place / "test")) if (place / "test").exists() else None
    pool, validation = load_from_disk(str(place / "pool")), load_from_disk(str(place / "validation"))
    return SharedRows(pool, validation, test, tuple(names), place.name)


def _source_rows(dataset: Dataset, file: GridFile, source: str, names: Sequence[str]) -> TrainingRows:
    options = file.grid.source_options(source)
    return training_rows(
        dataset,
        names=names,
        label_column=options["label_column"],
        probs_column=options.get("probs_column"),
        weight_column=options.get("weight_column"),
    )


def _label_columns(rows: GridRows) -> Dataset:
    columns: dict[str, list[object]] = {}
    for source, labels in rows.sources.items():
        columns[f"{LABELS}:{source}"] = labels.codes.tolist()
        if labels.probs is not None:
            columns[f"{PROBS}:{source}"] = labels.probs.tolist()
        if labels.weights is not None:
            columns[f"{WEIGHT}:{source}"] = labels.weights.tolist()
    return Dataset.from_dict(columns)


def _fingerprint(rows: GridRows, config: StudentConfig) -> str:
    """A hash of the texts, the labels and the tokenizer settings."""
    digest = hashlib.sha256()
    settings = [config.model, config.max_length, list(config.text_columns), list(rows.names)]
    digest.update(json.dumps(settings).encode())
    for part in (rows.pool, rows.validation, rows.test):
        for column in config.text_columns:
            digest.update(json.dumps(None if part is None else part[column][:]).encode())
    for source, labels in sorted(rows.sources.items()):
        digest.update(source.encode())
        for values in (labels.codes, labels.probs, labels.weights):
            digest.update(b"-" if values is None else values.tobytes())
    return digest.hexdigest()[:20]
