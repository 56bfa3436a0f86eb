"""Tables of coefficients: text for a terminal, LaTeX and Markdown for a paper, CSV for R, Stata or a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from hf_synthlabels.statistics.exhibits import GAP, align, shorten

TITLES = {"naive": "Naive", "classical": "Classical", "ppi": "PPI++", "dsl": "DSL"}

MIN_NAME_WIDTH = 12

LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One term by one estimator; nan where a value is undefined."""

    term: str
    estimator: str
    n: int
    """Rows of the estimate: with an LLM label for `naive`, with a human label for `classical`, otherwise all."""
    n_human: int
    """Human labels; of a category, those of its level and of the reference level."""
    estimate: float
    se: float
    low: float
    high: float
    p: float
    """Of the hypothesis that the coefficient is 0."""
    odds_ratio: float
    """nan unless the regression is logistic."""
    odds_ratio_low: float
    odds_ratio_high: float
    effective_n: float
    """Human labels with the same precision without the LLM; nan for `naive`."""
    too_few: bool = False
    """Whether its group has too few human labels for an interval."""

    @property
    def numbers(self) -> tuple[str, str, str]:
        """Estimate, standard error and interval as text, with as many decimals as the standard error needs."""
        if self.too_few and self.estimator != "naive":
            return "too few", "-", "-"
        if math.isnan(self.estimate) or math.isnan(self.se):
            return "undefined", "-", "-"
        style = _style(self.se)
        estimate, error, low, high = (format(value, style) for value in (self.estimate, self.se, self.low, self.high))
        return estimate, error, f"[{low}, {high}]"

    @property
    def p_text(self) -> str:
        """The p-value with three decimals."""
        return "-" if math.isnan(self.p) else "<0.001" if self.p < 0.0005 else f"{self.p:.3f}"

    @property
    def odds_text(self) -> str:
        """The odds ratio with two decimals, or three digits where it is small or large."""
        if math.isnan(self.odds_ratio):
            return "-"
        return f"{self.odds_ratio:.2f}" if 0.1 <= self.odds_ratio < 1000 else f"{self.odds_ratio:.3g}"


def _style(error: float) -> str:
    if error == 0 or 0.002 <= error < 1e5:
        return ".3f"
    decimals = 1 - math.floor(math.log10(error))
    return f".{decimals}f" if 0 <= decimals <= 6 else ".3e"


def head(level: float, logistic: bool) -> tuple[str, ...]:
    """Names of the columns after the term."""
    return ("n", "estimate", "SE", f"{100 * level:g}% CI", "p", *(("OR",) if logistic else ()))


def cells(coefficient: Coefficient, logistic: bool) -> tuple[str, ...]:
    """The columns after the term, as text."""
    odds = (coefficient.odds_text,) if logistic else ()
    return (f"{coefficient.n_human:,}", *coefficient.numbers, coefficient.p_text, *odds)


def text_blocks(
    coefficients: Sequence[Coefficient], level: float, logistic: bool, width: int | None = None
) -> list[str]:
    """One table for each estimator, all with the same columns; names of terms are shortened to fit `width`."""
    columns = head(level, logistic)
    lines = [cells(each, logistic) for each in coefficients]
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    longest = max(len(each.term) for each in coefficients)
    if width is not None:
        longest = min(longest, max(MIN_NAME_WIDTH, width - sum(widths) - GAP * len(widths)))
    blocks = []
    for estimator in dict.fromkeys(each.estimator for each in coefficients):
        rows: list[tuple[str, ...]] = [(TITLES[estimator].ljust(longest), *map(str.rjust, columns, widths))]
        for each, line in zip(coefficients, lines, strict=True):
            if each.estimator == estimator:
                rows.append((shorten(each.term, longest), *line))
        blocks.append(align(rows, right=set(range(1, len(columns) + 1)), width=width))
    return blocks


def as_csv(coefficients: Sequence[Coefficient]) -> str:
    """One line for each term and estimator, with all digits; empty cells where a value is undefined."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in fields(Coefficient) if field.name != "too_few"]
    writer.writerow(names)
    for each in coefficients:
        values = [getattr(each, name) for name in names]
        writer.writerow(["" if isinstance(value, float) and math.isnan(value) else value for value in values])
    return out.getvalue()


def as_markdown(coefficients: Sequence[Coefficient], level: float, logistic: bool, caption: str) -> str:
    """A Markdown table, with a column of estimators if there are several."""
    several = len({each.estimator for each in coefficients}) > 1
    first = ("estimator", "term") if several else ("term",)
    lines = [(*first, *head(level, logistic)), (*("---" for _ in first), *("---:" for _ in head(level, logistic)))]
    for each in coefficients:
        start = (TITLES[each.estimator], each.term) if several else (each.term,)
        lines.append(tuple(cell.replace("|", "\\|") for cell in (*start, *cells(each, logistic))))
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", caption, ""])


def as_latex(coefficients: Sequence[Coefficient], level: float, logistic: bool, caption: str) -> str:
    """A LaTeX table for the package booktabs; several estimators are panels."""
    columns = head(level, logistic)
    span = len(columns) + 1
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        f" & {' & '.join(map(_latex, columns))} \\\\",
    ]
    estimators = list(dict.fromkeys(each.estimator for each in coefficients))
    for estimator in estimators:
        lines.append(r"\midrule")
        if len(estimators) > 1:
            lines.append(rf"\multicolumn{{{span}}}{{l}}{{\textit{{{_latex(TITLES[estimator])}}}}} \\")
        for each in coefficients:
            if each.estimator == estimator:
                lines.append(f"{_latex(each.term)} & {' & '.join(map(_number, cells(each, logistic)))} \\\\")
    lines += [
        r"\bottomrule",
        rf"\multicolumn{{{span}}}{{p{{0.9\linewidth}}}}{{\footnotesize {_latex(caption)}}} \\",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _number(cell: str) -> str:
    """A cell with minus signs instead of hyphens, in math mode."""
    escaped = cell.replace("<", "$<$")
    return "--" if cell == "-" else escaped.replace("-", "$-$")
