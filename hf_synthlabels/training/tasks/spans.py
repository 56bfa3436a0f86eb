"""SpanTask: the answer to a question, a stretch of its context."""

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
from hf_synthlabels.statistics.validation.label_columns import LabelColumn, label_column, read_label
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.collators import Collator
from hf_synthlabels.training.data.features import WEIGHT, text_values
from hf_synthlabels.training.data.windows import Windows, cut_windows
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, LabelledRows, Metrics, Rows, labelled_rows
from hf_synthlabels.training.tasks.objectives import Objective
from hf_synthlabels.training.tasks.token_objectives import END, START, AnswerSpan

NO_ANSWER = ("", -1)

Place = tuple[int, int]
"""First character of an answer, and the one after its last."""


@dataclass(frozen=True, slots=True)
class SpanTask:
    """The answer to a question within its context; where the config says so, there may be none."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """The cross-entropies of first and last token."""
        return AnswerSpan()

    @property
    def head(self) -> Head:
        """A start and an end for each token."""
        # Said, because a model that was trained for other labels has their number in its settings.
        return Head(AutoModelForQuestionAnswering, {"num_labels": 2}, "find answers in a context")

    def rows(self, dataset: Dataset) -> LabelledRows:
        """The rows that have an answer; an empty one says that there is none in the context, None that nobody looked.

        The answers of a row are texts with the place that they were said to have, -1 for none.
        """
        config = self.config
        column = label_column(dataset, config.label_column, "question-answering")
        found = labelled_rows(
            dataset, config.label_column, lambda row: _answers(column, row), weight_column=config.weight_column
        )
        if config.null_answers:
            return found
        return _without(found, [label == (NO_ANSWER,) for label in found.labels])

    def check(self, rows: Rows) -> None:
        """One answer at least must occur."""
        assert isinstance(rows, LabelledRows)
        if all(label == (NO_ANSWER,) for label in rows.labels):
            raise DataError(
                f"`{self.config.label_column}` has no answer in any of {len(rows) + rows.n_unusable} labelled rows. A "
                "student needs some."
            )

    def learnable(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> LabelledRows:  # noqa: ARG002
        """The rows whose first answer stands in the context: at its place, or where it is found.

        One that is nowhere teaches nothing, not even that there is no answer.

        Raises:
            DataError: no answer is found.
        """
        assert isinstance(rows, LabelledRows)
        lost = [
            found is None and label != (NO_ANSWER,)
            for found, label in zip(self._places(dataset.select(rows.kept), rows), rows.labels, strict=True)
        ]
        if all(lost):
            raise DataError(
                f"`{self.config.label_column}` has no answer that stands in its context, in {len(rows)} rows. Look "
                f"whether `text_columns` {list(self.config.text_columns)!r} are the question and its context."
            )
        return _without(rows, lost)

    def features(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, training: bool) -> Dataset:  # noqa: ARG002
        """Windows of question and context, with the tokens that the answer begins and ends with.

        The first answer of a row is the one that is learnt. A window that does not hold it has no answer; the windows
        of an answer that is nowhere count nothing.
        """
        assert isinstance(rows, LabelledRows)
        chosen = dataset.select(rows.kept)
        windows = self._cut(chosen, tokenizer)
        places = self._places(chosen, rows)
        ends = [_tokens(offsets, places[row], null) for row, offsets, null in _each(windows)]
        features = windows.features.add_column(START, [first for first, _ in ends])
        features = features.add_column(END, [last for _, last in ends])
        weights = np.ones(len(rows)) if rows.weights is None else rows.weights.copy()
        for row, (found, label) in enumerate(zip(places, rows.labels, strict=True)):
            if found is None and label != (NO_ANSWER,):
                weights[row] = 0
        if rows.weights is None and weights.all():
            return features
        return features.add_column(WEIGHT, weights[windows.rows].tolist())

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:
        """Padding on the right, so that places stay what they are."""
        return Collator(tokenizer)

    def metrics(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:
        """SQuAD's exact match and token F1, of several human answers the best."""
        assert isinstance(rows, LabelledRows)
        chosen = dataset.select(rows.kept)
        windows = self._cut(chosen, tokenizer)
        contexts = text_values(chosen, self.config.text_columns[1])

        def measured(prediction: EvalPrediction) -> dict[str, float]:
            starts, ends = prediction.predictions[:2]
            found = [span.text if span else "" for span in self._spans(windows, contexts, starts, ends).labels]
            pairs = [(text, [gold for gold, _ in golds]) for text, golds in zip(found, rows.labels, strict=True)]
            exact = [any(normalize_answer(text) == normalize_answer(gold) for gold in golds) for text, golds in pairs]
            f1 = [max(token_f1(gold, text) for gold in golds) for text, golds in pairs]
            return {"exact_match": float(np.mean(exact)), "token_f1": float(np.mean(f1))}

        return measured

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The likeliest answer of every row; None where it is likelier that there is none.

        The confidence is the answer's share among the n best of all its windows.
        """
        if not len(dataset):
            return Prediction(self.schema, (), np.empty(0), np.empty((0, 0)))
        windows = self._cut(dataset, trainer.processing_class)
        contexts = text_values(dataset, self.config.text_columns[1])
        starts, ends = trainer.predict(windows.features).predictions[:2]
        found = self._spans(windows, contexts, starts, ends)
        return Prediction(self.schema, found.labels, found.confidence, np.empty((len(dataset), 0)))

    def _places(self, dataset: Dataset, rows: LabelledRows) -> list[Place | None]:
        questions, contexts = (text_values(dataset, column) for column in self.config.text_columns)
        return [
            answer_place(context, text, start, question)
            for question, context, ((text, start), *_) in zip(questions, contexts, rows.labels, strict=True)
        ]

    def _cut(self, dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> Windows:
        questions, contexts = (text_values(dataset, column) for column in self.config.text_columns)
        return cut_windows(
            contexts,
            tokenizer,
            max_length=self.config.max_length,
            stride=self.config.doc_stride,
            # White space before a question only makes it longer, and some data has much of it.
            questions=[question.lstrip() for question in questions],
        )

    def _spans(self, windows: Windows, contexts: Sequence[str], starts: NDArray[Any], ends: NDArray[Any]) -> _Found:
        best: list[dict[Place, float]] = [{} for _ in contexts]
        nothing = np.full(len(contexts), np.inf)
        for window, (row, offsets, null) in enumerate(_each(windows)):
            start, end = starts[window, : len(offsets)], ends[window, : len(offsets)]
            # No answer in the text is no answer in any of its windows.
            nothing[row] = min(nothing[row], float(start[null]) + float(end[null]))
            for each, score in self._candidates(offsets, start, end).items():
                best[row][each] = max(score, best[row].get(each, -np.inf))
        labels, confidence = [], np.full(len(contexts), np.nan)
        for row, (context, found) in enumerate(zip(contexts, best, strict=True)):
            scores = dict(sorted(found.items(), key=lambda item: -item[1])[: self.config.n_best])
            options: dict[Place | None, float] = dict(scores.items())
            if self.config.null_answers or not scores:
                options[None] = float(nothing[row])
            chosen = max(options, key=lambda option: options[option])
            values = np.array(list(options.values()))
            confidence[row] = np.exp(options[chosen] - values.max()) / np.exp(values - values.max()).sum()
            labels.append(None if chosen is None else _span(context, chosen))
        return _Found(tuple(labels), confidence)

    def _candidates(self, offsets: NDArray[np.int32], start: NDArray[Any], end: NDArray[Any]) -> Mapping[Place, float]:
        """The likeliest stretches of one window and their scores, the sums of both logits."""
        own = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
        first = own[np.argsort(-start[own], kind="stable")[: self.config.n_best]]
        last = own[np.argsort(-end[own], kind="stable")[: self.config.n_best]]
        tokens = last[None, :] - first[:, None]
        fits = (tokens >= 0) & (tokens < self.config.max_answer_length)
        found: dict[Place, float] = {}
        for a, b in zip(*np.nonzero(fits), strict=True):
            found[int(offsets[first[a], 0]), int(offsets[last[b], 1])] = float(start[first[a]]) + float(end[last[b]])
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The answer of each row, and its share among the n best."""

    labels: tuple[Span | None, ...]
    confidence: NDArray[np.float64]


