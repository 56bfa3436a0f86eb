"""Factors of a formula, such as `year`, `log(words)` or `C(topic)`: a subset of Python, read without `eval`."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats

Column = Floats | list[str | None]
"""Numbers with nan, or names with None, one for each row."""

FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {
    "I": lambda values: values,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "sqrt": np.sqrt,
}

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: np.power,
}

ALLOWED = (
    f"use column names, numbers, + - * / **, {', '.join(sorted(FUNCTIONS))}, C(column) and "
    "C(column, Treatment('reference'))"
)

QUOTED = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a formula."""

    text: str
    columns: tuple[str, ...]
    """Names of the columns that it reads."""
    categorical: bool = False
    """Whether it is C(...), which makes categories of numbers."""
    reference: str | None = None
    """Reference level; None for the first, sorted."""
    node: ast.expr | None = None
    """Arithmetic on columns; None for a column itself."""
    quoted: tuple[tuple[str, str], ...] = ()
    """Identifiers in `node`, and the column names in backticks that they replace."""

    def values(self, columns: Mapping[str, Column]) -> Column:
        """Its values in each row.

        Raises:
            DataError: a function is applied to text, or gives a value that is not finite.
        """
        if self.node is None:
            values = columns[self.columns[0]]
            return as_names(values) if self.categorical else values
        names = dict(self.quoted)
        for name in self.columns:
            if isinstance(columns[name], list):
                raise DataError(f"`{self.text}` needs numbers and `{name}` is text: use `{name}` or `C({name})`.")
        with np.errstate(all="ignore"):
            numbers = np.asarray(_compute(self.node, columns, names), dtype=np.float64)
        known = ~np.any([np.isnan(np.asarray(columns[name])) for name in self.columns], axis=0)
        if wrong := int((known & ~np.isfinite(numbers)).sum()):
            raise DataError(
                f"`{self.text}` is not a finite number in {wrong:,} rows: use another transformation, such as log1p."
            )
        return numbers


def parse_factor(text: str) -> Factor:
    """Parse a factor that is a Python expression, and refuse everything outside of the safe subset.

    Raises:
        ConfigError: it has another function, name or operator.
    """
    quoted: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        name = f"_quoted_{len(quoted)}"
        quoted[name] = match[1]
        return name

    try:
        node = ast.parse(QUOTED.sub(replace, text).strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _refused(text) from None
    if _called(node) == "C":
        return _category(text, node, quoted)
    columns: dict[str, None] = {}
    _check(node, text, quoted, columns)
    if not columns:
        raise ConfigError(f"`formula` has the term `{text}`, which names no column: {ALLOWED}.")
    return Factor(text, tuple(columns), node=node, quoted=tuple(quoted.items()))


def _category(text: str, node: Any, quoted: Mapping[str, str]) -> Factor:
    """C(column), or C(column, Treatment('reference'))."""
    arguments = list(node.args)
    if node.keywords or not 1 <= len(arguments) <= 2 or not isinstance(arguments[0], ast.Name):
        raise _refused(text)
    column = quoted.get(arguments[0].id, arguments[0].id)
    if len(arguments) == 1:
        return Factor(text, (column,), categorical=True)
    contrast = arguments[1]
    if _called(contrast) not in ("Treatment", "contr.treatment"):
        raise _refused(text)
    given = [*contrast.args, *(each.value for each in contrast.keywords if each.arg in ("reference", "base"))]
    if len(given) != 1 or len(contrast.args) + len(contrast.keywords) != 1 or not isinstance(given[0], ast.Constant):
        raise _refused(text)
    reference = given[0].value
    return Factor(text, (column,), categorical=True, reference=level_name(reference))


def _called(node: ast.expr) -> str | None:
    """The name of a called function, such as `log` or `np.log`; None if nothing is called."""
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return f"{function.value.id}.{function.attr}"
    return ""


def _check(node: ast.expr, text: str, quoted: Mapping[str, str], columns: dict[str, None]) -> None:
    """Collect the columns of an expression; refuse everything else but arithmetic."""
    if isinstance(node, ast.Name):
        columns[quoted.get(node.id, node.id)] = None
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        pass
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        _check(node.left, text, quoted, columns)
        _check(node.right, text, quoted, columns)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        _check(node.operand, text, quoted, columns)
    elif (
        isinstance(node, ast.Call)
        and (_called(node) or "").removeprefix("np.") in FUNCTIONS
        and len(node.args) == 1
        and not node.keywords
    ):
        _check(node.args[0], text, quoted, columns)
    else:
        raise _refused(text)


def _compute(node: Any, columns: Mapping[str, Column], names: Mapping[str, str]) -> Any:
    if isinstance(node, ast.Name):
        return columns[names.get(node.id, node.id)]
    if isinstance(node, ast.Constant):
        # Never a whole number, whose power could have millions of digits.
        return np.float64(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](_compute(node.left, columns, names), _compute(node.right, columns, names))
    if isinstance(node, ast.UnaryOp):
        value = _compute(node.operand, columns, names)
        return -value if isinstance(node.op, ast.USub) else value
    return FUNCTIONS[(_called(node) or "").removeprefix("np.")](_compute(node.args[0], columns, names))


def _refused(text: str) -> ConfigError:
    return ConfigError(f"`formula` has the term `{text}`, which is not supported: {ALLOWED}.")


def as_names(values: Column) -> list[str | None]:
    """Numbers as names."""
    if isinstance(values, list):
        return values
    return [None if math.isnan(value) else level_name(value) for value in values.tolist()]


def level_name(value: Any) -> str:
    """The name of a level: whole numbers without decimals."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def sorted_levels(*columns: Sequence[str | None]) -> list[str]:
    """The names that occur, sorted as numbers if all of them are numbers."""
    names = {name for column in columns for name in column if name is not None}
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)
