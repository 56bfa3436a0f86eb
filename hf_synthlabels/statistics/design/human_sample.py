"""HumanSample: which rows people label, and with what chance each of them was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, Numbers, number_column
from hf_synthlabels.statistics.design.inclusion_probabilities import earlier_probabilities, stratum_codes

Design = Literal["random", "stratified", "confidence"]


Allocation = Literal["proportional", "equal"]


DESIGNS: tuple[Design, ...] = get_args(Design)


FOCUS = 0.5
"""The part of the chances that follows doubt; the rest is the same for all: no weight is above twice the mean."""


MIN_DOUBT = 0.02
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
    earlier: ArrayLike | Sequence[float | None] | None = None,
    seed: int = 0,
) -> HumanSample:
    """Draw rows for people to label, with chances that are known.

    "random" gives all rows the same chance. "stratified" draws from the rows of each LLM label apart, with at least two
    of each where there are as many. "confidence" gives rows of which the LLM was less sure a greater chance: half of it
    is the same for all, half follows sqrt(e (1 - e)), where e is 1 - confidence; exactly n rows are drawn, with exactly
    these chances (systematic sampling in random order; Madow 1949).

    Rows that were drawn earlier stay. A row's inclusion probability is that of being in either sample: with pi_1 that
    of the earlier and pi_2 that of this one, pi_1 + (1 - pi_1) pi_2. It never depends on how evenly the earlier rows
    happen to be spread.

    Args:
        llm: the LLM's label of each row, None where there is none.
        n: how many rows are to be drawn now.
        design: how.
        confidence: of the LLM, from 0 to 1, for that design and on top of it; None in a row counts as most doubtful.
        allocation: of a stratified design: "proportional" to the rows of each label, or as far as can be "equal",
            which tells more of rare classes and less of the whole.
        earlier: the earlier sample, shape (rows,): its `probabilities`, None or nan for rows that it did not draw; or
            True for the rows that it drew, if these are a random sample within each LLM label.
        seed: of the drawing.

    Raises:
        ConfigError: there is no such design or allocation, `n` is less than 1, or confidences are missing.
        DataError: there are fewer than `n` rows to draw from, a confidence is not from 0 to 1, or `earlier` does not
            say with what probability each row was drawn.
    """
    names = [NO_LABEL_STRATUM if label is None or label != label else str(label) for label in llm]
    codes = stratum_codes(names)
    doubt = None if confidence is None and design != "confidence" else uncertainty(confidence, len(llm))
    old, before = earlier_probabilities(earlier, codes, doubt, within=design == "stratified")
    _check(n, design, allocation, int((~old).sum()))
    rng = np.random.default_rng(seed)
    strata: tuple[tuple[str, int, int], ...] = ()
    if design == "confidence":
        assert doubt is not None
        new, chances = _by_doubt(n, old, doubt, rng)
    elif design == "random":
        new = np.sort(rng.permutation(np.flatnonzero(~old))[:n])
        chances = np.full(len(llm), n / int((~old).sum()))
    else:
        new = _from_strata(names, n, old, allocation, rng)
        left = np.bincount(codes, weights=~old)
        chances = (np.bincount(codes[new], minlength=len(left)) / np.maximum(1, left))[codes]
    chosen = old.copy()
    chosen[new] = True
    if design == "stratified":
        strata = _strata(names, chosen)
    either = before + (1 - before) * chances
    kept = tuple(float(chance) if mine else None for chance, mine in zip(either, chosen, strict=True))
    return HumanSample(tuple(int(row) for row in new), kept, design, seed, strata)


def uncertainty(confidence: Numbers | None, rows: int) -> Floats:
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
    wrongness = np.clip(1 - np.where(np.isnan(known), 0.5, known), MIN_DOUBT, 1 - MIN_DOUBT)
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
    """Rows drawn with probabilities that follow doubt, and the inclusion probability of each row."""
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
    return np.sort(order[np.minimum(places, len(order) - 1)]), chances


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


def _strata(names: Sequence[str], drawn: NDArray[np.bool_]) -> tuple[tuple[str, int, int], ...]:
    """The rows of each label, and how many of them were drawn."""
    every = Counter(names)
    some = Counter(name for name, mine in zip(names, drawn, strict=True) if mine)
    return tuple((name, every[name], some[name]) for name in sorted(every))
