"""Annotators compared: several ways to ask, or several teachers, on the same human-labelled rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from hf_synthlabels.annotation import Recipe, annotate, load_source, provenance
from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import (
    CREDITS,
    MEASURES,
    Interval,
    ValidationReport,
    holm,
    mean_difference,
    normal_p_value,
    row_credits,
    validate,
)
from hf_synthlabels.statistics.table import align
from hf_synthlabels.studies.rows import draw_rows, select_rows
from hf_synthlabels.studies.study import AnnotatorStudy

__all__ = ["AnnotatorReport", "AnnotatorResult", "compare_annotators"]

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
    """Its mean credit (see `statistics.CREDITS`) less that of the first annotator, on the same rows."""
    record: Mapping[str, Any]
    """The provenance of its labels: teacher, prompt, requests, tokens, cost."""

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens in and out that were asked now; what was stored is not counted."""
        tally = self.record["tally"]
        return tally["prompt_tokens"], tally["completion_tokens"]


@dataclass(frozen=True, slots=True)
class AnnotatorReport:
    """Several annotators on the same human-labelled rows."""

    name: str
    kind: str
    n_rows: int
    n_shown: int
    """Human-labelled rows that were left out because some annotator is shown them as examples."""
    results: tuple[AnnotatorResult, ...]

    def __str__(self) -> str:
        scores = HEADLINES[self.kind]
        heads = ["annotator", "coverage", *(MEASURES[self.kind][score] for score in scores)]
        heads += [f"against {self.results[0].name!r}", "requests", "stored", "tokens in", "out", "USD"]
        rows = [heads, *(self._row(result, scores) for result in self.results)]
        lines = [align(rows, right=range(len(heads) - 5, len(heads)))]
        level = 100 * self.results[0].report.level
        lines += [
            f"{self.n_rows:,} human-labelled rows, drawn at random; {level:g} % intervals. Differences are of the mean "
            f"credit ({CREDITS[self.kind]}) on the same rows."
        ]
        if self.n_shown:
            lines.append(f"{self.n_shown:,} rows were left out: they are shown to an annotator as examples.")
        return "\n".join([*lines, *self.summary()])

    def summary(self) -> list[str]:
        """How each compares with the first, by the paired difference; corrected where several are compared."""
        first, *others = self.results
        adjusted = holm([normal_p_value(result.difference) for result in others])
        lines = [
            f"{result.name!r} {_verdict(result.difference, p_value)} {first.name!r}: {result.difference}."
            for result, p_value in zip(others, adjusted, strict=True)
        ]
        if len(others) > 1:
            lines.append(
                f"These verdicts are corrected for {len(others):,} comparisons by Holm's steps; the intervals are not."
            )
        return lines

    def to_json(self) -> str:
        """The whole report as JSON; an undefined number is null."""
        content = {
            "name": self.name,
            "kind": self.kind,
            "n_rows": self.n_rows,
            "n_shown": self.n_shown,
            "annotators": [
                {
                    "name": result.name,
                    "difference": result.difference.to_dict(),
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
            )
            for each in content["annotators"]
        )
        return cls(content["name"], content["kind"], content["n_rows"], content["n_shown"], results)

    def _row(self, result: AnnotatorResult, scores: tuple[str, ...]) -> list[str]:
        tally, usd = result.record["tally"], result.record["cost_usd"]
        cells = [result.name, str(result.report.coverage), *(str(result.report.scores[score]) for score in scores)]
        cells.append("" if result is self.results[0] else str(result.difference))
        cells += [f"{number:,}" for number in (tally["requests"], tally["stored"], *result.tokens)]
        return [*cells, "unknown" if usd is None else f"{usd:.4f}"]


def compare_annotators(study: AnnotatorStudy, *, progress: Callable[[str], None] | None = None) -> AnnotatorReport:
    """Let each annotator label the same human-labelled rows, and compare their labels.

    Answers are kept as always: started again after an interruption, it asks only for what is missing.

    Args:
        study: the recipe and the ways to ask.
        progress: told each step in a line.

    Raises:
        SynthLabelsError: as its subclasses say; what had been answered is kept.
    """
    recipes = study.recipes()
    base = next(iter(recipes.values()))
    rows, n_shown = _human_rows(study, base, recipes)
    schema, human = base.schema_of_labels(), str(base.task.human)
    results: list[AnnotatorResult] = []
    first: Any = None
    for name, recipe in recipes.items():
        if progress is not None:
            progress(f"{name}: {len(rows):,} rows")
        labelled, llm = annotate(rows, recipe), recipe.output.column
        report = validate(
            labelled, human=human, llm=llm, schema=schema, tokens=base.task.tokens, level=study.level,
            resamples=study.resamples,
        )  # fmt: skip
        earned = row_credits(labelled, schema, human=human, llm=llm, tokens=base.task.tokens)
        first = earned if first is None else first
        results.append(
            AnnotatorResult(
                name,
                report,
                mean_difference(earned, first, level=study.level),
                provenance(labelled)[-1],
            )
        )
    return AnnotatorReport(study.name, schema.kind, len(rows), n_shown, tuple(results))


def _human_rows(study: AnnotatorStudy, base: Recipe, recipes: Mapping[str, Recipe]) -> tuple[Dataset, int]:
    """The rows that all label, and how many were left out because some annotator has seen their labels."""
    human = base.task.human
    if human is None:
        raise DataError("`task.human` is missing in the recipe. Name the column with the human labels.")
    rows = select_rows(load_source(base), study.rows, "rows")
    known = ~np.isnan(row_credits(rows, base.schema_of_labels(), human=human, llm=human, tokens=base.task.tokens))
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
        raise DataError("`annotators` are shown all human-labelled rows as examples. Keep some to compare them on.")
    return rows.select(drawn), int((known & seen).sum())


def _verdict(difference: Interval, p_value: float) -> str:
    if p_value < 1 - difference.level:
        return "is better than" if difference.estimate > 0 else "is worse than"
    return "does not differ significantly from"
