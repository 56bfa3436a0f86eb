"""Report of a validation: predicted labels against human labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.agreement.base import ClassAgreement
from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix
from hf_synthlabels.statistics.confidence.confidence_report import ConfidenceReport
from hf_synthlabels.statistics.exhibits import Breakdown, align, shorten, wrap
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.missing_labels.bounds import Bounds, bounds_text
from hf_synthlabels.statistics.raters.rater_report import RaterReport
from hf_synthlabels.statistics.validation.gate import GateVerdict
from hf_synthlabels.statistics.validation.measures import MEASURES

NAME_WIDTH = 22

MISTAKES = 5

DEFAULT_KIND = "text-classification"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Predicted labels against human labels: scores with intervals, counts, and the verdict of a gate.

    Print it for a table; `to_json` keeps everything.
    """

    kind: str
    """Task type, which determines the scores."""
    human: str
    """Column of human labels."""
    llm: str
    """Column of predicted labels."""
    level: float
    resamples: int
    seed: int
    n_rows: int
    n_labelled: int
    """Rows with a predicted label."""
    n_human: int
    """Rows with a human label, of which every score is."""
    n_answered: int
    """Rows with a human and a predicted label."""
    statuses: Mapping[str, int] | None
    """Rows by status of the predicted label; None without a status column."""
    scores: Mapping[str, Interval]
    """By name, as `MEASURES` lists them for the task type."""
    classes: tuple[ClassAgreement, ...] = ()
    """For each label name, if the task type has names."""
    matrix: ConfusionMatrix | None = None
    """Of the human-labeled rows, for single-label classification."""
    tables: tuple[Breakdown, ...] = ()
    """How the labels differ, for the other task types."""
    notes: tuple[str, ...] = ()
    """How to read the scores."""
    gate: GateVerdict | None = None
    majority: tuple[str, Interval] | None = None
    """The most frequent human label and its share: the accuracy of always answering it."""
    raters: RaterReport | None = None
    """Reliability of the human labels, if rows have several."""
    confidence: ConfidenceReport | None = None
    """Whether the confidence says which labels are right; None if no confidence is known."""
    bounds: Bounds | None = None
    """Of accuracy, if rows have no predicted label or no human label."""

    @property
    def coverage(self) -> Interval:
        """Human-labeled rows that have a prediction."""
        return self.score("coverage")

    @property
    def accuracy(self) -> Interval:
        """Correct predictions among all human-labeled rows; a missing one is incorrect."""
        return self.score("accuracy")

    @property
    def accuracy_answered(self) -> Interval:
        """Correct predictions among the rows that have one."""
        return self.score("accuracy_answered")

    @property
    def macro_f1(self) -> Interval:
        """Mean F1 over the names that occur."""
        return self.score("macro_f1")

    @property
    def weighted_f1(self) -> Interval:
        """Mean F1 weighted by how often humans gave each name."""
        return self.score("weighted_f1")

    @property
    def kappa(self) -> Interval:
        """Cohen's kappa of the answered rows."""
        return self.score("kappa")

    def score(self, name: str) -> Interval:
        """The score of that name; a DataError if the task type does not have it."""
        if name not in self.scores:
            raise DataError(f"`{name}` is no score of kind {self.kind!r}. There is {', '.join(self.scores)}.")
        return self.scores[name]

    @property
    def confusion(self) -> ConfusionMatrix:
        """Human against predicted names; a DataError unless it is single-label classification."""
        if self.matrix is None:
            raise DataError(f"`confusion` is of one name per row; kind is {self.kind!r}. Read `tables`.")
        return self.matrix

    @property
    def names(self) -> tuple[str, ...]:
        """The label names; none where the kind has none."""
        return tuple(each.name for each in self.classes)

    @property
    def absent(self) -> tuple[str, ...]:
        """Names that occur in neither column of the human-labeled rows; macro F1 leaves them out."""
        return tuple(each.name for each in self.classes if each.support + each.predicted == 0)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; None where undefined. Without `kind` it is text-classification."""
        plain = ("human", "llm", "level", "resamples", "seed", "n_rows", "n_labelled", "n_human", "n_answered")
        if self.matrix is None:
            more = {"tables": [each.to_dict() for each in self.tables], "notes": list(self.notes)}
        else:
            more = {"confusion": self.matrix.to_dict(), **({"notes": list(self.notes)} if self.notes else {})}
        return {
            **({} if self.kind == DEFAULT_KIND else {"kind": self.kind}),
            **{name: getattr(self, name) for name in plain},
            "statuses": None if self.statuses is None else dict(self.statuses),
            "scores": {name: score.to_dict() for name, score in self.scores.items()},
            "classes": [each.to_dict() for each in self.classes],
            "absent": list(self.absent),
            **more,
            "gate": None if self.gate is None else self.gate.to_dict(),
            **({} if self.majority is None else {"majority": [self.majority[0], self.majority[1].to_dict()]}),
            **({} if self.raters is None else {"raters": self.raters.to_dict()}),
            **({} if self.confidence is None else {"confidence": self.confidence.to_dict()}),
            **({} if self.bounds is None else {"bounds": self.bounds.to_dict()}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ValidationReport:
        """Read what `to_dict` returned."""
        plain = ("human", "llm", "level", "resamples", "seed", "n_rows", "n_labelled", "n_human", "n_answered")
        majority = values.get("majority")
        return cls(
            kind=values.get("kind", DEFAULT_KIND),
            **{name: values[name] for name in (*plain, "statuses")},
            scores={name: Interval.from_dict(score) for name, score in values["scores"].items()},
            classes=tuple(ClassAgreement.from_dict(each) for each in values["classes"]),
            matrix=ConfusionMatrix.from_dict(values["confusion"]) if "confusion" in values else None,
            tables=tuple(Breakdown.from_dict(each) for each in values.get("tables", ())),
            notes=tuple(values.get("notes", ())),
            gate=None if values["gate"] is None else GateVerdict.from_dict(values["gate"]),
            majority=None if majority is None else (majority[0], Interval.from_dict(majority[1])),
            raters=RaterReport.from_dict(values["raters"]) if "raters" in values else None,
            confidence=ConfidenceReport.from_dict(values["confidence"]) if "confidence" in values else None,
            bounds=Bounds.from_dict(values["bounds"]) if "bounds" in values else None,
        )

    def to_json(self) -> str:
        """`to_dict` as indented JSON, the same text for the same report."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ValidationReport:
        """Read what `to_json` returned."""
        return cls.from_dict(json.loads(text))

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The report for a terminal that is `width` characters wide; None for tables of any width."""
        parts = [self._heading(), self._scores(width)]
        parts += [self._classes(width)] if self.classes else []
        parts += [table for table in (self._mistakes(width), *(each.text(width) for each in self.tables)) if table]
        if self.absent:
            shown = ", ".join(shorten(name, NAME_WIDTH) for name in self.absent[:3])
            more = f" and {len(self.absent) - 3} more" if len(self.absent) > 3 else ""
            parts.append(f"no human-labeled row has: {shown}{more}")
        parts += [wrap(note, width) for note in self.notes]
        if self.majority is not None:
            name, share = self.majority
            baseline = f"baseline: always answering {shorten(name, NAME_WIDTH)!r} has accuracy {share}"
            parts.append(baseline if width is None else wrap(baseline, width))
        parts += [wrap(bounds_text(self.bounds), width)] if self.bounds is not None else []
        parts += [self.raters.text(width)] if self.raters is not None else []
        if self.gate is not None:
            parts.append(wrap(f"gate {self.gate}", width))
            parts += [wrap(self.gate.next_step, width)] if self.gate.next_step else []
        parts += [] if self.confidence is None else [self.confidence.text(width)]
        return "\n\n".join(parts)

    def _heading(self) -> str:
        lines = [
            f"`{shorten(self.llm, 36)}` against human labels in `{shorten(self.human, 36)}`",
            f"rows {self.n_rows:,}, with a predicted label {self.n_labelled:,}, with a human label {self.n_human:,}",
        ]
        if self.kind != DEFAULT_KIND:
            lines.append(f"kind {self.kind}")
        if self.statuses:
            lines.extend(f"  {shorten(status, NAME_WIDTH)}: {count:,} rows" for status, count in self.statuses.items())
        return "\n".join(lines)

    def _scores(self, width: int | None) -> str:
        rows = [("score", "", f"{100 * self.level:g}% interval", "n", "method")]
        for name, score in self.scores.items():
            estimate, _, ends = str(score).partition(" ")
            rows.append((MEASURES[self.kind][name], estimate, ends, f"{score.n:,}", score.method))
        return align(rows, {1, 3}, width)

    def _classes(self, width: int | None) -> str:
        rows: list[tuple[str, ...]] = [
            ("class" if self.matrix is not None else "name", "human n", "llm n", "precision", "recall", "F1")
        ]
        for each in self.classes:
            cells = (_short(score) for score in (each.precision, each.recall, each.f1))
            rows.append((shorten(each.name, NAME_WIDTH), f"{each.support:,}", f"{each.predicted:,}", *cells))
        return align(rows, {1, 2}, width)

    def _mistakes(self, width: int | None) -> str:
        mistakes = [] if self.matrix is None else self.matrix.mistakes()[:MISTAKES]
        if not mistakes:
            return ""
        support = {each.name: each.support for each in self.classes}
        rows = [("most frequent mistakes: human", "llm", "rows", "of")]
        rows += [
            (shorten(human, NAME_WIDTH), shorten(llm or "(no label)", NAME_WIDTH), f"{count:,}", f"{support[human]:,}")
            for human, llm, count in mistakes
        ]
        return align(rows, {2, 3}, width)


def _short(interval: Interval) -> str:
    """An interval with two decimals, for a narrow column."""
    if interval.n == 0:
        return "-"
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
