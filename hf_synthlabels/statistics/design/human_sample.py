"""Samples of rows for human annotation, with known inclusion probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, Mask, Numbers, number_column

Design = Literal["random", "stratified", "confidence"]
Allocation = Literal["proportional", "equal"]
DESIGNS: tuple[Design, ...] = get_args(Design)

FOCUS = 0.5
"""Part of the inclusion probabilities that follows uncertainty; the rest is equal, so weights are bounded."""

MIN_ERROR = 0.02
"""Lower bound of the LLM's error probability, whatever confidence it states."""

NO_LABEL_STRATUM = "(no label)"

SAME = 1e-9
"""Difference up to which probabilities are equal."""


@dataclass(frozen=True, slots=True)
class HumanSample:
    """Rows sampled for human annotation."""

    rows: tuple[int, ...]
    """New rows, in order."""
    probabilities: tuple[float | None, ...]
    """Inclusion probabilities, shape (N,), including rows sampled earlier; None for rows not sampled."""
    design: Design
    seed: int
    strata: tuple[tuple[str, int, int], ...] = ()
    """LLM label, its rows and its sampled rows, including earlier ones; for a stratified design."""

    def record(self) -> dict[str, Any]:
        """Provenance of the sample: enough to draw it again from the same table; `drawn` is the planned size."""
        probabilities = [value for value in self.probabilities if value is not None]
        return {
            "design": self.design,
            "seed": self.seed,
            "rows": len(self.probabilities),
            "drawn": len(probabilities),
            "new": len(self.rows),
            "least_probability": min(probabilities, default=None),
            "greatest_probability": max(probabilities, default=None),
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
    """Sample rows for human annotation, with known inclusion probabilities.

    "random" is a simple random sample. "stratified" samples within each LLM label, with at least two rows of each where
    possible. "confidence" samples uncertain rows with higher probability: half of it is equal, half is proportional to
    sqrt(e (1 - e)) with e = 1 - confidence (systematic sampling in random order; Madow 1949). Rows sampled earlier
    stay: with probabilities pi_1 of the earlier and pi_2 of this sample, theirs is pi_1 + (1 - pi_1) pi_2.

    Args:
        llm: LLM label of each row, None where missing.
        n: rows to sample now.
        design: sampling design.
        confidence: of the LLM, from 0 to 1; None counts as most uncertain.
        allocation: of a stratified design, "proportional" or as "equal" as possible, which favors rare classes.
        earlier: `probabilities` of an earlier sample, None or nan for other rows; or True for its rows if they are a
            random sample within each LLM label. Shape (rows,).
        seed: random seed.

    Raises:
        ConfigError: `design` or `allocation` is unknown, `n` is less than 1, or confidences are missing.
        DataError: fewer than `n` rows are left, a confidence is not from 0 to 1, or `earlier` is no known sample.
    """
    names = [NO_LABEL_STRATUM if label is None or label != label else str(label) for label in llm]
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    doubt = None if confidence is None and design != "confidence" else uncertainty(confidence, len(llm))
    old, before = _earlier_probabilities(earlier, codes, doubt, within=design == "stratified")
    _check(n, design, allocation, int((~old).sum()))
    rng = np.random.default_rng(seed)
    if design == "confidence":
        assert doubt is not None
        new, probabilities = _by_uncertainty(n, old, doubt, rng)
    elif design == "stratified":
        new, probabilities = _by_stratum(codes, n, old, allocation, rng)
    else:
        new, probabilities = _at_random(n, old, rng)
    sampled = old.copy()
    sampled[new] = True
    either = before + (1 - before) * probabilities
    kept = tuple(float(value) if chosen else None for value, chosen in zip(either, sampled, strict=True))
    strata = _strata(names, sampled) if design == "stratified" else ()
    return HumanSample(tuple(new.tolist()), kept, design, seed, strata)


def uncertainty(confidence: Numbers | None, rows: int) -> Floats:
    """sqrt(e (1 - e)) of each row with e = 1 - confidence: the standard deviation of an error."""
    if confidence is None:
        raise ConfigError("`confidence` is missing: the design 'confidence' needs it; or choose 'stratified'.")
    known = number_column(confidence, "confidence")
    if len(known) != rows:
        raise DataError(f"`confidence` has {len(known):,} rows and there are {rows:,}: give one for each.")
    if wrong := int(((known < 0) | (known > 1)).sum()):
        raise DataError(f"`confidence` is not from 0 to 1 in {wrong:,} rows: divide percentages by 100.")
    error = np.clip(1 - np.where(np.isnan(known), 0.5, known), MIN_ERROR, 1 - MIN_ERROR)
    doubt: Floats = np.sqrt(error * (1 - error))
    return doubt


def uncertainty_sizes(confidence: Numbers | None, rows: int) -> Floats:
    """Inclusion probabilities of the design "confidence", up to a factor; shape (rows,)."""
    doubt = uncertainty(confidence, rows)
    sizes: Floats = FOCUS * doubt / doubt.mean() + 1 - FOCUS
    return sizes


def _check(n: int, design: str, allocation: str, available: int) -> None:
    if design not in DESIGNS:
        raise ConfigError(f"`design` is {design!r}: give one of {', '.join(DESIGNS)}.")
    if allocation not in get_args(Allocation):
        raise ConfigError(f"`allocation` is {allocation!r}: give one of {', '.join(get_args(Allocation))}.")
    if n < 1:
        raise ConfigError(f"`n` is {n!r}: sample 1 row or more.")
    if n > available:
        raise DataError(f"`n` is {n:,} and {available:,} rows are not sampled yet: sample fewer.")


def _at_random(n: int, old: Mask, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """A simple random sample of the rows that are not sampled yet, and the probability of each row."""
    new = np.sort(rng.permutation(np.flatnonzero(~old))[:n])
    return new, np.full(len(old), n / int((~old).sum()))


def _by_uncertainty(n: int, old: Mask, doubt: Floats, rng: np.random.Generator) -> tuple[Ints, Floats]:
    size = FOCUS * doubt / doubt[~old].mean() + (1 - FOCUS)
    probabilities = np.zeros(len(old))
    certain = np.zeros(len(old), dtype=np.bool_)
    while True:
        free = ~old & ~certain
        scale = (n - certain.sum()) / size[free].sum() if free.any() else 0.0
        # Rows sampled earlier get the probability that they would have had now.
        probabilities = np.where(certain, 1.0, np.minimum(1.0, scale * size))
        over = free & (scale * size > 1)
        if not over.any():
            break
        certain |= over
    order = rng.permutation(np.flatnonzero(~old))
    ends = np.cumsum(probabilities[order])
    # The sum is n but for rounding.
    ends *= n / ends[-1]
    places = np.searchsorted(ends, rng.random() + np.arange(n), side="right")
    return np.sort(order[np.minimum(places, len(order) - 1)]), probabilities


def _by_stratum(codes: Ints, n: int, old: Mask, allocation: str, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """New rows within each stratum, and the probability of each row."""
    rows, available = np.bincount(codes), np.bincount(codes[~old], minlength=int(codes.max()) + 1)
    drawn = rows - available
    needed = int(np.maximum(0, np.minimum(2, rows) - drawn).sum())
    if needed > n:
        raise ConfigError(
            f"`n` is {n:,} and there are {len(rows):,} LLM labels: sample two rows of each, {needed:,} or more, or "
            "choose the design 'random'."
        )
    targets = np.full(len(rows), 1 / len(rows)) if allocation == "equal" else rows / len(codes)
    sizes = np.zeros(len(rows), dtype=np.int64)
    # One row at a time where most are missing, the first two of each stratum before all others.
    for _ in range(n):
        able, few = sizes < available, sizes + drawn < 2
        missing = targets * (n + drawn.sum()) - sizes - drawn
        sizes[np.where(able & few if (able & few).any() else able, missing, -np.inf).argmax()] += 1
    new = [
        rng.permutation(np.flatnonzero((codes == code) & ~old))[: sizes[code]]
        for code in np.flatnonzero(sizes).tolist()
    ]
    return np.sort(np.concatenate(new)), (sizes / np.maximum(1, available))[codes]


def _strata(names: Sequence[str], sampled: Mask) -> tuple[tuple[str, int, int], ...]:
    """The rows of each label, and how many of them are sampled."""
    every = Counter(names)
    some = Counter(name for name, chosen in zip(names, sampled, strict=True) if chosen)
    return tuple((name, every[name], some[name]) for name in sorted(every))


def _earlier_probabilities(
    earlier: ArrayLike | Sequence[float | None] | None, strata: Ints, doubt: Floats | None, *, within: bool
) -> tuple[Mask, Floats]:
    """Which rows an earlier sample drew, and the probability with which it drew each row, drawn or not.

    The probability pi = pi_1 + (1 - pi_1) pi_2 of two samples needs pi_1 of every row, which is stored of the drawn
    ones only. It follows from the design: within an LLM label it is equal, or a function of the LLM's confidence.

    Args:
        earlier: as in `draw_sample`.
        strata: code of the LLM label of each row, shape (N,).
        doubt: uncertainty of the LLM, shape (N,); None if unknown.
        within: whether rows are now drawn within strata, given how many of each were drawn. A sample that is random
            within strata then has the probability n_h / N_h, whatever its planned size.
    """
    if earlier is None:
        return np.zeros(len(strata), dtype=np.bool_), np.zeros(len(strata))
    values = np.array(earlier)
    if values.shape != strata.shape:
        raise DataError(f"`earlier` has shape {values.shape} and there are {len(strata):,} rows: give one for each.")
    if values.dtype == np.bool_:
        return values, _shares(values, strata)
    stored = values.astype(np.float64)
    drawn = ~np.isnan(stored)
    if wrong := int((~((stored[drawn] > 0) & (stored[drawn] <= 1))).sum()):
        raise DataError(f"`earlier` is not above 0 and at most 1 in {wrong:,} rows: give inclusion probabilities.")
    if not drawn.any():
        return drawn, np.zeros(len(strata))
    groups = [drawn & (strata == code) for code in range(int(strata.max()) + 1)]
    if all(_same(stored[group]) for group in groups):
        return drawn, _shares(drawn, strata) if within else _of_strata(stored, drawn, groups, strata)
    if doubt is None:
        raise DataError(
            "`earlier` has several probabilities within an LLM label, as samples by confidence do, and there is no "
            "`confidence` to explain them: give the LLM's confidence."
        )
    return drawn, _of_doubts(stored, drawn, groups, strata, doubt)


def _same(values: Floats) -> bool:
    return not len(values) or bool(np.ptp(values) <= SAME)


def _shares(drawn: Mask, strata: Ints) -> Floats:
    """The share of each row's stratum that was drawn."""
    shares: Floats = (np.bincount(strata, weights=drawn) / np.bincount(strata))[strata]
    return shares


def _of_strata(stored: Floats, drawn: Mask, groups: Sequence[Mask], strata: Ints) -> Floats:
    if _same(stored[drawn]):
        return np.full(len(stored), stored[drawn][0])
    known = np.array([stored[group][0] if group.any() else np.nan for group in groups])
    if np.isnan(known).any():
        raise DataError(
            "`earlier` drew no row of some LLM label, whose probability is therefore unknown: draw with the design "
            "'stratified'."
        )
    return known[strata]


def _of_doubts(stored: Floats, drawn: Mask, groups: Sequence[Mask], strata: Ints, doubt: Floats) -> Floats:
    """Probabilities of drawn rows carried over to rows with the same doubt, and between them along a line."""
    if _follows(stored[drawn], doubt[drawn]):
        return np.where(drawn, stored, _carried(doubt, doubt[drawn], stored[drawn]))
    out = stored.copy()
    for code, group in enumerate(groups):
        members = strata == code
        if not group.any() or not _follows(stored[group], doubt[group]):
            raise DataError(
                "`earlier` has probabilities that follow neither from the LLM's labels nor from its confidence, or "
                "none of some label: draw as many rows as you need at once, from the table before that sample."
            )
        out[members] = _carried(doubt[members], doubt[group], stored[group])
    return np.where(drawn, stored, out)


def _follows(values: Floats, doubt: Floats) -> bool:
    """Whether rows with the same doubt have the same probability, and it never falls as doubt rises."""
    order = np.lexsort((values, doubt))
    steps, rises = np.diff(values[order]), np.diff(doubt[order])
    return bool((np.abs(steps[rises <= SAME]) <= 1e-6).all() and (steps >= -1e-6).all())


def _carried(doubt: Floats, known: Floats, values: Floats) -> Floats:
    places, first = np.unique(known, return_index=True)
    heights = values[first]
    if len(places) == 1:
        return np.full(len(doubt), heights[0])
    carried = np.interp(doubt, places, heights)
    # Beyond the drawn rows along the nearest line.
    for outside, a, b in ((doubt < places[0], 0, 1), (doubt > places[-1], -1, -2)):
        slope = (heights[b] - heights[a]) / (places[b] - places[a])
        carried = np.where(outside, heights[a] + slope * (doubt - places[a]), carried)
    return np.clip(carried, heights[0] / 2, 1.0)
