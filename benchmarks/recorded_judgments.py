"""Recorded judgments of others with the human scores next to them: SummEval and Topical-Chat.

The folder is `$HF_SYNTHLABELS_DATA/judge`. Replies are read by the package's own ladder, as replies that were recorded
elsewhere: the score may be part of a sentence. Nothing is written alongside the data.

* SummEval (Fabbri et al. 2021): 100 articles x 12 systems, four qualities, three experts each; GPT-4-0314 in one answer
  format, gpt-3.5-turbo-0301 in five (recorded by Shen et al. 2023, arXiv:2305.13091).
* Topical-Chat (Gopalakrishnan et al. 2019): 60 dialogues x 6 replies; 20 draws of gpt-3.5 in four prompt styles
  (recorded by Chiang and Lee 2023, arXiv:2310.05657).
"""

from __future__ import annotations

import functools
import gzip
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.judging import Rubric, read_reply, read_rubric

__all__ = [
    "FORMATS",
    "QUALITIES",
    "STYLES",
    "Replies",
    "Summary",
    "dialogues",
    "summaries",
    "summary_replies",
    "summary_texts",
]

Floats = NDArray[np.float64]

QUALITIES = ("coherence", "consistency", "fluency", "relevance")

FORMATS = ("rts", "altrts", "mcq", "altmcq", "stareval")
"""Reason then score, in two wordings; multiple choice, in two wordings; stars."""

STYLES = ("geval", "llm_eval_no_cot", "rate_explain", "analyze_rate")
"""A number alone, twice; a number and why; an analysis and then a number."""

ATTRIBUTES = {
    "nat": ("naturalness", 1.0, 3.0),
    "coh": ("coherence", 1.0, 3.0),
    "eng": ("engagingness", 1.0, 3.0),
    "gro": ("groundedness", 0.0, 1.0),
}

HUMAN_REPLY = "Original Ground Truth"
"""What was really said next: the reference of the other replies."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One system's summary of one article."""

    article: str
    system: str
    text: str
    references: tuple[str, ...]
    experts: dict[str, tuple[float, ...]]
    """What each of three experts said, from 1 to 5, by quality."""

    def human(self, quality: str) -> float:
        """The experts' mean."""
        return float(np.mean(self.experts[quality]))


@dataclass(frozen=True, slots=True)
class Replies:
    """Replies to one dialogue, all columns of the same length."""

    items: list[str]
    systems: list[str]
    texts: list[str]
    references: list[str]
    human: Floats
    """From 0 to 1."""
    scores: Floats
    """The mean of what the draws say, from 0 to 1; nan where none says a score."""


def summaries(data: Path) -> list[Summary]:
    """SummEval's 1,200 summaries, by system and then in the order of the file."""
    out = []
    for name, text in _members(data):
        if "/model_output_annotations/" not in f"/{name}":
            continue
        for line in text.splitlines():
            row = json.loads(line)
            said = {quality: tuple(each[quality] for each in row["expert_annotations"]) for quality in QUALITIES}
            out.append(Summary(row["id"], row["model_id"], row["decoded"], tuple(row["references"]), said))
    return sorted(out, key=lambda each: each.system)


def summary_replies(data: Path, judge: str, quality: str, form: str, of: list[Summary]) -> Floats:
    """A judge's scores of summaries, from 1 to 5; nan where a reply says none."""
    rubric = _rubric(quality, form)
    scores = [read_reply(rubric, text).score for text in summary_texts(data, judge, quality, form, of)]
    return np.array([np.nan if score is None else score for score in scores])


def summary_texts(data: Path, judge: str, quality: str, form: str, of: list[Summary]) -> list[str]:
    """A judge's replies on summaries, as they came."""
    said: dict[tuple[str, str], str] = {}
    for name, text in _members(data):
        parts = name.split("/")
        if "eval_model_generations" not in parts or parts[-3] != judge or parts[-1] != f"{quality}_{form}.txt":
            continue
        system = parts[-2].removeprefix("eval_").removesuffix("_generations")
        for line in text.splitlines():
            row = json.loads(line)
            # A file of the consistency letters holds some rows twice; they say the same.
            said[row["id"], system] = row["resp"]
    return [said[each.article, each.system] for each in of]


def dialogues(data: Path, attribute: str, style: str) -> Replies:
    """The replies of five systems; those whose dialogue has lost its reference are left out, and so are references."""
    quality, low, high = ATTRIBUTES[attribute]
    with gzip.open(data / "topical_chat" / f"gpt3.5_{attribute}_{style}.json.gz", "rt", encoding="utf-8") as file:
        rows = json.load(file)
    reference = {row["source"]: row["system_output"] for row in rows if row["system_id"] == HUMAN_REPLY}
    kept = [row for row in rows if row["system_id"] != HUMAN_REPLY and row["source"] in reference]
    rubric = read_rubric(
        {
            "name": quality,
            "instructions": f"How good is the reply's {quality}?",
            "scale": {"low": low, "high": high},
            "verdict": {"anywhere": True, "aliases": ["rating", quality]},
        }
    )
    scores = []
    for row in kept:
        drawn = [read_reply(rubric, reply).score for reply in row["all_responses"]]
        known = [score for score in drawn if score is not None]
        scores.append((np.mean(known) - low) / (high - low) if known else np.nan)
    return Replies(
        [row["source"] for row in kept],
        [row["system_id"] for row in kept],
        [row["system_output"] for row in kept],
        [reference[row["source"]] for row in kept],
        np.array([(row["scores"][quality] - low) / (high - low) for row in kept]),
        np.array(scores),
    )


def _rubric(quality: str, form: str) -> Rubric:
    """What reads the replies in one of the answer formats."""
    common = {"name": f"{quality}-{form}", "instructions": f"How good is the {quality}?"}
    if not form.endswith("mcq"):
        return read_rubric(
            common | {"scale": {"low": 1, "high": 5}, "verdict": {"anywhere": True, "aliases": ["rating", quality]}}
        )
    # The letter comes first; the text after it may name others.
    choices = [
        {"answer": letter, "score": place, "pattern": rf"\b{letter}(?=[:.)\s]|$)"}
        for place, letter in enumerate("ABCDE", start=1)
    ]
    return read_rubric(common | {"choices": choices, "verdict": {"take": "first"}})


def _members(data: Path) -> Iterator[tuple[str, str]]:
    yield from _archive(data / "summeval_damo" / "summeval_damo.tar.xz")


@functools.lru_cache(maxsize=1)
def _archive(path: Path) -> tuple[tuple[str, str], ...]:
    with tarfile.open(path) as archive:
        return tuple(
            (member.name, file.read().decode())
            for member in archive.getmembers()
            if member.isfile() and (file := archive.extractfile(member)) is not None
        )
