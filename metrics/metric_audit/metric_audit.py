"""A metric, audited: is it comparable within tasks, across tasks, and blind to format, more than a baseline?"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.judging.audit import audit as auditing
from hf_synthlabels.judging.audit import audit_report, audit_rows
from hf_synthlabels.statistics import BootstrapConfig

_DESCRIPTION = """
Audits a metric, such as an LLM judge, on rows that humans scored too: whether it orders answers within a task as they
do (CIT), whether its scores mean the same in every task (CAT), and whether the format of the answer or of the judge's
prompt moves them (TFA). Each statistic has a cluster-bootstrap interval; a metric passes when it is better than named
baselines beyond chance, not at a fixed threshold.
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
    columns: which of items, formats, systems and lengths will be given; none by default.
    baselines: the names of other metrics, whose scores are given as columns of these names; none by default.
    house: the format in which wrong answers stand in tfa_auc; the first that occurs by default.
    threshold: the score from which a verdict is "acceptable" in flips, 0.5 by default.
    level: confidence level of the intervals, 0.95 by default.
    resamples: of the bootstrap, 2000 by default.
    bootstrap_seed: 0 by default; the same seed gives the same intervals.

Args:
    scores: the metric's, from 0 (worst) to 1 (best); None or nan where it gave none.
    human: human scores from 0 to 1; rows where there is none are left out and counted.
    tasks: the task of each row.
    items: the source document or question of each row: what is drawn together.
    formats: the format of the answer, or of the judge's prompt.
    systems: who wrote the answer.
    lengths: of the answers; they make the baseline "length".
    return_items: also give the whole audit under "audit": each task, each format, each baseline.

Returns:
    cit_*, cat_* and, with formats, tfa_*: floats with their ends under <name>_low and <name>_high; nan where undefined.
    <name>_over_<baseline>: by how much the metric is better, with its ends.
    cit_pass, cat_pass, tfa_pass: 1.0 or 0.0; nan without baselines, or where nothing could be computed.
    coverage, task_share, n, n_unscored, n_unreferenced, n_tasks.
    verdicts: pass, fail, open, no_baseline or not_computed for cit, cat and tfa. reasons: why what is nan is nan.

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
"""Columns of other metrics beside this one, which it leaves alone."""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class MetricAudit(evaluate.Measurement):
    def __init__(
        self,
        *args: Any,
        columns: Sequence[str] = (),
        baselines: Sequence[str] = (),
        house: str | None = None,
        threshold: float = 0.5,
        level: float = 0.95,
        resamples: int = 2000,
        bootstrap_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # A wrong option is to fail here: an error in _compute would lose the batch.
        known = inspect.signature(evaluate.Measurement.__init__).parameters
        if unknown := sorted(set(kwargs) - set(known)):
            raise ValueError(
                f"`{unknown[0]}` is no option: give columns, baselines, house, threshold, level, resamples or "
                "bootstrap_seed."
            )
        self.columns, self.baselines = _names("columns", columns), _names("baselines", baselines)
        if wrong := [name for name in self.columns if name not in COLUMNS]:
            raise ValueError(f"`columns` has {wrong[0]!r}: give some of {', '.join(COLUMNS)}.")
        taken = ("scores", "human", "tasks", "return_items", auditing.LENGTH, *COLUMNS)
        if wrong := [name for name in self.baselines if name in taken or not name.isidentifier()]:
            raise ValueError(
                f"`baselines` has {wrong[0]!r}: give names such as rouge1, and none of {', '.join(taken)}."
            )
        if house is not None and "formats" not in self.columns:
            raise ValueError(f"`house` is {house!r} and there is no format: add 'formats' to `columns`.")
        self.options = auditing.AuditOptions(BootstrapConfig(level, resamples, bootstrap_seed), house, threshold)
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

    # evaluate writes the description above to the end of these three docstrings.
    def compute(self, **columns: Any) -> dict[str, Any] | None:
        """The audit of all rows given; None in processes other than the first."""
        # evaluate hands what it does not know to _compute, where an error loses the batch.
        # `evaluate.combine` hands the columns of all its modules to each of them.
        columns = {name: column for name, column in columns.items() if column is not None and name not in SHARED}
        known = {*self.features, "return_items"}
        if unknown := sorted(set(columns) - known):
            raise ValueError(
                f"`{unknown[0]}` is no column: give {', '.join(sorted(known))}. Name others at load, in `columns` or "
                "`baselines`."
            )
        found: dict[str, Any] | None = super().compute(**columns)
        return found

    def add_batch(self, **columns: Any) -> None:
        """Take rows, to be audited together by `compute`."""
        if missing := [name for name in self.features if columns.get(name) is None]:
            raise ValueError(f"`{missing[0]}` is missing: give {', '.join(self.features)}.")
        read: dict[str, list[Any]] = {}
        for name, column in columns.items():
            values = list(column)
            if name in (*NUMBERS, *self.baselines):
                # What is no number, or off the scale, is told before the batch is taken.
                read[name] = audit_rows.numbers(name, values, unit=name in ("scores", "human")).tolist()
            elif name in self.features:
                if None in values:
                    raise ValueError(f"`{name}` has None in row {values.index(None)}: name it for every row.")
                read[name] = [str(value) for value in values]
            else:
                read[name] = values
        if len({len(values) for values in read.values()}) > 1:
            sizes = ", ".join(f"{name} {len(values)}" for name, values in read.items())
            raise ValueError(f"columns differ in length: {sizes}. Give one value for each row.")
        super().add_batch(**read)

    def add(self, **row: Any) -> None:
        """Take one row, to be audited by `compute`."""
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
            # Such as a house format that does not occur. The same keys, without numbers.
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


def _flat(found: audit_report.Audit, baselines: Sequence[str]) -> dict[str, Any]:
    """Plain floats, in the same keys for the same options."""
    out: dict[str, Any] = {}
    intervals: dict[str, Any] = dict(found.scores) | {"coverage": found.metric.coverage}
    known = {(each.statistic, each.baseline): each.difference for each in found.comparisons}
    for statistics in audit_report.PROPERTIES.values():
        for name in statistics:
            if name in found.scores:
                intervals |= {f"{name}_over_{other}": known.get((name, other)) for other in baselines}
    for name, interval in intervals.items():
        ends = ("estimate", "low", "high")
        numbers = [math.nan if interval is None else float(getattr(interval, end)) for end in ends]
        out |= dict(zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True))
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
