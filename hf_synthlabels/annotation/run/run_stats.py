"""RunStats: what a run has come to so far."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_synthlabels.clients import Completion
from hf_synthlabels.labels import Annotation

VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|-?\d[\d.,]*|(?<=several labels: ).*")
"""What differs from row to row within one reason."""


@dataclass(slots=True)
class RunStats:
    """What a run has come to so far."""

    rows: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    stored: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    models: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    truncated_prompts: Counter[str] = field(default_factory=Counter)
    """Prompts that the server probably truncated; see `checked_prompts`."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Of rows without a label: their status and reason, where quoted words and numbers count as the same."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            name: dict(sorted(value.items())) if isinstance(value := getattr(self, name), Counter) else value
            for name in RunStats.__dataclass_fields__
        }

    def add(self, other: Mapping[str, Any]) -> None:
        """Add the numbers of another run, given by its `to_dict`."""
        for name in RunStats.__dataclass_fields__:
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(other.get(name, {}))
            else:
                setattr(self, name, mine + other[name])

    def is_all_failed(self, unasked: str) -> bool:
        """Whether all rows failed, or all that were asked while nothing was ever answered.

        Args:
            unasked: the status of rows that are never asked, for example because they have no text.
        """
        failed = self.statuses["failed"]
        answered = self.stored or self.models or self.completion_tokens
        return failed > 0 and (failed == self.rows or (not answered and failed == self.rows - self.statuses[unasked]))

    def count_row(self, annotation: Annotation) -> None:
        """A row is finished."""
        self.rows += 1
        self.statuses[annotation.status] += 1
        if annotation.status == "failed":
            self.failures[annotation.reason] += 1
        elif annotation.status != "labelled":
            self.count_reason(annotation.status, annotation.reason)

    def count_reason(self, status: str, reason: str) -> None:
        """A row has no label, and why."""
        self.reasons[f"{status}: {VARIABLE.sub('…', reason)}"] += 1

    def count_call(self, completion: Completion) -> None:
        """A request was answered, or given up."""
        if completion.stored:
            self.stored += 1
            return
        if completion.failure is not None and completion.failure.kind in ("over_budget", "skipped"):
            return
        self.requests += 1
        self.prompt_tokens += completion.usage.prompt_tokens
        self.completion_tokens += completion.usage.completion_tokens
        self.cached_tokens += completion.usage.cached_tokens
        if completion.model:
            self.models[completion.model] += 1
