"""The table of `benchmarks.coverage` on regressions whose outcome and predictor are both LLM variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage_tables import Table, coverage_table, share_of
from hf_synthlabels.statistics import Inference
from hf_synthlabels.statistics.regression.coefficients import RegressionReport
from hf_synthlabels.statistics.regression.formula_regression import estimate_formula

__all__ = ["DESIGNS", "ESTIMATORS", "TRUTH", "Design", "coverage_of_terms", "regressions_by_formula"]

Floats = NDArray[np.float64]

ROWS = 2000
LABELS = 250
FORMULA = "tone ~ topic + year + outlet"
TRUTH = {"(intercept)": -0.2, "topic = b": 0.8, "topic = c": -0.6, "year": 0.5, "outlet": 0.4}
"""Coefficients of the model that the human labels are drawn from."""

ESTIMATORS = ("naive", "classical", "ppi", "dsl")
SPLITS = 3


@dataclass(frozen=True)
class Design:
    """A regression, and how its rows were sampled for human labels."""

    name: str
    family: Literal["linear", "logistic"]
    unequal: bool = False
    """Whether rows in which the LLM finds topic a are sampled less than half as often as the others."""


DESIGNS = (
    Design("linear, random sample", "linear"),
    Design("logistic, random sample", "logistic"),
    Design("logistic, unequal probabilities", "logistic", unequal=True),
)


@coverage_table("formulas")
def regressions_by_formula(worlds: int, seed: int) -> Table:
    """A number or a class on a topic, both labeled by an LLM, with 250 human labels of 2,000 rows."""
    rows: list[Sequence[object]] = []
    for design in DESIGNS:
        hits, widths = coverage_of_terms(design, worlds, seed)
        for term in TRUTH:
            shares = [share_of(hits[term, estimator], worlds) for estimator in ESTIMATORS]
            wide = [f"{widths[term, estimator] / worlds:.3f}" for estimator in ESTIMATORS[1:]]
            rows.append([f"{design.name}: {term}", *shares, *wide])
    head = ("regression: term", "naive", "human labels", "PPI++", "DSL")
    return (*head, "width, human labels", "width, PPI++", "width, DSL"), rows


def coverage_of_terms(
    design: Design, worlds: int, seed: int
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], float]]:
    """How many intervals cover the true coefficient, and the sum of their widths, by term and estimator."""
    hits = dict.fromkeys([(term, estimator) for term in TRUTH for estimator in ESTIMATORS], 0)
    widths = dict.fromkeys(hits, 0.0)
    for world in range(worlds):
        report = simulated(design, np.random.default_rng([seed, world]))
        for term, estimator in hits:
            interval = getattr(report[term], estimator)
            hits[term, estimator] += interval.low <= TRUTH[term] <= interval.high
            widths[term, estimator] += interval.high - interval.low
    return hits, widths


def simulated(design: Design, rng: np.random.Generator) -> RegressionReport:
    """The estimates of one simulated study."""
    year, outlet = rng.uniform(-1, 1, ROWS), (rng.random(ROWS) < 0.5).astype(float)
    topic = rng.choice(3, ROWS, p=[0.4, 0.3, 0.3])
    score = -0.2 + 0.8 * (topic == 1) - 0.6 * (topic == 2) + 0.5 * year + 0.4 * outlet
    # The LLM takes topic b for a, more often in later years, and confuses the others.
    wrong = rng.random(ROWS) < np.where(topic == 1, 0.15 + 0.2 * (year > 0), 0.08)
    other = np.where(topic == 1, 0, (topic + rng.integers(1, 3, ROWS)) % 3)
    llm_topic = np.where(wrong, other, topic)
    tone, llm_tone = _tones(design, score, topic, outlet, rng)
    labeled, probabilities = _sample(design, llm_topic, rng)
    names = np.array(["a", "b", "c"])
    human_topic = [str(name) if mine else None for name, mine in zip(names[topic], labeled, strict=True)]
    return estimate_formula(
        FORMULA,
        {"year": year, "outlet": outlet},
        {"tone": (llm_tone, np.where(labeled, tone, np.nan)), "topic": (names[llm_topic].tolist(), human_topic)},
        family=design.family,
        inference=Inference(probabilities=probabilities, splits=SPLITS),
    )


def _tones(
    design: Design, score: Floats, topic: NDArray[np.int64], outlet: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """The outcome by humans and by the LLM, whose errors depend on topic and outlet."""
    if design.family == "linear":
        tone = score + rng.normal(size=ROWS)
        return tone, 0.8 * tone + 0.5 * (topic == 2) + 0.3 * outlet + rng.normal(0, 0.5, ROWS)
    tone = (rng.random(ROWS) < 1 / (1 + np.exp(-score))).astype(float)
    said_one = rng.random(ROWS) < np.where(topic == 2, 0.25, 0.05) + 0.1 * outlet
    return tone, np.where(said_one, 1.0, tone)


def _sample(
    design: Design, llm_topic: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], Floats | None]:
    """The rows with human labels, and their inclusion probabilities if they differ."""
    if not design.unequal:
        return np.isin(np.arange(ROWS), rng.permutation(ROWS)[:LABELS]), None
    shares = np.where(llm_topic == 0, 0.07, 0.17)
    probabilities = shares * LABELS / shares.sum()
    return rng.random(ROWS) < probabilities, probabilities
