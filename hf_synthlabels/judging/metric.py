"""Judge as a metric of columns: options in, plain numbers out; the logic of `metrics/llm_judge`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.errors import AllFailedError, ConfigError, DataError
from hf_synthlabels.judging.config import JudgeFile
from hf_synthlabels.judging.criteria.criteria_columns import described_criteria
from hf_synthlabels.judging.judge import Judge, Judged
from hf_synthlabels.judging.judge_tables import open_judge
from hf_synthlabels.judging.judgment import CRITERION_STATUSES, JUDGMENT_STATUSES, Judgment
from hf_synthlabels.judging.jury import Jury, Reducer
from hf_synthlabels.judging.pairwise import PairJudgment, PairSummary, judge_pairs
from hf_synthlabels.judging.summary import JudgeSummary

CONFIGS: Mapping[str, str] = {
    "pointwise": "score_0_5",
    "reference": "score_0_5",
    "pairwise": "preference",
    "faysse2023": "faysse2023",
}
"""The metric's configurations, each with its default rubric."""

WITH_REFERENCES = ("reference", "faysse2023")

CRITERION_RESULTS = (
    "mean",
    "mean_low",
    "mean_high",
    "unit_mean",
    "n_scored",
    "coverage",
    "lowest_mean",
    "highest_mean",
)
"""Results of each criterion, under its name and an underscore."""

logger = logging.getLogger(__name__)

MetricJudged = Judged[Judgment, JudgeSummary] | Judged[PairJudgment, PairSummary]


