"""How long a study still takes, from what its cells took so far."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from hf_synthlabels.studies.runs import CellName
from hf_synthlabels.studies.sweep.job import Job, Outcome

__all__ = ["TimeLeft", "named"]


class TimeLeft:
    """The time that the missing cells will take: as long as those before of the same student, by rows where it trains.

    It is a guess: a cell of a student that none has been seen of counts as long as the mean of those that were.
    """

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self._began = time.monotonic()
        # Who trains an encoder takes as long as there are rows; of the others something else takes most of the time.
        self._left = {job.key: (self._kind(job.cell), job.nominal if job.learner == "encoder" else 1) for job in jobs}
        self._spent: dict[tuple[str, str], float] = defaultdict(float)
        self._rows: dict[tuple[str, str], int] = defaultdict(int)
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
        self._spent[kind] += passed
        self._rows[kind] += rows
        self._seen += 1

    def seconds(self) -> float:
        """That are left."""
        one = sum(self._spent.values()) / max(1, self._seen)
        students: dict[str, list[float]] = defaultdict(list)
        rates = {kind: self._spent[kind] / self._rows[kind] for kind in self._rows}
        for (_, student), rate in rates.items():
            students[student].append(rate)
        # A task that no cell has been seen of is taken for one like the others, for the same student.
        known = {student: sum(found) / len(found) for student, found in students.items()}
        left = 0.0
        for kind, rows in self._left.values():
            per_row = rates.get(kind, known.get(kind[1]))
            left += one if per_row is None else per_row * rows
        return left / self._workers

    def __str__(self) -> str:
        seconds = round(self.seconds())
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
