"""SamplePlan: how many human labels a wished interval takes, by how they are drawn and what is made of them.

The answers suppose that the LLM is right as often as a pilot says, or as is supposed: they are plans, not promises.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.classification import confusion_bootstrap
from hf_synthlabels.statistics.agreement.confusion import METRICS
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, Numbers, encode
from hf_synthlabels.statistics.design.human_sample import FOCUS, uncertainty
from hf_synthlabels.statistics.design.sample_size import (
    fewest_labels,
    rows_to_fail,
    rows_to_pass,
    scaled_rows_to_fail,
    scaled_rows_to_pass,
    student_quantile,
)
from hf_synthlabels.statistics.text_tables import align
from hf_synthlabels.statistics.validation.gate import Gate
from hf_synthlabels.statistics.validation.measures import ERRORS

SUPPOSED_ACCURACY = 0.8
"""Of an LLM of which nothing is known."""


MIN_PLAN = 30
"""No plan is for fewer labels: intervals of fewer hold less than they promise."""


PSEUDO_ROWS = 1000
"""Rows of the confusion matrix that is made from what is supposed."""


@dataclass(frozen=True, slots=True)
class PlannedDesign:
    """One way to draw rows, and how many it takes."""

    design: str
    human_only: int | None
    """With the human labels alone; None where all rows would not do, or the plan is of a gate that fails."""
    with_llm: int | None
    """With PPI++ or DSL; for a gate the same, because scores are of human-labelled rows."""


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """How many human labels, drawn how. Print it for a table."""

    goal: str
    """What is wished, in words."""
    level: float
    rows: int
    accuracy: float
    """How often the LLM is taken to be right."""
    pilot: int
    """Human labels behind that; 0 where it is supposed."""
    designs: tuple[PlannedDesign, ...]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> PlannedDesign | None:
        """The design that takes the fewest labels; None where none does."""
        able = [each for each in self.designs if each.with_llm is not None]
        return min(able, key=lambda each: each.with_llm or 0) if able else None

    def __str__(self) -> str:
        whence = f"as {self.pilot:,} human labels say" if self.pilot else "supposed: no human label yet"
        lines: list[tuple[str, ...]] = [("drawn", "human labels alone", "with the LLM's")]
        lines += [(each.design, _shown(each.human_only), _shown(each.with_llm)) for each in self.designs]
        head = f"{self.goal}\n{self.rows:,} rows; LLM right in {100 * self.accuracy:.1f} % ({whence})"
        return "\n\n".join([head, align(lines, right={1, 2}), *self.notes])

    def to_json(self) -> str:
        """Everything as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)


def plan_sample(
    llm: Sequence[str | None],
    width: float,
    *,
    names: Sequence[str] | None = None,
    human: Sequence[str | None] | None = None,
    accuracy: float | None = None,
    confidence: Numbers | None = None,
    level: float = 0.95,
) -> SamplePlan:
    """How many human labels the share of the class that takes most takes, until its interval is as narrow as wished.

    With q the chance that a row is of a class given the LLM's label, human labels alone have the variance
    p (1 - p) / n, and with the LLM's labels mean(q (1 - q)) / n + var(q) / N: what the LLM does not explain, and what
    rows like these differ in. Rows drawn by confidence have mean(s) mean(q (1 - q) / s) / n instead, with s in
    proportion to their chances. BootstrapConfig the LLM's labels in proportion does what PPI++ does already.

    Args:
        llm: the LLM's label of each row, None where there is none.
        width: from end to end, as a share of all rows.
        names: the classes; by default those that occur.
        human: labels of a pilot, drawn at random; None where there is none. With 10 or more, they say how often the
            LLM is right of each label.
        accuracy: how often the LLM is supposed to be right, where there is no such pilot.
        confidence: of the LLM, for the design of that name.
        level: confidence level.

    Raises:
        ConfigError: `width` or `accuracy` can not be.
        DataError: no row has an LLM label, or a label is not one of `names`.
    """
    if not 0 < width < 1:
        raise ConfigError(f"`width` is {width!r}: give the width from end to end as a share, such as 0.1.")
    known = list(names or sorted({label for column in (llm, human or ()) for label in column if label is not None}))
    codes, truth, right, pilot = _known(llm, human, known, accuracy)
    chances = _chances(codes, truth, right, len(known))
    shares = chances.mean(axis=0)
    worst = int(np.argmax(shares * (1 - shares)))
    q, total = chances[:, worst], float(shares[worst] * (1 - shares[worst]))
    error = (confidence is not None) and _errors(confidence, right)
    spread, rows = float((q * (1 - q)).mean()), len(llm)
    between = max(0.0, total - spread)

    def labels(part: float, rest: float) -> int | None:
        found = fewest_labels(
            lambda n: 2 * student_quantile(n - 2, level) * math.sqrt(part / n + rest / rows), width, 3, rows
        )
        return None if found is None else min(rows, max(MIN_PLAN, found))

    designs = [
        PlannedDesign("random", labels(total, 0.0), labels(spread, between)),
        PlannedDesign("stratified", labels(total, 0.0), labels(spread, between)),
    ]
    if error is not False:
        doubt = uncertainty(confidence, rows)
        size = FOCUS * doubt / doubt.mean() + 1 - FOCUS
        left = error * (1 - error)
        left = left * spread / left.mean() if left.mean() > 0 else np.full(rows, spread)
        weighted = float(size.mean() * (left / size).mean())
        alone = float(size.mean() * ((q * (1 - q) + (q - shares[worst]) ** 2) / size).mean())
        designs.append(PlannedDesign("confidence", labels(alone, 0.0), labels(weighted, between)))
    goal = f"share of {known[worst]}, the class that takes most, within an interval {width:g} wide ({100 * level:g} %)"
    notes = () if any(each.with_llm for each in designs) else ("No number of these rows does: wish for more width.",)
    return SamplePlan(goal, level, rows, right, pilot, tuple(designs), notes)


