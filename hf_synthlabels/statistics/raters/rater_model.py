"""The rater model of a table: accuracies of the raters and of the LLM with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, unit_resamples
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, share_interval, subset_design
from hf_synthlabels.statistics.exhibits import align, shorten, wrap
from hf_synthlabels.statistics.intervals import Interval, fields_as_json
from hf_synthlabels.statistics.raters.dawid_skene import (
    Fit,
    Model,
    Patterns,
    default_model,
    fit_raters,
    llm_accuracy,
    match_classes,
    vote_patterns,
)
from hf_synthlabels.statistics.raters.row_means import effective_interval, row_weights
from hf_synthlabels.statistics.raters.votes import Votes

RESAMPLES = 200
"""At most, for the standard errors."""

REPLICATE_TOLERANCE = 1e-5

MAX_NUMBERS = 4_000_000
"""Posterior probabilities that are held at once."""

ROWS_PER_CELL = 20
"""Rows for each cell of an error matrix below which the corrected accuracy is biased."""

METHOD = "Dawid-Skene, wilson by bootstrap"

NAME_WIDTH = 30

MODELS: Mapping[Model, str] = {
    "raters": "each rater has an error matrix",
    "shared": "all votes share one error matrix, since they have no names of raters",
    "one-coin": "rows have at most two votes, so raters share one error rate, and wrong classes are equally frequent",
}

ASSUMPTION = (
    "Assumption: given the true class, raters err independently of each other, and the LLM independently of them. If "
    "the LLM makes the raters' mistakes, such as on texts that are hard for all, its corrected accuracy is too high."
)


@dataclass(frozen=True, slots=True)
class RaterModel:
    """Accuracies by a rater model."""

    model: Model
    raters: Mapping[str, Interval]
    """Accuracy of each rater; of a shared matrix one entry."""
    shares: Mapping[str, Interval]
    """Share of each true class."""
    llm: Interval
    """Accuracy of the LLM, corrected for errors of the raters; a missing label is wrong."""
    llm_majority: Interval
    """Accuracy of the LLM in rows with a majority, which it is compared with."""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RaterModel:
        """Read what `to_dict` returned."""
        raters, shares = (
            {key: Interval.from_dict(each) for key, each in values[name].items()} for name in ("raters", "shares")
        )
        llm, majority = (Interval.from_dict(values[name]) for name in ("llm", "llm_majority"))
        return cls(values["model"], raters, shares, llm, majority, tuple(values["notes"]))

    def lines(self) -> list[tuple[str, Interval]]:
        """Accuracies by name."""
        return [
            *self.raters.items(),
            ("LLM, corrected for human errors", self.llm),
            ("LLM, against the majority", self.llm_majority),
        ]

    def text(self, width: int | None = None) -> str:
        """The table with its assumption."""
        rows = [("accuracy", "", f"{100 * self.llm.level:g}% interval", "n")]
        for name, interval in self.lines():
            estimate, _, ends = str(interval).partition(" ")
            rows.append((shorten(name, NAME_WIDTH + 2), estimate, ends, f"{interval.n:,}"))
        head = f"rater model (Dawid & Skene): {MODELS[self.model]}"
        parts = [f"{wrap(head, width)}\n{align(rows, {1, 3}, width)}", wrap(ASSUMPTION, width)]
        return "\n\n".join([*parts, *(wrap(note, width) for note in self.notes)])


def rater_model(
    votes: Votes,
    llm: Ints,
    design: SamplingDesign | None = None,
    bootstrap: BootstrapConfig | None = None,
    model: Model | None = None,
) -> RaterModel | None:
    """Fit the rater model to rows with votes, and the LLM's accuracy given the model.

    Standard errors are those of a bootstrap of rows, or of whole clusters within strata. Intervals are Wilson's for the
    number of rows that would give the same standard error, and at most the rows there are.

    Args:
        votes: of all rows.
        llm: labels of the LLM, `MISSING` where it gave none, shape (rows,); a code beyond the labels is wrong.
        design: of the rows.
        bootstrap: level, resamples and seed.
        model: by default the richest that the votes identify.

    Returns:
        None where the votes identify no model: no row has two votes, or all votes are equal.
    """
    bootstrap = bootstrap or BootstrapConfig()
    rated = votes.given > 0
    kept = Votes(votes.column, votes.codes[rated], votes.raters, votes.labels)
    own, design = llm[rated], subset_design(design, rated)
    model = model or default_model(kept)
    if model is None or (kept.counts.sum(axis=0) > 0).sum() < 2:
        return None
    patterns = vote_patterns(kept, model, own)
    of_pattern = np.full(len(patterns.counts), MISSING)
    of_pattern[patterns.of_row] = own
    masses = np.bincount(patterns.of_row, row_weights(design, len(own)) * len(own), len(of_pattern))
    weights = masses[None].astype(np.float64)
    fit, matched = match_classes(fit_raters(patterns, weights, model))
    accuracy = float(llm_accuracy(patterns, of_pattern, fit.posteriors, weights)[0])
    replicates = _replicates(patterns, of_pattern, model, fit, own == kept.majority, design, bootstrap)
    notes = (*_notes(fit, matched, patterns), *_few_rows(kept))
    return _report(kept, own, fit, accuracy, replicates, design, bootstrap.level, model, notes)


def _report(
    votes: Votes,
    llm: Ints,
    fit: Fit,
    accuracy: float,
    replicates: Mapping[str, Floats],
    design: SamplingDesign | None,
    level: float,
    model: Model,
    notes: tuple[str, ...],
) -> RaterModel:
    """The model with intervals."""
    rows = len(llm)
    share = 1.0 if design is None else float(1 / (row_weights(design, rows) ** 2).sum()) / rows
    variances = {name: values.var(axis=0, ddof=1) for name, values in replicates.items()}

    def interval(value: float, variance: float, n: int) -> Interval:
        return effective_interval(float(value), float(variance), share * n, n, level, METHOD)

    names: tuple[str, ...] = ("a rater",)
    given = [rows]
    if model == "raters":
        places = range(votes.codes.shape[1])
        names = tuple(votes.raters or (f"rater {place + 1}" for place in places))
        given = (votes.codes != MISSING).sum(axis=0).tolist()
    raters = {
        name: interval(fit.accuracies[0, place], variances["raters"][place], n)
        for place, (name, n) in enumerate(zip(names, given, strict=True))
    }
    shares = {
        str(label): interval(fit.shares[0, place], variances["shares"][place], rows)
        for place, label in enumerate(votes.labels)
    }
    has_majority = votes.majority != MISSING
    majority = share_interval(llm == votes.majority, has_majority, design, level)
    return RaterModel(model, raters, shares, interval(accuracy, variances["llm"], rows), majority, notes)


def _replicates(
    patterns: Patterns,
    llm: Ints,
    model: Model,
    fit: Fit,
    correct: Any,
    design: SamplingDesign | None,
    bootstrap: BootstrapConfig,
) -> dict[str, Floats]:
    """Estimates of resamples of rows."""
    size = len(patterns.counts)
    settings = BootstrapConfig(bootstrap.level, min(RESAMPLES, bootstrap.resamples), bootstrap.seed)
    chunk = max(1, min(settings.resamples, MAX_NUMBERS // max(1, size * patterns.classes)))
    parts: dict[str, list[Floats]] = {"raters": [], "shares": [], "llm": []}
    resamples = unit_resamples(patterns.of_row, np.zeros(size), correct, design or SamplingDesign(), settings, chunk)
    for weights in resamples:
        refit = fit_raters(patterns, weights, model, fit, REPLICATE_TOLERANCE)
        parts["raters"].append(refit.accuracies)
        parts["shares"].append(refit.shares)
        parts["llm"].append(llm_accuracy(patterns, llm, refit.posteriors, weights))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _few_rows(votes: Votes) -> tuple[str, ...]:
    """A note on samples that are small for the number of classes."""
    classes, rows = int((votes.counts.sum(axis=0) > 0).sum()), len(votes.codes)
    if rows >= ROWS_PER_CELL * classes**2:
        return ()
    return (
        f"{rows:,} rows are few for {classes} classes: the corrected accuracy of the LLM is likely to be too low. Use "
        f"{ROWS_PER_CELL * classes**2:,} rows, or the accuracy against the majority.",
    )


def _notes(fit: Fit, matched: bool, patterns: Patterns) -> tuple[str, ...]:
    notes = []
    if not fit.converged[0]:
        notes.append("The rater model did not converge; do not use its accuracies.")
    if matched:
        notes.append(
            "The model's classes were reordered to match the labels: raters confuse classes more often than not."
        )
    if float(fit.accuracies[0].mean()) < 1.2 / patterns.classes:
        notes.append("Raters are hardly better than chance, so the rater model is not reliable.")
    return tuple(notes)
