"""Annotators compared: several ways to ask, or several annotators, on the same human-labeled rows."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_synthlabels.annotation import Recipe, annotate, load_source, provenance
from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import MEASURES, Interval, ValidationReport, validate
from hf_synthlabels.statistics.comparison.paired import mean_difference
from hf_synthlabels.statistics.text_tables import align
from hf_synthlabels.statistics.validation.task_agreement import ROW_SCORES, row_scores
from hf_synthlabels.studies.comparisons.annotator_ranking import (
    Agreement,
    agreement_of,
    corrected_p_values,
    optimism_of_best,
)
from hf_synthlabels.studies.comparisons.study import AnnotatorStudy
from hf_synthlabels.studies.table import CellPredictions, label_text, write_table
from hf_synthlabels.studies.tasks.annotator_costs import AnswerCost, answer_cost, row_statuses
from hf_synthlabels.studies.tasks.rows import draw_rows, human_values, select_rows
from hf_synthlabels.studies.wording import p_words

HEADLINES: Mapping[str, tuple[str, ...]] = {
    "text-classification": ("accuracy", "macro_f1"),
    "text-pair": ("accuracy", "macro_f1"),
    "multi-label": ("micro_f1", "jaccard"),
    "text-scale": ("mae", "spearman"),
    "token-classification": ("entity_f1", "boundary_f1"),
    "question-answering": ("exact_match", "token_f1"),
    "text-generation": ("exact_match", "token_f1"),
}
"""The scores of the table, by the kind of label."""


@dataclass(frozen=True, slots=True)
class AnnotatorResult:
    """What one annotator's labels are worth, and what they took."""

    name: str
    report: ValidationReport
    difference: Interval
    """Its mean credit (see `statistics.ROW_SCORES`) less that of the first annotator, on the same rows."""
    record: Mapping[str, Any]
    """The provenance of its labels: annotator, prompt, requests, tokens, cost."""
    credit: float = 0.0
    """Its mean credit."""
    p_value: float | None = None
    """Of the difference, corrected by Holm's procedure for all annotators of the study; None for the first."""
    cost: AnswerCost = field(default_factory=AnswerCost)
    """What its stored answers took, in whichever run they were asked for."""
    statuses: Mapping[str, Any] = field(default_factory=dict)
    """How many rows have which status, and raw answers that gave no label."""

    def place(self, level: float) -> str:
        """Whether it differs from the first annotator when all are tested at once."""
        if self.p_value is None or self.p_value >= 1 - level:
            return "does not differ significantly from"
        return "is better than" if self.difference.estimate > 0 else "is worse than"


@dataclass(frozen=True, slots=True)
class AnnotatorReport:
    """Several annotators on the same human-labeled rows."""

    name: str
    kind: str
    n_rows: int
    n_shown: int
    """Human-labelled rows that were left out because some annotator is shown them as examples."""
    results: tuple[AnnotatorResult, ...]
    """In the order of the file, the first being what the others are compared with."""
    agreement: Agreement | None = None
    optimism: float = 0.0
    """How much too high the best annotator's mean credit is for having been picked on these rows."""

    @property
    def level(self) -> float:
        """Confidence level."""
        return self.results[0].report.level

    @property
    def ranked(self) -> tuple[AnnotatorResult, ...]:
        """The best first, by mean credit."""
        return tuple(sorted(self.results, key=lambda result: -result.credit))

    def __str__(self) -> str:
        scores = HEADLINES[self.kind]
        heads = ["annotator", "coverage", *(MEASURES[self.kind][score] for score in scores)]
        heads += [f"against {self.results[0].name!r}", "p, Holm", "answers", "tokens in", "out", "USD"]
        rows = [heads, *(self._row(result, scores) for result in self.ranked)]
        lines = [align(rows, right=range(len(heads) - 5, len(heads)))]
        level = 100 * self.level
        lines += [
            f"{self.n_rows:,} human-labeled rows, drawn at random; {level:g}% intervals. Differences are of the mean "
            f"credit ({ROW_SCORES[self.kind]}) on the same rows."
        ]
        if self.n_shown:
            lines.append(f"{self.n_shown:,} rows were left out: they are shown to an annotator as examples.")
        return "\n".join([*lines, *self.summary()])

    def summary(self) -> list[str]:
        """A few sentences, however many annotators there are."""
        first, *others = self.results
        best = self.ranked[0]
        score = HEADLINES[self.kind][0]
        lines = [f"Best on these rows: {best.name!r}, {MEASURES[self.kind][score]} {best.report.scores[score]}."]
        if len(others) == 1:
            lines.append(f"{others[0].name!r} {others[0].place(self.level)} {first.name!r}: {others[0].difference}.")
        elif others:
            counts = Counter(other.place(self.level).removeprefix("is ").removesuffix(" than") for other in others)
            better, worse = counts["better"], counts["worse"]
            lines.append(
                f"Of {len(others):,} others, {better:,} are better and {worse:,} worse than {first.name!r}, and "
                f"{len(others) - better - worse:,} do not differ significantly (Holm correction for all of them)."
            )
            lines.append(
                f"The best of {len(self.results):,} was picked on the rows that score it, so its mean credit is about "
                f"{self.optimism:.3f} too high (bootstrap); confirm it on new rows."
            )
        if self.agreement is not None:
            lines.append(f"Agreement among annotators: {self.agreement}.")
        return lines

    def to_json(self) -> str:
        """The whole report as JSON; an undefined number is null."""
        content = {
            "name": self.name,
            "kind": self.kind,
            "n_rows": self.n_rows,
            "n_shown": self.n_shown,
            "agreement": None if self.agreement is None else asdict(self.agreement),
            "optimism": self.optimism,
            "annotators": [
                {
                    "name": result.name,
                    "difference": result.difference.to_dict(),
                    "credit": None if math.isnan(result.credit) else result.credit,
                    "p_value": result.p_value,
                    "cost": asdict(result.cost),
                    "statuses": result.statuses,
                    "report": result.report.to_dict(),
                    "provenance": result.record,
                }
                for result in self.results
            ],
        }
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> AnnotatorReport:
        """The report that `to_json` wrote."""
        content = json.loads(text)
        results = tuple(
            AnnotatorResult(
                each["name"],
                ValidationReport.from_dict(each["report"]),
                Interval.from_dict(each["difference"]),
                each["provenance"],
                math.nan if each["credit"] is None else each["credit"],
                each["p_value"],
                AnswerCost(**{**each["cost"], "models": tuple(each["cost"]["models"])}),
                each["statuses"],
            )
            for each in content["annotators"]
        )
        agreement = content["agreement"]
        if agreement is not None:
            pairs = {name: tuple(agreement[name]) for name in ("least_alike", "most_alike")}
            agreement = Agreement(**{**agreement, **pairs})
        return cls(
            content["name"], content["kind"], content["n_rows"], content["n_shown"], results, agreement,
            content["optimism"],
        )  # fmt: skip

    def _row(self, result: AnnotatorResult, scores: tuple[str, ...]) -> list[str]:
        cost = result.cost
        cells = [result.name, str(result.report.coverage), *(str(result.report.scores[score]) for score in scores)]
        cells.append("" if result is self.results[0] else str(result.difference))
        cells.append("" if result.p_value is None else p_words(result.p_value))
        cells += [f"{number:,}" for number in (cost.answers, cost.prompt_tokens, cost.completion_tokens)]
        return [*cells, "unknown" if cost.usd is None else f"{cost.usd:.4f}"]


