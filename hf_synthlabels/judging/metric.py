"""The judge as a metric of columns: options in, plain numbers out. What `metrics/llm_judge` shows to `evaluate`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.annotation.client_factory import client_use
from hf_synthlabels.annotation.provenance import package_version
from hf_synthlabels.clients import ChatClient
from hf_synthlabels.clients.factory import open_client
from hf_synthlabels.clients.openai.transport import read_api_key
from hf_synthlabels.errors import AllFailedError, ConfigError, DataError
from hf_synthlabels.judging.judge import Judge, Judged
from hf_synthlabels.judging.judgment import JUDGMENT_STATUSES, Judgment
from hf_synthlabels.judging.jury import Jury, Reducer
from hf_synthlabels.judging.pairwise import PairsJudged, judge_pairs
from hf_synthlabels.judging.rubric import Rubric
from hf_synthlabels.judging.run.config import JudgeFile

CONFIGS: Mapping[str, str] = {
    "pointwise": "score_0_5",
    "reference": "score_0_5",
    "pairwise": "preference",
    "faysse2023": "faysse2023",
}
"""The configurations of the metric, and the rubric that each has unless it is given another."""

REFERENCES = ("reference", "faysse2023")
"""Configurations in which references are given."""

logger = logging.getLogger(__name__)

UNSCORED = tuple(status for status in JUDGMENT_STATUSES if status != "scored")


@dataclass(frozen=True)
class MetricJudge:
    """One or several judges for columns of answers, with every option checked before anything is asked.

    Args:
        config: one of `CONFIGS`.
        judges: the keys of a recipe's annotator; of several, each is a member of a jury.
        rubric: a packaged rubric's name, a path, or what stands in a rubric file; None for the configuration's.
        extraction: how a score is read; the keys of a judge file's `extraction`.
        reducer: how a jury's scores are folded.
        weights: of the members of a jury, by model, for the reducer `weighted`.
        client: asked in place of the judge's own.

    Raises:
        ConfigError: an option is wrong, or does not fit the others.
        MissingKeyError: the variable with the key is not set.
    """

    config: str
    judges: tuple[Mapping[str, Any], ...] = ()
    rubric: Any = None
    extraction: Mapping[str, Any] | None = None
    reducer: Reducer = "mean"
    weights: Mapping[str, float] | None = None
    client: ChatClient | None = None

    def __post_init__(self) -> None:
        if self.config not in CONFIGS:
            raise ConfigError(f"`config_name` is {self.config!r}: give one of {', '.join(CONFIGS)}.")
        if not self.judges and self.client is None:
            raise ConfigError("`judge` is missing: say who is asked, such as judge={'model': 'gpt-4o-mini'}.")
        if self.config == "pairwise" and len(self.judges) > 1:
            raise ConfigError("`judge` has several members, and a jury scores answers one by one. Give one.")
        for file in self.files():
            if (file.read_rubric().protocol == "joint") != (self.config == "faysse2023"):
                raise ConfigError(f"`rubric` {file.read_rubric().name!r} does not fit {self.config!r}. Give another.")
            if self.client is None and file.judge.client.kind == "openai":
                read_api_key(file.judge.client.api_key_env)
        if self.weights is not None and self.reducer != "weighted":
            raise ConfigError("`weights` belong to the reducer 'weighted', and to no other. Give both or neither.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of this configuration; `inputs` may be left out."""
        middle = {"pairwise": ("others",)}.get(self.config, ("references",) if self.config in REFERENCES else ())
        return ("predictions", *middle, "inputs")

    def files(self) -> list[JudgeFile]:
        """A judge file for each member, as if the columns were a data set."""
        named = {"prediction": "predictions", "input": "inputs"}
        named |= {"other": "others"} if self.config == "pairwise" else {}
        named |= {"reference": "references"} if self.config in REFERENCES else {}
        content = {
            "name": f"llm_judge-{self.config}",
            "source": {"path": "memory"},
            "rubric": self.rubric or CONFIGS[self.config],
            "columns": named,
            **({} if self.extraction is None else {"extraction": dict(self.extraction)}),
        }
        # With a client of its own who is asked is said by that; the rest are a judge's usual keys.
        members = self.judges or ({"model": "given"},)
        return [
            JudgeFile.from_dict({**content, "judge": {"client": "openai", **member}}, origin="judge")
            for member in members
        ]

    def score(self, columns: Mapping[str, Sequence[Any]], *, level: float = 0.95) -> Judged | PairsJudged:
        """Judge the columns. A run that ends early keeps its scores; the other rows are unscored as `failed`.

        Args:
            columns: those of `self.columns`, of equal length.
            level: confidence level of the intervals.

        Raises:
            AllFailedError: the run ended before any row was scored, for example because the key was rejected.
            SynthLabelsError: the judge cannot be opened.
        """
        with ExitStack() as opened:
            judged = self._judged([self._opened(opened, file) for file in self.files()], columns, level)
        if judged.stopped:
            if not any(judgment.status == "scored" for judgment in judged.judgments):
                raise AllFailedError(judged.stopped)
            logger.warning("Judging ended early, and the other rows have no score: %s", judged.stopped)
        return judged

    def result(self, found: Judged | PairsJudged, *, items: bool = False) -> dict[str, Any]:
        """What was judged, as plain numbers, in the same keys for the same configuration.

        Args:
            found: what `score` returned.
            items: whether each item's result, and what the judge was, come as well.
        """
        plain = found.summary.as_dict()
        reasons = plain.pop("n_unscored")
        rungs = plain.pop("rungs")
        winners = plain.pop("winners", {})
        method = plain.pop("interval_method")
        cost = plain.pop("cost_usd")
        out: dict[str, Any] = {name: float(value) for name, value in plain.items()}
        out["n_unscored"] = float(sum(reasons.values()))
        out |= {f"n_unscored_{status}": float(reasons.get(status, 0)) for status in UNSCORED}
        out |= {f"n_{name}": float(count) for name, count in winners.items()}
        if self.config == "faysse2023":
            out = {"reference_mean": math.nan, "ratio": math.nan, **out}
        out["cost_usd"] = math.nan if cost is None else float(cost)
        if items:
            out |= _items(found)
            out |= {"interval_method": method, "rungs": rungs, "stopped": found.stopped}
            out |= {"models": sorted(found.tally.models), "judge": self._described()}
        return out

    def _judged(self, judges: list[Judge], columns: Mapping[str, Sequence[Any]], level: float) -> Judged | PairsJudged:
        predictions, inputs = columns["predictions"], columns.get("inputs")
        if self.config == "pairwise":
            others = columns["others"]
            return judge_pairs(judges[0], predictions, others, None, inputs, level=level, keep_on_failure=True)
        references = columns.get("references")
        if len(judges) == 1:
            return judges[0].judge(predictions, references, inputs, level=level, keep_on_failure=True)
        jury = Jury(dict(zip(self._names(), judges, strict=True)), self.reducer, self.weights)
        return jury.judge(predictions, references, inputs, level=level, keep_on_failure=True).judged

    def _opened(self, stack: ExitStack, file: JudgeFile) -> Judge:
        recipe = file.recipe
        opened = stack.enter_context(
            open_client(recipe.client(), client_use(recipe, {}, checked=False), client=self.client)
        )
        price = None if self.client is not None else recipe.annotator.client.resolved_price
        rubric, ladder = file.read_rubric(), file.ladder()
        return Judge(rubric, opened.client, ladder, opened.as_json, recipe.annotator.system, price, opened.window_rows)

    def _names(self) -> list[str]:
        """What the members of a jury are called: by their models, numbered where they share one."""
        models = [str(member.get("model")) for member in self.judges]
        return [
            model if models.count(model) == 1 else f"{model}-{models[:place].count(model) + 1}"
            for place, model in enumerate(models)
        ]

    def _rubric(self) -> Rubric:
        return self.files()[0].read_rubric()

    def _described(self) -> dict[str, Any]:
        files = self.files()
        return {
            "config": self.config,
            "rubric": self._rubric().name,
            "hashes": [file.fingerprint() for file in files],
            "members": self._names(),
            "package_version": package_version(),
        }


