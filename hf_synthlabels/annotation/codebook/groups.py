"""The order of a codebook's variables, and which of them share a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hf_synthlabels.errors import RecipeError
from hf_synthlabels.labels import Annotation

Group = tuple[str, ...]
"""The variables of one request."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A variable is coded only in rows in which another variable has one of these labels."""

    variable: str
    labels: tuple[str, ...]

    def holds(self, annotation: Annotation) -> bool:
        """Whether the other variable has one of the labels."""
        label = annotation.label
        return label in self.labels or (isinstance(label, tuple) and any(name in self.labels for name in label))

    def __str__(self) -> str:
        return f"`{self.variable}` is {' or '.join(repr(label) for label in self.labels)}"


def not_coded(condition: Condition, parent: Annotation) -> Annotation:
    """The annotation of a variable whose condition does not hold, or is unknown as the other variable has no label."""
    if parent.status in ("labelled", "abstained", "skipped"):
        return Annotation("skipped", reason=f"only coded if {condition}")
    return Annotation(parent.status, reason=f"`{condition.variable}` has no label: {parent.reason}")


Conditions = Mapping[str, Condition | None]


def ordered_variables(conditions: Conditions, origin: str) -> list[str]:
    """The variables in their order, but each after the variable of its condition.

    Args:
        conditions: of each variable; None without one.
        origin: the file, for errors.

    Raises:
        RecipeError: a condition names no variable, or conditions form a circle.
    """
    for name, condition in conditions.items():
        if condition is not None and condition.variable not in conditions:
            raise RecipeError(
                f"{origin}: `task.variables.{name}.ask_if.variable` is {condition.variable!r}. Use one of: "
                f"{', '.join(other for other in conditions if other != name)}."
            )
    ordered: list[str] = []
    pending = list(conditions)
    while pending:
        ready = [name for name in pending if (known := conditions[name]) is None or known.variable in ordered]
        if not ready:
            raise RecipeError(
                f"{origin}: `task.variables.{pending[0]}.ask_if` leads back to itself over {', '.join(pending)}. "
                "Remove one of these conditions."
            )
        ordered.append(ready[0])
        pending.remove(ready[0])
    return ordered


def request_groups(conditions: Conditions, group: Literal["joint", "separate"] | int) -> tuple[Group, ...]:
    """The variables of each request, in the order in which requests can be sent.

    Args:
        conditions: of the variables, in their order.
        group: `joint` for one request, `separate` for one per variable, or the number of variables per request.
    """
    names: Sequence[str] = list(conditions)
    size = len(names) if group == "joint" else 1 if group == "separate" else group
    return tuple(tuple(names[start : start + size]) for start in range(0, len(names), size))
