"""The audit on recorded judgments of SummEval and Topical-Chat, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.judging_audit import GPT4, GPT35, Set, add, dialogue_set, only, summary_set
from benchmarks.recorded_judgments import FORMATS, QUALITIES, Summary, summaries, summary_replies
from hf_synthlabels.judging.audit.comparability import cat, cit
from hf_synthlabels.judging.audit.rows import AuditRows, draw_clusters
from hf_synthlabels.judging.audit.tfa import tfa
from hf_synthlabels.statistics import BootstrapConfig

HERE = Path(__file__).resolve().parents[3].parent / "shared" / "data"
DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or HERE) / "judge"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="no local copy of `judge` beside the checkout or in HF_SYNTHLABELS_DATA"
)

NONE = BootstrapConfig(resamples=1)


@pytest.fixture(scope="module")
def of() -> list[Summary]:
    return summaries(DATA)


@pytest.fixture(scope="module")
def seven(of: list[Summary]) -> Set:
    """Seven tasks, judged by gpt-3.5; lengths of the answers beside."""
    lengths = {"length": [float(len(each.text.split())) for each in of]}
    return add(summary_set(DATA, of, lengths), dialogue_set(DATA, []))


def statistics(of: Set, name: str) -> dict[str, float]:
    rows = of.rows().with_scores(np.round(np.array(of.metrics[name]), 12))
    resamples = draw_clusters(rows.clusters, rows.tasks, NONE)
    return {name: float(draws[0]) for name, draws in cat(rows, resamples).overall.items()}


def test_scale_of_the_data(of: list[Summary], seven: Set) -> None:
    assert len(of) == 1200
    assert len({each.article for each in of}) == 100
    assert len({each.system for each in of}) == 12
    assert len(set(seven.tasks)) == 7


def test_gpt35_across_seven_tasks(seven: Set) -> None:
    found = statistics(seven, GPT35)
    # An independent computation gave .176, +.02, .225, .694 and .669; its reading of Topical-Chat's draws was another.
    assert found["cat_offset"] == pytest.approx(0.176, abs=0.003)
    assert found["cat_transfer"] == pytest.approx(0.02, abs=0.02)
    assert found["cat_dr2"] == pytest.approx(0.225, abs=0.005)
    assert found["cat_within_c"] == pytest.approx(0.694, abs=0.003)
    assert found["cat_cross_c"] == pytest.approx(0.669, abs=0.006)


def test_gpt35_without_fluency(seven: Set) -> None:
    found = statistics(only(seven, "SummEval fluency"), GPT35)
    assert found["cat_transfer"] == pytest.approx(0.26, abs=0.02)
    assert found["cat_dr2"] == pytest.approx(0.089, abs=0.005)


def test_length_alone_orders_tasks_well_and_rows_within_them_badly(seven: Set) -> None:
    found = statistics(seven, "length")
    assert found["cat_transfer"] == pytest.approx(0.21, abs=0.01)
    assert found["cat_dr2"] == pytest.approx(0.162, abs=0.005)
    assert found["cat_within_c"] == pytest.approx(0.536, abs=0.005)
    assert found["cat_cross_c"] == pytest.approx(0.625, abs=0.006)
    # Task means alone would order pairs of rows of different tasks nearly as well.
    assert found["cat_cross_excess"] < 0.03


FIVE_FORMATS = {
    # quality: ICC(A,1), ICC(C,1), lowest and highest rho with humans.
    "coherence": (0.293, 0.482, 0.339, 0.444),
    "consistency": (0.549, 0.585, 0.297, 0.423),
    "fluency": (0.341, 0.502, 0.246, 0.343),
    "relevance": (0.424, 0.487, 0.244, 0.448),
}


def test_five_answer_formats_of_one_judge_agree_little(subtests: pytest.Subtests, of: list[Summary]) -> None:
    for quality in QUALITIES:
        with subtests.test(repr(quality)):
            columns = [(summary_replies(DATA, GPT35, quality, form, of) - 1) / 4 for form in FORMATS]
            assert not np.isnan(columns).any()
            rows = AuditRows.from_columns(
                list(np.concatenate(columns)),
                [(each.human(quality) - 1) / 4 for each in of] * 5,
                [quality] * 6000,
                items=[each.article for each in of] * 5,
                systems=[each.system for each in of] * 5,
                formats=[form for form in FORMATS for _ in of],
            )
            found = tfa(rows, draw_clusters(rows.clusters, rows.tasks, NONE))
            agreement, consistency, low, high = FIVE_FORMATS[quality]
            assert found.overall["tfa_icc"][0] == pytest.approx(agreement, abs=6e-4)
            assert found.overall["tfa_icc_consistency"][0] == pytest.approx(consistency, abs=2.1e-3)
            rho = [each.spearman[0] for each in found.formats.values()]
            assert (min(rho), max(rho)) == (pytest.approx(low, abs=2e-3), pytest.approx(high, abs=2e-3))


EXPERTS = {"coherence": 0.587, "consistency": 0.899, "fluency": 0.739, "relevance": 0.504}


def test_experts_agree_more_than_that(subtests: pytest.Subtests, of: list[Summary]) -> None:
    for quality in QUALITIES:
        with subtests.test(repr(quality)):
            rows = AuditRows.from_columns(
                [(each.experts[quality][rater] - 1) / 4 for rater in range(3) for each in of],
                [(each.human(quality) - 1) / 4 for each in of] * 3,
                [quality] * 3600,
                items=[each.article for each in of] * 3,
                systems=[each.system for each in of] * 3,
                formats=[str(rater) for rater in range(3) for _ in of],
            )
            found = tfa(rows, draw_clusters(rows.clusters, rows.tasks, NONE))
            assert found.overall["tfa_icc"][0] == pytest.approx(EXPERTS[quality], abs=6e-4)


def test_gpt4_orders_summaries_better_than_gpt35(of: list[Summary]) -> None:
    four = summary_set(DATA, of, {})
    found = {}
    for name in (GPT4, GPT35):
        rows = four.rows().with_scores(np.array(four.metrics[name]))
        found[name] = cit(rows, draw_clusters(rows.clusters, rows.tasks, NONE))
    rho = {name: each.overall["cit_spearman"][0] for name, each in found.items()}
    # Known for GPT-4: .448, .556, .498 and .427, in the mean .482.
    assert rho[GPT4] == pytest.approx(0.482, abs=0.004)
    assert rho[GPT35] == pytest.approx((0.444 + 0.423 + 0.285 + 0.448) / 4, abs=0.002)
