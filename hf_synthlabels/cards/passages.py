"""Passages shared by cards: provenance, validation results and limitations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from hf_synthlabels.cards.card_data import StudyComparison
from hf_synthlabels.cards.markdown import Markdown, code, fenced, interval, table
from hf_synthlabels.statistics import MEASURES, Interval, ValidationReport
from hf_synthlabels.statistics.agreement.base import ClassAgreement
from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix
from hf_synthlabels.statistics.comparison.paired import discordant_p

MAX_NAME = 40
"""Maximum length of a class name in a table."""

MAX_CLASSES = 25
"""Maximum size of a confusion matrix on a page."""

SIGNIFICANCE_LEVEL = 0.05

SCORES = ("accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall")

SAMPLING = (
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "num_samples",
    "response_format",
    "logprobs",
    "reasoning_effort",
)


def provenance_table(record: Mapping[str, Any]) -> Markdown:
    """Return the table of a label column's provenance."""
    annotator, tally = record.get("annotator", {}), record.get("tally", {})
    returned = record.get("returned_models") or []
    sampling = [f"{key} {annotator[key]}" for key in SAMPLING if key in annotator]
    strategy = [f"{key}: {value}" for key, value in record.get("strategy", {}).items()]
    rows: list[tuple[object, object]] = [
        ("annotator", Markdown(f"client {code(annotator.get('client', 'not recorded'))}{_model(annotator)}")),
        ("model returned", _codes(returned) or "not recorded"),
        ("sampling", ", ".join(sampling) or "not recorded"),
        ("strategy", "; ".join(strategy) or "direct"),
        ("few-shot examples", int(record.get("examples", 0))),
        ("prompt hash", code(record.get("prompt_hash", "not recorded"))),
        ("guidelines hash", code(record["guidelines_hash"]) if record.get("guidelines_hash") else "no guidelines"),
        ("label schema hash", code(record.get("schema_hash", "not recorded"))),
        ("rows", int(tally.get("rows", 0))),
        *spent_rows(record),
        ("finished", str(record.get("finished_at", "not recorded"))),
        (
            "software",
            f"hf-synthlabels {record.get('package_version', '?')}, parser {record.get('parser_version', '?')}",
        ),
        ("source", _source(record.get("source") or {})),
    ]
    return table(("item", "value"), rows)


def row_counts(report: ValidationReport) -> str:
    """Return the sentence above a table of scores."""
    return (
        f"{report.n_rows:,} rows, {report.n_labelled:,} with a label, {report.n_human:,} with a human label. "
        f"{100 * report.level:g}% confidence intervals."
    )


def agreement_table(report: ValidationReport) -> Markdown:
    """Return the table of scores with their intervals, denominators and interval methods."""
    titles = MEASURES[report.kind]
    rows = [(titles[name], interval(score), score.n, score.method) for name, score in report.scores.items()]
    return table(("score", "estimate and interval", "n", "interval method"), rows, right=(2,))


def class_table(report: ValidationReport) -> Markdown:
    """Return the table of precision, recall and F1 of each class."""
    rows = [
        (code(each.name, MAX_NAME), each.support, each.predicted, *_three(each.precision, each.recall, each.f1))
        for each in report.classes
    ]
    return table(("label", "human n", "annotator n", "precision", "recall", "F1"), rows, right=(1, 2))


def confusion_table(matrix: ConfusionMatrix | None) -> Markdown | None:
    """Return the confusion matrix, with human labels as rows; None if missing or too large."""
    if matrix is None or len(matrix.names) > MAX_CLASSES:
        return None
    names = [code(name, MAX_NAME) for name in matrix.names]
    rows = [(name, *counts) for name, counts in zip(names, matrix.counts, strict=True)]
    return table(("human label", *names, "no label"), rows, right=range(1, len(names) + 2))


def limitations(report: ValidationReport) -> list[Markdown]:
    """Return the weaknesses that a validation shows: missing labels, low recall, over-predicted and absent classes."""
    lines = []
    missing = report.n_rows - report.n_labelled
    if missing:
        lines.append(
            Markdown(f"{missing:,} of {report.n_rows:,} rows have no label ({_percent(missing, report.n_rows)}).")
        )
    seen = [each for each in report.classes if each.support]
    for each in sorted(seen, key=lambda scores: scores.recall.estimate)[:3]:
        if each.recall.estimate < 1:
            lines.append(
                Markdown(
                    f"Recall of {code(each.name, MAX_NAME)} is {interval(each.recall)} on {each.support:,} rows with "
                    "this human label."
                )
            )
    overpredicted = [each for each in report.classes if _is_overpredicted(each)]
    for each in sorted(overpredicted, key=lambda scores: scores.support - scores.predicted)[:2]:
        lines.append(
            Markdown(
                f"The annotator over-predicts {code(each.name, MAX_NAME)}: {each.predicted:,} of {report.n_human:,} "
                f"human-labeled rows ({_percent(each.predicted, report.n_human)}), against {each.support:,} human "
                f"labels ({_percent(each.support, report.n_human)}). Proportions computed from the labels alone are "
                "biased."
            )
        )
    if report.absent:
        names = ", ".join(code(name, MAX_NAME) for name in report.absent[:5])
        more = f" and {len(report.absent) - 5} more" if len(report.absent) > 5 else ""
        lines.append(Markdown(f"No human-labeled row has {names}{more}, so performance on these is unknown."))
    return lines


