"""How rows were drawn for people to label, from the record that drawing left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_synthlabels.cards.markdown import Markdown, code, table

NAME = 40
"""Characters of a label that a table shows."""

DESIGNS = {
    "random": "at random, all with the same chance",
    "stratified": "at random among the rows of each LLM label",
    "confidence": "with a greater chance where the LLM was less sure",
}


def sample_text(sample: Mapping[str, Any]) -> Markdown:
    """How many of how many rows, by which design, with which chances and seed."""
    design = str(sample.get("design", "not recorded"))
    said = DESIGNS.get(design)
    how = said if said is not None else f"by the design {code(design)}"
    if sample.get("allocation") == "equal":
        how += ", as many of each as could be"
    parts = [
        f"{_count(sample, 'drawn')} of {_count(sample, 'rows')} rows were drawn for people to label, {how}",
        f"{_count(sample, 'new')} of them in the last drawing (seed {_count(sample, 'seed')})",
        f"the labels in {code(sample.get('human', 'not recorded'))} are theirs",
    ]
    least, most = sample.get("least_probability"), sample.get("greatest_probability")
    if isinstance(least, int | float) and isinstance(most, int | float):
        spread = f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
        heeded = "" if least == most else "; each row counts with one over its own"
        parts.append(f"chances {spread}, stored in {code(sample.get('column', 'inclusion_probability'))}{heeded}")
    return Markdown("; ".join(parts) + ".")


def strata_table(sample: Mapping[str, Any]) -> Markdown | None:
    """Of a stratified drawing the rows of each LLM label, and how many of them were drawn; None of others."""
    rows = [
        (code(each.get("label", "?"), NAME), _count(each, "rows"), _count(each, "drawn"))
        for each in sample.get("strata") or ()
        if isinstance(each, Mapping)
    ]
    return table(("LLM label", "rows", "drawn"), rows, right=(1, 2)) if rows else None


def _count(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return f"{value:,}" if isinstance(value, int) else "an unrecorded number"
