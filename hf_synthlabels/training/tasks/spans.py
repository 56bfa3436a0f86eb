"""Extractive question answering: the answer is a span of the context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoModelForQuestionAnswering, EvalPrediction, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema, Span, project
from hf_synthlabels.statistics.agreement.answers import normalize_answer, token_f1
from hf_synthlabels.statistics.validation.label_columns import LabelColumn, read_label
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.batches import Collator
from hf_synthlabels.training.data.features import WEIGHT, Windows, cut_windows, text_values
from hf_synthlabels.training.data.training_rows import TrainingRows, labelled_rows
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, Metrics
from hf_synthlabels.training.tasks.objectives import END, START, AnswerSpan, Objective

NO_ANSWER = ("", -1)

N_BEST = 20
"""Number of candidate starts and ends per window, and of candidate answers per row."""

Place = tuple[int, int]
"""First character of an answer, and the one after its last."""


@dataclass(frozen=True, slots=True)
class SpanTask:
    """The answer to a question, a span of its context; with `null_answers` there may be none."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """Cross-entropy of the first and the last token."""
        return AnswerSpan()

    @property
    def head(self) -> Head:
        """Start and end logits per token."""
        # Explicit, because the configuration of a model trained on other labels has their number.
        return Head(AutoModelForQuestionAnswering, {"num_labels": 2}, "find answers in a context")

    def rows(self, dataset: Dataset) -> TrainingRows:
        """The rows with an answer; an empty one means that the context has none, None that the row is unlabeled.

        Each answer is a text and its recorded start, -1 if unknown.
        """
        config = self.config
        rows = labelled_rows(
            dataset, config.label_column, self.schema, weight_column=config.weight_column, read=_answers
        )
        return rows if config.null_answers else rows.where([label != (NO_ANSWER,) for label in rows.labels])

    def learnable(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> TrainingRows:  # noqa: ARG002
        """The rows whose first answer occurs in the context, at its recorded start or elsewhere.

        Raises:
            DataError: there are none, or no row has an answer.
        """
        if all(label == (NO_ANSWER,) for label in rows.labels):
            raise DataError(
                f"`{self.config.label_column}` has no answer in any of {len(rows) + rows.n_unusable} labeled rows. A "
                "student needs rows with answers."
            )
        usable = [
            place is not None or label == (NO_ANSWER,)
            for place, label in zip(self._places(dataset.select(rows.kept), rows), rows.labels, strict=True)
        ]
        if not any(usable):
            raise DataError(
                f"`{self.config.label_column}` has no answer that occurs in its context, in {len(rows)} rows. Check "
                f"that `text_columns` {list(self.config.text_columns)!r} are the question and its context."
            )
        return rows.where(usable)

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """Windows of question and context, with the first and the last token of the row's first answer.

        A window without the answer is labeled "no answer". Windows of an answer that is not in the context have weight
        0.
        """
        dataset = dataset.select(rows.kept)
        windows = self._windows(dataset, tokenizer)
        places = self._places(dataset, rows)
        ends = [_tokens(offsets, places[row], null) for row, offsets, null in _each(windows)]
        features = windows.features.add_column(START, [first for first, _ in ends])
        features = features.add_column(END, [last for _, last in ends])
        weights = np.ones(len(rows)) if rows.weights is None else rows.weights.copy()
        for row, (place, label) in enumerate(zip(places, rows.labels, strict=True)):
            if place is None and label != (NO_ANSWER,):
                weights[row] = 0
        if rows.weights is None and weights.all():
            return features
        return features.add_column(WEIGHT, weights[windows.rows].tolist())

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:
        """Padding on the right, which preserves token positions."""
        return Collator(tokenizer)

    def metrics(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:
        """SQuAD exact match and token F1, the best over several human answers."""
        dataset = dataset.select(rows.kept)
        windows = self._windows(dataset, tokenizer)
        contexts = text_values(dataset, self.config.text_columns[1])

        def compute(prediction: EvalPrediction) -> dict[str, float]:
            starts, ends = prediction.predictions[:2]
            labels, _ = self._spans(windows, contexts, starts, ends)
            texts = [span.text if span else "" for span in labels]
            pairs = [(text, [gold for gold, _ in golds]) for text, golds in zip(texts, rows.labels, strict=True)]
            exact = [any(normalize_answer(text) == normalize_answer(gold) for gold in golds) for text, golds in pairs]
            f1 = [max(token_f1(gold, text) for gold in golds) for text, golds in pairs]
            return {"exact_match": float(np.mean(exact)), "token_f1": float(np.mean(f1))}

        return compute

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The best answer of every row; None if "no answer" scores higher.

        The confidence is the softmax probability of the answer among the best candidates of all its windows.
        """
        if not len(dataset):
            return Prediction(self.schema, (), np.empty(0), np.empty((0, 0)))
        windows = self._windows(dataset, trainer.processing_class)
        contexts = text_values(dataset, self.config.text_columns[1])
        starts, ends = trainer.predict(windows.features).predictions[:2]
        labels, confidence = self._spans(windows, contexts, starts, ends)
        return Prediction(self.schema, labels, confidence, np.empty((len(dataset), 0)))

    def _places(self, dataset: Dataset, rows: TrainingRows) -> list[Place | None]:
        questions, contexts = (text_values(dataset, column) for column in self.config.text_columns)
        return [
            answer_place(context, text, start, question)
            for question, context, ((text, start), *_) in zip(questions, contexts, rows.labels, strict=True)
        ]

    def _windows(self, dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> Windows:
        questions, contexts = (text_values(dataset, column) for column in self.config.text_columns)
        return cut_windows(
            contexts,
            tokenizer,
            max_length=self.config.max_length,
            stride=self.config.doc_stride,
            # Some data has long leading white space, which would only lengthen the question.
            questions=[question.lstrip() for question in questions],
        )

    def _spans(
        self, windows: Windows, contexts: Sequence[str], starts: NDArray[Any], ends: NDArray[Any]
    ) -> tuple[tuple[Span | None, ...], NDArray[np.float64]]:
        """The answer of each row, and its softmax probability among the candidates."""
        best: list[dict[Place, float]] = [{} for _ in contexts]
        null_scores = np.full(len(contexts), np.inf)
        for window, (row, offsets, null) in enumerate(_each(windows)):
            start, end = starts[window, : len(offsets)], ends[window, : len(offsets)]
            # A text has no answer if none of its windows has one.
            null_scores[row] = min(null_scores[row], float(start[null]) + float(end[null]))
            for place, score in self._candidates(offsets, start, end).items():
                best[row][place] = max(score, best[row].get(place, -np.inf))
        labels, confidence = [], np.full(len(contexts), np.nan)
        for row, (context, candidates) in enumerate(zip(contexts, best, strict=True)):
            scores = dict(sorted(candidates.items(), key=lambda item: -item[1])[:N_BEST])
            options: dict[Place | None, float] = dict(scores.items())
            if self.config.null_answers or not scores:
                options[None] = float(null_scores[row])
            answer = max(options, key=lambda option: options[option])
            values = np.array(list(options.values()))
            confidence[row] = np.exp(options[answer] - values.max()) / np.exp(values - values.max()).sum()
            labels.append(None if answer is None else _span(context, answer))
        return tuple(labels), confidence

    def _candidates(self, offsets: NDArray[np.int32], start: NDArray[Any], end: NDArray[Any]) -> Mapping[Place, float]:
        """The best spans of one window, with the sum of start and end logit as score."""
        inside = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
        first = inside[np.argsort(-start[inside], kind="stable")[:N_BEST]]
        last = inside[np.argsort(-end[inside], kind="stable")[:N_BEST]]
        tokens = last[None, :] - first[:, None]
        fits = (tokens >= 0) & (tokens < self.config.max_answer_length)
        candidates: dict[Place, float] = {}
        for a, b in zip(*np.nonzero(fits), strict=True):
            place = int(offsets[first[a], 0]), int(offsets[last[b], 1])
            candidates[place] = float(start[first[a]]) + float(end[last[b]])
        return candidates


def answer_place(context: str, text: str, start: int, question: str = "") -> Place | None:
    """The position of an answer: at its recorded start, or else where it occurs; None if it does not."""
    if not text:
        return None
    if start >= 0 and context[start : start + len(text)] == text:
        return start, start + len(text)
    projection = project(context, text, question)
    return None if projection is None else (projection.span.start, projection.span.end)


def _span(context: str, place: Place) -> Span:
    """The answer without surrounding white space, which tokens may include."""
    text = context[slice(*place)]
    start = place[0] + len(text) - len(text.lstrip())
    return Span(start, start + len(text.strip()), text.strip())


def _answers(column: LabelColumn, row: int) -> tuple[tuple[str, int], ...] | None:
    """The answers of a row; a single empty one for "no answer"."""
    value = column.values[row]
    if value is None:
        return None
    answers: tuple[tuple[str, int], ...] | None = read_label(column, row, "question-answering", (), None, None)
    # SQuAD 2 has an empty list for a question without an answer.
    return answers if answers and any(text for text, _ in answers) else (NO_ANSWER,)


def _each(windows: Windows) -> Sequence[tuple[int, NDArray[np.int32], int]]:
    return list(zip(windows.rows.tolist(), windows.offsets, windows.nulls.tolist(), strict=True))


def _tokens(offsets: NDArray[np.int32], answer: Place | None, null: int) -> Place:
    """First and last token of an answer; twice the null token if the window does not contain all of it."""
    if answer is None:
        return null, null
    text = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    if not len(text) or offsets[text[0], 0] > answer[0] or offsets[text[-1], 1] < answer[1]:
        return null, null
    inside = text[(offsets[text, 0] < answer[1]) & (offsets[text, 1] > answer[0])]
    return (int(inside[0]), int(inside[-1])) if len(inside) else (null, null)
