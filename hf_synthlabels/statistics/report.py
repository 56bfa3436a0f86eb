"""ValidationReport: what the human labels of a data set say of its predicted ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.statistics.agreement import Agreement, ClassAgreement
from hf_synthlabels.statistics.confusion import ConfusionMatrix
from hf_synthlabels.statistics.gate import GateVerdict
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.table import align, shorten

__all__ = ["ValidationReport"]

SCORES = ("coverage", "accuracy", "accuracy_answered", "macro_f1", "weighted_f1", "kappa")
TITLES = {"accuracy_answered": "accuracy, answered rows", "macro_f1": "macro F1", "weighted_f1": "weighted F1"}
NAME_WIDTH = 22
MISTAKES = 5


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Predicted labels against human ones: scores with intervals, counts, and the verdict of a gate.

    Print it for a table; `to_json` keeps everything.
    """

    human: str
    """The column of human labels."""
    llm: str
    """The column of predicted labels."""
    level: float
    resamples: int
    seed: int
    n_rows: int
    """All rows of the data set."""
    n_labelled: int
    """Of all rows, those that have a predicted label."""
    statuses: Mapping[str, int] | None
    """Rows by why they have a predicted label or none, over all rows; None when there is no status column."""
    confusion: ConfusionMatrix
    """Of the human-labelled rows, as is every score."""
    coverage: Interval
    accuracy: Interval
    accuracy_answered: Interval
    macro_f1: Interval
    weighted_f1: Interval
    kappa: Interval
    classes: tuple[ClassAgreement, ...]
    gate: GateVerdict | None = None

    @classmethod
    def from_agreement(cls, scores: Agreement, **fields: Any) -> ValidationReport:
        """A report with the scores of an agreement; `fields` are all others."""
        return cls(**{name: getattr(scores, name) for name in (*SCORES, "classes")}, **fields)

    @property
    def names(self) -> tuple[str, ...]:
        """The label names."""
        return self.confusion.names

    @property
    def n_human(self) -> int:
        """Rows that have a human label."""
        return self.confusion.n

    @property
    def n_answered(self) -> int:
        """Rows that have a human and a predicted label."""
        return self.confusion.answered

    @property
    def absent(self) -> tuple[str, ...]:
        """Names that occur in neither column of the human-labelled rows; macro F1 leaves them out."""
        return self.confusion.absent

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; an undefined number is None."""
        return {
            "human": self.human,
            "llm": self.llm,
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "n_rows": self.n_rows,
            "n_labelled": self.n_labelled,
            "n_human": self.n_human,
            "n_answered": self.n_answered,
            "statuses": None if self.statuses is None else dict(self.statuses),
            "scores": {name: getattr(self, name).to_dict() for name in SCORES},
            "classes": [each.to_dict() for each in self.classes],
            "absent": list(self.absent),
            "confusion": self.confusion.to_dict(),
            "gate": None if self.gate is None else self.gate.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ValidationReport:
        """The report that `to_dict` wrote."""
        plain = ("human", "llm", "level", "resamples", "seed", "n_rows", "n_labelled", "statuses")
        scores: dict[str, Any] = {name: Interval.from_dict(values["scores"][name]) for name in SCORES}
        return cls(
            **{name: values[name] for name in plain},
            **scores,
            classes=tuple(ClassAgreement.from_dict(each) for each in values["classes"]),
            confusion=ConfusionMatrix.from_dict(values["confusion"]),
            gate=None if values["gate"] is None else GateVerdict.from_dict(values["gate"]),
        )

    def to_json(self) -> str:
        """`to_dict` as indented JSON, the same text for the same report."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ValidationReport:
        """The report that `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    def __str__(self) -> str:
        parts = [self._heading(), self._scores(), self._classes()]
        if mistakes := self._mistakes():
            parts.append(mistakes)
        if self.absent:
            shown = ", ".join(shorten(name, NAME_WIDTH) for name in self.absent[:3])
            more = f" and {len(self.absent) - 3} more" if len(self.absent) > 3 else ""
            parts.append(f"no human-labelled row has: {shown}{more}")
        if self.gate is not None:
            parts.append(f"gate {self.gate}")
        return "\n\n".join(parts)

    def _heading(self) -> str:
        lines = [
            f"`{shorten(self.llm, 36)}` against human labels in `{shorten(self.human, 36)}`",
            f"rows {self.n_rows:,}, with a predicted label {self.n_labelled:,}, with a human label {self.n_human:,}",
        ]
        if self.statuses:
            lines.extend(f"  {shorten(status, NAME_WIDTH)}: {count:,} rows" for status, count in self.statuses.items())
        return "\n".join(lines)

    def _scores(self) -> str:
        rows = [("score", "", f"{100 * self.level:g} % interval", "n", "method")]
        for name in SCORES:
            score: Interval = getattr(self, name)
            estimate, _, ends = str(score).partition(" ")
            rows.append((TITLES.get(name, name), estimate, ends, f"{score.n:,}", score.method))
        return align(rows, right={1, 3})

    def _classes(self) -> str:
        rows: list[tuple[str, ...]] = [("class", "human n", "llm n", "precision", "recall", "F1")]
        for each in self.classes:
            cells = (_short(score) for score in (each.precision, each.recall, each.f1))
            rows.append((shorten(each.name, NAME_WIDTH), f"{each.support:,}", f"{each.predicted:,}", *cells))
        return align(rows, right={1, 2})

    def _mistakes(self) -> str:
        mistakes = self.confusion.mistakes()[:MISTAKES]
        if not mistakes:
            return ""
        support = {each.name: each.support for each in self.classes}
        rows = [("most frequent mistakes: human", "llm", "rows", "of")]
        rows += [
            (shorten(human, NAME_WIDTH), shorten(llm or "(no label)", NAME_WIDTH), f"{count:,}", f"{support[human]:,}")
            for human, llm, count in mistakes
        ]
        return align(rows, right={2, 3})


def _short(interval: Interval) -> str:
    """An interval with two decimals, for a narrow column."""
    if interval.n == 0:
        return "-"
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
