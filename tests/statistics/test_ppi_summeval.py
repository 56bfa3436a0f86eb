"""What docs/results/ppi_coverage.md says, with fewer draws."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.judging_coverage import KNOWN, Judged, authors_reading, coverage, judged_summaries
from benchmarks.recorded_judgments import Summary, summaries, summary_texts

DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data") / "judge"

needs_data = pytest.mark.skipif(
    not (DATA / "summeval_damo").is_dir(), reason="judge/summeval_damo is not in the folder of HF_SYNTHLABELS_DATA"
)


@pytest.fixture(scope="module")
def rows() -> list[Summary]:
    return summaries(DATA)


@pytest.fixture(scope="module")
def judged(rows: list[Summary]) -> list[Judged]:
    return [each for each in judged_summaries(DATA, rows) if each.judge == "gpt-4-0314"]


@needs_data
@pytest.mark.parametrize("quality", KNOWN)
def test_replies_are_read_as_known_and_better(quality: str, rows: list[Summary], judged: list[Judged]) -> None:
    (found,) = (each for each in judged if each.quality == quality)
    texts = summary_texts(DATA, "gpt-4-0314", quality, "rts", rows)
    theirs = np.array([authors_reading(text) for text in texts])
    # .5565 is known as .556.
    assert stats.spearmanr(found.human, theirs).statistic == pytest.approx(KNOWN[quality], abs=6e-4)
    scored = ~np.isnan(found.scores)
    assert scored.sum() >= 1198
    assert (theirs[scored] != found.scores[scored]).sum() <= 6
    assert stats.spearmanr(found.human[scored], found.scores[scored]).statistic == pytest.approx(
        KNOWN[quality], abs=0.006
    )


@needs_data
def test_intervals_of_100_labels_hold_the_mean_of_1200_and_are_narrower(judged: list[Judged]) -> None:
    for each in judged:
        tally = coverage(each.human, each.scores, 100, 300)
        # 300 draws: two and a half standard errors around .95 are .919 to .981.
        assert 0.915 <= tally.held / 300 <= 0.985, each.quality
        assert tally.width < 0.94 * tally.width_alone
        assert tally.mean("effective") > 110
        # The judge's own mean is far off: that is what is put right.
        assert abs(np.nanmean(each.scores) - each.human.mean()) > 0.13


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("A good summary. Final score: 4.", 4),
        ("Fine. Score: three", 3),
        ("I would give it a score of 3.5.", 3.5),
        ("It fails to mention that the letters did not sell. 2/5", 5),
        ("It is a 4.5 for fluency.", 4.5),
        ("He has scored 15 penalties, which the article does not say. 2.", 1),
        ("A summary.", -1),
    ],
)
def test_the_recorders_script_reads_so(reply: str, read: float) -> None:
    assert authors_reading(reply) == read
