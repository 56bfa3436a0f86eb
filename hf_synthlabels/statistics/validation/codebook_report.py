"""Report of a codebook's validation: one line per variable, joint accuracy, and gates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.statistics.confidence.confidence_report import confidence_lines
from hf_synthlabels.statistics.exhibits import align, shorten, wrap
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.validation.gate import GateVerdict
from hf_synthlabels.statistics.validation.gate_family import RULE, VariableGate, overall
from hf_synthlabels.statistics.validation.measures import MEASURES
from hf_synthlabels.statistics.validation.report import ValidationReport

NAME_WIDTH = 14

HEADLINES = {
    "text-classification": ("macro_f1", "kappa"),
    "text-pair": ("macro_f1", "kappa"),
    "multi-label": ("micro_f1", "jaccard"),
    "text-scale": ("mae", "icc"),
    "token-classification": ("entity_f1", "boundary_f1"),
    "question-answering": ("token_f1", "exact_match"),
    "text-generation": ("token_f1", "exact_match"),
}
"""The score and the measure of agreement in the line of a variable, by task type."""

SHORT_NAMES = {
    "text-classification": "class",
    "text-pair": "pair",
    "multi-label": "multi",
    "text-scale": "scale",
    "token-classification": "entity",
    "question-answering": "answer",
    "text-generation": "text",
    "macro_f1": "F1",
    "micro_f1": "F1",
    "entity_f1": "F1",
    "token_f1": "F1",
    "mae": "MAE",
    "kappa": "kappa",
    "jaccard": "Jacc.",
    "icc": "ICC",
    "boundary_f1": "bound.",
    "exact_match": "EM",
}


@dataclass(frozen=True, slots=True)
class CodebookReport:
    """LLM labels of several variables against human labels."""

    level: float
    n_rows: int
    variables: Mapping[str, ValidationReport]
    """Of each variable with human labels."""
    skipped: Mapping[str, tuple[int, int]]
    """Rows in which the LLM skipped a variable, and how many of them have a human label; excluded from its scores."""
    not_coded: Mapping[str, int]
    """Rows that human annotators left empty since the variable's condition does not hold; they are not missing."""
    not_validated: tuple[str, ...]
    """Variables without human labels."""
    joint: Interval
    """Rows in which all variables with human labels are correct."""
    gates: tuple[tuple[str, GateVerdict], ...] = ()
    """Variable and adjusted verdict of each gate."""

    @property
    def verdict(self) -> str | None:
        """`pass` if all gates pass, `fail` if one fails, otherwise undecided; None without gates."""
        return overall([verdict for _, verdict in self.gates]) if self.gates else None

    @property
    def gate_rule(self) -> str:
        """How the verdicts are adjusted for the number of gates."""
        return RULE.format(alpha=(1 - self.level) / 2, number=len(self.gates))

    def gate_lines(self) -> list[str]:
        """A line for each gate."""
        return [
            f"{VariableGate(name, verdict.gate)}: {str(verdict).removeprefix(f'{verdict.gate}: ')}, "
            f"{100 * verdict.interval.level:.4g}% interval"
            for name, verdict in self.gates
        ]

    @property
    def joint_text(self) -> str:
        """The joint accuracy as a sentence."""
        if not self.joint.n:
            return "joint accuracy: no row has human labels of all validated variables"
        return (
            f"joint accuracy: {self.joint} of {self.joint.n:,} rows have correct labels of all "
            f"{len(self.variables)} validated variables ({self.joint.method})"
        )

    def notes(self) -> list[str]:
        """Sentences about rows that are left out, and variables without human labels."""
        notes = [
            f"`{name}`: {rows:,} rows are skipped (condition not met, or no text), {human:,} of them with a human label"
            f"; its scores exclude them."
            for name, (rows, human) in self.skipped.items()
        ]
        notes += [
            f"`{name}`: {rows:,} rows have no human label because its condition does not hold; they are not missing."
            for name, rows in self.not_coded.items()
        ]
        notes += [
            f"`{name}`: {report.raters.headline}."
            for name, report in self.variables.items()
            if report.raters is not None
        ]
        if self.not_validated:
            notes.append(f"not validated, since there are no human labels: {', '.join(self.not_validated)}")
        return notes

    def text(self, width: int | None = None) -> str:
        """The report for a terminal of `width` characters; the table needs 80."""
        rows = [("variable", "kind", "n", "cov.", "score", "agreement")]
        for name, report in self.variables.items():
            score, agreement = (_cell(report, measure) for measure in HEADLINES[report.kind])
            coverage = f"{report.coverage.estimate:.0%}"
            n = f"{report.n_human:,}"
            rows.append((shorten(name, NAME_WIDTH), SHORT_NAMES[report.kind], n, coverage, score, agreement))
        parts = [
            wrap(f"{self.n_rows:,} rows; n: rows with a human label; {100 * self.level:g}% intervals", width),
            align(rows, {2, 3}, width),
            wrap(self.joint_text, width),
        ]
        parts += confidence_lines({name: report.confidence for name, report in self.variables.items()}, width)
        parts += [wrap(note, width) for note in self.notes()]
        if self.gates:
            parts += [wrap(f"gate {line}", width) for line in self.gate_lines()]
            parts.append(wrap(f"all gates: {str(self.verdict).replace('_', ' ')}. {self.gate_rule}", width))
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "level": self.level,
            "n_rows": self.n_rows,
            "variables": {name: report.to_dict() for name, report in self.variables.items()},
            "skipped": {name: list(counts) for name, counts in self.skipped.items()},
            "not_coded": dict(self.not_coded),
            "not_validated": list(self.not_validated),
            "joint": self.joint.to_dict(),
            "gates": [{"variable": name, **verdict.to_dict()} for name, verdict in self.gates],
            "verdict": self.verdict,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CodebookReport:
        """Read what `to_dict` returned."""
        return cls(
            values["level"],
            values["n_rows"],
            {name: ValidationReport.from_dict(report) for name, report in values["variables"].items()},
            {name: (rows, human) for name, (rows, human) in values["skipped"].items()},
            dict(values["not_coded"]),
            tuple(values["not_validated"]),
            Interval.from_dict(values["joint"]),
            tuple((each["variable"], GateVerdict.from_dict(each)) for each in values["gates"]),
        )

    def to_json(self) -> str:
        """`to_dict` as indented JSON, the same text for the same report."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def _cell(report: ValidationReport, measure: str) -> str:
    """A score with its interval, in 22 characters."""
    if measure not in report.scores or not report.scores[measure].n:
        return "-"
    score = report.scores[measure]
    name = SHORT_NAMES.get(measure, MEASURES[report.kind][measure])
    return f"{name} {score.estimate:.2f} [{score.low:.2f}, {score.high:.2f}]"
