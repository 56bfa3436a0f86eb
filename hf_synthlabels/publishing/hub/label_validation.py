"""Validation of the label columns of a data set that is published, with gates by variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing.hub.annotated_data import AnnotatedData
from hf_synthlabels.publishing.label_variables import recorded_variables
from hf_synthlabels.publishing.sampled_data import label_texts
from hf_synthlabels.statistics import Gate, ValidationReport, validate
from hf_synthlabels.statistics.validation.codebook_report import CodebookReport
from hf_synthlabels.statistics.validation.codebook_validation import coded_domain, validate_codebook
from hf_synthlabels.statistics.validation.gate_family import VariableGate
from hf_synthlabels.statistics.validation.table_variables import TableVariable, Variables


@dataclass(frozen=True, slots=True)
class LabelValidation:
    """Label columns against human labels."""

    reports: tuple[ValidationReport, ...] = ()
    """Of each column with human labels."""
    family: CodebookReport | None = None
    """With the adjusted verdicts of gates, where there are several gates or variables."""

    def gate_lines(self) -> tuple[str, ...]:
        """The gates of several variables, and how their verdicts are adjusted."""
        if self.family is None:
            return ()
        verdict = str(self.family.verdict).replace("_", " ")
        return (*self.family.gate_lines(), f"all gates: {verdict}. {self.family.gate_rule}")


def validate_labels(
    data: AnnotatedData, columns: Sequence[str], *, human: str | None = None, gates: Sequence[str] = ()
) -> LabelValidation:
    """Validate label columns against human labels, over all splits.

    Args:
        data: labels with their recipe and provenance.
        columns: label columns; those without human labels are left out.
        human: column of human labels (default: from the provenance).
        gates: such as `bias: macro_f1>=0.7`; the name may be omitted if there is one column with human labels.

    Raises:
        DataError: a gate is given, and no column has human labels.
        ConfigError: a gate is invalid, or names an unknown variable or one without human labels.
    """
    from datasets import concatenate_datasets

    for text in gates:
        Gate.parse(text.rpartition(":")[2])
    rows = concatenate_datasets(list(data.splits.values()))
    recorded = [record for entries in data.published_records().values() for record in entries]
    variables = _variables(data, columns, recorded, human)
    known = {name: each for name, each in variables.items() if _has_human(rows, each)}
    if gates and not known:
        raise DataError("`gate` is given, but there is no column of human labels. Name it with `human`.")
    if gates and (len(known) > 1 or len(gates) > 1):
        report = validate_codebook(rows, variables, gates=gates)
        return LabelValidation(tuple(report.variables.values()), report)
    unlabeled = [name for name in variables if name not in known]
    gate = VariableGate.parse(gates[0], list(known), unlabeled).gate if gates else None
    conditions = recorded_variables(recorded)
    reports = []
    for name, variable in known.items():
        report_rows = coded_domain(rows, {**conditions, name: variable}, name) if name in conditions else rows
        reports.append(
            validate(
                report_rows,
                human=variable.human,
                llm=name,
                schema=variable.schema,
                kind=variable.kind,
                tokens=variable.tokens,
                gate=gate,
            )
        )
    return LabelValidation(tuple(reports))


def _variables(data: AnnotatedData, columns: Sequence[str], recorded: list[Any], human: str | None) -> Variables:
    """The columns with their kind, schema and column of human labels, by name."""
    records = {str(record["column"]): record for record in recorded}
    in_codebook = recorded_variables(recorded)
    variables = {}
    for column in columns:
        record, known = records.get(column, {}), in_codebook.get(column)
        recipe = None if data.recipe is None else data.recipe.variables.get(column)
        variables[column] = TableVariable(
            llm=column,
            human=human or (known.human if known is not None else record.get("human")) or f"{column}_human",
            kind=record.get("kind"),
            schema=None if recipe is None else recipe.schema_of_labels(),
            tokens=None if recipe is None else recipe.task.tokens,
            condition=None if known is None else known.condition,
        )
    return variables


def _has_human(rows: Any, variable: TableVariable) -> bool:
    columns = rows.column_names
    return variable.human in columns and any(label is not None for label in label_texts(rows, variable.human))
