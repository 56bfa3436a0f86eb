"""An LLM judge as a metric: a mean score with its interval, and what the unscored items could change."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate

from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.judging import metric as judging

_DESCRIPTION = """
Scores answers with a large language model and a rubric: one by one, with a reference, in pairs in both orders, or
answer and reference together. Unscored answers are counted by reason, and the result bounds the mean that they allow.
Replies are stored, so that the same answers are never paid for twice.
"""

_CITATION = """
@inproceedings{faysse2023revisiting,
  title={Revisiting Instruction Fine-tuned Model Evaluation to Guide Industrial Applications},
  author={Faysse, Manuel and Viaud, Gautier and Hudelot, C{\\'e}line and Colombo, Pierre},
  booktitle={Proceedings of EMNLP},
  year={2023}
}
"""

_KWARGS_DESCRIPTION = """
Options at load:
    config_name: "pointwise" (the default), "reference", "pairwise" or "faysse2023".
    judge: the client, with the keys of a recipe's annotator, such as {"model": "gpt-4o-mini", "budget_usd": 2,
        "api_key_env": "OPENAI_API_KEY"}; for your own server also "base_url" and "api_key_env": None. A list of them
        is a jury.
    rubric: name of a packaged rubric, path of a rubric file, or the content of one as a dict.
    extraction: how a score is read, such as {"parse_methods": ["schema", "line"]}.
    reducer, weights: of a jury: "mean", "median", "majority", or "weighted" with a weight for each model.
    client: a chat client of hf_synthlabels that replaces the configured one.
    commit_first: whether the judge answers the inputs before it sees the predictions; False by default.
    level: confidence level of the intervals, 0.95 by default.

Args:
    predictions: the answers; None and empty ones are not sent to the judge.
    references: with "reference" and "faysse2023": a text for each row, with "reference" also a list of them.
    others: with "pairwise": the answers that the predictions are compared with.
    inputs: the prompt of each row; optional. `evaluate.combine(...).add_batch` needs `inputs=None` then.
    return_items: whether to add the score, status and reason of each row.

Returns:
    mean with mean_low and mean_high, on the rubric's scale, and unit_mean from 0 to 1; for "pairwise" win_rate instead,
    n_first, n_tie and n_second, consistency (both orders agree) and shown_first (the proportion of verdicts for the
    answer shown first). lowest_mean and highest_mean, over all rows, if the unscored ones were the worst or the best.
    n, n_scored, coverage, n_unscored and n_unscored_<reason>; requests, stored, tokens, cost_usd (nan if no price is
    known). For "faysse2023" also reference_mean and ratio. For several criteria, mean is the overall score, and each
    criterion has <criterion>_mean with its limits, <criterion>_n_scored, <criterion>_coverage and more.

Examples:
    >>> from hf_synthlabels.clients import ScriptedClient
    >>> client = ScriptedClient(lambda request: "Right.\\nscore: 5" if "Paris" in request.messages[-1].content else "?")
    >>> metric = evaluate.load("metrics/llm_judge", "pointwise", client=client)
    >>> found = metric.compute(predictions=["Paris", "Rome"], inputs=["The capital of France?"] * 2)
    >>> found["mean"], found["coverage"], found["n_unscored_unparsed"], found["lowest_mean"], found["highest_mean"]
    (5.0, 0.5, 1.0, 2.5, 5.0)
"""

SINGULAR = {"prediction": "predictions", "reference": "references", "other": "others", "input": "inputs"}
"""The names that evaluate documents for `add`."""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class LlmJudge(evaluate.Metric):
    def __init__(
        self,
        config_name: str | None = None,
        *args: Any,
        judge: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        rubric: Any = None,
        extraction: Mapping[str, Any] | None = None,
        reducer: Any = "mean",
        weights: Mapping[str, float] | None = None,
        client: Any = None,
        commit_first: bool = False,
        level: float = 0.95,
        **kwargs: Any,
    ) -> None:
        # Options are checked here, because an error in _compute would lose the batch.
        known = inspect.signature(evaluate.Metric.__init__).parameters
        if unknown := sorted(set(kwargs) - set(known)):
            raise ValueError(
                f"`{unknown[0]}` is not an option: give judge, rubric, extraction, reducer, weights, client, "
                "commit_first or level."
            )
        if not 0 < level < 1:
            raise ValueError(f"`level` is {level!r}: give a number between 0 and 1, such as 0.95.")
        members = () if judge is None else (judge,) if isinstance(judge, Mapping) else tuple(judge)
        self.level = level
        self.judge = judging.MetricJudge(
            config=config_name if config_name not in (None, "default") else "pointwise",
            judges=members,
            rubric=rubric,
            extraction=extraction,
            reducer=reducer,
            weights=weights,
            client=client,
            commit_first=commit_first,
        )
        self._error: SynthLabelsError | None = None
        self._rows: dict[str, list[Any]] = {}
        super().__init__(config_name, *args, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        # evaluate refuses a batch of "string" whose first value is None; of "large_string" it does not.
        text = datasets.Value("large_string")
        features = {name: datasets.LargeList(text) if name == "references" else text for name in self.judge.columns}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(features),
        )

    # evaluate writes the description above to the end of these three docstrings.
    def compute(self, *, return_items: bool = False, **columns: Any) -> dict[str, Any] | None:
        """The judge's verdict on all rows given; None in processes other than the first."""
        # evaluate drops columns that the metric does not have, and passes on unknown ones.
        given = {name: column for name, column in columns.items() if column is not None}
        if given:
            given = self._read(given)
        result: dict[str, Any] | None = super().compute(**given, return_items=return_items)
        error, self._error = self._error, None
        if error is None:
            return result
        if not given:
            # Rows that were added before stay, so that `compute` can be called again.
            self.add_batch(**self._rows)
        raise error

    def add_batch(self, **columns: Any) -> None:
        """Take rows, to be judged together by `compute`."""
        super().add_batch(**self._read({name: column for name, column in columns.items() if column is not None}))

    def add(self, **row: Any) -> None:
        """Take one row, to be judged by `compute`: `prediction`, and as configured `reference`, `other`, `input`."""
        self.add_batch(**{SINGULAR.get(name, name): [value] for name, value in row.items() if value is not None})

    def _read(self, columns: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The columns checked, before evaluate takes any of them."""
        names = self.judge.columns
        if unknown := sorted(set(columns) - set(names)):
            raise ValueError(
                f"`{unknown[0]}` is not a column of {self.judge.config!r}: give {', '.join(names)}, or load "
                "another configuration."
            )
        if missing := [name for name in names if name not in columns and name != "inputs"]:
            raise ValueError(f"`{missing[0]}` is missing, but {self.judge.config!r} needs it. Give one for each row.")
        try:
            read = {
                name: judging.column_texts(name, column, several=name == "references")
                for name, column in columns.items()
            }
        except SynthLabelsError as error:
            raise ValueError(str(error)) from None
        read.setdefault("inputs", [None] * len(read["predictions"]))
        if len({len(column) for column in read.values()}) > 1:
            sizes = ", ".join(f"{name} {len(column)}" for name, column in read.items())
            raise ValueError(f"columns differ in length: {sizes}. Give one value for each row.")
        return read

    def _compute(
        self,
        predictions: list[Any],
        references: list[Any] | None = None,
        others: list[Any] | None = None,
        inputs: list[Any] | None = None,
        return_items: bool = False,
    ) -> dict[str, Any]:
        columns = {"predictions": predictions, "references": references, "others": others, "inputs": inputs}
        rows = {name: columns[name] or [] for name in self.judge.columns}
        try:
            return self.judge.result(self.judge.score(rows, level=self.level), items=return_items)
        except SynthLabelsError as error:
            # evaluate would keep its lock and lose the rows: `compute` raises it afterwards.
            self._error, self._rows = error, rows
            return {}
