"""Audit of a judged table: agreement with human scores for each criterion, without the rows shown as examples."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.audit.audit import audit_metric
from hf_synthlabels.judging.audit.audit_options import AuditOptions
from hf_synthlabels.judging.audit.report import Audit
from hf_synthlabels.judging.rubric import Rubric, read_rubric
from hf_synthlabels.statistics import Interval, judge_agreement

SCORE = "score"
"""Name of the only criterion of a rubric with one score, and end of the column of an overall score."""

OVERALL = "overall"
"""Name of the overall score among criteria."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JudgedAudit:
    """Audit of a judge's scores in a table."""

    agreement: Mapping[str, Mapping[str, Interval]]
    """For each criterion the coefficients of `judge_agreement`, with coverage first; `n` are rows."""
    audit: Audit
    """The audit of all criteria together, each a task: scores and human scores are rescaled from 0 to 1."""
    n_rows: int
    """Rows of the table."""
    n_examples: int
    """Rows that the judge saw as examples, which are excluded."""

    def to_dict(self) -> dict[str, Any]:
        """Every field, for JSON."""
        return {
            "agreement": {
                criterion: {name: interval.to_dict() for name, interval in intervals.items()}
                for criterion, intervals in self.agreement.items()
            },
            "audit": self.audit.to_dict(),
            "n_rows": self.n_rows,
            "n_examples": self.n_examples,
        }

    def __str__(self) -> str:
        lines = [f"{self.n_rows:,} rows, of which {self.n_examples:,} were shown to the judge and are excluded"]
        for criterion, intervals in self.agreement.items():
            known = ", ".join(f"{name} {interval} (n = {interval.n:,})" for name, interval in intervals.items())
            lines.append(f"{criterion}: {known}")
        return "\n".join(lines)


def audit_judged(
    rows: Any,
    rubric: Rubric | Mapping[str, Any] | str | Path,
    human: Mapping[str, str] | str,
    *,
    column: str = "judge",
    clusters: str | None = None,
    options: AuditOptions | None = None,
) -> JudgedAudit:
    """Audit the scores of a judged table against columns with human scores.

    Args:
        rows: a dataset, or a mapping from column names to values, with the judge's columns.
        rubric: the rubric of the judge, as in its judge file.
        human: the column with human scores of each criterion, by its name, or of the `overall` score; for a rubric with
            one score, or with one chosen criterion, the column. Values are scores or choices, and None where missing.
        column: prefix of the judge's columns.
        clusters: column of the source document or question of each row, which is resampled as a whole.
        options: bootstrap, thresholds, and the criteria to audit.

    Raises:
        ConfigError: `human` names a criterion that the rubric does not have, or none, or a chosen criterion has none.
        DataError: a column is missing, or a human score is not on the scale.
    """
    options = options or AuditOptions()
    parts, judged = _parts(read_rubric(rubric), human, options)
    options = replace(options, criteria=None)
    mine_in = {name: f"{column}_{SCORE if name == OVERALL else name}" for name in judged}
    needed = [*mine_in.values(), *judged.values(), *([clusters] if clusters else [])]
    columns = _columns(rows, needed)
    shown = _shown(rows, f"{column}_example", len(columns[needed[0]]))
    kept = [row for row, is_shown in enumerate(shown) if not is_shown]
    units = [str(columns[clusters][row]) if clusters else str(row) for row in kept]
    agreement: dict[str, Mapping[str, Interval]] = {}
    scores: list[float | None] = []
    human_scores: list[float | None] = []
    for name, human_column in judged.items():
        part = parts[name]
        mine = [_known(columns[mine_in[name]][row]) for row in kept]
        theirs = [_human_score(part, human_column, columns[human_column][row]) for row in kept]
        pair, of_clusters = (list[object](theirs), list[object](mine)), units if clusters else None
        agreement[name] = judge_agreement(*pair, scale=_kind(part), clusters=of_clusters, bootstrap=options.bootstrap)
        scores += [None if score is None else part.unit(score) for score in mine]
        human_scores += [None if score is None else part.unit(score) for score in theirs]
    tasks = [name for name in judged for _ in kept]
    audit = audit_metric(scores, human_scores, tasks, items=units * len(judged), options=options)
    return JudgedAudit(agreement, audit, len(shown), len(shown) - len(kept))


def _parts(
    rubric: Rubric, human: Mapping[str, str] | str, options: AuditOptions
) -> tuple[Mapping[str, Rubric], dict[str, str]]:
    """The rubric and the human column of each audited criterion."""
    parts = {**rubric.parts, OVERALL: rubric} if rubric.criteria else {SCORE: rubric}
    if rubric.protocol == "pairwise":
        raise ConfigError(f"`rubric` {rubric.name!r} compares two answers, which have no scores to audit.")
    if isinstance(human, str):
        if rubric.criteria and options.criteria is not None and len(options.criteria) == 1:
            human = {options.criteria[0]: human}
        elif rubric.criteria:
            raise ConfigError(
                f"`human` is the column {human!r}, but rubric {rubric.name!r} has several criteria. Give a mapping "
                f"from {', '.join(parts)} to columns."
            )
        else:
            human = {SCORE: human}
    if unknown := [name for name in human if name not in parts]:
        raise ConfigError(f"`human` has the criterion {unknown[0]!r}, which is not one of: {', '.join(parts)}.")
    if not human:
        raise ConfigError(f"`human` is empty. Give the column with human scores of some of: {', '.join(parts)}.")
    return parts, {name: human[name] for name in options.chosen(list(human))}


def _columns(rows: Any, names: Sequence[str]) -> dict[str, Sequence[Any]]:
    available = list(rows) if isinstance(rows, Mapping) else list(rows.column_names)
    if missing := [name for name in names if name not in available]:
        raise DataError(f"`rows` has no column {missing[0]!r}. Columns: {', '.join(available)}.")
    return {name: list(rows[name]) for name in names}


def _shown(rows: Any, column: str, n_rows: int) -> list[bool]:
    """Whether each row was shown to the judge as an example, with a warning if any was."""
    available = rows if isinstance(rows, Mapping) else rows.column_names
    shown = [bool(value) for value in rows[column]] if column in available else [False] * n_rows
    if any(shown):
        logger.warning("%d rows were shown to the judge as examples and are excluded.", sum(shown))
    return shown


def _kind(rubric: Rubric) -> Literal["nominal", "ordinal", "interval"]:
    if rubric.scale is not None or rubric.criteria:
        return "interval"
    return "nominal" if rubric.is_binary else "ordinal"


def _known(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


def _human_score(rubric: Rubric, column: str, value: Any) -> float | None:
    """A human score, also as the name of a choice."""
    if value is None or value != value or value == "":
        return None
    for answer, score in rubric.answers.items():
        if isinstance(value, str) and value.strip().casefold() == answer.casefold():
            return score
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not rubric.low <= number <= rubric.high:
        raise DataError(
            f"`{column}` has {value!r}, which is not a score of {rubric.name!r} from {rubric.low:g} to "
            f"{rubric.high:g}. Correct it, or leave the cell empty."
        )
    return number
