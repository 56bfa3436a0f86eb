"""Audit of a metric: comparability within and across tasks, and independence of the answer's format."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.judging.audit import audit as auditing
from hf_synthlabels.judging.audit import report
from hf_synthlabels.judging.audit.audit_options import AuditOptions
from hf_synthlabels.judging.audit.rows import numbers
from hf_synthlabels.statistics import BootstrapConfig

_DESCRIPTION = """
Audits a metric, such as an LLM judge, on rows with human scores: whether it ranks answers within a task as humans do
(CIT), whether its scores mean the same in every task (CAT), and whether the format of the answer or of the judge's
prompt changes them (TFA). Each statistic has a cluster-bootstrap interval. A metric passes if it is significantly
better than named baselines, not at a fixed threshold.
"""

_CITATION = """
@inproceedings{faysse2023revisiting,
  title={Revisiting Instruction Fine-tuned Model Evaluation to Guide Industrial Applications},
  author={Faysse, Manuel and Viaud, Gautier and Hudelot, C{\\'e}line and Colombo, Pierre},
  booktitle={Proceedings of EMNLP}, year={2023}, url={https://arxiv.org/abs/2310.14103}
}
"""

_KWARGS_DESCRIPTION = """
Options at load:
    columns: the optional columns in use, some of items, formats, systems and lengths; none by default.
    baselines: names of other metrics, whose scores are columns with these names; none by default.
    reference_format: format of the wrong answers in tfa_auc; by default the first that occurs.
    threshold: minimum score of an acceptable answer in flips, 0.5 by default.
    level: confidence level of the intervals, 0.95 by default.
    resamples: number of bootstrap resamples, 2000 by default.
    bootstrap_seed: random seed of the bootstrap, 0 by default.

Args:
    scores: scores of the metric from 0 (worst) to 1 (best); None or nan for a missing one.
    human: human scores from 0 to 1; rows without one are excluded and counted.
    tasks: the task of each row.
    items: the source document or question of each row, the unit of resampling.
    formats: the format of the answer, or of the judge's prompt.
    systems: author of each answer.
    lengths: lengths of the answers, for the baseline "length".
    return_items: add the complete audit as "audit": each task, each format, each baseline.

Returns:
    cit_*, cat_* and, with formats, tfa_*: floats with their limits as <name>_low and <name>_high; nan if undefined.
    <name>_over_<baseline>: advantage of the metric over the baseline, with its limits.
    cit_pass, cat_pass, tfa_pass: 1.0 or 0.0; nan without baselines, or if it cannot be computed.
    coverage, task_share, n, n_unscored, n_unreferenced, n_tasks.
    verdicts: pass, fail, open, no_baseline or not_computed for cit, cat and tfa. reasons: why statistics are nan.

Examples:
    >>> metric = evaluate.load("metrics/metric_audit", columns=["lengths"], resamples=200)
    >>> found = metric.compute(
    ...     scores=[0.1, 0.4, 0.9, 0.2, 0.5, 0.8], human=[0.0, 0.5, 1.0, 0.0, 0.5, 1.0], tasks=["a"] * 3 + ["b"] * 3,
    ...     lengths=[9, 7, 8, 7, 9, 8])
    >>> found["cit_kendall"], found["verdicts"]["cit"]
    (1.0, 'open')
"""

COLUMNS = ("items", "formats", "systems", "lengths")
NUMBERS = ("scores", "human", "lengths")
SHARED = ("predictions", "references")
"""Columns of other metrics in a combination, which are ignored."""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class MetricAudit(evaluate.Measurement):
    def __init__(
        self,
        *args: Any,
        columns: Sequence[str] = (),
        baselines: Sequence[str] = (),
        reference_format: str | None = None,
        threshold: float = 0.5,
        level: float = 0.95,
        resamples: int = 2000,
        bootstrap_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # Options are checked here, because an error in _compute would lose the batch.
        known = inspect.signature(evaluate.Measurement.__init__).parameters
        if unknown := sorted(set(kwargs) - set(known)):
            raise ValueError(
                f"`{unknown[0]}` is not an option: give columns, baselines, reference_format, threshold, level, "
                "resamples or bootstrap_seed."
            )
        self.columns, self.baselines = _names("columns", columns), _names("baselines", baselines)
        if wrong := [name for name in self.columns if name not in COLUMNS]:
            raise ValueError(f"`columns` has {wrong[0]!r}: give some of {', '.join(COLUMNS)}.")
        taken = ("scores", "human", "tasks", "return_items", auditing.LENGTH, *COLUMNS)
        if wrong := [name for name in self.baselines if name in taken or not name.isidentifier()]:
            raise ValueError(f"`baselines` has {wrong[0]!r}: give names such as rouge1, other than {', '.join(taken)}.")
        if reference_format is not None and "formats" not in self.columns:
            raise ValueError(
                f"`reference_format` is {reference_format!r}, but there are no formats: add 'formats' to `columns`."
            )
        self.options = AuditOptions(BootstrapConfig(level, resamples, bootstrap_seed), reference_format, threshold)
        super().__init__(*args, **kwargs)

    def _info(self) -> evaluate.MeasurementInfo:
        if self.config_name != "default":
            raise ValueError(
                f"`config_name` is {self.config_name!r}: there is only 'default'; see the option `columns`."
            )
        features = {
            name: datasets.Value("float64" if name in (*NUMBERS, *self.baselines) else "large_string")
            for name in ("scores", "human", "tasks", *self.columns, *self.baselines)
        }
        return evaluate.MeasurementInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(features),
        )

    # evaluate appends the description above to these three docstrings.
    def compute(self, **columns: Any) -> dict[str, Any] | None:
        """Audit all rows; None in processes other than the first."""
        # evaluate passes unknown columns to _compute, where an error loses the batch.
        # `evaluate.combine` passes the columns of all its modules to each of them.
        columns = {name: column for name, column in columns.items() if column is not None and name not in SHARED}
        known = {*self.features, "return_items"}
        if unknown := sorted(set(columns) - known):
            raise ValueError(
                f"`{unknown[0]}` is not a column: give {', '.join(sorted(known))}. Name others at load, in `columns` "
                "or `baselines`."
            )
        found: dict[str, Any] | None = super().compute(**columns)
        return found

    def add_batch(self, **columns: Any) -> None:
        """Add rows, to be audited together by `compute`."""
        if missing := [name for name in self.features if columns.get(name) is None]:
            raise ValueError(f"`{missing[0]}` is missing: give {', '.join(self.features)}.")
        read: dict[str, list[Any]] = {}
        for name, column in columns.items():
            values = list(column)
            if name in (*NUMBERS, *self.baselines):
                # Invalid numbers are reported before the batch is added.
                read[name] = numbers(name, values, unit=name in ("scores", "human")).tolist()
            elif name in self.features:
                if None in values:
                    raise ValueError(f"`{name}` has None in row {values.index(None)}: give a name for every row.")
                read[name] = [str(value) for value in values]
            else:
                read[name] = values
        if len({len(values) for values in read.values()}) > 1:
            sizes = ", ".join(f"{name} {len(values)}" for name, values in read.items())
            raise ValueError(f"columns differ in length: {sizes}. Give one value for each row.")
        super().add_batch(**read)

    def add(self, **row: Any) -> None:
        """Add one row, to be audited by `compute`."""
        self.add_batch(**{name: [value] for name, value in row.items()})

    def _compute(
        self, scores: Any, human: Any, tasks: Any, return_items: bool = False, **columns: Any
    ) -> dict[str, Any]:
        named = {name: columns[name] for name in self.columns}
        baselines = {name: columns[name] for name in self.baselines}
        options = self.options
        try:
            found = auditing.audit_metric(scores, human, tasks, **named, baselines=baselines, options=options)
        except SynthLabelsError as error:
            # For example, the reference format does not occur. The result has the same keys, without numbers.
            nothing: dict[str, Any] = dict.fromkeys(named, ())
            found = auditing.audit_metric((), (), (), **nothing, baselines=dict.fromkeys(baselines, ()))
            return _flat(found, self._compared()) | {"n": len(scores), "reasons": {"all": str(error)}}
        out = _flat(found, self._compared())
        return out | {"audit": found.to_dict()} if return_items else out

    def _compared(self) -> list[str]:
        return [*self.baselines, *([auditing.LENGTH] if "lengths" in self.columns else [])]


def _names(option: str, names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ValueError(f"`{option}` is {names!r}: give a list of names, each once.")
    return tuple(names)


def _flat(found: report.Audit, baselines: Sequence[str]) -> dict[str, Any]:
    """Plain floats, under the same keys for the same options."""
    out: dict[str, Any] = {}
    intervals: dict[str, Any] = dict(found.scores) | {"coverage": found.metric.coverage}
    known = {(each.statistic, each.baseline): each.difference for each in found.comparisons}
    for statistics in report.PROPERTIES.values():
        for name in statistics:
            if name in found.scores:
                intervals |= {f"{name}_over_{other}": known.get((name, other)) for other in baselines}
    for name, interval in intervals.items():
        ends = ("estimate", "low", "high")
        values = [math.nan if interval is None else float(getattr(interval, end)) for end in ends]
        out |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    for name, verdict in found.verdicts.items():
        out[f"{name}_pass"] = {"pass": 1.0, "fail": 0.0, "open": 0.0}.get(verdict, math.nan)
    rows = found.metric.coverage.n
    scored = round(found.metric.coverage.estimate * rows) if rows else 0
    return out | {
        "task_share": found.metric.task_share,
        "n": rows,
        "n_unscored": rows - scored,
        "n_unreferenced": found.n_unreferenced,
        "n_tasks": len(found.metric.tasks),
        "verdicts": dict(found.verdicts),
        "reasons": dict(found.reasons),
    }