def _is_overpredicted(each: ClassAgreement) -> bool:
    """Whether a class is predicted significantly too often, by McNemar's exact test."""
    if each.predicted <= each.support:
        return False
    correct = round(each.recall.estimate * each.support) if each.support else 0
    return discordant_p(each.predicted - correct, each.support - correct) < SIGNIFICANCE_LEVEL


def study_table(study: StudyComparison) -> Markdown:
    """Return the table of scores of students by label source and of the annotator, on the same test rows."""
    rows: list[tuple[object, ...]] = [
        (arm.description, arm.n_rows, arm.steps, *(interval(arm.scores[name]) for name in SCORES)) for arm in study.arms
    ]
    if study.annotator is not None:
        annotator = [interval(study.annotator.scores.get(name)) for name in SCORES]
        rows.append(("the annotator itself", "–", "–", *annotator))
    heads = [name.replace("_", " ").replace("f1", "F1") for name in SCORES]
    return table(("trained on", "rows", "steps", *heads), rows, right=(1, 2))


def error_table(report: ValidationReport, limit: int = 5) -> Markdown | None:
    """Return the table of the most frequent errors; None without any."""
    errors = [] if report.matrix is None else report.matrix.mistakes()[:limit]
    support = {each.name: each.support for each in report.classes}
    rows = [
        (code(human, MAX_NAME), "no label" if predicted is None else code(predicted, MAX_NAME), count, support[human])
        for human, predicted, count in errors
    ]
    return table(("human label", "annotator", "rows", "of"), rows, right=(2, 3)) if rows else None


def breakdowns(report: ValidationReport) -> list[Markdown]:
    """Return the further tables of kinds without one class per row."""
    return [fenced(str(each), "text") for each in report.tables if str(each)]


def _three(*scores: Interval) -> list[Markdown]:
    return [interval(score, 2) if score.n else Markdown("–") for score in scores]


def _model(annotator: Mapping[str, Any]) -> str:
    parts = [f", model {code(_base(str(annotator['model'])))}"] if annotator.get("model") else []
    if annotator.get("column"):
        parts.append(f", recorded answers in column {code(annotator['column'])}")
    if host := urlsplit(str(annotator.get("base_url", ""))).hostname:
        # Only the host: a URL may contain credentials.
        parts.append(f", at {code(host)}")
    return "".join(parts)


def _base(path: str) -> str:
    """Return a Hub ID unchanged, and the last part of a local path."""
    return (
        path if re.fullmatch(r"[\w.-]+(?:/[\w.:-]+)?", path) else path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    )


def _source(source: Mapping[str, Any]) -> Markdown | str:
    if not source:
        return "not recorded"
    parts: list[str] = [code(_base(str(source.get("path", ""))))]
    parts += [f"configuration {code(source['name'])}"] if source.get("name") else []
    parts += [f"revision {code(source['revision'])}"] if source.get("revision") else []
    if files := _files(source.get("data_files")):
        parts.append(Markdown("files " + ", ".join(code(_base(name)) for name in files)))
    if home := source.get("homepage"):
        parts.append(Markdown(f"published at {code(home)}"))
    return Markdown(", ".join(parts))


def _files(data_files: Any) -> list[str]:
    if isinstance(data_files, str):
        return [data_files]
    parts = data_files.values() if isinstance(data_files, Mapping) else data_files or ()
    return [name for part in parts for name in _files(part)]


def _codes(names: Sequence[str]) -> Markdown | None:
    return Markdown(", ".join(code(name) for name in names)) if names else None


def spent_rows(record: Mapping[str, Any]) -> list[tuple[object, object]]:
    """Return the rows about requests, tokens and cost."""
    tally, client = record.get("tally", {}), record.get("annotator", {}).get("client")
    requests = f"{tally.get('requests', 0):,}"
    if client == "recorded":
        return [("answers", f"{requests} recorded, replayed without requests; their cost was not recorded")]
    return [
        ("requests", f"{requests} sent, {tally.get('stored', 0):,} answered from the response store"),
        ("tokens", f"{tally.get('prompt_tokens', 0):,} input, {tally.get('completion_tokens', 0):,} output"),
        ("cost", _cost(record)),
    ]


def _cost(record: Mapping[str, Any]) -> str:
    if record.get("cost_usd") is None:
        return "unknown, no price was recorded"
    price = record.get("price") or {}
    as_of = f", at the prices of {price['seen']}" if price.get("seen") else ""
    return f"{record['cost_usd']:.4f} USD{as_of}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f}%"
