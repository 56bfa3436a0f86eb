"""Gates of several variables that must all hold: verdicts that are adjusted for their number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.validation.gate import Gate, GateVerdict, Verdict

RULE = (
    "Each gate is a one-sided test at {alpha:.1%}. For {number} gates the verdicts are adjusted by Holm's method, for "
    "passes and for fails separately."
)


@dataclass(frozen=True, slots=True)
class VariableGate:
    """A gate for one variable of a codebook."""

    variable: str
    gate: Gate

    def __str__(self) -> str:
        return f"{self.variable}: {self.gate}"

    @classmethod
    def parse(cls, text: str, variables: Sequence[str], unlabeled: Collection[str] = ()) -> VariableGate:
        """Read a gate such as `bias: macro_f1>=0.7`; the name may be omitted if there is only one variable.

        Args:
            text: the gate.
            variables: those that can be validated.
            unlabeled: variables without human labels.

        Raises:
            ConfigError: the gate is invalid, or its variable is missing or unknown or has no human labels.
        """
        name, colon, gate = (part.strip() for part in text.rpartition(":"))
        if not colon and len(variables) == 1:
            name = variables[0]
        if name in unlabeled:
            raise ConfigError(f"`gate` is {text!r}, but {name!r} has no human labels: label some rows, or remove it.")
        if name not in variables:
            raise ConfigError(f"`gate` is {text!r}: begin with one of the variables {', '.join(variables)} and ': '.")
        return cls(name, Gate.parse(gate))


def judge_family(
    gates: Sequence[VariableGate], judge: Callable[[VariableGate, float], GateVerdict], level: float = 0.95
) -> tuple[GateVerdict, ...]:
    """Holm-adjusted verdicts of gates.

    With m gates undecided, each is judged by its interval of level 1 - (1 - level) / m, whose limits are one-sided
    tests at (1 - level) / (2 m). This repeats until no further gate is decided, which is Holm's (1979) step-down
    procedure. It runs once for the verdict `pass` and once for `fail`, so the probability of any wrong pass is at most
    (1 - level) / 2, and so is that of any wrong fail.

    Args:
        gates: the gates.
        judge: the verdict of a gate by the interval of a level; intervals of higher levels must contain the others.
        level: of the interval of a single gate.
    """
    levels: dict[int, float] = {}
    final = level
    for wanted in ("pass", "fail"):
        decided, step = _step_down(gates, judge, level, wanted)
        levels |= decided
        final = max(final, step)
    return tuple(judge(gate, levels.get(place, final)) for place, gate in enumerate(gates))


def _step_down(
    gates: Sequence[VariableGate], judge: Callable[[VariableGate, float], GateVerdict], level: float, wanted: Verdict
) -> tuple[dict[int, float], float]:
    """The gates with this verdict and the level at which each got it, and the level of the last step."""
    # What is undecided at the level of a single gate is undecided at every higher level.
    open_gates = {place for place, gate in enumerate(gates) if judge(gate, level).verdict == wanted}
    decided: dict[int, float] = {}
    adjusted = level
    while len(decided) < len(gates):
        adjusted = 1 - (1 - level) / (len(gates) - len(decided))
        reached = {place for place in open_gates if judge(gates[place], adjusted).verdict == wanted}
        if not reached:
            break
        decided |= dict.fromkeys(reached, adjusted)
        open_gates -= reached
    return decided, adjusted


def overall(verdicts: Sequence[GateVerdict]) -> Verdict:
    """`pass` if all gates pass, `fail` if any fails, else `continue` or `too_few_human_labels`."""
    outcomes = {each.verdict for each in verdicts}
    if "fail" in outcomes:
        return "fail"
    if outcomes == {"pass"}:
        return "pass"
    return "continue" if "continue" in outcomes else "too_few_human_labels"
