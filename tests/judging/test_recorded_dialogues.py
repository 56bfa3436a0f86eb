"""Recorded replies to Topical-Chat, twenty draws each, through the client of recorded replies and the judge."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from hf_synthlabels.clients import RecordedClient
from hf_synthlabels.judging import Extraction, Judge, read_rubric
from hf_synthlabels.judging.prompting.judge_prompt import Item

DATA = Path(os.environ.get("HF_SYNTHLABELS_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
"""Read before any test hides the variable."""

FOLDER = DATA / "judge" / "topical_chat"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no local copy of judge/topical_chat")


def rubric(quality: str, low: int, high: int) -> Any:
    return read_rubric(
        {
            "name": quality,
            "instructions": f"Rate the {quality} of the response.",
            "scale": {"low": low, "high": high},
            "verdict": {"aliases": ["rating", quality], "anywhere": True},
        }
    )


def test_agreement_with_people_by_the_style_of_the_prompt(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str, tuple[int, int], float]] = [
        ("nat_geval", "naturalness", (1, 3), 0.393),
        ("nat_rate_explain", "naturalness", (1, 3), 0.569),
        ("nat_analyze_rate", "naturalness", (1, 3), 0.520),
        ("coh_analyze_rate", "coherence", (1, 3), 0.476),
        ("eng_analyze_rate", "engagingness", (1, 3), 0.564),
        ("gro_analyze_rate", "groundedness", (0, 1), 0.580),
    ]
    for file, quality, scale, r in cases:
        with subtests.test(repr((file, quality, scale, r))):
            with gzip.open(FOLDER / f"gpt3.5_{file}.json.gz", "rt", encoding="utf-8") as text:
                rows = json.load(text)
            judge = Judge(rubric(quality, *scale), RecordedClient(column="all_responses"), Extraction(num_samples=20))
            found = list(judge.stream(Item(row["system_output"], row=row) for row in rows))
            scored = [
                (one.score, row["scores"][quality])
                for one, row in zip(found, rows, strict=True)
                if one.score is not None
            ]
            samples = [sample for one in found for sample in one.samples]
            assert len(scored) == len(rows)
            assert samples.count(None) / len(samples) < 0.01
            # Those who recomputed them first read a few replies otherwise.
            assert stats.pearsonr(*zip(*scored, strict=True)).statistic == pytest.approx(r, abs=0.01)
