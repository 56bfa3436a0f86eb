"""Tables of a judge's scores for the card of a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hf_synthlabels.cards.markdown import Markdown, code, table
from hf_synthlabels.cards.passages import spent_rows

JudgeRecords = Mapping[str, Mapping[str, Any]]
"""The provenance of the scores of one judge, by split."""


def judge_table(record: Mapping[str, Any]) -> Markdown:
    """Return the table of a judge's provenance."""
    client, summary = record.get("client", {}), record.get("summary", {})
    model = f", model {code(client['model'])}" if client.get("model") else ""
    returned = ", ".join(map(code, record.get("returned_models") or ()))
    rows: list[tuple[object, object]] = [
        ("judge", Markdown(f"client {code(client.get('client', 'not recorded'))}{model}")),
        ("model returned", Markdown(returned or "not recorded")),
        ("rubric", Markdown(f"{code(record.get('rubric', '?'))}, hash {code(record.get('rubric_hash', '?'))}")),
        ("prompt hash", code(record.get("prompt_hash", "not recorded"))),
        ("few-shot examples", len(record.get("examples") or ())),
        *spent_rows({**record, "annotator": client, "cost_usd": summary.get("cost_usd")}),
        ("finished", str(record.get("finished_at", "not recorded"))),
    ]
    return table(("item", "value"), rows)


def score_table(records: JudgeRecords) -> Markdown:
    """Return the table of scores: the scale and the weight of each criterion, and its mean in each split."""
    rows: list[Sequence[object]] = []
    for split, record in records.items():
        summary, column = record.get("summary", {}), str(record["column"])
        criteria: Mapping[str, Any] = record.get("criteria") or {}
        what = "weighted mean of the criteria" if criteria else "score of the rubric"
        if "win_rate" in summary:
            rows.append((code(f"{column}_winner"), "win rate of the first answer", "–", *_numbers(summary, split)))
        else:
            rows.append((code(f"{column}_score"), what, "–", *_numbers(summary, split)))
        for name, criterion in criteria.items():
            own = summary.get("criteria", {}).get(name, {})
            weight = f"{criterion.get('weight', 1):g}"
            rows.append((code(f"{column}_{name}"), _scale(criterion), weight, *_numbers(own, split)))
    return table(("column", "scale", "weight", "split", "mean", "scored rows", "rows"), rows, right=(2, 5, 6))


def score_note(records: JudgeRecords) -> str:
    """Return the sentence below the table of scores."""
    (first, *_) = records.values()
    summary = first.get("summary", {})
    interval = f"{100 * summary.get('level', 0.95):g}% intervals ({summary.get('interval_method', 'not recorded')})"
    if first.get("missing_criterion") == "ignored":
        return f"Means have {interval}. A row that lacks a criterion has the weighted mean of the others."
    lacks = " A row that lacks a criterion with a weight has no overall score." if first.get("criteria") else ""
    return f"Means are those of scored rows, with {interval}.{lacks}"


def criteria_definitions(records: JudgeRecords) -> Iterator[tuple[Markdown, str, Markdown | None]]:
    """The column and the instructions of each criterion, and the table of its verdicts if they have meanings."""
    (first, *_) = records.values()
    for name, criterion in (first.get("criteria") or {}).items():
        meanings = {answer: meaning for answer, meaning in criterion.get("choices", {}).items() if meaning}
        rows = [(code(answer), meaning) for answer, meaning in meanings.items()]
        column = code(f"{first['column']}_{name}")
        yield column, str(criterion.get("instructions", "")), table(("verdict", "meaning"), rows) if rows else None


def _scale(criterion: Mapping[str, Any]) -> str:
    """The numbers of a scale, or the labels from the worst to the best."""
    scale = criterion.get("scale")
    if scale is None:
        scores = criterion.get("scores", {})
        return ", ".join(
            f"{answer} ({scores[answer]:g})" if answer in scores else answer for answer in criterion.get("choices", {})
        )
    return f"{scale['low']:g} to {scale['high']:g}"


def _numbers(summary: Mapping[str, Any], split: str) -> Sequence[object]:
    """The split, the mean with its interval, and the numbers of scored and of all rows."""
    name = "win_rate" if "win_rate" in summary else "mean"
    values = [summary.get(key) for key in (name, f"{name}_low", f"{name}_high")]
    mean = "–"
    if None not in values:
        estimate, low, high = map(float, values)  # type: ignore[arg-type]
        mean = f"{estimate:.3f} [{low:.3f}, {high:.3f}]"
    return code(split), Markdown(mean), int(summary.get("n_scored", 0)), int(summary.get("n", 0))
