"""What the page gets once: the variables with their labels, and how the review was started."""

from __future__ import annotations

from typing import Any

from hf_synthlabels.review.annotation_session import AnnotationSession
from hf_synthlabels.review.codebook.codebook_session import CodebookSession
from hf_synthlabels.review.review_rows import ReviewRows

MAX_BUTTONS = 21
"""A scale with more numbers is typed."""


def review_setup(session: AnnotationSession, title: str) -> dict[str, Any]:
    """The setup of a review with one variable."""
    rows = session.state.rows
    return {
        "title": title,
        "store": session.state.store.name,
        **_variable(rows),
        "rows": len(rows),
        "queue": len(rows.queue),
        "labeled_before": len(rows.human_labels),
        "sampled": rows.sampled,
        "blind": session.blind,
    }


def codebook_setup(session: CodebookSession, title: str) -> dict[str, Any]:
    """The setup of a review of a codebook, with the setup of each variable."""
    review, rows = session.review, session.review.rows
    variables = []
    for name, each in rows.variables.items():
        condition = rows.conditions[name]
        depends = None if condition is None else {"variable": condition.variable, "labels": list(condition.labels)}
        variables.append({"variable": name, **_variable(each), "condition": depends})
    return {
        "title": title,
        "store": review.store.name,
        "kind": "codebook",
        "variables": variables,
        "instructions": rows.instructions,
        "rows": len(rows),
        "queue": len(rows.queue),
        "labeled_before": session.labeled_before(),
        "sampled": rows.sampled,
        "blind": session.blind,
        "human": ", ".join(each.human for each in rows.variables.values()),
    }


def _variable(rows: ReviewRows) -> dict[str, Any]:
    schema, scale = rows.schema, rows.schema.scale
    grid = None if scale is None else scale.grid()
    numbers = [round(number, 10) for number in grid] if grid is not None and len(grid) <= MAX_BUTTONS else None
    return {
        "kind": schema.kind,
        "names": schema.names,
        "definitions": schema.definitions,
        "guidelines": schema.guidelines,
        "instructions": rows.instructions,
        "scale": None if scale is None else {"low": scale.low, "high": scale.high, "step": scale.step},
        "numbers": numbers,
        "llm": rows.llm,
        "human": rows.human,
    }
