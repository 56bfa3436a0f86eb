"""One quantity under each variant: its verdicts against a null value, and warnings where they flip."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from hf_synthlabels.statistics.intervals import Interval, wilson
from hf_synthlabels.statistics.robustness.variants import Variant

Verdict = Literal["above", "below", "inconclusive", "undefined"]

ESTIMATES = ("naive", "corrected", "simultaneous")
"""Fields of `VariantEstimate` with an interval."""


def verdict(interval: Interval, null: float) -> Verdict:
    """Whether an interval is above or below a value, or includes it."""
    if math.isnan(interval.low) or math.isnan(interval.high):
        return "undefined"
    return "above" if interval.low > null else "below" if interval.high < null else "inconclusive"


def sign(interval: Interval, null: float) -> str:
    """On which side of a value the estimate is; empty where it is undefined or equal."""
    if math.isnan(interval.estimate) or interval.estimate == null:
        return ""
    return "above" if interval.estimate > null else "below"


@dataclass(frozen=True, slots=True)
class VariantEstimate:
    """One quantity under one variant."""

    variant: Variant
    n_labeled: int
    """Rows with a label of this variant."""
    naive: Interval
    """Uncorrected: LLM labels treated as human labels."""
    corrected: Interval
    """Corrected with human labels."""
    simultaneous: Interval
    """Corrected, and valid for all variants together (Bonferroni), so that it covers the choice of any of them."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `SpecificationReport.to_dict` returned of it."""
        given = values["variant"]
        variant = Variant(given["name"], given["column"], tuple((name, value) for name, value in given["choices"]))
        return cls(variant, values["n_labeled"], *(Interval.from_dict(values[name]) for name in ESTIMATES))


@dataclass(frozen=True, slots=True)
class QuantityCurve:
    """One quantity under every variant, the smallest uncorrected estimate first."""

    name: str
    null: float | None
    """The value that the conclusion is about; None without one."""
    classical: Interval
    """From human labels only, which no variant changes."""
    variants: tuple[VariantEstimate, ...]

    def intervals(self, which: str) -> list[Interval]:
        """The intervals of a field of `VariantEstimate`, in the order of the curve."""
        return [getattr(each, which) for each in self.variants]

    def verdicts(self, which: str) -> Counter[Verdict]:
        """Variants by verdict; empty without a null value."""
        null = self.null
        return Counter() if null is None else Counter(verdict(each, null) for each in self.intervals(which))

    def same_verdict(self, which: str, level: float) -> Interval:
        """The share of variants with the most frequent verdict."""
        counts = self.verdicts(which)
        known = [count for name, count in counts.items() if name != "undefined"]
        return wilson(max(known, default=0), counts.total(), level)

    def same_sign(self, which: str, level: float) -> Interval:
        """The share of variants whose estimate is on the more frequent side of the null value."""
        if self.null is None:
            return wilson(0, 0, level)
        sides = Counter(sign(each, self.null) for each in self.intervals(which))
        return wilson(max(sides["above"], sides["below"]), len(self.variants), level)

    def warnings(self, estimator: str = "PPI++") -> list[str]:
        """What changes with the variant: first the sign of significant estimates, then significance alone."""
        if self.null is None:
            return []
        lines = []
        for which, words in (("naive", "uncorrected"), ("corrected", estimator)):
            counts = self.verdicts(which)
            listed = f"{counts['above']} above, {counts['below']} below, {counts['inconclusive']} inconclusive"
            about = f"{self.name}: the {words} conclusion about {self.null:g} depends on the variant"
            if counts["above"] and counts["below"]:
                lines.append(f"{about}, and its direction flips: {listed}.")
            elif (counts["above"] or counts["below"]) and counts["inconclusive"]:
                lines.append(f"{about}: {listed}.")
        opposed = self.contradicted()
        if opposed:
            lines.append(
                f"{self.name}: {opposed} of {len(self.variants)} uncorrected conclusions are contradicted by the "
                f"{estimator} interval of the same variant or by that of the human labels."
            )
        return lines

    def contradicted(self) -> int:
        """Variants with an uncorrected conclusion and a corrected or human-only one in the other direction."""
        if self.null is None:
            return 0
        opposite = {"above": "below", "below": "above"}
        human = verdict(self.classical, self.null)
        return sum(
            opposite.get(verdict(each.naive, self.null)) in (verdict(each.corrected, self.null), human)
            for each in self.variants
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `SpecificationReport.to_dict` returned of it."""
        variants = tuple(VariantEstimate.from_dict(each) for each in values["variants"])
        return cls(values["name"], values["null"], Interval.from_dict(values["classical"]), variants)


@dataclass(frozen=True, slots=True)
class Selection:
    """The variant that agrees best with the human labels of the tune rows."""

    column: str
    score: Interval
    """Accuracy on the tune rows, or the mean absolute error of numbers."""
    measure: str

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `SpecificationReport.to_dict` returned of it."""
        return cls(values["column"], Interval.from_dict(values["score"]), values["measure"])
