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
from hf_synthlabels.statistics.design.inclusion_probabilities import earlier_probabilities, stratum_codes

Design = Literal["random", "stratified", "confidence"]
Allocation = Literal["proportional", "equal"]
DESIGNS: tuple[Design, ...] = get_args(Design)

FOCUS = 0.5
"""Part of the inclusion probabilities that follows uncertainty; the rest is equal, so weights are bounded."""

MIN_ERROR = 0.02
"""Lower bound of the LLM's error probability, whatever confidence it states."""

NO_LABEL_STRATUM = "(no label)"


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
        """Provenance of the sample: enough to draw it again from the same table."""
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
        DataError: there are fewer than `n` rows left, a confidence is not from 0 to 1, or `earlier` does not determine
            the inclusion probabilities.
    """
    names = [NO_LABEL_STRATUM if label is None or label != label else str(label) for label in llm]
    codes = stratum_codes(names)
    doubt = None if confidence is None and design != "confidence" else uncertainty(confidence, len(llm))
    old, before = earlier_probabilities(earlier, codes, doubt, within=design == "stratified")
    _check(n, design, allocation, int((~old).sum()))
    rng = np.random.default_rng(seed)
    new, probabilities = _new_rows(names, codes, n, old, doubt, allocation, design, rng)
    sampled = old.copy()
    sampled[new] = True
    either = before + (1 - before) * probabilities
    kept = tuple(float(value) if chosen else None for value, chosen in zip(either, sampled, strict=True))
    strata = _strata(names, sampled) if design == "stratified" else ()
    return HumanSample(tuple(int(row) for row in new), kept, design, seed, strata)


def _new_rows(
    names: Sequence[str],
    codes: Ints,
    n: int,
    old: Mask,
    doubt: Floats | None,
    allocation: str,
    design: str,
    rng: np.random.Generator,
) -> tuple[Ints, Floats]:
    """New rows, and the inclusion probability of each row in this sample."""
    if design == "confidence":
        assert doubt is not None
        return _by_uncertainty(n, old, doubt, rng)
    if design == "random":
        new = np.sort(rng.permutation(np.flatnonzero(~old))[:n])
        return new, np.full(len(names), n / int((~old).sum()))
    new = _from_strata(names, n, old, allocation, rng)
    available = np.bincount(codes, weights=~old)
    return new, (np.bincount(codes[new], minlength=len(available)) / np.maximum(1, available))[codes]


def uncertainty(confidence: Numbers | None, rows: int) -> Floats:
    """sqrt(e (1 - e)) of each row with e = 1 - confidence: the standard deviation of an error.

    Raises:
        ConfigError: there are no confidences.
        DataError: there is not one for each row, or one is not from 0 to 1.
    """
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


def _from_strata(names: Sequence[str], n: int, old: Mask, allocation: str, rng: np.random.Generator) -> Ints:
    members: dict[str, list[int]] = {name: [] for name in sorted(set(names))}
    for row, name in enumerate(names):
        members[name].append(row)
    available = {name: [row for row in rows if not old[row]] for name, rows in members.items()}
    targets = {
        name: 1.0 / len(members) if allocation == "equal" else len(rows) / len(names) for name, rows in members.items()
    }
    done = {name: len(members[name]) - len(available[name]) for name in members}
    needed = sum(max(0, min(2, len(rows)) - done[name]) for name, rows in members.items())
    if needed > n:
        raise ConfigError(
            f"`n` is {n:,} and there are {len(members):,} LLM labels: sample two rows of each, {needed:,} or more, or "
            "choose the design 'random'."
        )
    sizes = _sizes(targets, {name: len(rows) for name, rows in available.items()}, done, n)
    new = [rng.permutation(available[name])[: sizes[name]] for name in members if sizes[name]]
    return np.sort(np.concatenate(new).astype(np.int64))


def _sizes(targets: dict[str, float], available: dict[str, int], done: dict[str, int], n: int) -> dict[str, int]:
    """Rows to sample of each label: one at a time where most are missing, the first two of each before all others."""
    sizes = dict.fromkeys(targets, 0)
    total = n + sum(done.values())
    for _ in range(n):
        able = [name for name in targets if sizes[name] < available[name]]
        missing = {name: targets[name] * total - sizes[name] - done[name] for name in able}
        few = [name for name in able if sizes[name] + done[name] < 2]
        sizes[max(few or able, key=lambda name: missing[name])] += 1
    return sizes


def _strata(names: Sequence[str], sampled: Mask) -> tuple[tuple[str, int, int], ...]:
    """The rows of each label, and how many of them are sampled."""
    every = Counter(names)
    some = Counter(name for name, chosen in zip(names, sampled, strict=True) if chosen)
    return tuple((name, every[name], some[name]) for name in sorted(every))
