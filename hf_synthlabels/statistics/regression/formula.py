"""Formulas such as `bias ~ topic * year`: parsed by formulaic, which gives the terms and their coding."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.exhibits import shorten
from hf_synthlabels.statistics.regression.factors import Factor, parse_factor

if TYPE_CHECKING:
    from formulaic.parser.types import Factor as ParsedFactor

Product = tuple[tuple[str, bool], ...]
"""Factors that are multiplied, each with whether its reference level is left out; empty for the intercept."""

MAX_SHOWN = 100
"""Characters of a formula in an error."""

EXAMPLE = "such as 'bias ~ topic * year'"


@dataclass(frozen=True, slots=True)
class Formula:
    """Outcome and terms of a regression."""

    text: str
    outcome: Factor
    terms: tuple[tuple[str, ...], ...]
    """Texts of the factors of each term, in order of degree; () for the intercept."""
    factors: Mapping[str, Factor]
    """Factors of the terms by text."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns, the outcome's first."""
        named = (*self.outcome.columns, *(name for factor in self.factors.values() for name in factor.columns))
        return tuple(dict.fromkeys(named))

    def products(self, categorical: Collection[str]) -> list[Product]:
        """The products of factors that the design matrix consists of.

        A category loses its reference level wherever the terms before it span the same space.

        Args:
            categorical: texts of the factors with categories.
        """
        import pandas
        from formulaic import ModelSpec, SimpleFormula
        from formulaic.parser.types import Factor as ParsedFactor
        from formulaic.parser.types import Term

        # The coding depends on the kinds of the factors only, so that formulaic gets two rows of stand-ins.
        places = {text: f"f{place}" for place, text in enumerate(self.factors)}
        texts = {place: text for text, place in places.items()}
        rows = pandas.DataFrame(
            {place: ["a", "b"] if text in categorical else [0.5, 1.5] for place, text in texts.items()}, index=[0, 1]
        )
        one = ParsedFactor("1", eval_method="literal")
        terms = [
            Term([ParsedFactor(places[text], eval_method="lookup") for text in term] or [one]) for term in self.terms
        ]
        spec = ModelSpec(SimpleFormula(terms, _ordering="none")).get_model_matrix(rows, context={}).model_spec
        return [
            tuple((texts[each.factor.expr], each.reduced) for each in scoped.factors)
            for structure in spec.structure
            for scoped in structure.scoped_terms
        ]


def parse_formula(text: str) -> Formula:
    """Parse a formula, without evaluating any of it.

    Raises:
        ConfigError: it is no formula, has not one outcome, or uses what is outside of the safe subset.
    """
    from formulaic import Formula as Parsed
    from formulaic.errors import FormulaicError

    shown = shorten(text, MAX_SHOWN)
    if "~" not in text:
        raise ConfigError(f"`formula` is {shown!r}, without `~`: give 'outcome ~ predictors', {EXAMPLE}.")
    try:
        parsed: Any = Parsed(text)
        left, right = list(getattr(parsed, "lhs", ())), list(getattr(parsed, "rhs", ()))
    except (FormulaicError, SyntaxError, TypeError, ValueError, RecursionError) as error:
        # Formulaic's messages go on about its own interface, and those of SyntaxError about Python.
        reason = str(error).strip().split(".")[0].split(" (")[0] if isinstance(error, FormulaicError) else ""
        reason = reason or "it is not a valid formula"
        raise ConfigError(f"`formula` is {shown!r}: {reason}. Give 'outcome ~ predictors', {EXAMPLE}.") from None
    if any(not hasattr(term, "factors") for term in (*left, *right)):
        raise ConfigError(f"`formula` is {shown!r}: `|` is not supported; give one outcome and its predictors.")
    outcomes = [_read(factor) for term in left for factor in term.factors]
    if len(outcomes) != 1 or outcomes[0] is None:
        raise ConfigError(f"`formula` is {shown!r}: give exactly one outcome before `~`, {EXAMPLE}.")
    factors: dict[str, Factor] = {}
    terms = [_term(term.factors, factors) for term in right]
    if not terms:
        raise ConfigError(f"`formula` is {shown!r}: give at least one predictor after `~`, {EXAMPLE}.")
    if repeated := set(outcomes[0].columns) & {name for factor in factors.values() for name in factor.columns}:
        raise ConfigError(f"`formula` has `{repeated.pop()}` as outcome and as predictor: remove one of them.")
    return Formula(" ".join(text.split()), outcomes[0], tuple(terms), factors)


def _term(parsed: Sequence[ParsedFactor], factors: dict[str, Factor]) -> tuple[str, ...]:
    """The texts of a term's factors, which are added to `factors`."""
    texts = []
    for each in parsed:
        factor = _read(each)
        if factor is not None:
            factors.setdefault(factor.text, factor)
            texts.append(factor.text)
        elif each.expr != "1":
            raise ConfigError(
                f"`formula` has the number {each.expr} in a term: numbers belong in I(), such as I(year / 10)."
            )
    return tuple(texts)


def _read(parsed: ParsedFactor) -> Factor | None:
    """The factor; None for a literal, such as the 1 of the intercept."""
    if parsed.eval_method.value == "literal":
        return None
    if parsed.eval_method.value == "lookup":
        return Factor(parsed.expr, (parsed.expr,))
    return parse_factor(parsed.expr)
