"""Spelling checks for labels: variants in case or white space, and unknown classes."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

from hf_synthlabels.labels.schema import visible

MAX_SHOWN = 5


def folded_name(name: str) -> str:
    """Fold case and white space and remove zero-width characters."""
    return " ".join(visible(name).split()).casefold()


def spelling_variants(labels: Iterable[str | None]) -> list[dict[str, int]]:
    """Return the names with several spellings: the number of rows of each, most frequent first.

    Args:
        labels: One name per row; None for a row without a label.
    """
    groups: dict[str, Counter[str]] = {}
    for name, count in Counter(label for label in labels if label is not None).items():
        groups.setdefault(folded_name(name), Counter())[name] += count
    variants = [group for group in groups.values() if len(group) > 1]
    return [dict(sorted(group.items(), key=lambda item: (-item[1], item[0]))) for group in variants]


def normalize_spelling(labels: Sequence[str | None], names: Iterable[str] = ()) -> list[str | None]:
    """Unify the spelling of labels: that of `names` where it matches, else the most frequent one.

    Args:
        labels: One name per row; None for a row without a label.
        names: All class names, if known.
    """
    spelling = {folded_name(next(iter(group))): next(iter(group)) for group in spelling_variants(labels)}
    spelling |= {folded_name(name): name for name in names}
    return [None if label is None else spelling.get(folded_name(label), label) for label in labels]


def spelling_note(labels: Iterable[str | None]) -> str:
    """Return a warning about names with several spellings; empty without any."""
    groups = spelling_variants(labels)
    if not groups:
        return ""
    shown = "; ".join(
        " and ".join(f"{name!r} ({count:,} rows)" for name, count in group.items()) for group in groups[:MAX_SHOWN]
    )
    more = f"; and {len(groups) - MAX_SHOWN} more" if len(groups) > MAX_SHOWN else ""
    return (
        f"Labels differ only in case or white space and count as different classes: {shown}{more}. Correct them or use "
        "`normalize_labels` (`--normalize-labels`)."
    )


def unknown_labels(labels: Iterable[str | None], names: Sequence[str]) -> dict[str, tuple[int, str | None]]:
    """Return the labels that are not a class name: the number of rows of each, and the closest name, if any.

    Args:
        labels: One name per row; None for a row without a label.
        names: All class names.
    """
    known = {folded_name(name): name for name in names}
    counts = Counter(label for label in labels if label is not None and label not in names)
    unknown = {}
    for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        close = difflib.get_close_matches(folded_name(label), known, n=1, cutoff=0.75)
        unknown[label] = (count, known[close[0]] if close else None)
    return unknown
