"""StudyReport: what came out of a study, as values; it prints, and goes to JSON and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from hf_synthlabels.errors import StudyError
from hf_synthlabels.statistics import Interval, ValidationReport
from hf_synthlabels.statistics.comparison.conditions import ConditionMetric
from hf_synthlabels.statistics.comparison.paired import McNemar
from hf_synthlabels.studies.analysis.wording import maker_of_clients, reworded

SCORES: tuple[ConditionMetric, ...] = ("accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall")
"""The scores of every arm, in the order of the tables."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One label's scores on the test rows, the mean over seeds."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Arm:
    """One source of labels, and the students that were trained on it."""

    source: str
    """`human`, `llm`, or `validation`: the human labels of the validation rows alone."""
    description: str
    n_rows: int
    """Rows that it was trained on."""
    n_unlabelled: int
    """Rows that were left out because they have no label."""
    steps: int
    scores: dict[str, Interval]
    """By name, over test rows and seeds."""
    by_seed: dict[str, tuple[float, ...]]
    """The same scores of each seed."""
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows: human labels of the test rows; columns: predictions; counts over all seeds."""
    label_usd: float | None
    """What the labels cost; None if unknown."""
    label_s: float | None
    """Seconds that labelling took; None if unknown."""
    train_s: float
    """Mean seconds of one training."""


@dataclass(frozen=True, slots=True)
class StudyReport:
    """Human labels against LLM labels, on the same rows, seeds and steps."""

    name: str
    names: tuple[str, ...]
    """Label names."""
    seeds: tuple[int, ...]
    n_train: int
    n_test: int
    n_test_unlabelled: int
    """Test rows without a human label, which nothing can be tested on."""
    n_shared_texts: int
    """Training rows whose text is also among the test rows."""
    validation: ValidationReport
    """The LLM labels against the human labels of the validation rows; it holds the gate's verdict."""
    train_agreement: ValidationReport
    """The LLM labels against all human labels of the training rows, which a user would not have."""
    annotator: ValidationReport
    """The annotator's own labels on the test rows."""
    arms: tuple[Arm, ...]
    ratio: dict[str, Interval]
    """LLM-trained over human-trained, by score."""
    difference: dict[str, Interval]
    """LLM-trained minus human-trained, by score."""
    margins: dict[str, Interval]
    """Macro F1 of the LLM-trained student minus that of the `annotator` and `validation` arms, on the same rows."""
    paired: tuple[McNemar, ...]
    """Exact McNemar tests of LLM-trained against human-trained, one for each seed."""
    student: dict[str, Any]
    provenance: dict[str, Any]
    references: tuple[dict[str, Any], ...]
    """Numbers from elsewhere: what, value, source."""
    environment: dict[str, Any]
    """Machine, versions, date and minutes."""
    drop_shared: bool = True
    """Whether those training rows were left out."""

    def arm(self, source: str) -> Arm:
        """The arm of a label source."""
        return next(arm for arm in self.arms if arm.source == source)

    @property
    def maker(self) -> str:
        """What made the labels that are not human ones: `LLM`, `encoder` or `machine`."""
        client = (self.provenance.get("annotator") or {}).get("client", "")
        return maker_of_clients({client})

    def summary(self) -> list[str]:
        """What the numbers say, in sentences, and no more than they say."""
        return [reworded(line, self.maker) for line in self._summary()]

    def _summary(self) -> list[str]:
        ratio, human, llm = self.ratio["macro_f1"], self.arm("human"), self.arm("llm")
        lines = [*self.warnings()]
        lines += [
            f"The student trained on LLM labels reaches {_percent(ratio.estimate)} of the macro F1 of the one trained "
            f"on human labels ({_percent(ratio.low)} to {_percent(ratio.high)}): {llm.scores['macro_f1'].estimate:.3f} "
            f"against {human.scores['macro_f1'].estimate:.3f} on {self.n_test:,} test rows."
        ]
        lines.append(self.told_apart())
        small = self.arm("validation")
        few = small.scores["macro_f1"].estimate
        lines.append(self._against("annotator", f"the annotator itself{self._own()}"))
        lines.append(
            self._against("validation", f"a student of the {small.n_rows:,} validation labels alone ({few:.3f})")
        )
        return lines

    def told_apart(self) -> str:
        """Whether the ratio of macro F1 differs significantly from 1."""
        ratio = self.ratio["macro_f1"]
        if ratio.low <= 1 <= ratio.high:
            return "The interval includes 100%: on these rows and seeds the two do not differ significantly."
        if ratio.high < 1:
            return "The interval lies below 100%: human labels train the better student here."
        return "The interval lies above 100%: the LLM labels train the better student here."

    def warnings(self) -> list[str]:
        """What a reader must know before any score."""
        if not self.n_shared_texts:
            return []
        if self.drop_shared:
            return [f"{self.n_shared_texts:,} training rows were left out: their texts are also among the test rows."]
        return [
            f"Warning: {self.n_shared_texts:,} training rows have texts that are also among the test rows, so the "
            "scores of all students are too high for new texts."
        ]

    def _own(self) -> str:
        asked = not math.isnan(self.margins["annotator"].estimate)
        return f" ({self.annotator.macro_f1.estimate:.3f})" if asked else ""

    def _against(self, other: str, name: str) -> str:
        """Whether the LLM-trained student scores above, below, or not significantly differently."""
        margin = self.margins[other]
        if math.isnan(margin.estimate):
            return f"How the LLM-trained student compares with {name} is unknown: it was not asked about the test rows."
        place = (
            "is above" if margin.low > 0 else "is below" if margin.high < 0 else "does not differ significantly from"
        )
        return f"The LLM-trained student {place} {name}: difference in macro F1 {margin}."

    def __str__(self) -> str:
        heads = ("trained on", "rows", "accuracy", "macro F1", "macro precision", "macro recall")
        shown = ("accuracy", "macro_f1", "macro_precision", "macro_recall")
        rows = [(arm.description, f"{arm.n_rows:,}", *(str(arm.scores[score]) for score in shown)) for arm in self.arms]
        rows.append(("the annotator itself", "", str(self.annotator.accuracy), str(self.annotator.macro_f1), "", ""))
        rows = [reworded(row, self.maker) for row in rows]
        widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [heads, *rows]
        ]
        seeds = f"{self.n_test:,} test rows, {len(self.seeds)} seeds; intervals over rows and seeds."
        ratios = "  ".join(f"{score} {self.ratio[score]}" for score in ("accuracy", "macro_f1"))
        tests = ", ".join("< 0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}" for test in self.paired)
        ratio = reworded(f"ratio LLM/human: {ratios}", self.maker)
        return "\n".join([*lines, seeds, ratio, f"exact McNemar p by seed: {tests}", *self.summary()])

    def to_json(self) -> str:
        """The whole report as JSON; an undefined number is null."""
        return json.dumps(_plain(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> StudyReport:
        """Read back what `to_json` wrote.

        Raises:
            StudyError: the text is not such a report.
        """
        try:
            values = json.loads(text)
            for part in ("validation", "train_agreement", "annotator"):
                values[part] = ValidationReport.from_dict(values[part])
            for part in ("ratio", "difference", "margins"):
                values[part] = {name: Interval.from_dict(each) for name, each in values[part].items()}
            values["arms"] = tuple(_arm(arm) for arm in values["arms"])
            values["paired"] = tuple(McNemar(**test) for test in values["paired"])
            for part in ("names", "seeds", "references"):
                values[part] = tuple(values[part])
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StudyError(
                f"`report` is not the report.json of a study ({type(error).__name__}: {error}). Run the study again."
            ) from None


def _plain(value: Any) -> Any:
    """A value as JSON knows it: intervals and validation reports by their own rule, other dataclasses by field."""
    if isinstance(value, Interval | ValidationReport):
        return value.to_dict()
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _arm(values: dict[str, Any]) -> Arm:
    return Arm(
        **{
            **values,
            "scores": {name: Interval.from_dict(each) for name, each in values["scores"].items()},
            "by_seed": {name: tuple(each) for name, each in values["by_seed"].items()},
            "classes": tuple(ClassScores(**each) for each in values["classes"]),
            "confusion": tuple(tuple(row) for row in values["confusion"]),
        }
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