def plan_gate(
    llm: Sequence[str | None],
    gate: Gate,
    *,
    names: Sequence[str] | None = None,
    human: Sequence[str | None] | None = None,
    accuracy: float | None = None,
    level: float = 0.95,
) -> SamplePlan:
    """How many human labels, drawn at random, a gate takes until it says pass or fail.

    Scores of one name per row; from a pilot of 10 labels or more, or from an LLM that is supposed to be right equally
    often of each label.

    Args:
        llm: as in `plan_sample`.
        gate: as in `validate`.
        names: as in `plan_sample`.
        human: as in `plan_sample`.
        accuracy: as in `plan_sample`.
        level: confidence level.

    Raises:
        ConfigError: the gate's score is none of one name per row, or `accuracy` can not be.
        DataError: as in `plan_sample`.
    """
    if gate.metric in ERRORS or gate.metric not in (*METRICS, "accuracy_answered", "coverage"):
        raise ConfigError(
            f"`gate` asks for {gate.metric}: without human labels a plan is for {', '.join(METRICS)}, "
            "accuracy_answered or coverage. Label some rows first; `validate` then says how many would do."
        )
    known = list(names or sorted({label for column in (llm, human or ()) for label in column if label is not None}))
    codes, truth, right, pilot = _known(llm, human, known, accuracy)
    scored = codes if truth is None else codes[truth != MISSING]
    found, needed, failing = _needed(gate, _counts(scored, truth, right, len(known)), scored, right, level)
    rows = needed if found > gate.threshold else failing
    within = rows if rows is not None and rows <= len(llm) else None
    goal = f"{gate} decided, where the score is {found:.3f} as expected ({100 * level:g} %)"
    notes = [f"At {found:.3f} the labels {'pass' if found > gate.threshold else 'fail'}."]
    if within is None:
        notes.append("No number of these rows would decide: the expected score is too near to the threshold.")
    design = PlannedDesign("random", within, within)
    return SamplePlan(goal, level, len(llm), right, pilot, (design,), tuple(notes))


PILOT = 10
"""Human labels from which on the LLM's accuracy is taken from them."""


def _known(
    llm: Sequence[str | None], human: Sequence[str | None] | None, names: Sequence[str], accuracy: float | None
) -> tuple[Ints, Ints | None, float, int]:
    """Codes of the LLM's labels and of a pilot's, how often the LLM is right, and the pilot's size."""
    codes = encode(llm, names, field="llm")
    if not (codes != MISSING).any():
        raise DataError(f"`llm` has no label in any of {len(llm):,} rows: annotate first.")
    if accuracy is not None and not 0 < accuracy <= 1:
        raise ConfigError(f"`accuracy` is {accuracy!r}: give how often the LLM is right, such as 0.8.")
    truth = None if human is None else encode(human, names, field="human")
    pilot = 0 if truth is None else int((truth != MISSING).sum())
    if truth is None or pilot < PILOT or accuracy is not None:
        return codes, None, SUPPOSED_ACCURACY if accuracy is None else accuracy, 0
    both = (truth != MISSING) & (codes != MISSING)
    # A pilot that is all right does not say that the LLM is never wrong.
    return codes, truth, float(((truth == codes)[both].sum() + 1) / (both.sum() + 2)), pilot


