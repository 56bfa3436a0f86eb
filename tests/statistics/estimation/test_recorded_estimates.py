"""Numbers of docs/results/valid_conclusions.md and docs/results/ppi_coverage.md, with fewer draws."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.judging_coverage import KNOWN, authors_reading, coverage, judged_summaries
from benchmarks.recorded_judgments import summaries, summary_texts
from benchmarks.valid_conclusions import QUESTIONS, read_sources, tallies

DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data")
JUDGES = DATA / "judge"
DRAWS = 60

needs_summeval = pytest.mark.skipif(
    not (JUDGES / "summeval_damo").is_dir(), reason="judge/summeval_damo is not in the folder of HF_SYNTHLABELS_DATA"
)


@pytest.mark.skipif(
    not (DATA / "uiuc_llm_annotations").is_dir() or not (DATA / "media_bias_babe").is_dir(),
    reason="uiuc_llm_annotations or media_bias_babe is not in the folder of HF_SYNTHLABELS_DATA",
)
def test_corrected_intervals_cover_the_true_value_and_naive_ones_do_not() -> None:
    chosen = [QUESTIONS[0], QUESTIONS[2], QUESTIONS[3], QUESTIONS[7]]
    for question, tally in zip(chosen, tallies(chosen, read_sources(DATA), DRAWS), strict=True):
        for estimator in ("classical", "ppi", "dsl"):
            # 60 draws: three standard errors below .95.
            assert tally.held[estimator] >= 0.866 * DRAWS, (question.what, estimator)
        assert tally.width["ppi"] < 0.9 * tally.width["classical"]
        assert np.nanmedian(tally.worth["ppi"]) > 300
        if question.what.startswith("prevalence"):
            assert tally.held["naive"] == 0


@needs_summeval
def test_recorded_scores_have_their_known_correlations() -> None:
    rows = summaries(JUDGES)
    judged = {each.quality: each for each in judged_summaries(JUDGES, rows) if each.judge == "gpt-4-0314"}
    for quality, known in KNOWN.items():
        ours = judged[quality]
        texts = summary_texts(JUDGES, "gpt-4-0314", quality, "rts", rows)
        theirs = np.array([authors_reading(text) for text in texts])
        # .5565 is known as .556.
        assert stats.spearmanr(ours.human, theirs).statistic == pytest.approx(known, abs=6e-4)
        scored = ~np.isnan(ours.scores)
        assert scored.sum() >= 1198
        assert (theirs[scored] != ours.scores[scored]).sum() <= 6
        correlation = stats.spearmanr(ours.human[scored], ours.scores[scored]).statistic
        assert correlation == pytest.approx(known, abs=0.006)
        tally = coverage(ours.human, ours.scores, 100, 300)
        # 300 draws: two and a half standard errors around .95 are .919 to .981.
        assert 0.915 <= tally.held / 300 <= 0.985, quality
        assert tally.width < 0.94 * tally.width_alone
        assert tally.mean("effective") > 110
        # The judge's own mean is far off.
        assert abs(np.nanmean(ours.scores) - ours.human.mean()) > 0.13


def test_replies_are_read_as_by_the_authors_script() -> None:
    for reply, score in {
        "A good summary. Final score: 4.": 4,
        "Fine. Score: three": 3,
        "I would give it a score of 3.5.": 3.5,
        "It fails to mention that the letters did not sell. 2/5": 5,
        "It is a 4.5 for fluency.": 4.5,
        "He has scored 15 penalties, which the article does not say. 2.": 1,
        "A summary.": -1,
    }.items():
        assert authors_reading(reply) == score
