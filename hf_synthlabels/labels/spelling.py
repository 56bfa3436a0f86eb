"""Label names that differ only in case or white space, and labels that are no class: what is likely a slip."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

from hf_synthlabels.labels.schema import visible

SHOWN = 5


def folded_name(name: str) -> str:
    """A name without regard to case, white space and characters of no width."""
    return " ".join(visible(name).split()).casefold()


def spelling_variants(labels: Iterable[str | None]) -> list[dict[str, int]]:
    """Names that occur in several spellings, with the rows of each: the most frequent spelling first.

    Args:
        labels: one name per row, None for a row without a label.
    """
    groups: dict[str, Counter[str]] = {}
    for name, count in Counter(label for label in labels if label is not None).items():
        groups.setdefault(folded_name(name), Counter())[name] += count
    several = (
        sorted(group.items(), key=lambda item: (-item[1], item[0])) for group in groups.values() if len(group) > 1
    )
    return [dict(group) for group in several]


def normalize_spelling(labels: Sequence[str | None], names: Iterable[str] = ()) -> list[str | None]:
    """Labels in one spelling: that of `names` where a name is among them, else the most frequent one.

    Args:
        labels: one name per row, None for a row without a label.
        names: the names of all classes, if they are known.
    """
    spelt = {folded_name(next(iter(group))): next(iter(group)) for group in spelling_variants(labels)}
    spelt |= {folded_name(name): name for name in names}
    return [None if label is None else spelt.get(folded_name(label), label) for label in labels]


def spelling_note(labels: Iterable[str | None]) -> str:
    """A sentence about names in several spellings; empty without any."""
    groups = spelling_variants(labels)
    if not groups:
        return ""
    shown = "; ".join(
        " and ".join(f"{name!r} ({count:,} rows)" for name, count in group.items()) for group in groups[:SHOWN]
    )
    more = f"; and {len(groups) - SHOWN} more" if len(groups) > SHOWN else ""
    return (
        f"Labels differ only in case or white space, and count as different classes: {shown}{more}. Correct them, or "
        "use `normalize_labels` (`--normalize-labels`)."
    )


def unknown_labels(labels: Iterable[str | None], names: Sequence[str]) -> dict[str, tuple[int, str | None]]:
    """Labels that are not among the names of the classes: the rows of each, and the name that it is likely meant for.

    Args:
        labels: one name per row, None for a row without a label.
        names: the names of all classes.
    """
    known = {folded_name(name): name for name in names}
    counts = Counter(label for label in labels if label is not None and label not in names)
    found = {}
    for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        near = difflib.get_close_matches(folded_name(label), known, n=1, cutoff=0.75)
        found[label] = (count, known[near[0]] if near else None)
    return found