def answer_place(context: str, text: str, start: int, question: str = "") -> Place | None:
    """Where an answer stands: at the place that it was said to have, or else where it is found; None for nowhere."""
    if not text:
        return None
    if start >= 0 and context[start : start + len(text)] == text:
        return start, start + len(text)
    found = project(context, text, question)
    return None if found is None else (found.span.start, found.span.end)


def _span(context: str, chosen: Place) -> Span:
    """The answer without white space around it, which a token may begin with."""
    text = context[slice(*chosen)]
    start = chosen[0] + len(text) - len(text.lstrip())
    return Span(start, start + len(text.strip()), text.strip())


def _answers(column: LabelColumn, row: int) -> tuple[tuple[str, int], ...] | None:
    """The answers of a row; one that is empty for 'there is none'."""
    value = column.values[row]
    if value is None:
        return None
    found: tuple[tuple[str, int], ...] | None = read_label(column, row, "question-answering", (), None, None)
    # SQuAD 2 has an empty list for a question without an answer.
    return found if found and any(text for text, _ in found) else (NO_ANSWER,)


def _without(rows: LabelledRows, left_out: Sequence[bool]) -> LabelledRows:
    stay = ~np.array(left_out, dtype=bool)
    labels = tuple(label for label, kept in zip(rows.labels, stay, strict=True) if kept)
    weights = None if rows.weights is None else rows.weights[stay]
    return LabelledRows(
        rows.kept[stay], labels, rows.names, rows.n_unlabelled, rows.n_unusable + int((~stay).sum()), weights
    )


def _each(windows: Windows) -> Sequence[tuple[int, NDArray[np.int32], int]]:
    return list(zip(windows.rows.tolist(), windows.offsets, windows.nulls.tolist(), strict=True))


def _tokens(offsets: NDArray[np.int32], answer: Place | None, null: int) -> Place:
    """First and last token of an answer in a window that holds all of it; twice the token for none otherwise."""
    if answer is None:
        return null, null
    own = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    if not len(own) or offsets[own[0], 0] > answer[0] or offsets[own[-1], 1] < answer[1]:
        return null, null
    inside = own[(offsets[own, 0] < answer[1]) & (offsets[own, 1] > answer[0])]
    return (int(inside[0]), int(inside[-1])) if len(inside) else (null, null)
