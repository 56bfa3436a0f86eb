"""The report of a study as one HTML file that needs no network, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from hf_synthlabels.publishing.figures import confusion_figure, cost_figure, interval_figure, share_figure
from hf_synthlabels.statistics import Interval, ValidationReport
from hf_synthlabels.studies import SCORES, Arm, StudyReport

__all__ = ["render_page", "write_report"]

SCORE_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
}
ARM_NAMES = {
    "human": "student, human labels",
    "llm": "student, LLM labels",
    "validation": "student, validation rows only",
}


def write_report(report: StudyReport, folder: Path) -> list[Path]:
    """Write `report.html` and `report.json` into a folder.

    Raises:
        MissingExtraError: matplotlib, which draws the figures, is not installed. The JSON is written all the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The numbers first: they are not to be lost because a figure can not be drawn.
    written = [folder / "report.json", folder / "report.html"]
    written[0].write_text(report.to_json(), encoding="utf-8")
    written[1].write_text(render_page(report), encoding="utf-8")
    return written


def render_page(report: StudyReport) -> str:
    """The whole page; every text that comes from data is escaped, and nothing is loaded from elsewhere."""
    template = _environment().from_string(
        files("hf_synthlabels.publishing").joinpath("templates", "study.html").read_text(encoding="utf-8")
    )
    return template.render(
        report=report,
        summary=report.summary(),
        scores=SCORES,
        score_names=SCORE_NAMES,
        arm_names=ARM_NAMES,
        figures={name: Markup(svg) for name, svg in _figures(report).items()},
    )


def _figures(report: StudyReport) -> dict[str, str]:
    scored = ("accuracy", "macro_f1")
    panels = {
        SCORE_NAMES[score]: [
            *((ARM_NAMES[arm.source], arm.scores[score]) for arm in report.arms),
            ("the teacher itself", _teacher(report.teacher, score)),
        ]
        for score in scored
    }
    ratios = {"LLM-trained / human-trained": [(SCORE_NAMES[score], report.ratio[score]) for score in SCORES]}
    marks = [float(entry["value"]) for entry in report.references if entry["what"] == "ratio"]
    answered = {
        "training rows": dict(_statuses(report.train_agreement)),
        "validation rows": dict(_statuses(report.validation)),
        "test rows": dict(_statuses(report.teacher)),
    }
    human, llm = report.arm("human"), report.arm("llm")
    return {
        "scores": interval_figure(panels, axis=f"on {report.n_test:,} human-labelled test rows"),
        "ratio": interval_figure(
            ratios, marks=[("as good:", 1.0), *(("elsewhere:", value) for value in marks)], axis="ratio"
        ),
        "coverage": share_figure(answered),
        "cost": cost_figure({ARM_NAMES[arm.source]: (_seconds(arm), arm.label_usd) for arm in report.arms}),
        "labels": confusion_figure(
            report.names,
            report.train_agreement.confusion.counts,
            [*report.names, "no label"],
            across="LLM label, training rows",
        ),
        "human": confusion_figure(
            report.names, human.confusion, report.names, across="human-trained student, test rows, all seeds"
        ),
        "llm": confusion_figure(
            report.names, llm.confusion, report.names, across="LLM-trained student, test rows, all seeds"
        ),
    }


def _seconds(arm: Arm) -> float | None:
    """Labelling and one training together; unknown if either is."""
    return None if arm.label_s is None else arm.label_s + arm.train_s


def _teacher(report: ValidationReport, score: str) -> Interval:
    interval: Interval = getattr(report, score)
    return interval


def _statuses(report: ValidationReport) -> Sequence[tuple[str, int]]:
    if report.statuses:
        return sorted(report.statuses.items(), key=lambda part: (part[0] != "labelled", part[0]))
    return [("labelled", report.n_labelled), ("no label", report.n_rows - report.n_labelled)]


@cache
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["interval"] = _interval
    environment.filters["share"] = lambda value: "–" if value is None or math.isnan(value) else f"{value:.3f}"
    environment.filters["usd"] = lambda value: "unknown" if value is None else f"{value:,.2f} USD"
    environment.filters["duration"] = _duration
    environment.filters["p"] = lambda value: "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0")
    return environment


def _interval(value: Interval) -> Markup | str:
    if math.isnan(value.estimate):
        return "–"
    return Markup("{:.3f}<small>{:.3f} to {:.3f}</small>").format(value.estimate, value.low, value.high)


def _duration(seconds: Any) -> str:
    if seconds is None:
        return "unknown"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
