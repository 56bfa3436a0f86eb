"""Agreement of LLM labels with human labels, with an interval on every score."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import datasets
import evaluate

from hf_synthlabels import statistics
from hf_synthlabels.statistics.agreement.answers import text_agreement
from hf_synthlabels.statistics.agreement.classification import classification_agreement
from hf_synthlabels.statistics.agreement.entities import entity_agreement
from hf_synthlabels.statistics.agreement.multilabel import multilabel_agreement
from hf_synthlabels.statistics.agreement.scale import scale_agreement
from hf_synthlabels.statistics.arrays import encode

_DESCRIPTION = """
Agreement of LLM labels (predictions) with human labels (references), each score with its confidence interval: for one
name per row accuracy, macro F1, weighted F1 and Cohen's kappa; other scores for sets of names, numbers, entities,
answers and texts. A prediction that is missing is a mistake, and is reported apart as coverage.
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
    kind: of label: "text-classification" (the default), "text-pair", "multi-label", "text-scale",
        "token-classification", "question-answering" or "text-generation".
    low, high, step: of a text-scale; without a step, "within one step" is undefined.
    level: confidence level of the intervals, 0.95 by default.
    resamples: of the bootstrap, 2000 by default.
    bootstrap_seed: 0 by default; the same seed gives the same intervals.

Args:
    predictions: one label per row, None where the LLM gave none. By the kind a label is a class name or number, a list
        of them, a number on the scale, a list of {"start", "end", "label"}, or a text. The class numbers 1, 1.0 and
        True are the class "1"; numbers below 0 (-1 in datasets, -100 in transformers) and nan mean no label, so give
        classes with such names as texts.
    references: the human label of each row; rows without one are left out and counted. For question-answering and
        text-generation a list of right texts, of which the best counts. A number off the scale is no label.

Returns:
    For one name per row accuracy, macro_f1, weighted_f1, kappa, coverage, and for other kinds their specific scores:
    each a float, with its ends under <name>_low and <name>_high. Of kappa, bias and correlations, only rows with a
    prediction count. nan where a score is undefined.
    n, n_unlabelled, n_unreferenced: rows scored, of these rows without a prediction, rows left out.

Examples:
    >>> metric = evaluate.load("metrics/label_agreement", "strings")
    >>> scores = metric.compute(predictions=["a", "b", None, "b"], references=["a", "b", "a", "b"])
    >>> scores["accuracy"], scores["coverage"], scores["n_unlabelled"]
    (0.75, 0.75, 1)
    >>> metric = evaluate.load("metrics/label_agreement", "strings", kind="multi-label")
    >>> scores = metric.compute(predictions=[["a"], [], None], references=[["a", "b"], [], ["b"]])
    >>> scores["micro_f1"], scores["accuracy"]
    (0.5, 0.3333333333333333)
