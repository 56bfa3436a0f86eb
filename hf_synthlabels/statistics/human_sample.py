"""HumanSample: which rows people label, and with what chance each of them was chosen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.codes import Floats, Ints
from hf_synthlabels.statistics.ratings import Numbers, number_column

__all__ = ["DESIGNS", "Allocation", "Design", "HumanSample", "doubtfulness", "draw_sample"]

Design = Literal["random", "stratified", "confidence"]
Allocation = Literal["proportional", "equal"]
DESIGNS: tuple[Design, ...] = get_args(Design)

FOCUS = 0.5
"""The part of the chances that follows doubt; the rest is the same for all: no weight is above twice the mean."""

LEAST_DOUBT = 0.02
"""An LLM that says it is certain is taken to be wrong at least this often."""

NO_LABEL_STRATUM = "(no label)"


@dataclass(frozen=True, slots=True)
class HumanSample:
    """Rows to be labelled by hand."""

    rows: tuple[int, ...]
    """Those that are new, in their order."""
    probabilities: tuple[float | None, ...]
    """Of all N rows the chance with which each was chosen, rows that were drawn earlier among them; None for a row
    that was not."""
    design: Design
    seed: int
    strata: tuple[tuple[str, int, int], ...] = ()
    """Of a stratified design: the LLM's label, its rows, and how many of them were drawn, earlier ones included."""

    def record(self) -> dict[str, Any]:
        """What is kept beside the labels: enough to draw the same rows again from the same table."""
        chances = [chance for chance in self.probabilities if chance is not None]
        return {
            "design": self.design,
            "seed": self.seed,
            "rows": len(self.probabilities),
            "drawn": len(chances),
            "new": len(self.rows),
            "least_probability": min(chances, default=None),
            "greatest_probability": max(chances, default=None),
            "strata": [{"label": name, "rows": rows, "drawn": drawn} for name, rows, drawn in self.strata],
        }


def draw_sample(
    llm: Sequence[Any],
    n: int,
    *,
    design: Design = "random",
    confidence: Numbers | None = None,
    allocation: Allocation = "proportional",
    earlier: ArrayLike | None = None,
    seed: int = 0,
) -> HumanSample:
    """Draw rows for people to label, with chances that are known.

    "random" gives all rows the same chance. "stratified" draws from the rows of each LLM label apart, with at least two
    of each where there are as many. "confidence" gives rows of which the LLM was less sure a greater chance: half of it
    is the same for all, half follows sqrt(e (1 - e)), where e is 1 - confidence; exactly n rows are drawn, with exactly
    these chances (systematic sampling in random order; Madow 1949).

    Rows that were drawn earlier stay. Within each LLM label, an earlier simple or stratified random sample and a new
    one make up one random sample, so that its chance is the share of the rows that were drawn in either. A sample by
    confidence on top of an earlier simple random one has the chance of being in either.

    Args:
        llm: the LLM's label of each row, None where there is none.
        n: how many rows are to be drawn now.
        design: how.
        confidence: of the LLM, from 0 to 1, for that design; None in a row counts as most doubtful.
        allocation: of a stratified design: "proportional" to the rows of each label, or as far as can be "equal",
            which tells more of rare classes and less of the whole.
        earlier: which rows were drawn earlier, by a simple or stratified random sample, shape (rows,).
        seed: of the drawing.

    Raises:
        ConfigError: there is no such design or allocation, `n` is less than 1, or confidences are missing.
        DataError: there are fewer than `n` rows to draw from, or a confidence is not from 0 to 1.
    """
    old: NDArray[np.bool_] = (
        np.zeros(len(llm), dtype=np.bool_) if earlier is None else np.array(earlier, dtype=np.bool_)
    )
    if old.shape != (len(llm),):
        raise DataError(f"`earlier` has shape {old.shape} and there are {len(llm):,} rows: give one for each.")
    _check(n, design, allocation, int((~old).sum()))
    rng = np.random.default_rng(seed)
    names = [NO_LABEL_STRATUM if label is None or label != label else str(label) for label in llm]
    strata: tuple[tuple[str, int, int], ...] = ()
    if design == "confidence":
        new, chances = _by_doubt(n, old, doubtfulness(confidence, len(llm)), rng)
    else:
        new = (
            np.sort(rng.permutation(np.flatnonzero(~old))[:n])
            if design == "random"
            else _from_strata(names, n, old, allocation, rng)
        )
        drawn = old.copy()
        drawn[new] = True
        if design == "random" and (earlier is None or _looks_random(names, old)):
            chances = np.full(len(llm), drawn.sum() / len(llm))
        else:
            chances, strata = _shares(names, drawn)
    chosen = old.copy()
    chosen[new] = True
    kept = tuple(float(chance) if mine else None for chance, mine in zip(chances, chosen, strict=True))
    return HumanSample(tuple(int(row) for row in new), kept, design, seed, strata)