def compare_annotators(
    study: AnnotatorStudy, folder: Path | None = None, *, progress: Callable[[str], None] | None = None
) -> AnnotatorReport:
    """Let each annotator label the same human-labeled rows, and compare their labels.

    Stored answers are reused: a rerun sends only missing requests.

    Args:
        study: the recipe and its variants.
        folder: receives the table of all labels.
        progress: receives a line for each step.

    Raises:
        SynthLabelsError: as its subclasses say; what had been answered is kept.
    """
    recipes = study.recipes()
    base = next(iter(recipes.values()))
    rows, n_shown = _human_rows(study, base, recipes)
    schema, human = base.schema_of_labels(), str(base.task.human)
    results: list[AnnotatorResult] = []
    credits: list[Any] = []
    labels: dict[str, list[Any]] = {}
    for name, recipe in recipes.items():
        if progress is not None:
            progress(f"{name}: {len(rows):,} rows")
        labelled, llm = annotate(rows, recipe), recipe.output.column
        report = validate(
            labelled, human=human, llm=llm, schema=schema, tokens=base.task.tokens, level=study.level,
            resamples=study.resamples,
        )  # fmt: skip
        credits.append(row_scores(labelled, schema, human=human, llm=llm, tokens=base.task.tokens))
        labels[name] = labelled[llm][:]
        results.append(
            AnnotatorResult(
                name,
                report,
                mean_difference(credits[-1], credits[0], level=study.level),
                provenance(labelled)[-1],
                float(np.nanmean(credits[-1])),
                None,
                answer_cost(recipe, rows),
                row_statuses(labelled, recipe),
            )
        )
    _write_table(folder, study, base, rows, labels, results)
    p_values = [None, *corrected_p_values(credits)]
    results = [replace(result, p_value=p_value) for result, p_value in zip(results, p_values, strict=True)]
    agreement, optimism = agreement_of(labels, schema.kind), optimism_of_best(credits, study.seed)
    return AnnotatorReport(study.name, schema.kind, len(rows), n_shown, tuple(results), agreement, optimism)


def _write_table(
    folder: Path | None,
    study: AnnotatorStudy,
    base: Recipe,
    rows: Dataset,
    labels: Mapping[str, Sequence[Any]],
    results: Sequence[AnnotatorResult],
) -> None:
    if folder is None:
        return
    schema = base.schema_of_labels()
    human = [label_text(schema.kind, schema.names, label) for label in human_values(rows, base).truth]
    table = [
        CellPredictions(
            base.name,
            result.name,
            [label_text(schema.kind, schema.names, label) for label in labels[result.name]],
            human,
            student="annotator",
            facts={"cost": asdict(result.cost), "provenance": result.record},
        )
        for result in results
    ]
    write_table(folder, table, {"name": study.name})


def _human_rows(study: AnnotatorStudy, base: Recipe, recipes: Mapping[str, Recipe]) -> tuple[Dataset, int]:
    """The rows that all label, and how many were left out because some annotator has seen their labels."""
    human = base.task.human
    if human is None:
        raise DataError("`task.human` is missing in the recipe. Name the column with the human labels.")
    rows = select_rows(load_source(base), study.rows, "rows")
    known = ~np.isnan(row_scores(rows, base.schema_of_labels(), human=human, llm=human, tokens=base.task.tokens))
    if not known.any():
        raise DataError(f"`human` {human!r} has no label in any of the {len(rows)} rows. Label some by hand.")
    form = base.task.form()
    shown = {example.row_text(form).text for recipe in recipes.values() for example in recipe.read_examples()}
    seen = np.zeros(len(rows), dtype=bool)
    if shown:
        texts = [form.read(row) for row in rows]
        seen = np.array([text is not None and text.text in shown for text in texts])
    drawn = draw_rows([1 if use else None for use in known & ~seen], study.human_rows, study.seed)
    if not drawn:
        raise DataError("`annotators` are shown all human-labeled rows as examples. Keep some to compare them on.")
    return rows.select(drawn), int((known & seen).sum())
