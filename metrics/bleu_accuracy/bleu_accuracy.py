"""The share of short answers that BLEU calls right, at one threshold and at others, with an interval on every share."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import datasets
import evaluate

from hf_synthlabels.errors import import_extra
from hf_synthlabels.judging.scorers import bleu

_DESCRIPTION = """
The share of short answers (predictions) that BLEU against right answers (references) calls right: those whose smoothed
BLEU-4 or BLEU-1, whichever is larger, is at least a threshold. A sweep says what other thresholds would make of the
same answers and, where a human judged some of them, how well each threshold agrees.
"""

_CITATION = """
@article{choudhary2023efficacy,
  title={Efficacy of Machine-Generated Instructions},
  journal={arXiv preprint arXiv:2312.14423}, year={2023}
}
@inproceedings{papineni2002bleu,
  title={BLEU: a Method for Automatic Evaluation of Machine Translation},
  author={Papineni, Kishore and Roukos, Salim and Ward, Todd and Zhu, Wei-Jing},
  booktitle={ACL}, pages={311--318}, year={2002}
}
"""

_KWARGS_DESCRIPTION = """
Options at load:
    config_name: "default", or "verdicts" where a third column says what a human thinks of each answer.
    threshold: from this BLEU on an answer is right, 0.5 by default.
    thresholds: of the sweep, 0.1 to 1.0 in steps of 0.1 by default; [] for none.
    normalization: "paper" (the default) drops dots outside numbers from predictions only, as the paper's code does;
        "both_sides" drops them from both.
    level: confidence level of the intervals, 0.95 by default.

Args:
    predictions: the answer of each row; None or a blank one is wrong.
    references: a right answer for each row, or a list of several, of which the best counts; a row without any is left
        out.
    verdicts: in config "verdicts" whether a human accepted the answer; None for an unjudged row.
    return_items: also give each row's score under "scores"; nan for a row without a reference.

Returns:
    accuracy, coverage and, for each threshold of the sweep, accuracy_at_<threshold>: shares of the n rows, each a float
    with its Wilson interval under <name>_low and <name>_high. nan where there is no row.
    mean_bleu; threshold; n, n_unlabelled, n_unreferenced: rows scored, of these rows without a prediction, rows left
    out.
    In config "verdicts" also agreement_at_<threshold> with its interval, kappa_at_<threshold> and n_unjudged.

Examples:
    >>> metric = evaluate.load("metrics/bleu_accuracy", thresholds=[0.3, 1.0])
    >>> scores = metric.compute(predictions=["in 1876", "1876", "Rome"], references=["1876", "1876", "Paris"])
    >>> scores["accuracy"], scores["accuracy_at_1.0"], scores["mean_bleu"]
    (0.6666666666666666, 0.3333333333333333, 0.5)
"""

CONFIGS = ("default", "verdicts")
SINGULAR = {"prediction": "predictions", "reference": "references", "verdict": "verdicts"}
"""The names that evaluate documents for `add`."""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class BleuAccuracy(evaluate.Metric):
    def __init__(
        self,
        *args: Any,
        threshold: float = 0.5,
        thresholds: list[float] | tuple[float, ...] = bleu.THRESHOLDS,
        normalization: bleu.Normalization = "paper",
        level: float = 0.95,
        **kwargs: Any,
    ) -> None:
        # A wrong option is to fail here: an error in _compute would lose the batch.
        known = inspect.signature(evaluate.Metric.__init__).parameters
        if unknown := sorted(set(kwargs) - set(known)):
            raise ValueError(f"`{unknown[0]}` is not an option: give threshold, thresholds, normalization or level.")
        import_extra("nltk", "scores")
        self.accuracy = functools.partial(
            bleu.bleu_accuracy, threshold=threshold, thresholds=thresholds, normalization=normalization, level=level
        )
        self.accuracy([], [])
        super().__init__(*args, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in CONFIGS:
            raise ValueError(f"`config_name` is {self.config_name!r}: give one of {', '.join(CONFIGS)}.")
        # evaluate refuses a batch of "string" whose first value is None; of "large_string" it does not.
        text = datasets.Value("large_string")
        features = {"predictions": text, "references": datasets.LargeList(text)}
        if self.config_name == "verdicts":
            features["verdicts"] = datasets.Value("bool")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(features),
        )

    # evaluate writes the description above to the end of these three docstrings.
    def compute(self, **columns: Any) -> dict[str, Any] | None:
        """The scores of all rows given; None in processes other than the first."""
        # evaluate hands what it does not know to _compute, where an error loses the batch.
        known = {*self.features, "return_items"}
        if unknown := sorted(set(columns) - known):
            raise ValueError(
                f"`{unknown[0]}` is not a column of config {self.config_name!r}: give {', '.join(sorted(known))}. "
                "Options belong into `evaluate.load`, verdicts into config 'verdicts'."
            )
        found: dict[str, Any] | None = super().compute(**columns)
        return found

    def add_batch(self, **columns: Any) -> None:
        """Take rows, to be scored together by `compute`."""
        if missing := [name for name in self.features if columns.get(name) is None]:
            raise ValueError(
                f"`{missing[0]}` is missing: config {self.config_name!r} needs {', '.join(self.features)}."
            )
        # A text where a list is due would be read as a list of its letters.
        references = [[each] if isinstance(each, str) else each for each in columns.pop("references")]
        super().add_batch(references=references, **columns)

    def add(self, **row: Any) -> None:
        """Take one row, to be scored by `compute`."""
        self.add_batch(**{SINGULAR.get(name, name): [value] for name, value in row.items()})

    def _compute(
        self,
        predictions: list[Any],
        references: list[Any],
        verdicts: list[Any] | None = None,
        return_items: bool = False,
    ) -> dict[str, Any]:
        found = self.accuracy(predictions, references, verdicts=verdicts)
        shares = {"accuracy": found.accuracy, "coverage": found.coverage}
        numbers: dict[str, Any] = {"mean_bleu": found.mean_bleu, "threshold": float(found.threshold)}
        for point in found.sweep:
            shares[f"accuracy_at_{point.threshold}"] = point.accuracy
            if point.agreement is not None:
                shares[f"agreement_at_{point.threshold}"] = point.agreement
                numbers[f"kappa_at_{point.threshold}"] = point.kappa
        out: dict[str, Any] = {}
        for name, interval in shares.items():
            out |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        out |= numbers
        out |= {"n": found.n, "n_unlabelled": found.n_unlabelled, "n_unreferenced": found.n_unreferenced}
        if verdicts is not None:
            out["n_unjudged"] = found.n_unjudged
        return out | {"scores": list(found.scores)} if return_items else out
