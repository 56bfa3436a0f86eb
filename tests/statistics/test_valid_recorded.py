"""What docs/results/valid_conclusions.md says, with fewer draws."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.valid_conclusions import QUESTIONS, Source, read_sources, tallies

DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")

needs_data = pytest.mark.skipif(
    not (DATA / "uiuc_llm_annotations").is_dir() or not (DATA / "media_bias_babe").is_dir(),
    reason="uiuc_llm_annotations or media_bias_babe is not in the folder of HF_SYNTHLABELS_DATA",
)

DRAWS = 60


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return read_sources(DATA)


@needs_data
def test_corrected_intervals_hold_the_truth_and_llm_labels_alone_do_not(sources: dict[str, Source]) -> None:
    chosen = [QUESTIONS[0], QUESTIONS[2], QUESTIONS[3], QUESTIONS[7]]
    for question, found in zip(chosen, tallies(chosen, sources, DRAWS), strict=True):
        for way in ("classical", "ppi", "dsl"):
            # 60 draws: three standard errors below .95.
            assert found.held[way] >= 0.866 * DRAWS, (question.what, way)
        assert found.width["ppi"] < 0.9 * found.width["classical"]
        assert np.nanmedian(found.worth["ppi"]) > 300
        if question.what.startswith("prevalence"):
            assert found.held["naive"] == 0
