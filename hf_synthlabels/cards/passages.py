"""Passages that several cards share: how labels were made, and what human labels say of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from hf_synthlabels.cards.card_data import StudyResult
from hf_synthlabels.cards.markdown import Markdown, code, fenced, interval, table
from hf_synthlabels.statistics import MEASURES, Interval, ValidationReport
from hf_synthlabels.statistics.agreement.classification import ClassAgreement
from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix
from hf_synthlabels.statistics.comparison.paired import discordant_p

NAME = 40
"""Characters of a label name that a table shows."""

MAX_CLASSES = 25
"""Of a confusion matrix that a page can show."""

SIGNIFICANT = 0.05

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


def made_table(record: Mapping[str, Any]) -> Markdown:
    """How one label column was made: a row for each recorded fact."""
    annotator, tally = record.get("annotator", {}), record.get("tally", {})
    returned = record.get("returned_models") or []
    sampling = [f"{key} {annotator[key]}" for key in SAMPLING if key in annotator]
    strategy = [f"{key}: {value}" for key, value in record.get("strategy", {}).items()]
    rows: list[tuple[object, object]] = [
        ("annotator", Markdown(f"client {code(annotator.get('client', 'not recorded'))}{_model(annotator)}")),
        ("model that answered", _codes(returned) or "not told"),
        ("sampling", ", ".join(sampling) or "not recorded"),
        ("asked", "; ".join(strategy) or "for the label directly"),
        ("few-shot examples", int(record.get("examples", 0))),
        ("prompt, hash", code(record.get("prompt_hash", "not recorded"))),
        ("guideline, hash", code(record["guidelines_hash"]) if record.get("guidelines_hash") else "no guideline"),
        ("label schema, hash", code(record.get("schema_hash", "not recorded"))),
        ("rows", int(tally.get("rows", 0))),
        ("answers", f"{tally.get('requests', 0):,} asked for, {tally.get('stored', 0):,} from the store"),
        ("tokens", f"{tally.get('prompt_tokens', 0):,} in, {tally.get('completion_tokens', 0):,} out"),
        ("cost", _cost(record)),
        ("finished", str(record.get("finished_at", "not recorded"))),
        (
            "made with",
            f"hf-synthlabels {record.get('package_version', '?')}, parser {record.get('parser_version', '?')}",
        ),
        ("source", _source(record.get("source") or {})),
    ]
    return table(("what", "recorded"), rows)


def score_heads(report: ValidationReport) -> str:
    """Above a table of scores: of what, and how many rows."""
    return (
        f"{report.n_rows:,} rows, {report.n_labelled:,} with a label, {report.n_human:,} with a human label. "
        f"Intervals at {100 * report.level:g} %."
    )


def agreement_table(report: ValidationReport) -> Markdown:
    """Every score with its interval, its denominator and how the interval is made."""
    named = MEASURES[report.kind]
    rows = [(named[name], interval(score), score.n, score.method) for name, score in report.scores.items()]
    return table(("score", "estimate and interval", "n", "interval by"), rows, right=(2,))


def class_table(report: ValidationReport) -> Markdown:
    """For each label name its precision, recall and F1 with intervals."""
    rows = [
        (code(each.name, NAME), each.support, each.predicted, *_three(each.precision, each.recall, each.f1))
        for each in report.classes
    ]
    return table(("label", "human n", "annotator n", "precision", "recall", "F1"), rows, right=(1, 2))


def confusion_table(matrix: ConfusionMatrix | None) -> Markdown | None:
    """Human labels as rows, the annotator's as columns; None where there is none, or too large a one to be read."""
    if matrix is None or len(matrix.names) > MAX_CLASSES:
        return None
    names = [code(name, NAME) for name in matrix.names]
    rows = [(name, *counts) for name, counts in zip(names, matrix.counts, strict=True)]
    return table(("human label", *names, "no label"), rows, right=range(1, len(names) + 2))


