"""StudyReport: human labels against LLM labels by task and student, without single rows; it goes to JSON and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from hf_synthlabels.errors import StudyError
from hf_synthlabels.statistics import Interval, ValidationReport
from hf_synthlabels.statistics.comparison.paired import McNemar
from hf_synthlabels.statistics.exhibits import align
from hf_synthlabels.studies.wording import client_label_maker, p_words, reworded


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one class on the test rows, means over seeds."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Arm:
    """One source of labels, and the students that were trained on it."""

    source: str
    """Its name in the study file; of an annotator that was asked in several ways with the prompt."""
    description: str
    n_rows: int
    """Rows that it was trained on."""
    n_unlabelled: int
    """Rows that were left out because they have no label."""
    steps: int
    scores: dict[str, Interval]
    """By name, over test rows and seeds."""
    by_seed: dict[str, tuple[float, ...]]
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows: human labels of the test rows; columns: predictions; counts over all seeds. A last column counts the rows
    without a prediction, where there are some."""
    label_usd: float | None
    """Cost of the labels; None if unknown."""
    label_s: float | None
    """Seconds that labeling took; None if unknown."""
    train_s: float
    """Mean seconds of one training."""


@dataclass(frozen=True, slots=True)
class LabelComparison:
    """One student trained on human labels and on the labels of one annotator, on the same rows, seeds and steps."""

    task: str
    student: str
    labels: str
    """The annotator's source."""
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    n_train: int
    n_test: int
    validation: ValidationReport | None
    """The LLM labels against the human labels of the validation rows, with the gate's verdict."""
    train_agreement: ValidationReport | None
    """The LLM labels against all human labels of the training rows, which a user would not have."""
    annotator: ValidationReport | None
    """The annotator's own labels on the test rows."""
    arms: tuple[Arm, ...]
    """Human labels, LLM labels, and samples of human labels."""
    ratio: dict[str, Interval]
    """LLM-trained over human-trained, by score."""
    difference: dict[str, Interval]
    """LLM-trained minus human-trained, by score."""
    margins: dict[str, Interval]
    """Macro F1 of the LLM-trained student minus that of the `annotator`, or of a sample of human labels."""
    paired: tuple[McNemar, ...]
    """Exact McNemar tests of LLM-trained against human-trained, one for each seed."""
    options: dict[str, Any]
    """Of the student."""
    client: str = ""
    """How the annotator was reached."""

    def arm(self, source: str) -> Arm:
        """The arm of a label source."""
        return next(arm for arm in self.arms if arm.source == source)

    @property
    def maker(self) -> str:
        """What made the labels that are not human ones: `LLM` or `encoder`."""
        return client_label_maker({self.client})

    def summary(self) -> list[str]:
        """Conclusions as sentences."""
        ratio, human, llm = self.ratio["macro_f1"], self.arms[0], self.arms[1]
        lines = [
            f"The student trained on LLM labels reaches {_percent(ratio.estimate)} of the macro F1 of the one trained "
            f"on human labels ({_percent(ratio.low)} to {_percent(ratio.high)}): {llm.scores['macro_f1'].estimate:.3f} "
            f"against {human.scores['macro_f1'].estimate:.3f} on {self.n_test:,} test rows.",
            self._significance(),
        ]
        if self.annotator is not None:
            lines.append(self._against("annotator", f"the annotator itself ({self.annotator.macro_f1.estimate:.3f})"))
        for few in self.arms[2:]:
            score = few.scores["macro_f1"].estimate
            lines.append(self._against(few.source, f"a student of {few.n_rows:,} human labels alone ({score:.3f})"))
        return [reworded(line, self.maker) for line in lines]

    def _significance(self) -> str:
        ratio = self.ratio["macro_f1"]
        if ratio.low <= 1 <= ratio.high:
            return "The interval includes 100%: on these rows and seeds the two do not differ significantly."
        if ratio.high < 1:
            return "The interval lies below 100%: human labels train the better student here."
        return "The interval lies above 100%: the LLM labels train the better student here."

    def _against(self, other: str, name: str) -> str:
        margin = self.margins[other]
        if math.isnan(margin.estimate):
            return f"How the LLM-trained student compares with {name} is unknown: it was not asked about the test rows."
        place = (
            "is above" if margin.low > 0 else "is below" if margin.high < 0 else "does not differ significantly from"
        )
        return f"The LLM-trained student {place} {name}: difference in macro F1 {margin}."

    def __str__(self) -> str:
        shown = ("accuracy", "macro_f1", "macro_precision", "macro_recall")
        rows = [("trained on", "rows", *(name.replace("_", " ").replace("f1", "F1") for name in shown))]
        rows += [(arm.description, f"{arm.n_rows:,}", *(str(arm.scores[name]) for name in shown)) for arm in self.arms]
        if self.annotator is not None:
            rows.append(
                ("the annotator itself", "", str(self.annotator.accuracy), str(self.annotator.macro_f1), "", "")
            )
        rows = [reworded(row, self.maker) for row in rows]
        ratios = "  ".join(f"{score} {self.ratio[score]}" for score in ("accuracy", "macro_f1"))
        lines = [
            f"{self.task}, {self.student}, {self.labels}",
            align([list(row) for row in rows], right=(1,)),
            f"{self.n_test:,} test rows, {len(self.seeds)} seed{'s' * (len(self.seeds) != 1)}; "
            "intervals over rows and seeds.",
            reworded(f"ratio LLM/human: {ratios}", self.maker),
            f"exact McNemar p by seed: {', '.join(p_words(test.p_value) for test in self.paired)}",
        ]
        return "\n".join([*lines, *self.summary()])


