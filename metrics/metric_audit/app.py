"""The page of the measurement's Space: a table of scores in, the audit out. Run: python app.py."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.judging.audit import audit as auditing
from hf_synthlabels.judging.audit.audit_options import AuditOptions
from hf_synthlabels.statistics import BootstrapConfig

TITLE = "Metric audit"
ABOUT = (
    "Is a metric more comparable within tasks (CIT), across tasks (CAT) and across formats (TFA) than a baseline? "
    "Give a table as CSV with the columns `score`, `human` and `task`, and, as you have them, `item`, `format`, "
    "`system` and `length`; every other column is a baseline. Scores range from 0 (worst) to 1 (best); "
    "an empty cell means no score."
)
EXAMPLE = """score,human,task,item,rouge1
0.1,0.0,summary,s1,0.3
0.4,0.5,summary,s1,0.2
0.9,1.0,summary,s2,0.4
0.2,0.1,summary,s2,0.4
0.5,0.5,dialogue,d1,0.1
0.8,1.0,dialogue,d1,0.2
0.3,0.2,dialogue,d2,0.3
0.9,0.9,dialogue,d2,0.1
"""
OPTIONAL = {"item": "items", "format": "formats", "system": "systems", "length": "lengths"}
NEEDED = ("score", "human", "task")
EMPTY: list[list[str]] = []
LARGEST = 20_000
"""Rows that the page takes: it is shared."""


def audited(table: str, resamples: int) -> tuple[str, list[list[str]], list[list[str]]]:
    """The verdicts in words, a table of the statistics and one of the comparisons."""
    rows = list(csv.DictReader(io.StringIO(table.strip())))
    if not rows or any(name not in rows[0] for name in NEEDED):
        return f"The first line must name columns, {', '.join(NEEDED)} among them; rows follow it.", EMPTY, EMPTY
    if len(rows) > LARGEST:
        return f"The page takes {LARGEST:,} rows; install hf-synthlabels for more.", EMPTY, EMPTY
    if any(None in row or None in row.values() for row in rows):
        return "A row has more or fewer cells than the first line: see to the commas.", EMPTY, EMPTY
    try:
        columns: dict[str, Any] = {
            OPTIONAL[name]: _numbers(rows, name) if name == "length" else [row[name] for row in rows]
            for name in OPTIONAL
            if name in rows[0]
        }
        others = [name for name in rows[0] if name not in (*NEEDED, *OPTIONAL)]
        found = auditing.audit_metric(
            _numbers(rows, "score"),
            _numbers(rows, "human"),
            [row["task"] for row in rows],
            **columns,
            baselines={name: _numbers(rows, name) for name in others},
            options=AuditOptions(BootstrapConfig(resamples=int(resamples))),
        )
    except SynthLabelsError as error:
        return str(error), EMPTY, EMPTY
    except ValueError as error:
        return f"A cell is not a number: {error}.", EMPTY, EMPTY
    names = list(found.baselines)
    statistics = [
        [name, str(interval), *(str(found.baselines[other].scores[name]) for other in names)]
        for name, interval in found.scores.items()
        if not math.isnan(interval.estimate)
    ]
    comparisons = [[each.statistic, each.baseline, str(each.difference), each.verdict] for each in found.comparisons]
    words = ", ".join(f"**{name.upper()}** {verdict.replace('_', ' ')}" for name, verdict in found.verdicts.items())
    reasons = "".join(f"\n- {name}: {reason}" for name, reason in found.reasons.items())
    return f"{words}. Coverage {found.metric.coverage}.\n{reasons}", statistics, comparisons


def page() -> Any:
    """The page, to be launched."""
    import gradio

    with gradio.Blocks(title=TITLE) as blocks:
        gradio.Markdown(f"# {TITLE}\n{ABOUT}")
        table = gradio.Textbox(label="Table (CSV)", lines=10, value=EXAMPLE)
        resamples = gradio.Slider(100, 2000, value=1000, step=100, label="Resamples")
        button = gradio.Button("Audit", variant="primary")
        verdict = gradio.Markdown()
        statistics = gradio.Dataframe(headers=["statistic", "metric", "baselines"], interactive=False)
        comparisons = gradio.Dataframe(headers=["statistic", "baseline", "better by", "verdict"], interactive=False)
        button.click(audited, [table, resamples], [verdict, statistics, comparisons])
    return blocks


def _numbers(rows: list[dict[str, str]], name: str) -> list[float | None]:
    return [float(row[name]) if row[name].strip() else None for row in rows]


if __name__ == "__main__":
    page().launch()
