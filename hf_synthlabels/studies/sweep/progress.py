"""How long a study still takes, from what its cells took so far."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.studies.runs import CellName
from hf_synthlabels.studies.sweep.job import Job, Outcome
from hf_synthlabels.studies.sweep.steps import steps_of


class EtaEstimator:
    """Estimate of the time that the missing cells take, from finished cells of the same student.

    Cells that train an encoder are scaled by their optimizer steps: `min_steps` and epochs make the steps grow more
    slowly than the rows. The first cell of a regression on vectors encodes all texts, so its time stands for itself
    until a second one is seen. A student of which no cell has finished counts as the mean cell.
    """

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self._began = time.monotonic()
        self._left = {job.key: (self._kind(job.cell), self._work(job)) for job in jobs}
        self._once = {self._kind(job.cell) for job in jobs if job.learner == "vectors"}
        self._spent: dict[tuple[str, str], float] = defaultdict(float)
        self._rows: dict[tuple[str, str], int] = defaultdict(int)
        self._seen_rows: dict[tuple[str, str], int] = defaultdict(int)
        self._first: dict[tuple[str, str], float] = {}
        self._seen = 0
        self._workers = max(1, min(workers, len(jobs)))
        self._busy = 0.0

    def finished(self, outcome: Outcome) -> None:
        """Count a cell."""
        kind, rows = self._left.pop(outcome.key)
        now = time.monotonic()
        # Loading and evaluating count too: what passed since the last one, of all processes.
        passed = (now - self._began) * self._workers - self._busy
        self._busy += passed
        if kind in self._once and not self._rows[kind]:
            # Encoding is done for the cells to come; they take no longer than a later one will show.
            self._first[kind] = passed
        else:
            self._spent[kind] += passed
            self._seen_rows[kind] += rows
        self._rows[kind] += rows
        self._seen += 1

    def seconds(self) -> float:
        """That are left."""
        regular = self._seen - len(self._first)
        one = sum(self._spent.values()) / regular if regular else sum(self._first.values()) / max(1, self._seen)
        students: dict[str, list[float]] = defaultdict(list)
        rates = {kind: self._spent[kind] / rows for kind, rows in self._seen_rows.items() if rows}
        for (_, student), rate in rates.items():
            students[student].append(rate)
        # A task that no cell has been seen of is taken for one like the others, for the same student.
        known = {student: sum(found) / len(found) for student, found in students.items()}
        left = 0.0
        for kind, rows in self._left.values():
            per_row = rates.get(kind, known.get(kind[1]))
            left += one if per_row is None else per_row * rows
        return left / self._workers

    @staticmethod
    def _work(job: Job) -> int:
        if job.learner not in ("encoder", "writer"):
            return 1
        few = sum(label is not None for label in job.few or ())
        try:
            return max(1, sum(steps_of(job, job.nominal, few)))
        except ConfigError:
            return 1

    def __str__(self) -> str:
        if not self._left:
            return "nothing"
        seconds = max(1, round(self.seconds()))
        if seconds < 60:
            return f"{seconds} s"
        return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h {seconds % 3600 // 60} min"

    @staticmethod
    def _kind(cell: CellName) -> tuple[str, str]:
        return cell.task, cell.student


def named(cell: CellName) -> str:
    """A cell in words."""
    size = "all rows" if cell.size is None else f"{cell.size:,} rows"
    parts = [cell.task, cell.source, "" if cell.prompt == "-" else cell.prompt, size, cell.student]
    parts += [] if cell.strategy == "plain" else [f"{cell.strategy} with {cell.n_human} human"]
    return ", ".join([part for part in parts if part] + [f"seed {cell.seed}"])