@dataclass(frozen=True, slots=True)
class StudyReport:
    """The comparisons of human labels with LLM labels in a study; no single row is part of it."""

    name: str
    comparisons: tuple[LabelComparison, ...]
    """One for each task with class labels, student and annotator."""
    references: tuple[dict[str, Any], ...] = ()
    """Numbers from elsewhere: what, value, source."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Machine, versions, date and minutes."""

    def of_model(self, model: str) -> StudyReport:
        """The comparisons of the students that start from a model; all of them if there is none."""
        found = tuple(each for each in self.comparisons if each.options.get("model") == model)
        return StudyReport(self.name, found or self.comparisons, self.references, self.environment)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.comparisons))

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
            comparisons = tuple(_comparison(each) for each in values["comparisons"])
            return cls(values["name"], comparisons, tuple(values["references"]), values["environment"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StudyError(
                f"`report` is not the report.json of a study ({type(error).__name__}: {error}). Run the study again."
            ) from None


def _comparison(values: Mapping[str, Any]) -> LabelComparison:
    reports = {
        part: None if values[part] is None else ValidationReport.from_dict(values[part])
        for part in ("validation", "train_agreement", "annotator")
    }
    return LabelComparison(
        **{
            **values,
            **reports,
            **{part: _intervals(values[part]) for part in ("ratio", "difference", "margins")},
            "names": tuple(values["names"]),
            "seeds": tuple(values["seeds"]),
            "arms": tuple(_arm(arm) for arm in values["arms"]),
            "paired": tuple(McNemar(**test) for test in values["paired"]),
        }
    )


def _arm(values: Mapping[str, Any]) -> Arm:
    return Arm(
        **{
            **values,
            "scores": _intervals(values["scores"]),
            "by_seed": {name: tuple(each) for name, each in values["by_seed"].items()},
            "classes": tuple(ClassScores(**each) for each in values["classes"]),
            "confusion": tuple(tuple(row) for row in values["confusion"]),
        }
    )


def _intervals(values: Mapping[str, Any]) -> dict[str, Interval]:
    return {name: Interval.from_dict(each) for name, each in values.items()}


def _plain(value: Any) -> Any:
    """A value as JSON knows it: intervals and validation reports by their own rule, other dataclasses by field."""
    if isinstance(value, Interval | ValidationReport):
        return value.to_dict()
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