def doubtfulness(confidence: Numbers | None, rows: int) -> Floats:
    """sqrt(e (1 - e)) of each row, with e = 1 - confidence: how much a yes or no of it would vary.

    Raises:
        ConfigError: there are no confidences.
        DataError: there is not one for each row, or one is not from 0 to 1.
    """
    if confidence is None:
        raise ConfigError("`confidence` is missing: the design 'confidence' needs the LLM's; or choose 'stratified'.")
    known = number_column(confidence, "confidence")
    if len(known) != rows:
        raise DataError(f"`confidence` has {len(known):,} rows and there are {rows:,}: give one for each.")
    if wrong := int(((known < 0) | (known > 1)).sum()):
        raise DataError(f"`confidence` is not from 0 to 1 in {wrong:,} rows: divide percentages by 100.")
    wrongness = np.clip(1 - np.where(np.isnan(known), 0.5, known), LEAST_DOUBT, 1 - LEAST_DOUBT)
    doubt: Floats = np.sqrt(wrongness * (1 - wrongness))
    return doubt


def _check(n: int, design: str, allocation: str, left: int) -> None:
    if design not in DESIGNS:
        raise ConfigError(f"`design` is {design!r}: give one of {', '.join(DESIGNS)}.")
    if allocation not in get_args(Allocation):
        raise ConfigError(f"`allocation` is {allocation!r}: give one of {', '.join(get_args(Allocation))}.")
    if n < 1:
        raise ConfigError(f"`n` is {n!r}: draw 1 row or more.")
    if n > left:
        raise DataError(f"`n` is {n:,} and there are {left:,} rows that were not drawn yet: draw fewer.")


def _by_doubt(n: int, old: NDArray[np.bool_], doubt: Floats, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Rows drawn with chances that follow doubt, and the chance of each row to be among them or the earlier ones."""
    size = FOCUS * doubt / doubt[~old].mean() + (1 - FOCUS)
    chances = np.zeros(len(old))
    open_rows = ~old
    certain = np.zeros(len(old), dtype=np.bool_)
    while True:
        free = open_rows & ~certain
        scale = (n - certain.sum()) / size[free].sum() if free.any() else 0.0
        # Rows drawn earlier have the chance that they would have had now, too.
        chances = np.where(certain, 1.0, np.minimum(1.0, scale * size))
        over = free & (scale * size > 1)
        if not over.any():
            break
        certain |= over
    order = rng.permutation(np.flatnonzero(open_rows))
    ends = np.cumsum(chances[order])
    # The sum is n but for rounding.
    ends *= n / ends[-1]
    places = np.searchsorted(ends, rng.random() + np.arange(n), side="right")
    new = np.sort(order[np.minimum(places, len(order) - 1)])
    before = old.sum() / len(old)
    return new, before + (1 - before) * chances


def _from_strata(
    names: Sequence[str], n: int, old: NDArray[np.bool_], allocation: str, rng: np.random.Generator
) -> Ints:
    members = {name: [] for name in sorted(set(names))}  # type: dict[str, list[int]]
    for row, name in enumerate(names):
        members[name].append(row)
    left = {name: [row for row in rows if not old[row]] for name, rows in members.items()}
    wished = {
        name: 1.0 / len(members) if allocation == "equal" else len(rows) / len(names) for name, rows in members.items()
    }
    done = {name: len(members[name]) - len(left[name]) for name in members}
    needed = sum(max(0, min(2, len(rows)) - len(rows) + len(left[name])) for name, rows in members.items())
    if needed > n:
        raise ConfigError(
            f"`n` is {n:,} and there are {len(members):,} LLM labels: draw two rows of each, {needed:,} or more, or "
            "choose the design 'random'."
        )
    sizes = _sizes(wished, {name: len(rows) for name, rows in left.items()}, done, n)
    new = [rng.permutation(left[name])[: sizes[name]] for name in members if sizes[name]]
    return np.sort(np.concatenate(new).astype(np.int64))


def _sizes(wished: dict[str, float], left: dict[str, int], done: dict[str, int], n: int) -> dict[str, int]:
    """Rows to draw of each label: one at a time to where most are missing, the first two of each before all others."""
    sizes = dict.fromkeys(wished, 0)
    total = n + sum(done.values())
    for _ in range(n):
        able = [name for name in wished if sizes[name] < left[name]]
        missing = {name: wished[name] * total - sizes[name] - done[name] for name in able}
        few = [name for name in able if sizes[name] + done[name] < 2]
        sizes[max(few or able, key=lambda name: missing[name])] += 1
    return sizes


def _shares(names: Sequence[str], drawn: NDArray[np.bool_]) -> tuple[Floats, tuple[tuple[str, int, int], ...]]:
    """The share of each label's rows that were drawn, for each row and for each label."""
    every = Counter(names)
    some = Counter(name for name, mine in zip(names, drawn, strict=True) if mine)
    chances = np.array([some[name] / every[name] for name in names])
    return chances, tuple((name, every[name], some[name]) for name in sorted(every))


def _looks_random(names: Sequence[str], old: NDArray[np.bool_]) -> bool:
    """Whether earlier rows are spread over the labels as a simple random sample may be: no label's share is far off."""
    if not old.any():
        return True
    rows, share = len(names), float(old.mean())
    _, strata = _shares(names, old)
    # Four standard errors of the hypergeometric count, and one row for rounding.
    return all(
        abs(drawn - share * size) <= 1 + 4 * math.sqrt(share * (1 - share) * size * max(0, rows - size) / rows)
        for _, size, drawn in strata
    )