def _chances(codes: Ints, truth: Ints | None, right: float, classes: int) -> Floats:
    """The chance of each row to be of each class, (N, K), given the LLM's label of it."""
    given = codes[codes != MISSING]
    shares = np.bincount(given, minlength=classes) / len(given)
    table = np.vstack([_supposed(shares, right), shares])
    if truth is not None:
        known = truth != MISSING
        counts = np.zeros((classes + 1, classes))
        np.add.at(counts, (codes[known], truth[known]), 1)
        # Two rows' worth of what holds of all labels together keep a rare label from being certain.
        table = (counts + 2 * table) / (counts.sum(axis=1, keepdims=True) + 2)
    found: Floats = table[codes]
    return found


def _supposed(shares: Floats, right: float) -> Floats:
    """The probability of each class given the LLM's label, shape (K, K), where only the LLM's accuracy is known.

    A part of the rows is labelled rightly and the others at random with the LLM's own shares. So a class is as frequent
    as the LLM says, and a rare label is right less often than a frequent one; equally precise labels would make every
    rare class far too frequent.
    """
    by_chance = float(shares @ shares)
    if right <= by_chance or by_chance >= 1:
        # No such mixture is as often wrong: errors go to all other classes alike.
        table = np.full((len(shares), len(shares)), (1 - right) / max(1, len(shares) - 1))
        np.fill_diagonal(table, right)
        return table
    known = (right - by_chance) / (1 - by_chance)
    mixed: Floats = known * np.eye(len(shares)) + (1 - known) * shares[None, :]
    return mixed


def _errors(confidence: Numbers, right: float) -> Floats:
    """How likely the LLM is wrong in each row: as doubtful as it says, as often as it is."""
    wrong = 1 - np.nan_to_num(np.array(confidence, dtype=np.float64), nan=0.5)
    mean = float(wrong.mean())
    found: Floats = np.clip(wrong * (1 - right) / mean if mean > 0 else np.full(len(wrong), 1 - right), 0.01, 0.99)
    return found


def _counts(codes: Ints, truth: Ints | None, right: float, classes: int) -> Ints:
    """Confusion counts of the pilot, or of the rows that are supposed, shape (K, K + 1)."""
    if truth is not None:
        table = np.zeros((classes, classes + 1))
        np.add.at(table, (truth[truth != MISSING], codes), 1)
        return table.astype(np.int64)
    shares = np.bincount(np.where(codes == MISSING, classes, codes), minlength=classes + 1) / len(codes)
    labelled = shares[:-1] / max(1e-12, shares[:-1].sum())
    given = np.vstack([_supposed(labelled, right), labelled])
    expected: Ints = np.rint(PSEUDO_ROWS * (shares[:, None] * given).T).astype(np.int64)
    return expected


def _needed(gate: Gate, counts: Ints, codes: Ints, right: float, level: float) -> tuple[float, int | None, int | None]:
    """The expected score, and the rows to pass or to fail with it."""
    answered = float((codes != MISSING).mean())
    shares: dict[str, Any] = {
        "accuracy": float(np.trace(counts[:, :-1]) / counts.sum()),
        "accuracy_answered": right,
        "coverage": answered,
    }
    if gate.metric in shares:
        share = shares[gate.metric]
        return share, rows_to_pass(share, gate.threshold, level), rows_to_fail(share, gate.threshold, level)
    interval = confusion_bootstrap(counts, gate.metric, level=level)  # type: ignore[arg-type]
    rows = int(counts.sum())
    return (
        interval.estimate,
        scaled_rows_to_pass(interval, gate.threshold, rows),
        scaled_rows_to_fail(interval, gate.threshold, rows),
    )


def _shown(count: int | None) -> str:
    return "more than there are" if count is None else f"{count:,}"