@dataclass(frozen=True)
class MetricJudge:
    """One or several judges for columns of answers; all options are checked before any request is sent.

    Args:
        config: one of `CONFIGS`.
        judges: settings of each judge, with the keys of a recipe's annotator; several judges are a jury.
        rubric: name of a packaged rubric, path, or content of a rubric file; None for the configuration's default.
        extraction: how a score is read; the keys of a judge file's `extraction`.
        reducer: how a jury's scores are combined.
        weights: weights of a jury's members by model, for the reducer `weighted`.
        client: replaces the client of the judge.
        commit_first: whether the judge first answers the inputs itself.

    Raises:
        ConfigError: an option is wrong, or does not fit another one.
        MissingKeyError: the environment variable with the API key is not set.
    """

    config: str
    judges: tuple[Mapping[str, Any], ...] = ()
    rubric: Any = None
    extraction: Mapping[str, Any] | None = None
    reducer: Reducer = "mean"
    weights: Mapping[str, float] | None = None
    client: ChatClient | None = None
    commit_first: bool = False

    def __post_init__(self) -> None:
        if self.config not in CONFIGS:
            raise ConfigError(f"`config_name` is {self.config!r}: give one of {', '.join(CONFIGS)}.")
        if not self.judges and self.client is None:
            raise ConfigError("`judge` is missing: name the model, such as judge={'model': 'gpt-4o-mini'}.")
        if self.config == "pairwise" and len(self.judges) > 1:
            raise ConfigError("`judge` has several members, but a jury scores answers one by one. Give one.")
        for file in self.files:
            rubric = file.read_rubric()
            if (rubric.protocol == "joint") != (self.config == "faysse2023"):
                raise ConfigError(f"`rubric` {rubric.name!r} does not fit {self.config!r}. Give another.")
            if self.client is None and file.judge.client.kind == "openai":
                file.judge.client.endpoint.api_key()
        if self.weights is not None and self.reducer != "weighted":
            raise ConfigError("`weights` belong to the reducer 'weighted' and to no other. Give both or neither.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of this configuration; `inputs` is optional."""
        middle = {"pairwise": ("others",)}.get(self.config, ("references",) if self.config in WITH_REFERENCES else ())
        return ("predictions", *middle, "inputs")

    @cached_property
    def files(self) -> tuple[JudgeFile, ...]:
        """The settings of each member as a judge file."""
        columns = {"prediction": "predictions", "input": "inputs"}
        columns |= {"other": "others"} if self.config == "pairwise" else {}
        columns |= {"reference": "references"} if self.config in WITH_REFERENCES else {}
        content = {
            "name": f"llm_judge-{self.config}",
            "source": {"path": "memory"},
            "rubric": self.rubric or CONFIGS[self.config],
            "columns": columns,
            "commit_first": self.commit_first,
            **({} if self.extraction is None else {"extraction": dict(self.extraction)}),
        }
        # A client passed by the caller defines the model; the rest has its defaults.
        members = self.judges or ({"model": "given"},)
        return tuple(
            JudgeFile.from_dict({**content, "judge": {"client": "openai", **member}}, origin="judge")
            for member in members
        )

    def score(self, columns: Mapping[str, Sequence[Any]], *, level: float = 0.95) -> MetricJudged:
        """Judge the columns. A run that ends early keeps its scores; the other rows are `failed`.

        Args:
            columns: columns named in `self.columns`, of equal length.
            level: confidence level of the intervals.

        Raises:
            AllFailedError: the run ended before any row was scored, for example because the API key was rejected.
            SynthLabelsError: the client cannot be created.
        """
        with ExitStack() as stack:
            judges = [stack.enter_context(open_judge(file, client=self.client)) for file in self.files]
            judged = self._judge(judges, columns, level)
        if judged.stopped:
            if not any(judgment.status == "scored" for judgment in judged.judgments):
                raise AllFailedError(judged.stopped)
            logger.warning("Judging ended early, and the other rows have no score: %s", judged.stopped)
        return judged

    def result(self, judged: MetricJudged, *, items: bool = False) -> dict[str, Any]:
        """Judgments as plain numbers, always under the same keys for a configuration.

        Args:
            judged: returned by `score`.
            items: whether to add the results of each item and a description of the judge.
        """
        values = judged.summary.as_dict()
        unscored = values.pop("n_unscored")
        parse_methods = values.pop("parse_methods")
        winners = values.pop("winners", {})
        method = values.pop("interval_method")
        cost = values.pop("cost_usd")
        criteria = values.pop("criteria", {})
        result: dict[str, Any] = {name: float(value) for name, value in values.items()}
        result["n_unscored"] = float(sum(unscored.values()))
        statuses = [status for status in (CRITERION_STATUSES if criteria else JUDGMENT_STATUSES) if status != "scored"]
        result |= {f"n_unscored_{status}": float(unscored.get(status, 0)) for status in statuses}
        result |= {f"n_{name}": float(count) for name, count in winners.items()}
        if self.config == "faysse2023":
            result = {"reference_mean": math.nan, "ratio": math.nan, **result}
        result["cost_usd"] = math.nan if cost is None else float(cost)
        for name, scores in criteria.items():
            result |= {f"{name}_{key}": float(scores[key]) for key in CRITERION_RESULTS}
        if items:
            result |= _items(judged)
            result |= {"interval_method": method, "parse_methods": parse_methods, "stopped": judged.stopped}
            result |= {"models": sorted(judged.stats.models), "judge": self._description()}
        return result

    def _judge(self, judges: list[Judge], columns: Mapping[str, Sequence[Any]], level: float) -> MetricJudged:
        predictions, inputs = columns["predictions"], columns.get("inputs")
        if self.config == "pairwise":
            others = columns["others"]
            return judge_pairs(judges[0], predictions, others, None, inputs, level=level, keep_on_failure=True)
        references = columns.get("references")
        if len(judges) == 1:
            return judges[0].judge(predictions, references, inputs, level=level, keep_on_failure=True)
        jury = Jury(dict(zip(self._names(), judges, strict=True)), self.reducer, self.weights)
        return jury.judge(predictions, references, inputs, level=level, keep_on_failure=True).judged

    def _names(self) -> list[str]:
        """Names of a jury's members: their models, numbered if several members share one."""
        models = [str(member.get("model")) for member in self.judges]
        return [
            model if models.count(model) == 1 else f"{model}-{models[:place].count(model) + 1}"
            for place, model in enumerate(models)
        ]

    def _description(self) -> dict[str, Any]:
        rubric = self.files[0].read_rubric()
        return {
            "config": self.config,
            "rubric": rubric.name,
            **({"criteria": described_criteria(rubric)} if rubric.criteria else {}),
            **({"commit_first": True} if self.commit_first else {}),
            "hashes": [file.fingerprint() for file in self.files],
            "members": self._names(),
            "package_version": package_version(),
        }


def column_texts(name: str, values: Iterable[Any], *, several: bool = False) -> list[Any]:
    """A column as texts, with None for missing ones; with `several`, a list of texts for each row.

    Unpaired surrogates, which no file can store, become question marks.

    Raises:
        DataError: the column is one text, or a row holds another value than text.
    """
    if isinstance(values, str):
        raise DataError(f"`{name}` is the text {values[:40]!r}. Give a list with one for each row.")
    column: list[Any] = []
    for row, value in enumerate(values):
        texts = list(value) if several and isinstance(value, (list, tuple)) else [value]
        for text in texts:
            if text is not None and not isinstance(text, str):
                raise DataError(f"`{name}` has {text!r} in row {row}, a {type(text).__name__}. Give texts.")
        encodable = [text if text is None else text.encode(errors="replace").decode() for text in texts]
        column.append([text for text in encodable if text is not None] if several else encodable[0])
    return column


def _items(judged: MetricJudged) -> dict[str, Any]:
    """The results of each item as lists in the order of the rows."""
    pairs = [judgment for judgment in judged.judgments if isinstance(judgment, PairJudgment)]
    single = [judgment for judgment in judged.judgments if isinstance(judgment, Judgment)]
    scores: dict[str, Any] = {
        "scores": [judgment.score for judgment in judged.judgments],
        "statuses": [judgment.status for judgment in judged.judgments],
    }
    if isinstance(judged.summary, PairSummary):
        return scores | {
            "winners": [pair.winner for pair in pairs],
            "consistent": [pair.consistent for pair in pairs],
            "preferences": [pair.preference for pair in pairs],
            "reasons": [_reason(pair.in_order) or pair.error for pair in pairs],
        }
    return scores | {
        "reasons": [_reason(judgment) for judgment in single],
        "item_parse_methods": [judgment.parse_method for judgment in single],
        "samples": [list(judgment.samples) for judgment in single],
        "reference_scores": [judgment.reference_score for judgment in single],
        **_criterion_items(single),
    }


def _criterion_items(judgments: Sequence[Judgment]) -> dict[str, Any]:
    """The scores and statuses of each criterion, under its name; nothing for rubrics with one score."""
    names = judgments[0].criteria if judgments else ()
    return {
        f"{name}_{key}": [getattr(judgment.criteria[name], field) for judgment in judgments]
        for name in names
        for key, field in (("scores", "score"), ("statuses", "status"))
    }


def _reason(judgment: Judgment | None) -> str:
    return "" if judgment is None else judgment.reason or judgment.error
