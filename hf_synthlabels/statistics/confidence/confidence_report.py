"""Report on the confidence of one column: calibration, Brier score, and separation of right from wrong labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hf_synthlabels.statistics.bootstrap import BootstrapConfig, row_intervals
from hf_synthlabels.statistics.confidence.brier import BrierScore, brier_parts
from hf_synthlabels.statistics.confidence.calibration_error import CalibrationError, calibration_error
from hf_synthlabels.statistics.confidence.ranking import (
    KeptRows,
    accuracy_by_coverage,
    area_under_risk_curve,
    auroc,
    brier_of_counts,
)
from hf_synthlabels.statistics.confidence.recalibration import Recalibration
from hf_synthlabels.statistics.confidence.reliability_table import (
    ConfidentRows,
    ReliabilityBin,
    automatic_bins,
    bin_codes,
    contributions,
    reliability_table,
)
from hf_synthlabels.statistics.exhibits import align, shorten, wrap
from hf_synthlabels.statistics.intervals import Interval, fields_as_json

NAME_WIDTH = 36

VARIABLE_WIDTH = 14

SHOWN_SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of kept rows that a terminal shows."""

MIN_WRONG = 5
"""Wrong labels below which a measure of separation rests on too few rows."""


@dataclass(frozen=True, slots=True)
class ConfidenceReport:
    """How well the confidence of a label column says whether a label is right."""

    column: str
    """The column with the confidence."""
    level: float
    resamples: int
    seed: int
    n: int
    """Rows with a confidence, an LLM label and a human label."""
    n_without: int
    """Rows with an LLM label and a human label, but no confidence."""
    n_wrong: int
    """Labels that differ from the human label."""
    mean: float
    """Weighted mean confidence."""
    accuracy: Interval
    """Of the same rows."""
    brier: BrierScore
    error: CalibrationError
    auroc: Interval
    """The probability that a right label has more confidence than a wrong one."""
    aurc: Interval
    """Area under the curve of the share of wrong labels by the share of rows kept."""
    bins: tuple[ReliabilityBin, ...]
    curve: tuple[KeptRows, ...]
    """Accuracy by share of rows kept."""
    classes: BrierScore | None = None
    """Brier score of the probabilities of all classes, from 0 to 2; None if they are unknown."""
    notes: tuple[str, ...] = ()
    recalibrated: Recalibration | None = None
    """The confidence corrected by the human labels, where that is requested."""

    @property
    def measures(self) -> dict[str, Interval]:
        """The scores by the name that a report shows."""
        return {
            "Brier score": self.brier.score,
            "calibration error": self.error.debiased,
            "AUROC of being right": self.auroc,
            "AURC": self.aurc,
            **({} if self.classes is None else {"Brier score, classes": self.classes.score}),
        }

    @property
    def heading(self) -> str:
        """The column, its rows, and mean confidence against accuracy."""
        missing = f"; rows without a confidence: {self.n_without:,}" if self.n_without else ""
        return (
            f"confidence in `{shorten(self.column, NAME_WIDTH)}`: mean {self.mean:.3f}, accuracy {self.accuracy} of "
            f"{self.n:,} rows with both labels, {self.n_wrong:,} of them wrong{missing}"
        )

    @property
    def parts_text(self) -> str:
        """The decomposition of the Brier score as a sentence."""
        parts = self.brier.parts
        return (
            f"Brier score of {self.n:,} rows: {parts.total:.3f} = reliability {parts.reliability:.3f} - resolution "
            f"{parts.resolution:.3f} + uncertainty {parts.uncertainty:.3f} + within bins {parts.within_bins:.3f}"
        )

    @property
    def ece_text(self) -> str:
        """The plain calibration error with what noise alone would show."""
        expected = self.error.ece_if_calibrated
        return (
            f"plain ECE {self.error.ece:.3f} over {self.error.bins} bins; calibrated confidences would show {expected} "
            f"on {self.n:,} rows"
        )

    def text(self, width: int | None = None) -> str:
        """The report for a terminal of `width` characters."""
        rows = [("confidence", "", f"{100 * self.level:g}% interval", "n", "method")]
        for name, score in self.measures.items():
            estimate, _, ends = str(score).partition(" ")
            rows.append((name, estimate, ends, f"{score.n:,}", score.method))
        shown = [("confidence", "rows", "mean", "accuracy")]
        shown += [
            (each.range_text, f"{each.n:,}", f"{each.confidence:.3f}", str(each.accuracy)) for each in self.bins[::-1]
        ]
        kept = [("kept if confidence >=", "rows", "share kept", "accuracy")]
        kept += [
            (f"{each.threshold:.3g}", f"{each.accuracy.n:,}", str(each.kept), str(each.accuracy))
            for each in self._shown_curve()
        ]
        parts = [wrap(self.heading, width), align(rows, {1, 3}, width), wrap(self.parts_text, width)]
        parts += [wrap(self.ece_text, width), align(shown, {1, 2}, width), align(kept, {1}, width)]
        parts += [wrap(note, width) for note in self.notes]
        return "\n\n".join([*parts, *([] if self.recalibrated is None else [self.recalibrated.text(width)])])

    def __str__(self) -> str:
        return self.text()

    def _shown_curve(self) -> list[KeptRows]:
        shown = {}
        for share in SHOWN_SHARES:
            reached = [each for each in self.curve if each.kept.estimate >= share - 1e-9]
            shown[reached[0].threshold] = reached[0]
        return list(shown.values())

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; None where undefined."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        intervals = {name: Interval.from_dict(values[name]) for name in ("accuracy", "auroc", "aurc")}
        recalibrated = values["recalibrated"]
        return cls(
            **{
                **values,
                **intervals,
                "brier": BrierScore.from_dict(values["brier"]),
                "error": CalibrationError.from_dict(values["error"]),
                "bins": tuple(ReliabilityBin.from_dict(each) for each in values["bins"]),
                "curve": tuple(KeptRows.from_dict(each) for each in values["curve"]),
                "classes": None if values["classes"] is None else BrierScore.from_dict(values["classes"]),
                "notes": tuple(values["notes"]),
                "recalibrated": None if recalibrated is None else Recalibration.from_dict(recalibrated),
            }
        )

    def to_json(self) -> str:
        """`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def confidence_report(
    rows: ConfidentRows,
    column: str = "confidence",
    *,
    bins: int | None = None,
    bootstrap: BootstrapConfig | None = None,
    n_without: int = 0,
    classes: BrierScore | None = None,
    notes: tuple[str, ...] = (),
) -> ConfidenceReport:
    """Everything that a report shows about the confidence of some labels.

    Args:
        rows: labels with a confidence, and whether they are right.
        column: name of the confidence in the report.
        bins: of equal mass, at most; by default 10, and fewer for less than 150 rows.
        bootstrap: level, resamples and seed.
        n_without: labels without a confidence, which are left out.
        classes: Brier score of the probabilities of all classes.
        notes: on the rows that are left out.
    """
    bootstrap = bootstrap or BootstrapConfig()
    level, weights, n = bootstrap.level, rows.weights, len(rows)
    number = automatic_bins(n) if bins is None else bins
    codes = bin_codes(rows.confidence, weights, number)
    correct = rows.correct.astype(np.float64)
    scores = row_intervals(contributions(rows), {"brier": brier_of_counts, "aurc": area_under_risk_curve}, bootstrap, n)
    n_wrong = int((~rows.correct).sum())
    return ConfidenceReport(
        column=column,
        level=level,
        resamples=bootstrap.resamples,
        seed=bootstrap.seed,
        n=n,
        n_without=n_without,
        n_wrong=n_wrong,
        mean=float(weights @ rows.confidence / weights.sum()),
        accuracy=rows.share(rows.correct, level=level),
        brier=BrierScore(scores["brier"], brier_parts(rows.confidence, correct, weights, codes)),
        error=calibration_error(rows, number, bootstrap),
        auroc=auroc(rows, level),
        aurc=scores["aurc"],
        bins=reliability_table(rows, number, level=level),
        curve=accuracy_by_coverage(rows, level=level),
        classes=classes,
        notes=(*notes, *_limits(rows, n_wrong)),
    )


def confidence_lines(reports: Mapping[str, ConfidenceReport | None], width: int | None = None) -> list[str]:
    """A table with a line for each variable with a confidence; nothing without any."""
    rows = [("confidence", "n", "Brier score", "calibration error", "AUROC")]
    for name, report in reports.items():
        if report is not None:
            scores = (report.brier.score, report.error.debiased, report.auroc)
            brier, error, area = map(_short, scores)
            rows.append((shorten(name, VARIABLE_WIDTH), f"{report.n:,}", brier, error, area))
    return [align(rows, {1}, width)] if len(rows) > 1 else []


def _short(score: Interval) -> str:
    return (
        str(score) if score.estimate != score.estimate else f"{score.estimate:.2f} [{score.low:.2f}, {score.high:.2f}]"
    )


def _limits(rows: ConfidentRows, n_wrong: int) -> tuple[str, ...]:
    """What limits the report."""
    if np.ptp(rows.confidence) == 0:
        return (f"All {len(rows):,} rows have the confidence {rows.confidence[0]:g}: it cannot rank them.",)
    if n_wrong in (0, len(rows)):
        state = "right" if n_wrong == 0 else "wrong"
        return (f"All {len(rows):,} labels are {state}: whether confidence separates them is unknown.",)
    if min(n_wrong, len(rows) - n_wrong) < MIN_WRONG:
        fewer = min(n_wrong, len(rows) - n_wrong)
        state = "wrong" if fewer == n_wrong else "right"
        return (f"Only {fewer:,} of {len(rows):,} labels are {state}: AUROC and AURC rest on few rows.",)
    return ()
