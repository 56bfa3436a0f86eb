"""The design of a regression as a function of its labels.

The numbers that depend on LLM variables are the labels of a row: the outcome, and each factor that reads such a
variable, categories as one indicator for each level. Every column of the design matrix is a known column times some of
these numbers. So human, LLM and predicted labels give the predictors and the outcome of the same model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Mask
from hf_synthlabels.statistics.estimation.estimands import Family, Quantity, Regression
from hf_synthlabels.statistics.regression.factors import Column, Factor, as_names, sorted_levels
from hf_synthlabels.statistics.regression.formula import Formula, Product

INTERCEPT = "(intercept)"

MAX_CATEGORIES = 100
"""Categories of a factor; with more it is taken for an identifier."""

RANK_TOLERANCE = 1e-10
"""Residual length, relative to a standardized column's, up to which a column counts as dependent on others."""


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """A factor as numbers: one column, or one indicator for each level."""

    text: str
    name: str
    """Of its coefficients: the text, or the column of a category."""
    llm: Floats
    """Shape (N, q), nan where missing; the values themselves if no LLM variable is involved."""
    human: Floats | None
    """By human labels, shape (N, q); None if no LLM variable is involved."""
    levels: tuple[str, ...] = ()
    reference: int = 0
    """Position of the reference level."""

    def chosen(self, reduced: bool) -> list[tuple[str, int]]:
        """Names and positions of the columns, without the reference level if `reduced`."""
        if not self.levels:
            return [(self.name, 0)]
        return [
            (f"{self.name} = {level}", place)
            for place, level in enumerate(self.levels)
            if not (reduced and place == self.reference)
        ]


def code_factor(factor: Factor, llm: Column, human: Column | None) -> Coding:
    """A factor's values as numbers.

    Raises:
        DataError: it has one category only, or too many.
        ConfigError: the reference level does not occur.
    """
    if not isinstance(llm, list) and not isinstance(human, list):
        return Coding(factor.text, factor.text, llm[:, None], None if human is None else human[:, None])
    sides = [as_names(side) for side in (llm, human) if side is not None]
    levels = sorted_levels(*sides)
    if not 2 <= len(levels) <= MAX_CATEGORIES:
        raise DataError(
            f"`{factor.text}` has {len(levels):,} categories: give a column with 2 to {MAX_CATEGORIES}, or numbers."
        )
    if factor.reference is not None and factor.reference not in levels:
        raise ConfigError(f"`{factor.text}` names a reference that does not occur: give one of {', '.join(levels)}.")
    reference = 0 if factor.reference is None else levels.index(factor.reference)
    coded = [_indicators(side, levels) for side in sides]
    return Coding(
        factor.text, factor.columns[0], coded[0], coded[1] if len(coded) > 1 else None, tuple(levels), reference
    )


def _indicators(names: Sequence[str | None], levels: Sequence[str]) -> Floats:
    places = {level: place for place, level in enumerate(levels)}
    table: Floats = np.full((len(names), len(levels)), math.nan)
    for row, name in enumerate(names):
        if name is not None:
            table[row] = 0.0
            table[row, places[name]] = 1.0
    return table


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Columns of a design matrix as products of known columns and labels."""

    names: tuple[str, ...]
    known: Floats
    """The known part of each column, shape (N, p)."""
    places: tuple[tuple[int, ...], ...]
    """The labels that multiply each column; () for a column that is known."""
    members: tuple[tuple[tuple[str, int | None], ...], ...]
    """Factors of each column with their level; None for numbers."""
    outcome: Floats | None
    """Shape (N,); None if it is the first of the labels."""

    @property
    def label_free(self) -> bool:
        """Whether no column depends on labels."""
        return not any(self.places)

    def matrix(self, labels: Floats) -> Floats:
        """The design matrix of some labels, shape (N, p)."""
        if self.label_free:
            return self.known
        table: Floats = self.known.copy()
        for column, places in enumerate(self.places):
            for place in places:
                table[:, column] *= labels[:, place]
        return table

    def outcomes(self, labels: Floats) -> Floats:
        """The outcome by some labels, shape (N,)."""
        return labels[:, 0] if self.outcome is None else self.outcome

    def features(self, llm: Floats) -> Floats:
        """Features of DSL besides the LLM labels: known columns, interactions with labels, and a known outcome.

        Args:
            llm: labels by the LLM without gaps, shape (N, q).
        """
        table = self.matrix(llm)
        plain = (self.known == 1).all(axis=0)
        wanted = [column for column, places in enumerate(self.places) if not (plain[column] and len(places) <= 1)]
        columns = [table[:, wanted]]
        if self.outcome is not None:
            columns.append(self.outcome[:, None])
        return np.column_stack(columns)


def build_design(
    formula: Formula, products: Sequence[Product], codings: dict[str, Coding], outcome: Floats | None, rows: int
) -> tuple[Design, Floats, Floats]:
    """The design, and the labels by the LLM and by humans without the outcome, shape (N, q) each.

    Args:
        formula: names the factors.
        products: of factors, in order.
        codings: of the factors by text.
        outcome: known for all rows; None if it is the first label.
        rows: number of rows N.
    """
    starts: dict[str, int] = {}
    llm, human = [np.empty((rows, 0))], [np.empty((rows, 0))]
    start = int(outcome is None)
    for text in formula.factors:
        coding = codings[text]
        if coding.human is not None:
            starts[text] = start
            start += coding.llm.shape[1]
            llm.append(coding.llm)
            human.append(coding.human)
    names, known, places, members = [], [], [], []
    for product in products:
        for column in _columns(product, codings):
            values = np.ones(rows)
            for text, place in column:
                if text not in starts:
                    values = values * codings[text].llm[:, place]
            names.append(" : ".join(_column_name(codings[text], place) for text, place in column) or INTERCEPT)
            known.append(values)
            places.append(tuple(starts[text] + place for text, place in column if text in starts))
            members.append(tuple((text, place if codings[text].levels else None) for text, place in column))
    design = Design(tuple(names), np.column_stack(known), tuple(places), tuple(members), outcome)
    return design, np.column_stack(llm), np.column_stack(human)


def _columns(product: Product, codings: dict[str, Coding]) -> list[list[tuple[str, int]]]:
    """The columns of a product: every choice of one column of each factor, the first factor's varying fastest."""
    columns: list[list[tuple[str, int]]] = [[]]
    for text, reduced in reversed(product):
        chosen = [place for _, place in codings[text].chosen(reduced)]
        columns = [[(text, place), *rest] for rest in columns for place in chosen]
    return columns


