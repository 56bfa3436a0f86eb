"""Specification curves of an analysis as values, text, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hf_synthlabels.statistics.exhibits import align, shorten, wrap
from hf_synthlabels.statistics.intervals import Interval, fields_as_json
from hf_synthlabels.statistics.robustness.quantity_curve import ESTIMATES, QuantityCurve, Selection, verdict

TITLES = {"ppi": "PPI++", "dsl": "DSL"}
NAME_WIDTH = 34
MAX_SHOWN = 30
"""Variants in a printed table; of more, the lowest and the highest."""


@dataclass(frozen=True, slots=True)
class SpecificationReport:
    """Specification curves of one analysis. Print it for tables; `to_dict` keeps everything."""

    what: str
    level: float
    estimator: str
    """`ppi` or `dsl`."""
    n_rows: int
    n_human: int
    """Rows with a human label that the estimates use."""
    curves: tuple[QuantityCurve, ...]
    agreement: Interval
    """Krippendorff's alpha among the labels of all variants."""
    agreement_by_choice: Mapping[str, Interval]
    """Mean alpha of variants that differ in one choice alone, by choice."""
    selection: Selection | None = None
    """Of tables with tune rows; the estimates then use the other human labels."""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """Tables for a terminal that is `width` characters wide; None for any width."""
        head = (
            f"{self.what}\nrows {self.n_rows:,}, human labels {self.n_human:,}, variants "
            f"{len(self.curves[0].variants) if self.curves else 0:,}"
        )
        parts = [head]
        for curve in self.curves:
            parts += [self._table(curve, width), "\n".join(wrap(line, width) for line in self.share_lines(curve))]
        parts.append("\n".join(wrap(line, width) for line in self.agreement_lines()))
        if (chosen := self.selection_line()) is not None:
            parts.append(wrap(chosen, width))
        parts += [wrap(f"Warning: {line}", width) for line in self.warnings()]
        parts.append(wrap(self.legend(), width))
        return "\n\n".join([*parts, *(wrap(note, width) for note in self.notes)])

    @property
    def estimator_name(self) -> str:
        """The corrected estimator as it is printed."""
        return TITLES[self.estimator]

    def warnings(self) -> list[str]:
        """Where conclusions depend on the variant."""
        return [line for curve in self.curves for line in curve.warnings(self.estimator_name)]

    def share_lines(self, curve: QuantityCurve) -> list[str]:
        """How many variants have the same sign and the same verdict."""
        if curve.null is None:
            return []
        lines = []
        for which, words in zip(ESTIMATES, self._words(), strict=True):
            counts, k = curve.verdicts(which), len(curve.variants)
            same, agreed = curve.same_sign(which, self.level), curve.same_verdict(which, self.level)
            listed = ", ".join(f"{name} {count}" for name, count in counts.most_common())
            lines.append(
                f"{words}: same sign {round(same.estimate * k)} of {k}, {same}; same verdict "
                f"{round(agreed.estimate * k)} of {k}, {agreed} ({listed})"
            )
        return lines

    def agreement_lines(self) -> list[str]:
        """Alpha among the variants' labels."""
        lines = [f"agreement among variants: Krippendorff's alpha {self.agreement} (n = {self.agreement.n:,} rows)"]
        lines += [
            f"  between values of `{name}`, other choices equal: mean alpha {alpha} (n = {alpha.n:,} rows)"
            for name, alpha in self.agreement_by_choice.items()
        ]
        return lines

    def selection_line(self) -> str | None:
        """Which variant the tune rows choose, and its estimates; None without tune rows."""
        if self.selection is None:
            return None
        chosen = self.selection
        names = {each.variant.column: each.variant.name for curve in self.curves for each in curve.variants}
        estimates = [
            f"{curve.name} {each.corrected}"
            for curve in self.curves
            for each in curve.variants
            if each.variant.column == chosen.column
        ]
        return (
            f"Chosen on {chosen.score.n:,} tune rows by {chosen.measure}: {names[chosen.column]}, "
            f"{chosen.score}. "
            f"{self.estimator_name} from the {self.n_human:,} other human labels: {'; '.join(estimates)}."
        )

    def legend(self) -> str:
        """How to read the tables."""
        shares = (
            " +, -: the interval is above or below the value. Intervals of shares of variants treat the variants as a "
            "random sample of all reasonable ones."
            if any(curve.null is not None for curve in self.curves)
            else " Give `--against` to test a conclusion, e.g. --against 0.5."
        )
        return (
            f"{100 * self.level:g}% intervals. Uncorrected intervals do not reflect LLM errors. Simultaneous intervals "
            f"hold for all variants together (Bonferroni), so they cover the choice of any variant.{shares}"
        )

    def _words(self) -> tuple[str, str, str]:
        name = self.estimator_name
        return ("uncorrected", name, f"{name}, simultaneous")

    def _table(self, curve: QuantityCurve, width: int | None) -> str:
        about = "" if curve.null is None else f" (against {curve.null:g})"
        naive, corrected, simultaneous = self._words()
        head = (f"{curve.name}{about}", "rows", naive, corrected, simultaneous)
        lines: list[Sequence[str]] = [head]
        lines += [
            (
                shorten(each.variant.name, NAME_WIDTH),
                f"{each.n_labeled:,}",
                *(_cell(getattr(each, which), curve.null) for which in ESTIMATES),
            )
            for each in curve.variants
        ]
        if (left_out := len(curve.variants) - MAX_SHOWN) > 0:
            half = 1 + MAX_SHOWN // 2
            lines[half : half + left_out] = [(f"... {left_out:,} more in between", "", "", "", "")]
        lines.append(("human labels only", f"{curve.classical.n:,}", "", _cell(curve.classical, curve.null), ""))
        return align(lines, {1}, width)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; None where undefined."""
        return fields_as_json(self)

    def to_json(self) -> str:
        """`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def to_csv(self) -> str:
        """A table with one line per quantity and variant."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        choices = list(dict.fromkeys(
            name for curve in self.curves for each in curve.variants for name, _ in each.variant.choices
        ))  # fmt: skip
        ends = [f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")]
        writer.writerow(["quantity", "null", "variant", *choices, "n_labeled", "n_human", *ends])
        for curve in self.curves:
            for each in curve.variants:
                given = dict(each.variant.choices)
                numbers = (
                    value
                    for which in ESTIMATES
                    for value in (getattr(getattr(each, which), end) for end in ("estimate", "low", "high"))
                )
                writer.writerow([
                    curve.name, "" if curve.null is None else curve.null, each.variant.column,
                    *(given.get(name, "") for name in choices), each.n_labeled, each.corrected.n,
                    *("" if math.isnan(value) else repr(float(value)) for value in numbers),
                ])  # fmt: skip
        return text.getvalue()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        chosen = values.get("selection")
        return cls(
            **{
                **values,
                "curves": tuple(QuantityCurve.from_dict(each) for each in values["curves"]),
                "agreement": Interval.from_dict(values["agreement"]),
                "agreement_by_choice": {
                    name: Interval.from_dict(each) for name, each in values["agreement_by_choice"].items()
                },
                "selection": None if chosen is None else Selection.from_dict(chosen),
                "notes": tuple(values["notes"]),
            }
        )


def _cell(interval: Interval, null: float | None) -> str:
    if math.isnan(interval.low):
        return "undefined" if math.isnan(interval.estimate) else f"{interval.estimate:.3f}"
    mark = {"above": " +", "below": " -"}.get("" if null is None else verdict(interval, null), "")
    return f"{interval}{mark}"
