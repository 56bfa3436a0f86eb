"""Human labels of the source that the recipe does not list, reported before any request is sent."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hf_synthlabels.annotation.recipe.recipe import Recipe
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.labels.spelling import folded_name, unknown_labels

_LOGGER = logging.getLogger(__name__)

SHOWN = 5
MAX_UNKNOWN = 0.5
"""Share of human labels that are not in the recipe's list above which the list, or the column, is the wrong one."""


def check_human_labels(recipe: Recipe, rows: Any, where: str, section: str = "task") -> None:
    """Warn of human labels that are not in the recipe's list.

    Args:
        recipe: whose `task.human` and `task.labels` are compared.
        rows: a `Dataset`.
        where: how messages name the rows.
        section: how messages name the section of the labels: of a codebook, that of the variable.

    Raises:
        DataError: most human labels are not in the list, even without regard to case and white space.
    """
    schema, column = recipe.task.schema_of_labels(), recipe.task.human
    if not schema.names or column is None:
        return
    counts = Counter(_names(schema, rows.features[column], rows[column]))
    listed = [*schema.names, *(["abstain"] if schema.abstain else [])]
    unknown = unknown_labels(counts.elements(), listed)
    if not unknown:
        return
    parts = [
        f"{name!r} {count:,} times" + ("" if near is None else f" (did you mean {near!r}?)")
        for name, (count, near) in list(unknown.items())[:SHOWN]
    ]
    more = f", and {len(unknown) - SHOWN:,} more" if len(unknown) > SHOWN else ""
    number, total = sum(count for count, _ in unknown.values()), counts.total()
    message = (
        f"`{section}.human` {column!r}: {number:,} of {total:,} human labels in {where} are not in `{section}.labels`: "
        f"{', '.join(parts)}{more}."
    )
    folded = {folded_name(name) for name in listed}
    foreign = sum(count for name, (count, _) in unknown.items() if folded_name(name) not in folded)
    if foreign > MAX_UNKNOWN * total:
        raise DataError(f"{message} Correct `{section}.labels`, or name the column with the human labels.")
    _LOGGER.warning("%s Correct them before you validate.", message)


def _names(schema: LabelSchema, feature: Any, value: Any) -> Iterator[str]:
    """The class names in a column, or in one of its values; none for a missing label."""
    tags = schema.kind == "token-classification"
    if isinstance(value, str):
        name = value[2:] if tags and value[:2] in ("B-", "I-") else value
        if name.strip() and not (tags and name == "O"):
            yield name
    elif isinstance(value, Mapping):
        # An entity: its other fields are places and texts.
        inner = feature.get("label") if isinstance(feature, Mapping) else None
        yield from _names(schema, inner, value.get("label"))
    elif isinstance(value, bool) or value is None:
        # Truth values are vectors with one entry for each class.
        return
    elif isinstance(value, int | float):
        names = getattr(feature, "names", None)
        if math.isfinite(value) and value >= 0:
            yield from _names(schema, None, _name_of(schema, names, value))
    elif hasattr(value, "__iter__"):
        for item in value:
            yield from _names(schema, getattr(feature, "feature", feature), item)


def _name_of(schema: LabelSchema, names: Sequence[str] | None, number: float) -> str:
    """The name of a number that is not negative: of a ClassLabel its own, else of the recipe; otherwise the number."""
    whole = int(number) if float(number).is_integer() else -1
    if names is not None or str(whole) not in schema.names:
        known = schema.names if names is None else names
        return known[whole] if 0 <= whole < len(known) else f"{number:g}"
    return str(whole)