def _column_name(coding: Coding, place: int) -> str:
    return dict((position, name) for name, position in coding.chosen(reduced=False))[place]


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Orthogonal columns with mean square 1 that span the columns of a design.

    A regression on them has the same fit. Its normal equations stay well conditioned for years with their squares and
    for predictors of any magnitude.
    """

    center: Floats
    scale: Floats
    turn: Floats
    """Standardized columns @ `turn` = basis, shape (p, p)."""
    dependent: tuple[int, ...]
    """Columns that are linear combinations of those before them: no coefficient can be estimated."""

    def __call__(self, table: Floats) -> Floats:
        """The basis of a design matrix, shape (N, p)."""
        columns: Floats = ((table - self.center) / self.scale) @ self.turn
        return columns

    @property
    def back(self) -> Floats:
        """Coefficients of the columns = `back` @ coefficients of the basis, shape (p, p)."""
        back: Floats = self.turn / self.scale[:, None]
        if self.center.any():
            # What is subtracted to center the columns goes into the intercept, which is the first column.
            back[0] -= self.center @ back
        return back


def orthogonal_basis(table: Floats, has_intercept: bool) -> Basis:
    """The basis of the columns of a table, shape (n, p); with an intercept, the first column is 1."""
    n, p = table.shape
    # Standardized first, so that rounding does not depend on units.
    largest = np.abs(table).max(axis=0, initial=0.0)
    if has_intercept:
        center, scale = table.mean(axis=0), table.std(axis=0)
        constant = scale <= 4 * np.finfo(np.float64).eps * largest
        center[0], constant[0], scale[0] = 0.0, False, 1.0
    else:
        center, scale = np.zeros(p), np.sqrt((table**2).mean(axis=0))
        constant = largest == 0
    scale = np.where(constant, 1.0, scale)
    standard = (table - center) / scale
    standard[:, constant] = 0.0
    r: Floats = np.asarray(np.linalg.qr(standard, mode="r"), dtype=np.float64) / math.sqrt(n)
    dependent = tuple(place for place in range(p) if place >= n or abs(r[place, place]) <= RANK_TOLERANCE)
    if dependent:
        # Singular as it is, so that no coefficient is estimated.
        return Basis(center, scale, np.eye(p), dependent)
    return Basis(center, scale, np.asarray(np.linalg.inv(r), dtype=np.float64), ())


def regression_of(design: Design, basis: Basis, codings: dict[str, Coding], family: Family) -> Regression:
    """The regression, with its coefficients in the units of the columns.

    Args:
        design: columns and outcome.
        basis: of the columns.
        codings: of the factors by text.
        family: linear or logistic.
    """
    quantities = tuple(
        Quantity(name, tuple(row), parts=_parts(members, codings))
        for name, row, members in zip(design.names, basis.back.tolist(), design.members, strict=True)
    )
    size = len(design.names)
    if not design.label_free:
        columns = _Columns(design, basis)
        return Regression(quantities, columns, design.outcomes, size, family, label_free=False)
    fixed = basis(design.known)
    return Regression(quantities, lambda _: fixed, design.outcomes, size, family)


class _Columns:
    """The basis of some labels, remembered for the last few, because every step of Newton's method asks for it."""

    REMEMBERED = 4

    def __init__(self, design: Design, basis: Basis) -> None:
        self._design, self._basis = design, basis
        self._last: list[tuple[Floats, Floats]] = []

    def __call__(self, labels: Floats) -> Floats:
        for known, columns in self._last:
            if known is labels:
                return columns
        columns = self._basis(self._design.matrix(labels))
        # Labels of pseudo-errors are one row that is repeated, and are asked for once.
        if labels.strides[0]:
            self._last = [(labels, columns), *self._last][: self.REMEMBERED]
        return columns


def _parts(members: Sequence[tuple[str, int | None]], codings: dict[str, Coding]) -> tuple[Mask, ...]:
    """The rows of a coefficient's category, and of the reference level; none for numbers."""
    levels = [(codings[text], place) for text, place in members if place is not None]
    if not levels:
        return ()
    inside: Mask = np.all([_is_level(coding, place) for coding, place in levels], axis=0)
    if len(members) > 1:
        return (inside,)
    coding, _ = levels[0]
    return (inside, _is_level(coding, coding.reference))


def _is_level(coding: Coding, place: int) -> Mask:
    """Rows of a level, by the human label where there is one."""
    values = coding.llm[:, place]
    if coding.human is not None:
        values = np.where(np.isnan(coding.human[:, place]), values, coding.human[:, place])
    return np.asarray(values == 1)
