"""Regressions on the rows in which a variable is coded, against least squares on rows and roots of moments."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_synthlabels.statistics import Inference
from hf_synthlabels.statistics.regression.coefficients import RegressionReport
from hf_synthlabels.statistics.regression.domain import Domain
from hf_synthlabels.statistics.regression.formula_regression import estimate_formula

Floats = NDArray[np.float64]
TRUTH = np.array([1.0, 0.5])
"""Intercept and slope in the domain."""


class World:
    """Rows of which humans code about half, and the LLM others, with errors in both directions."""

    def __init__(self, seed: int, rows: int = 1000, labeled: int = 150) -> None:
        rng = np.random.default_rng(seed)
        self.x = rng.normal(size=rows)
        self.member = (rng.random(rows) < 1 / (1 + np.exp(-0.5 * self.x))).astype(float)
        self.y = 1 + 0.5 * self.x + 0.8 * rng.normal(size=rows)
        flipped = rng.random(rows) < np.where(self.member == 1, 0.15, 0.25)
        self.llm_member = np.where(flipped, 1 - self.member, self.member)
        noise = rng.normal(size=rows)
        self.llm_y = np.where(self.member == 1, self.y + 0.3 + 0.4 * noise, 2.5 + 0.5 * noise)
        self.labeled = np.zeros(rows, dtype=bool)
        self.labeled[rng.choice(rows, labeled, replace=False)] = True

    def fit(self, inference: Inference | None = None) -> RegressionReport:
        """The regression, without values where they would be missing in a table."""
        human = np.where(self.labeled & (self.member == 1), self.y, np.nan)
        llm = np.where(self.llm_member == 1, self.llm_y, np.nan)
        domain = Domain(("y",), self.llm_member, np.where(self.labeled, self.member, np.nan))
        return estimate_formula("y ~ x", {"x": self.x}, {"y": (llm, human)}, inference=inference, domain=domain)


def least_squares(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coefficients and HC1 standard errors."""
    table = np.column_stack([np.ones(len(x)), x])
    inverse = np.linalg.inv(table.T @ table)
    theta = inverse @ table.T @ y
    scores = table * (y - table @ theta)[:, None]
    variance = inverse @ scores.T @ scores @ inverse * len(x) / (len(x) - 2)
    return theta, np.sqrt(np.diag(variance))


def test_one_kind_of_labels_gives_the_regression_of_the_rows_in_its_domain() -> None:
    world = World(1)
    report = world.fit()
    by_human, by_llm = world.labeled & (world.member == 1), world.llm_member == 1
    for estimator, rows, y in (("classical", by_human, world.y), ("naive", by_llm, world.llm_y)):
        theta, errors = least_squares(world.x[rows], y[rows])
        shown = report.coefficients([estimator])
        np.testing.assert_allclose([each.estimate for each in shown], theta, rtol=1e-9)
        # The naive estimate counts all rows with LLM labels in its small-sample factor.
        np.testing.assert_allclose([each.se for each in shown], errors, rtol=1e-9 if estimator == "classical" else 0.01)
    assert {each.classical.n for each in report.estimates} == {int(by_human.sum())}
    assert report.n_human == int(world.labeled.sum())
    assert any(f"{by_human.sum():,} of {world.labeled.sum():,} rows by human" in note for note in report.notes)


def test_ppi_is_the_root_of_moments_that_are_0_outside_the_domain() -> None:
    world = World(2)
    report = world.fit()
    table = np.column_stack([np.ones(len(world.x)), world.x])

    def sums(rows: NDArray[np.bool_], member: Floats, y: Floats) -> tuple[Floats, Floats]:
        inside = table[rows] * member[rows][:, None]
        return inside.T @ inside / rows.sum(), inside.T @ y[rows] / rows.sum()

    own = sums(world.labeled, world.member, world.y)
    llm = sums(world.labeled, world.llm_member, world.llm_y)
    others = sums(~world.labeled, world.llm_member, world.llm_y)
    for place, each in enumerate(report.estimates):
        assert 0 < each.lam < 1
        left, right = (human + each.lam * (rest - mine) for human, mine, rest in zip(own, llm, others, strict=True))
        assert each.ppi.estimate == pytest.approx(np.linalg.solve(left, right)[place], rel=1e-9)


def test_labels_of_all_rows_leave_nothing_to_correct() -> None:
    world = World(3, rows=200, labeled=200)
    report = world.fit()
    for estimator in ("ppi", "dsl"):
        np.testing.assert_allclose(
            [each.estimate for each in report.coefficients([estimator])],
            [each.estimate for each in report.coefficients(["classical"])],
        )


@pytest.mark.slow
def test_corrected_intervals_cover_and_naive_ones_do_not() -> None:
    worlds = 300
    covered = dict.fromkeys(("naive", "classical", "ppi", "dsl"), 0)
    for seed in range(worlds):
        report = World(1000 + seed).fit(Inference(splits=2))
        for name in covered:
            interval = getattr(report.estimates[1], name)
            covered[name] += interval.low <= TRUTH[1] <= interval.high
    assert covered.pop("naive") < 0.5 * worlds
    # 95% of 300 less three standard errors.
    assert min(covered.values()) >= 0.91 * worlds
