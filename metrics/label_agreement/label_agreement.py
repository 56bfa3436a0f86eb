"""Agreement of LLM labels with human labels, with an interval on every score."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from hf_synthlabels import statistics

_DESCRIPTION = """
Agreement of LLM labels (predictions) with human labels (references): accuracy, macro F1, weighted F1 and Cohen's kappa,
each with its confidence interval. A prediction that is missing is a mistake, and is reported apart as coverage.
"""

_CITATION = """
@article{wilson1927probable,
  title={Probable inference, the law of succession, and statistical inference},
  author={Wilson, Edwin B.},
  journal={Journal of the American Statistical Association},
  volume={22}, number={158}, pages={209--212}, year={1927}
}
"""

_KWARGS_DESCRIPTION = """
Options at load:
    config_name: "strings" (the default) for label names, "integers" for class numbers.
    level: confidence level of the intervals, 0.95 by default.
    resamples: of the bootstrap, 2000 by default.
    bootstrap_seed: 0 by default; the same seed gives the same intervals.

Args:
    predictions: one label per row; None, or -1 among integers, where the LLM gave none.
    references: the human label of each row; rows where it is None, or -1 among integers, are left out and counted.

Returns:
    accuracy, macro_f1, weighted_f1, kappa, coverage: each a float, with its ends under <name>_low and <name>_high.
    Of kappa, only rows with a prediction count. nan where a score is undefined.
    n, n_unlabelled, n_unreferenced: rows scored, of these rows without a prediction, rows left out.

Examples:
    >>> metric = evaluate.load("metrics/label_agreement", "strings")
    >>> scores = metric.compute(predictions=["a", "b", None, "b"], references=["a", "b", "a", "b"])
    >>> scores["accuracy"], scores["coverage"], scores["n_unlabelled"]
    (0.75, 0.75, 1)
"""

SCORES = ("accuracy", "macro_f1", "weighted_f1", "kappa", "coverage")
# evaluate refuses a batch of "string" whose first value is None; of "large_string" it does not.
LABELS = {"strings": "large_string", "integers": "int32"}


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class LabelAgreement(evaluate.Metric):
    def __init__(
        self, *args: Any, level: float = 0.95, resamples: int = 2000, bootstrap_seed: int = 0, **kwargs: Any
    ) -> None:
        self.options: dict[str, Any] = {"level": level, "resamples": resamples, "seed": bootstrap_seed}
        # A wrong option is to fail here: an error in _compute would lose the batch.
        statistics.agreement(statistics.ConfusionMatrix((), ()), **self.options)
        super().__init__(*args, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        kind = "strings" if self.config_name == "default" else self.config_name
        if kind not in LABELS:
            raise ValueError(f"`config_name` is {kind!r}: give one of {', '.join(LABELS)}.")
        label = datasets.Value(LABELS[kind])
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": label, "references": label}),
        )

    def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, float]:
        rows = [(human, llm) for human, llm in zip(references, predictions, strict=True) if human not in (None, -1)]
        human = [str(label) for label, _ in rows]
        llm = [None if label in (None, -1) else str(label) for _, label in rows]
        scores = statistics.agreement(statistics.ConfusionMatrix.from_labels(human, llm), **self.options)
        out: dict[str, float] = {}
        for name in SCORES:
            interval = getattr(scores, name)
            out |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return out | {
            "n": len(rows),
            "n_unlabelled": llm.count(None),
            "n_unreferenced": len(references) - len(rows),
        }