def column_texts(name: str, values: Iterable[Any], *, several: bool = False) -> list[Any]:
    """A column as the judge wants it: texts, None where there is none; of references a list of texts for each row.

    Half a surrogate pair, which no file can hold, becomes a question mark.

    Raises:
        DataError: it is one text, or a row holds something other than text.
    """
    if isinstance(values, str):
        raise DataError(f"`{name}` is the text {values[:40]!r}. Give a list with one for each row.")
    found: list[Any] = []
    for row, value in enumerate(values):
        texts = list(value) if several and isinstance(value, (list, tuple)) else [value]
        for text in texts:
            if text is not None and not isinstance(text, str):
                raise DataError(f"`{name}` has {text!r} in row {row}, a {type(text).__name__}. Give texts.")
        whole = [text if text is None else text.encode(errors="replace").decode() for text in texts]
        found.append([text for text in whole if text is not None] if several else whole[0])
    return found


def _items(found: Judged | PairsJudged) -> dict[str, Any]:
    """Each item's result, as lists in the order of the rows."""
    if isinstance(found, PairsJudged):
        return {
            "scores": [pair.score for pair in found.judgments],
            "winners": [pair.winner for pair in found.judgments],
            "consistent": [pair.consistent for pair in found.judgments],
            "preferences": [pair.preference for pair in found.judgments],
            "statuses": [pair.status for pair in found.judgments],
            "reasons": [_reason(pair.in_order) or pair.trouble for pair in found.judgments],
        }
    return {
        "scores": [one.score for one in found.judgments],
        "statuses": [one.status for one in found.judgments],
        "reasons": [_reason(one) or one.trouble for one in found.judgments],
        "rungs_of_items": [one.rung for one in found.judgments],
        "draws": [list(one.draws) for one in found.judgments],
        "reference_scores": [one.reference_score for one in found.judgments],
    }


def _reason(judgment: Judgment | None) -> str:
    return "" if judgment is None else judgment.reason or judgment.trouble
