"""Report on human labels of several raters: reliability, the LLM against the same raters, and the rater model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, number_column
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.exhibits import align, wrap
from hf_synthlabels.statistics.intervals import Interval, fields_as_json
from hf_synthlabels.statistics.raters.distributions import SMOOTHING, distribution_distances
from hf_synthlabels.statistics.raters.rater_model import RaterModel, rater_model
from hf_synthlabels.statistics.raters.reliability import (
    MAJORITY,
    ONE_OTHER,
    RaterComparison,
    class_agreement,
    interval_alpha,
    nominal_alpha,
    number_distance,
)
from hf_synthlabels.statistics.raters.votes import CHOICES, Votes

DISTRIBUTIONS = {
    "probabilities": "The LLM's distribution is that of its probabilities.",
    "one-hot": "No probabilities are known, so the LLM's distribution has its label alone.",
}


@dataclass(frozen=True, slots=True)
class RaterReport:
    """Human labels of several raters, and the LLM next to them."""

    column: str
    level: float
    n_raters: int
    """Raters, or of votes without names the most of a row."""
    named: bool
    """Whether the votes have names of raters."""
    n_rows: int
    """Scored rows with a vote."""
    n_several: int
    """Rows with two votes or more, of which reliability is."""
    n_disputed: int
    """Rows with votes and without a majority."""
    scale: str
    """`nominal`, or `interval` for numbers."""
    alpha: Interval
    """Krippendorff's alpha."""
    comparisons: tuple[RaterComparison, ...]
    distribution: str = ""
    """`probabilities` or `one-hot`, where distances of distributions are among the comparisons."""
    model: RaterModel | None = None
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """Raters, alpha and agreement as a sentence."""
        people = f"{self.n_raters:,} raters" if self.named else f"up to {self.n_raters:,} votes per row"
        parts = [f"Human labels in `{self.column}`: {people}", f"alpha {self.alpha} (n = {self.alpha.n:,})"]
        shares = [each for each in self.comparisons if each.measure in (ONE_OTHER, MAJORITY)]
        if shares:
            best = shares[-1]
            others = best.measure.removeprefix("agrees with ")
            parts.append(
                f"a rater agrees with {others} in {best.raters}, the LLM in {best.llm} (n = {best.raters.n:,})"
            )
        return ", ".join(parts)

    @property
    def disputed_text(self) -> str:
        """The rows without a majority as a sentence; empty without any."""
        if not self.n_disputed:
            return ""
        return (
            f"{self.n_disputed:,} of {self.n_rows:,} rows with votes have no majority. Scores against the human label "
            "leave them out; the comparisons with raters include them."
        )

    def all_notes(self) -> list[str]:
        """How to read the comparisons."""
        notes = [self.disputed_text] if self.n_disputed else []
        notes += [f"{DISTRIBUTIONS[self.distribution]} {SMOOTHING}"] if self.distribution else []
        return [*notes, *self.notes]

    def text(self, width: int | None = None) -> str:
        """The report for a terminal of `width` characters."""
        head = ("on the same votes", "a rater", "LLM", "LLM - rater", "LLM / rater", "n")
        rows = [head]
        for each in self.comparisons:
            ratio = "-" if each.ratio is None else str(each.ratio)
            n = f"{each.llm.n:,}"
            rows.append((each.measure, str(each.raters), str(each.llm), str(each.difference), ratio, n))
        parts = [wrap(f"{self.headline}.", width)]
        parts += [align(rows, {5}, width)] if self.comparisons else []
        parts += [wrap(note, width) for note in self.all_notes()]
        parts += [self.model.text(width)] if self.model is not None else []
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RaterReport:
        """Read what `to_dict` returned."""
        read = dict(values)
        read["alpha"] = Interval.from_dict(values["alpha"])
        read["comparisons"] = tuple(RaterComparison.from_dict(each) for each in values["comparisons"])
        read["model"] = None if values["model"] is None else RaterModel.from_dict(values["model"])
        read["notes"] = tuple(values["notes"])
        return cls(**read)


def rater_report(
    votes: Votes,
    kind: str,
    llm: Ints,
    *,
    numbers: Floats | None = None,
    distribution: Floats | None = None,
    design: SamplingDesign | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> RaterReport:
    """Describe the votes of rows, and compare the LLM with the raters.

    Args:
        votes: of the scored rows.
        kind: task type.
        llm: labels of the LLM as codes of the votes, shape (rows,); see `class_agreement`.
        numbers: labels of the LLM on a scale, nan where missing, shape (rows,).
        distribution: of the LLM over the classes, nan where unknown, shape (rows, labels); by default its label.
        design: of the rows.
        bootstrap: level, resamples and seed.
    """
    bootstrap = bootstrap or BootstrapConfig()
    level, counts = bootstrap.level, votes.counts
    is_choice, is_scale = kind in CHOICES, kind == "text-scale"
    comparisons = list(class_agreement(counts, llm, design, level))
    if is_scale and numbers is not None:
        comparisons += number_distance(votes.numbers, number_column(numbers, "llm"), design, level)
    if is_choice:
        comparisons += distribution_distances(counts, _distribution(llm, distribution, counts), design, level)
    notes = () if is_choice or is_scale else ("Labels agree if they are equal as a whole.",)
    if not (counts.sum(axis=1) > 1).any():
        notes = (*notes, "No row has two votes, so reliability is unknown: let a second rater label some rows.")
        comparisons = []
    return RaterReport(
        column=votes.column,
        level=level,
        n_raters=votes.codes.shape[1],
        named=bool(votes.raters),
        n_rows=int((votes.given > 0).sum()),
        n_several=int((votes.given > 1).sum()),
        n_disputed=int(votes.disputed.sum()),
        scale="interval" if is_scale else "nominal",
        alpha=interval_alpha(votes.numbers, design, level) if is_scale else nominal_alpha(counts, design, level),
        comparisons=tuple(comparisons),
        distribution=("one-hot" if distribution is None else "probabilities") if is_choice and comparisons else "",
        model=rater_model(votes, llm, design, bootstrap) if is_choice else None,
        notes=notes,
    )


def _distribution(llm: Ints, distribution: Floats | None, counts: Ints) -> Floats:
    """The given distribution, or the label alone; nan without a label, or with one that no rater may give."""
    if distribution is not None:
        return distribution
    table: Floats = (llm[:, None] == np.arange(counts.shape[1])).astype(np.float64)
    table[(llm == MISSING) | (llm >= counts.shape[1])] = np.nan
    return table