def limits(report: ValidationReport) -> list[Markdown]:
    """What the human labels show to be weak: coverage, names that are missed, names that are given too often."""
    found = []
    missing = report.n_rows - report.n_labelled
    if missing:
        found.append(
            Markdown(f"{missing:,} of {report.n_rows:,} rows have no label ({_percent(missing, report.n_rows)}).")
        )
    seen = [each for each in report.classes if each.support]
    for each in sorted(seen, key=lambda one: one.recall.estimate)[:3]:
        if each.recall.estimate < 1:
            found.append(
                Markdown(
                    f"Of {each.support:,} human-labelled rows of {code(each.name, NAME)}, "
                    f"{100 * each.recall.estimate:.1f} % were found ({interval(each.recall)})."
                )
            )
    overpredicted = [each for each in report.classes if _is_overpredicted(each)]
    for each in sorted(overpredicted, key=lambda one: one.support - one.predicted)[:2]:
        found.append(
            Markdown(
                f"The annotator gave {code(each.name, NAME)} to {each.predicted:,} of {report.n_human:,} "
                f"human-labelled rows ({_percent(each.predicted, report.n_human)}), humans gave it to {each.support:,} "
                f"({_percent(each.support, report.n_human)}). Shares computed from the labels alone are biased."
            )
        )
    if report.absent:
        names = ", ".join(code(name, NAME) for name in report.absent[:5])
        more = f" and {len(report.absent) - 5} more" if len(report.absent) > 5 else ""
        found.append(Markdown(f"No human-labelled row has {names}{more}: of these nothing was measured."))
    return found


def _is_overpredicted(each: ClassAgreement) -> bool:
    """Whether a class is given significantly too often, by McNemar's exact test."""
    if each.predicted <= each.support:
        return False
    right = round(each.recall.estimate * each.support) if each.support else 0
    return discordant_p(each.predicted - right, each.support - right) < SIGNIFICANT


def study_table(study: StudyResult) -> Markdown:
    """The students by source of labels and the annotator itself, on the same test rows."""
    shown = [name for name in SCORES if all(name in arm.scores for arm in study.arms)]
    rows: list[tuple[object, ...]] = [
        (arm.description, arm.n_rows, arm.steps, *(interval(arm.scores[name]) for name in shown)) for arm in study.arms
    ]
    own = [interval(study.annotator.scores.get(name)) for name in shown]
    rows.append(("the annotator itself", "–", "–", *own))
    heads = [name.replace("_", " ").replace("f1", "F1") for name in shown]
    return table(("trained on", "rows", "steps", *heads), rows, right=(1, 2))


def mistakes(report: ValidationReport, most: int = 5) -> Markdown | None:
    """The most frequent mistakes."""
    found = [] if report.matrix is None else report.matrix.mistakes()[:most]
    support = {each.name: each.support for each in report.classes}
    rows = [
        (code(human, NAME), "no label" if given is None else code(given, NAME), count, support[human])
        for human, given, count in found
    ]
    return table(("human label", "annotator", "rows", "of"), rows, right=(2, 3)) if rows else None


def breakdowns(report: ValidationReport) -> list[Markdown]:
    """The tables of the kinds whose rows have not one name each."""
    return [fenced(str(each), "text") for each in report.tables if str(each)]


def _three(*scores: Interval) -> list[Markdown]:
    return [interval(score, 2) if score.n else Markdown("–") for score in scores]


def _model(annotator: Mapping[str, Any]) -> str:
    parts = [f", model {code(_base(str(annotator['model'])))}"] if annotator.get("model") else []
    if annotator.get("column"):
        parts.append(f", recorded answers in column {code(annotator['column'])}")
    if host := urlsplit(str(annotator.get("base_url", ""))).hostname:
        # The host alone: an address may hold a name and a password.
        parts.append(f", at {code(host)}")
    return "".join(parts)


def _base(path: str) -> str:
    """A Hub id as it is; of a path of some machine its last part."""
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


def _files(found: Any) -> list[str]:
    if isinstance(found, str):
        return [found]
    parts = found.values() if isinstance(found, Mapping) else found if isinstance(found, Sequence) else ()
    return [name for part in parts for name in _files(part)]


def _codes(names: Sequence[str]) -> Markdown | None:
    return Markdown(", ".join(code(name) for name in names)) if names else None


def _cost(record: Mapping[str, Any]) -> str:
    if record.get("cost_usd") is None:
        return "unknown: no price was recorded"
    price = record.get("price") or {}
    seen = f", at the price seen on {price['seen']}" if price.get("seen") else ""
    return f"{record['cost_usd']:.4f} USD{seen}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"
