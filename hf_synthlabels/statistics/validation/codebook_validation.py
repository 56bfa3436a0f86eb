"""Validation of several variables of a table against their human labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Mask
from hf_synthlabels.statistics.design.human_rows import PROBABILITY, scored_rows
from hf_synthlabels.statistics.design.sampling_design import share_interval
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.raters.table_raters import with_majority
from hf_synthlabels.statistics.sequential.table_look import check_has_sequence, look_at
from hf_synthlabels.statistics.validation.codebook_report import CodebookReport
from hf_synthlabels.statistics.validation.dataset_columns import Table, read_names
from hf_synthlabels.statistics.validation.gate import GateVerdict
from hf_synthlabels.statistics.validation.gate_family import VariableGate, judge_family
from hf_synthlabels.statistics.validation.measures import check_measure
from hf_synthlabels.statistics.validation.report import ValidationReport
from hf_synthlabels.statistics.validation.table_variables import (
    DomainTable,
    TableVariable,
    Variables,
    correct_rows,
    human_values,
    not_coded,
)
from hf_synthlabels.statistics.validation.validate import validate

RESAMPLES_PER_GATE = 1000
"""Adjusted intervals end in the tails, where more resamples are needed."""


def validate_codebook(
    dataset: Table,
    variables: Variables,
    *,
    gates: Iterable[str] = (),
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    clusters: str | None = None,
    strata: str | None = None,
    votes: Sequence[str] | None = None,
    normalize_labels: bool = False,
    sequential: bool = False,
) -> CodebookReport:
    """Compare the LLM labels of several variables with human labels, as `validate` does for one.

    Args:
        dataset: one split.
        variables: by name; those without human labels are listed as not validated.
        gates: such as `bias: macro_f1>=0.7`. The verdicts of several gates are adjusted by Holm's method.
        level: confidence level.
        resamples: of the bootstrap; at least 1,000 for each gate are used.
        seed: of the bootstrap.
        clusters: column of cluster ids.
        strata: column of the strata within which rows were sampled.
        votes: columns of several human labels, for one variable; by default `<human>_votes` of each.
        normalize_labels: whether names that differ only in case or white space are one class.
        sequential: whether intervals and gates hold at all looks, while rows are being labeled in random order.

    Raises:
        DataError: no variable has human labels, or a column has other values.
        ConfigError: a gate is invalid, or names an unknown variable or one without human labels.
    """
    dataset, known = _human_labels(dataset, variables, votes, normalize=normalize_labels)
    unlabeled = [name for name in variables if name not in known]
    parsed = [VariableGate.parse(gate, list(known), unlabeled) for gate in gates]
    absent = not_coded(dataset, variables)
    options: Any = {"seed": seed, "clusters": clusters, "strata": strata, "votes": votes, "sequential": sequential}
    options |= {"normalize_labels": normalize_labels, "resamples": max(resamples, RESAMPLES_PER_GATE * len(parsed))}
    reports = _Reports({name: _domain(dataset, absent[name]) for name in known}, known, options, level)
    return CodebookReport(
        level=level,
        n_rows=len(next(iter(absent.values()))),
        variables={name: reports.report(name, level) for name in known},
        skipped=_skipped_counts(dataset, known),
        not_coded={name: count for name, mask in absent.items() if name in known and (count := int(mask.sum()))},
        not_validated=tuple(unlabeled),
        joint=_joint_accuracy(dataset, known, absent, options, level),
        gates=reports.verdicts(parsed),
    )


@dataclass(frozen=True)
class _Reports:
    """Reports of variables, each computed once for each confidence level."""

    tables: Mapping[str, Table]
    variables: Variables
    options: Mapping[str, Any]
    level: float
    """Confidence level of the reports that are shown; those of adjusted gates need no check of the confidence."""
    computed: dict[tuple[str, float], ValidationReport] = field(default_factory=dict)

    def report(self, name: str, level: float) -> ValidationReport:
        """The report of a variable with intervals of a level."""
        if (name, level) not in self.computed:
            options = {**self.options, "confidence": level == self.level and not self.options["sequential"]}
            self.computed[name, level] = _report(self.tables[name], self.variables[name], level, options)
        return self.computed[name, level]

    def verdicts(self, gates: Sequence[VariableGate]) -> tuple[tuple[str, GateVerdict], ...]:
        """Variable and adjusted verdict of each gate."""
        verdicts = judge_family(gates, self.judge, self.level) if gates else ()
        return tuple((gate.variable, verdict) for gate, verdict in zip(gates, verdicts, strict=True))

    def judge(self, gate: VariableGate, level: float) -> GateVerdict:
        """The verdict of a gate by the interval of a level."""
        report = self.report(gate.variable, level)
        check_measure(gate.gate.metric, report.kind)
        if self.options["sequential"]:
            check_has_sequence(gate.gate.metric, report.scores)
        return gate.gate.judge(report.score(gate.gate.metric), report.n_human, report.n_rows)


def _report(table: Table, variable: TableVariable, level: float, options: Mapping[str, Any]) -> ValidationReport:
    return validate(
        table,
        human=variable.human,
        llm=variable.llm,
        schema=variable.schema,
        kind=None if variable.schema is not None else variable.kind,
        tokens=variable.tokens,
        level=level,
        **options,
    )


def _human_labels(
    table: Table, variables: Variables, votes: Sequence[str] | None, *, normalize: bool
) -> tuple[Table, dict[str, TableVariable]]:
    """The table in which variables with votes have their majority as human label, and the variables with human labels.

    Raises:
        ConfigError: there are votes and several variables.
        DataError: no variable has human labels.
    """
    if votes and len(variables) > 1:
        raise ConfigError(f"`votes` is {', '.join(votes)!r}, and there are {len(variables)} variables: choose one.")
    for each in variables.values():
        table = with_majority(table, each.human, each.llm, each.kind_in(table), votes, normalize=normalize)
    known = {name: each for name, each in variables.items() if _has_human(table, each)}
    if not known:
        columns = ", ".join(f"`{each.human}`" for each in variables.values())
        raise DataError(f"No variable has human labels: fill in one of {columns}, or name the columns in the recipe.")
    return table, known


def _has_human(table: Table, variable: TableVariable) -> bool:
    columns = table.column_names or ()
    return variable.human in columns and any(value is not None for value in human_values(table, variable))


def coded_domain(table: Table, variables: Variables, name: str) -> Table:
    """The table for one variable: sampled rows in which humans did not have to code it are not missing."""
    columns = table.column_names or ()
    if variables[name].condition is None or not {PROBABILITY, variables[name].human} <= set(columns):
        return table
    return _domain(table, not_coded(table, variables)[name])


def _domain(table: Table, excluded: Mask) -> Table:
    """The table in which rows that are not coded count as not sampled, instead of as missing at random."""
    return DomainTable(table, excluded) if excluded.any() and PROBABILITY in table.column_names else table


def _skipped(table: Table, variable: TableVariable) -> Mask:
    status = f"{variable.llm}_status"
    if status not in table.column_names:
        return np.zeros(len(list(table[variable.llm])), dtype=np.bool_)
    return np.array([name == "skipped" for name in read_names(table, status)[0]])


def _skipped_counts(table: Table, variables: Variables) -> dict[str, tuple[int, int]]:
    counts = {}
    for name, variable in variables.items():
        mask = _skipped(table, variable)
        labeled = np.array([value is not None for value in human_values(table, variable)])
        if mask.any():
            counts[name] = (int(mask.sum()), int((mask & labeled).sum()))
    return counts


def _joint_accuracy(
    table: Table,
    variables: Variables,
    absent: Mapping[str, Mask],
    options: Mapping[str, Any],
    level: float,
) -> Interval:
    """The share of rows in which all variables are correct, among rows that humans coded completely.

    A variable that is not coded in a row says nothing about it. The LLM has no label where it skipped a variable that
    a human coded: that is an error.
    """
    normalize = options["normalize_labels"]
    pairs = {name: correct_rows(table, variable, normalize=normalize) for name, variable in variables.items()}
    complete = np.logical_and.reduce([labeled | absent[name] for name, (labeled, _) in pairs.items()])
    complete &= np.logical_or.reduce([labeled for labeled, _ in pairs.values()])
    correct = np.logical_and.reduce([right | absent[name] for name, (_, right) in pairs.items()])
    unsent = np.logical_and.reduce([_skipped(table, variable) for variable in variables.values()])
    if not (complete & ~unsent).any():
        return Interval.undefined(level, "wilson")
    rows = scored_rows(table, complete, clusters=options["clusters"], strata=options["strata"], skipped=unsent)
    if options["sequential"]:
        return look_at(table, rows.counted, level).share(correct[rows.counted])
    design = None if rows.design is None else rows.design.take(rows.counted)
    return share_interval(correct[rows.counted], None, design, level)
