"""The plan and the table of behavioral checks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from hf_synthlabels.annotation import Plan
from hf_synthlabels.statistics.exhibits import align
from hf_synthlabels.statistics.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What the checks will send and cost."""

    plans: Sequence[tuple[str, Plan]]
    """Of each check."""
    what: str = "checks"
    """What sends the requests."""

    @property
    def likely_usd(self) -> float | None:
        """Of all checks together; None where no price is known."""
        costs = [plan.likely_usd for _, plan in self.plans]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    def __str__(self) -> str:
        requests = sum(plan.requests - plan.stored for _, plan in self.plans)
        tokens = sum(plan.prompt_tokens for _, plan in self.plans)
        cost = "unknown cost" if self.likely_usd is None else f"likely {self.likely_usd:,.4f} USD"
        # A check whose answers are stored says nothing about whether the budget is enough.
        by_need = sorted((plan for _, plan in self.plans), key=lambda plan: plan.stored - plan.requests)
        budget = next((plan.budget for plan in by_need if plan.budget), "none")
        return f"{self.what}: {requests:,} requests to send, {tokens:,} prompt tokens, {cost}; budget: {budget}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of one variable."""

    check: str
    variable: str
    """Empty for the requests of the recipe itself, which the checks are compared with."""
    passed: int
    n: int
    """Rows that say something: without rows that failed or have no label to compare with."""
    rate: Interval
    cost_usd: float | None
    """This variable's share; None where no price is known."""
    requests: int
    is_applicable: bool = True
    """Whether the variable can pass; without `abstain: true`, it cannot abstain."""

    @classmethod
    def not_applicable(cls, check: str, variable: str) -> CheckResult:
        """The result of a check that a variable cannot pass, for which nothing was sent."""
        return cls(check, variable, 0, 0, wilson(0, 0), 0.0, 0, is_applicable=False)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The results of all checks of a recipe."""

    name: str
    model: str | None
    rows: int
    """Sampled rows."""
    results: tuple[CheckResult, ...]

    @property
    def cost_usd(self) -> float | None:
        """Of all checks together; None where no price is known."""
        known = [result.cost_usd for result in self.results if result.cost_usd is not None]
        return sum(known) if len(known) == len(self.results) else None

    def to_json(self) -> str:
        """As JSON; a rate without rows is null."""
        content = asdict(self)
        for result in content["results"]:
            if not result["n"]:
                result["rate"] = None
        return json.dumps(content, indent=1, ensure_ascii=False)

    def __str__(self) -> str:
        lines = [("check", "variable", "passed", "n", "rate", "95% interval", "USD")]
        for result in self.results:
            cost = "unknown" if result.cost_usd is None else f"{result.cost_usd:,.4f}"
            if not result.variable:
                lines.append((result.check, "", "", "", "", "", cost))
                continue
            if not result.is_applicable:
                lines.append((result.check, result.variable, "", "", "", "not applicable", ""))
                continue
            interval = result.rate
            shown = (
                ("-", "-")
                if not result.n
                else (f"{interval.estimate:.3f}", f"[{interval.low:.3f}, {interval.high:.3f}]")
            )
            lines.append((result.check, result.variable, str(result.passed), str(result.n), *shown, cost))
        model = f", model {self.model}" if self.model else ""
        return f"checks of {self.name}{model}, {self.rows:,} sampled rows\n\n{align(lines, right=(2, 3, 4, 6))}"
