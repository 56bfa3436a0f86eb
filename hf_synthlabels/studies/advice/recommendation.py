"""Recommendation: what to do with LLM labels, from the numbers of a study and never beyond them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import Section, Table
from hf_synthlabels.studies.advice.advice_text import (
    FIRST_LOOK,
    Comparison,
    caveats,
    comparisons,
    evidence,
    more_rows,
)
from hf_synthlabels.studies.advice.cases import SCEPTICISM, Verdict, low_coverage, study_cases
from hf_synthlabels.studies.analysis.base import Analysis, analyze_runs
from hf_synthlabels.studies.runs import StudyRuns
from hf_synthlabels.studies.wording import ENCODER, label_maker, reworded


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The decision, its evidence, its caveats, and the interval that decides."""

    verdict: Verdict
    evidence: str
    """Why: the deciding difference with its n, interval and margin; without a verdict the reason."""
    decides: Interval
    """The difference whose interval led to the verdict; undefined without a verdict."""
    decided_by: str
    """What that difference is."""
    caveats: tuple[str, ...] = ()
    """What limits the recommendation, the main caveat first."""
    comparisons: tuple[Comparison, ...] = ()
    """All differences that were looked at, the deciding one first."""
    more: int | None = None
    """Test rows to label by hand in addition, if that would settle it."""
    maker: str = "LLM"
    """What made the labels that are not human ones: `LLM`, `encoder` or `machine`."""
    student: str | None = None
    """The student that the verdict is about."""

    @property
    def decision(self) -> str:
        """The verdict as a sentence."""
        match self.verdict:
            case "use the student":
                return f"Use the student {self.student!r}, trained on {self.maker} labels, to label new texts."
            case "use the LLM labels":
                return f"Use the {self.maker} labels to train the student {self.student!r}."
            case "use the annotator itself":
                return f"Use the {self.maker} itself to label new texts, not a student trained on its labels."
            case "label more by hand":
                if self.more is None:
                    return "Undecided: the comparison is inconclusive."
                return f"Label about {self.more:,} more test rows by hand before deciding."
            case "label all by hand":
                if self.maker == ENCODER:
                    return "The encoder's labels are not good enough."
                return f"Label all rows by hand: the {self.maker} labels are not good enough."
            case _:
                return "No verdict."

    @property
    def summary(self) -> tuple[str, ...]:
        """The decision, the evidence and the main caveat, one sentence each."""
        return (self.decision, self.evidence, *self.caveats[:1])

    @property
    def text(self) -> str:
        """The summary as one paragraph."""
        return " ".join(self.summary)


def recommend(runs: StudyRuns | Analysis) -> Recommendation:
    """What the numbers of a study advise.

    Among several students it is the one that human labels train best, which no LLM label has a part in; among several
    sources of LLM labels the one with the least sceptical verdict. Better LLM labels never make it more sceptical.
    There is no verdict while cells are missing, or if an annotator labeled less than 90% of its rows.
    """
    analysis = analyze_runs(runs)
    maker = label_maker(analysis.runs)
    if reason := _unfinished(analysis.runs):
        return _no_verdict(reason, analysis, maker)
    cases = study_cases(analysis)
    covered = [case for case in cases if not case.low_coverage]
    if not covered:
        reason = " ".join(case.low_coverage for case in cases) or _no_pair(analysis.runs)
        return _no_verdict(reason, analysis, maker)
    case = min(covered, key=lambda each: (SCEPTICISM[each.verdict], -each.student.low))
    margin = analysis.runs.margin
    more = more_rows(case, analysis)
    recommendation = Recommendation(
        case.verdict,
        evidence(case, margin, len(covered)),
        case.decides,
        f"{'the LLM itself' if case.by_annotator else 'LLM-trained'} minus human-trained",
        caveats(case, analysis, len(covered), more.text),
        comparisons(case, margin),
        more.rows,
        maker,
        case.pairs[0].llm.student,
    )
    return _named_maker(recommendation, maker)


def recommendation_section(recommendation: Recommendation) -> Section | None:
    """The comparisons behind a recommendation and its further caveats; None without a verdict."""
    if not recommendation.comparisons:
        return None
    table = Table(
        "comparisons",
        "Differences behind the recommendation",
        ("comparison", "difference", "verdict"),
        tuple((each.name, each.difference, each.verdict) for each in recommendation.comparisons),
        "Paired differences of the main score on the same test rows and seeds.",
    )
    answer = f"The comparison that decides: {recommendation.decided_by}, {recommendation.decides}."
    return Section("recommendation", "Basis of the recommendation", answer, (table,), recommendation.caveats[1:])


def _named_maker(recommendation: Recommendation, maker: str) -> Recommendation:
    """Texts that name what made the labels; for labels of an encoder the main caveat is that no LLM was asked."""
    first = (FIRST_LOOK,) if maker == ENCODER else ()
    texts = reworded((recommendation.evidence, recommendation.decided_by, *recommendation.caveats), maker)
    return replace(
        recommendation,
        evidence=texts[0],
        decided_by=texts[1],
        caveats=(*first, *texts[2:]),
        comparisons=reworded(recommendation.comparisons, maker),
    )


def _no_verdict(reason: str, analysis: Analysis, maker: str) -> Recommendation:
    undefined = Interval(math.nan, math.nan, math.nan, analysis.runs.level, "none", 0)
    return _named_maker(Recommendation("no verdict", reason, undefined, "nothing", maker=maker), maker)


def _unfinished(runs: StudyRuns) -> str:
    facts = runs.facts or {}
    if not facts.get("missing"):
        return ""
    return f"{facts['missing']:,} of {facts['cells']:,} cells are still to be trained. Run the study again."


def _no_pair(runs: StudyRuns) -> str:
    """Why no student of human labels can be compared with one of LLM labels."""
    names = dict.fromkeys(name for task in runs.tasks for name in task.annotators)
    low = [low_coverage(name, [task for task in runs.tasks if name in task.annotators]) for name in names]
    if any(low):
        return " ".join(filter(None, low))
    failed = {str(each["why"]): each for each in (runs.facts or {}).get("failed", ())}
    if not failed:
        return "The study has no pair of students that differ only in human and LLM labels."
    shown = list(failed.items())[:2]
    return " ".join(
        f"The student {each['student']!r} of {each['source']!r} labels failed: {why}" for why, each in shown
    )
