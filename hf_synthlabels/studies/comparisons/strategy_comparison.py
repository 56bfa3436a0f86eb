"""Comparison of strategies on one task."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import MISSING
from hf_synthlabels.studies.comparisons.strategy_report import StrategyReport, strategy_report
from hf_synthlabels.studies.runs import MAX_UNASKED
from hf_synthlabels.studies.strategies import BASELINES, HUMAN_EPOCHS, MAX_EPOCHS, STRATEGIES, Strategy
from hf_synthlabels.studies.students.journal import Cell, Journal, cell_key
from hf_synthlabels.studies.table import CellPredictions, write_table
from hf_synthlabels.studies.tasks.rows import check_classes, draw_rows, label_codes, shared_texts, unasked_share

HUMAN = "human_few"
"""The column that a student sees: the human labels that were drawn, None in all other rows."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StrategyRows:
    """Which columns hold what, and how many human labels a student gets to see."""

    names: Sequence[str]
    human: str
    llm: str
    text: Sequence[str] = ("text",)
    probs: str | None = None
    confidence: str | None = None
    n_human: int = 250
    """Sampled for each seed, the same rows for all strategies; the other human labels are not used."""


def compare_strategies(
    rows: StrategyRows,
    train: Dataset,
    test: Dataset,
    *,
    student: Mapping[str, Any],
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    strategies: Sequence[Strategy] = STRATEGIES,
    drop_shared: bool = True,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> StrategyReport:
    """Train every strategy on the same rows, seeds and steps, and test all on the same human-labeled rows.

    A seed determines the starting weights, the row order and the human labels, the same for all strategies. The steps
    are those of `num_train_epochs` over the LLM-labeled rows, or `max_steps`. Steps of a human second stage are
    subtracted, unless a strategy is `on_top`.

    Args:
        rows: the columns.
        train: rows with LLM labels, and human labels on some or all.
        test: rows with human labels; those without one are left out.
        student: keys of StudentConfig, `model` among them; the same for all, so nothing is tuned for any of them.
        seeds: one student each; at least two.
        strategies: all three baselines among them; those that need a column that `rows` does not name are left out.
        drop_shared: whether to leave out training rows whose text is also among the test rows.
        folder: where the journal of trained students is kept; without one an interrupted run starts over.
        progress: told each step in a line.

    Raises:
        ConfigError: a baseline is missing, or there are too few seeds or steps.
        DataError: a column is missing, or there are too few human labels.
    """
    chosen = [strategy for strategy in strategies if _possible(strategy, rows)]
    _check(chosen, seeds)
    tested = _tested(test, rows)
    shared = shared_texts(train, [tested], rows.text)
    train = train.select(np.flatnonzero(~shared)) if drop_shared else train
    runner = _Runner(rows, train, tested, dict(student), Journal(folder), progress or _silent)
    runner.check_labels(seeds)
    # Seed by seed, so that what an interrupted run has done is whole comparisons.
    cells = [[runner.run(strategy, seed) for strategy in chosen] for seed in seeds]
    predictions = {
        strategy.name: np.array([by_strategy[place].predictions for by_strategy in cells])
        for place, strategy in enumerate(chosen)
    }
    truth = label_codes(tested, rows.human, rows.names)
    _write_table(folder, rows, chosen, seeds, cells, truth, dict(student))
    return strategy_report(
        {strategy.name: strategy.description for strategy in chosen},
        predictions,
        np.array(truth, dtype=np.int64),
        _own_labels(tested, rows),
        names=rows.names,
        baselines=[baseline.name for baseline in BASELINES],
        facts={
            "seeds": list(seeds),
            "llm_rows": runner.n_llm,
            "human_rows": min(rows.n_human, runner.n_people),
            "test_rows": len(tested),
            "shared_texts": int(shared.sum()),
            "shared_texts_dropped": drop_shared,
            "steps": {strategy.name: sum(runner.steps(strategy)) for strategy in chosen},
            "train_s": {
                strategy.name: float(np.mean([by_strategy[place].train_s for by_strategy in cells]))
                for place, strategy in enumerate(chosen)
            },
            "student": dict(student),
        },
    )


class _Runner:
    """Trains each strategy with each seed once."""

    def __init__(
        self,
        rows: StrategyRows,
        train: Dataset,
        test: Dataset,
        student: dict[str, Any],
        journal: Journal,
        tell: Progress,
    ) -> None:
        self.rows, self.train, self.test = rows, train, test
        self.student, self.journal, self.tell = student, journal, tell
        self.people = label_codes(train, rows.human, rows.names)
        self.llm = label_codes(train, rows.llm, rows.names)
        self.n_llm = sum(code is not None for code in self.llm)
        self.n_people = sum(code is not None for code in self.people)
        if not self.n_people or not self.n_llm:
            raise DataError(
                f"`train` has {self.n_people} human and {self.n_llm} LLM labels in {len(train)} rows. Both are needed."
            )

    def check_labels(self, seeds: Sequence[int]) -> None:
        """Reject labels of a single class before anything is trained.

        Raises:
            DataError: all LLM labels, or the human labels of a seed, are the same.
        """
        check_classes(self.llm, self.rows.llm)
        for seed in seeds:
            drawn = set(draw_rows(self.people, self.rows.n_human, seed))
            check_classes([code if row in drawn else None for row, code in enumerate(self.people)], self.rows.human)

    def steps(self, strategy: Strategy) -> tuple[int, int]:
        """Steps of the first part, and of the human rows after it."""
        total = int(self.student.get("max_steps", -1))
        if total < 1:
            total = math.ceil(self._batches(self.n_llm) * float(self.student.get("num_train_epochs", 3)))
        few = min(self.rows.n_human, self.n_people)
        if strategy.labels == "human":
            return min(total, self._batches(few) * MAX_EPOCHS), 0
        if strategy.options.get("human_strategy") != "finetune":
            return total, 0
        later = math.ceil(self._batches(few) * float(strategy.options.get("human_epochs") or HUMAN_EPOCHS))
        if later >= total and not strategy.on_top:
            raise ConfigError(
                f"`max_steps` is {total}, of which the human rows of {strategy.name!r} alone take {later}. Give more "
                "steps or epochs."
            )
        return total - (0 if strategy.on_top else later), later

    def _batches(self, n_rows: int) -> int:
        batch = int(self.student.get("per_device_train_batch_size", 16))
        return math.ceil(n_rows / (batch * int(self.student.get("gradient_accumulation_steps", 1))))

    def run(self, strategy: Strategy, seed: int) -> Cell:
        """One student, from the journal if it was trained before."""
        options, part = self._options(strategy, seed), self._part(strategy, seed)
        steps = options["max_steps"]
        content = {column: part[column][:] for column in part.column_names}
        asked = [self.test[column][:] for column in self.rows.text]
        versions = {package: metadata.version(package) for package in ("torch", "transformers")}
        key = cell_key(
            {"options": options, "names": list(self.rows.names), "rows": content, "test": asked, "versions": versions}
        )
        known = self.journal.get(key)
        told = f"{strategy.name}, seed {seed}, {steps} steps on {len(part)} rows"
        self.tell(told if known is None else f"{told}: trained before")
        if known is not None:
            return known
        from hf_synthlabels.training import StudentConfig, train_student

        with tempfile.TemporaryDirectory() as scratch:
            config = StudentConfig.from_dict({**options, "output_dir": scratch}, where="`student`")
            trained = train_student(config, part, names=self.rows.names)
            codes = trained.predict(self.test.select_columns(list(self.rows.text))).codes
        seconds = sum(trained.metrics.get(name, 0.0) for name in ("train_seconds", "human_train_seconds"))
        cell = Cell(tuple(int(code) for code in codes), steps, seconds)
        self.journal.put(key, cell)
        return cell

    def _options(self, strategy: Strategy, seed: int) -> dict[str, Any]:
        options = {**self.student, **strategy.options, "seed": seed, "max_steps": self.steps(strategy)[0]}
        options["text_columns"] = list(self.rows.text)
        if strategy.labels in ("human", "all_human"):
            return {**options, "label_column": HUMAN if strategy.labels == "human" else self.rows.human}
        options["label_column"] = self.rows.llm
        if strategy.labels == "both":
            options["human_column"] = HUMAN
        if strategy.needs == "probs":
            options["probs_column"] = self.rows.probs
        if strategy.needs == "confidence":
            options["confidence_column"] = self.rows.confidence
        return options

    def _part(self, strategy: Strategy, seed: int) -> Dataset:
        """The training rows with the columns that the strategy may see, and no others."""
        columns = [*self.rows.text]
        if strategy.labels in ("llm", "both"):
            columns.append(self.rows.llm)
            extra = {"probs": self.rows.probs, "confidence": self.rows.confidence}.get(strategy.needs or "")
            columns += [] if extra is None else [extra]
        if strategy.labels == "all_human":
            return self.train.select_columns([*columns, self.rows.human])
        part = self.train.select_columns(columns)
        if strategy.labels == "llm":
            return part
        drawn = set(draw_rows(self.people, self.rows.n_human, seed))
        labels = [
            None if code is None or row not in drawn else self.rows.names[code] for row, code in enumerate(self.people)
        ]
        return part.add_column(HUMAN, labels)


def _possible(strategy: Strategy, rows: StrategyRows) -> bool:
    there = {None: True, "probs": rows.probs is not None, "confidence": rows.confidence is not None}
    return there[strategy.needs]


def _check(strategies: Sequence[Strategy], seeds: Sequence[int]) -> None:
    names = [strategy.name for strategy in strategies]
    missing = [baseline.name for baseline in BASELINES if baseline.name not in names]
    if missing:
        raise ConfigError(f"`strategies` lacks {missing[0]!r}. Without the baselines nothing says what a method adds.")
    if len(set(names)) != len(names):
        raise ConfigError(f"`strategies` has the names {names!r}. Give each its own.")
    if len(set(seeds)) < 2 or len(set(seeds)) != len(seeds):
        raise ConfigError(f"`seeds` is {list(seeds)!r}. Give two at least, each once; 5 are usual.")


def _own_labels(tested: Dataset, rows: StrategyRows) -> NDArray[np.int64] | None:
    """The annotator's labels of the test rows; None where it did not label too many of them."""
    if unasked_share(tested, rows.llm) > MAX_UNASKED:
        return None
    return np.array([MISSING if code is None else code for code in label_codes(tested, rows.llm, rows.names)])


def _write_table(
    folder: Path | None,
    rows: StrategyRows,
    strategies: Sequence[Strategy],
    seeds: Sequence[int],
    cells: Sequence[Sequence[Cell]],
    truth: Sequence[int | None],
    student: Mapping[str, Any],
) -> None:
    if folder is None:
        return
    human = [None if code is None else rows.names[code] for code in truth]
    table = [
        CellPredictions(
            "task",
            "human" if strategy.labels in ("human", "all_human") else "llm",
            [rows.names[code] for code in cell.predictions],
            human,
            strategy=strategy.name,
            n_human=0 if strategy.labels == "llm" else rows.n_human,
            seed=seed,
            facts={"steps": cell.steps, "train_s": cell.train_s},
        )
        for seed, by_strategy in zip(seeds, cells, strict=True)
        for strategy, cell in zip(strategies, by_strategy, strict=True)
    ]
    write_table(folder, table, {"student": student})


def _tested(test: Dataset, rows: StrategyRows) -> Dataset:
    labelled: NDArray[np.int64] = np.array(
        [row for row, code in enumerate(label_codes(test, rows.human, rows.names)) if code is not None], dtype=np.int64
    )
    if not len(labelled):
        raise DataError(f"`human` {rows.human!r} has no label in any of the {len(test)} test rows. Label some by hand.")
    return test.select(labelled)


def _silent(line: str) -> None:
    """Discard a line."""