"""

SCORES = ("accuracy", "macro_f1", "weighted_f1", "kappa", "coverage")
# evaluate refuses a batch of "string" whose first value is None; of "large_string" it does not. So it is with List and
# LargeList.
LABELS = {"strings": "large_string", "integers": "int32"}
TEXTS = ("question-answering", "text-generation")


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class LabelAgreement(evaluate.Metric):
    def __init__(
        self,
        *args: Any,
        kind: str = "text-classification",
        low: float | None = None,
        high: float | None = None,
        step: float | None = None,
        level: float = 0.95,
        resamples: int = 2000,
        bootstrap_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # A wrong option is to fail here: an error in _compute would lose the batch.
        known = inspect.signature(evaluate.Metric.__init__).parameters
        if unknown := sorted(set(kwargs) - set(known)):
            raise ValueError(
                f"`{unknown[0]}` is not an option: give kind, low, high, step, level, resamples or bootstrap_seed."
            )
        if kind not in statistics.MEASURES:
            raise ValueError(f"`kind` is {kind!r}: give one of {', '.join(statistics.MEASURES)}.")
        if kind == "text-scale" and (low is None or high is None or low >= high):
            raise ValueError(f"`low` is {low!r} and `high` {high!r}: say where the scale begins and where it ends.")
        self.kind = kind
        self.low, self.high, self.step = low, high, step
        self.bootstrap = statistics.BootstrapConfig(level, resamples, bootstrap_seed)
        super().__init__(*args, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        labels = self._labels
        if labels not in LABELS:
            raise ValueError(f"`config_name` is {labels!r}: give one of {', '.join(LABELS)}.")
        prediction, reference = self._types(datasets.Value(LABELS[labels]))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": prediction, "references": reference}),
        )

    def _types(self, name: Any) -> tuple[Any, Any]:
        """The types of predictions and references."""
        text, place = datasets.Value("large_string"), datasets.Value("int32")
        if self.kind in TEXTS:
            return text, datasets.LargeList(text)
        label = {
            "multi-label": datasets.LargeList(name),
            "text-scale": datasets.Value("float64"),
            "token-classification": datasets.LargeList({"start": place, "end": place, "label": name}),
        }.get(self.kind, name)
        return label, label

    # evaluate writes the description above to the end of these three docstrings.
    def compute(self, **columns: Any) -> dict[str, Any] | None:
        """The scores of all rows given; None in processes other than the first."""
        # evaluate hands what it does not know to _compute, where an error loses the batch.
        if unknown := sorted(set(columns) - set(self.features)):
            raise ValueError(
                f"`{unknown[0]}` is not a column: give predictions and references. Options belong into `evaluate.load`."
            )
        scores: dict[str, Any] | None = super().compute(**columns)
        return scores

    def add_batch(self, *, predictions: Any = None, references: Any = None, **columns: Any) -> None:
        """Take rows, to be scored together by `compute`."""
        if self.kind in TEXTS and references is not None:
            # A text where a list is due would be read as a list of its letters.
            references = [[each] if isinstance(each, str) else each for each in references]
        read = {
            name: column if column is None else self._read(name, column)
            for name, column in {"predictions": predictions, "references": references}.items()
        }
        super().add_batch(**read, **columns)

    def add(self, *, prediction: Any = None, reference: Any = None, **row: Any) -> None:
        """Take one row, to be scored by `compute`."""
        rows = {name: [value] for name, value in row.items()}
        self.add_batch(**{"predictions": [prediction], "references": [reference], **rows})

    def _read(self, name: str, column: Any) -> list[Any]:
        """A column of labels in which equal labels are equal: 1, 1.0, True and a scalar of torch are the class "1"."""
        match self.kind:
            case "text-classification" | "text-pair":
                return [self._class(name, value) for value in column]
            case "multi-label":
                return [self._list(name, value, lambda part: self._class(name, part)) for value in column]
            case "token-classification":
                return [
                    self._list(name, value, lambda part: {**part, "label": self._class(name, part["label"])})
                    for value in column
                ]
            case _:
                return list(column)

    def _list(self, name: str, value: Any, read: Callable[[Any], Any]) -> list[Any] | None:
        if isinstance(value, str):
            # Its letters would be read as labels.
            raise ValueError(f"`{name}` has the text {value[:40]!r} where a list of labels is needed.")
        return None if value is None else [read(part) for part in value]

    def _class(self, name: str, value: Any) -> Any:
        """A class as this configuration stores it; None for none. Numbers below 0 and nan mean that there is none."""
        if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            value = value.item()
        if value is None or isinstance(value, str):
            return value
        if not isinstance(value, int | float):
            raise ValueError(f"`{name}` has {value!r}, a {type(value).__name__}: give class names or numbers.")
        if value != value or value < 0:
            return -1 if self._labels == "integers" else None
        if int(value) != value:
            raise ValueError(f"`{name}` has {value!r}, which is no class number: use the kind 'text-scale' for scores.")
        return int(value) if self._labels == "integers" else str(int(value))

    @property
    def _labels(self) -> str:
        return "strings" if self.config_name == "default" else str(self.config_name)

    def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, float]:
        pairs = zip(map(self._label, references), map(self._label, predictions), strict=True)
        rows = [(human, llm) for human, llm in pairs if human is not None]
        scores = self._agreement([human for human, _ in rows], [llm for _, llm in rows])
        out: dict[str, float] = {}
        for name, interval in scores.items():
            out |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return out | {
            "n": len(rows),
            "n_unlabelled": sum(llm is None for _, llm in rows),
            "n_unreferenced": len(references) - len(rows),
        }

    def _label(self, value: Any) -> Any:
        """A label as the scores want it; None where there is none."""
        if value is None:
            return None
        match self.kind:
            case "text-classification" | "text-pair":
                return None if value == -1 else str(value)
            case "multi-label":
                return [str(name) for name in value]
            case "text-scale":
                # nan, too, is on no scale.
                return value if self.low <= value <= self.high else None
            case "token-classification":
                return [(each["start"], each["end"], str(each["label"])) for each in value]
            case _:
                return value or None if isinstance(value, list) else value

    def _agreement(self, human: list[Any], llm: list[Any]) -> Mapping[str, statistics.Interval]:
        bootstrap, kind = self.bootstrap, self.kind
        if kind == "text-scale":
            ends: dict[str, Any] = {"low": self.low, "high": self.high, "step": self.step}
            return scale_agreement(human, llm, **ends, bootstrap=bootstrap).scores
        if kind in TEXTS:
            return text_agreement(human, llm, bootstrap).scores
        if kind == "multi-label":
            names = sorted({name for row in (*human, *llm) for name in row or ()})
            return multilabel_agreement(human, llm, names, bootstrap).scores
        if kind == "token-classification":
            names = sorted({place[2] for row in (*human, *llm) for place in row or ()})
            return entity_agreement(human, llm, names, bootstrap=bootstrap).scores
        # Without rows there is no name, and all scores are undefined.
        names = sorted({name for name in (*human, *llm) if name is not None}) or ["none"]
        codes = [encode(column, names) for column in (human, llm)]
        scores = classification_agreement(codes[0], codes[1], names, bootstrap).scores
        return {name: scores[name] for name in SCORES}
