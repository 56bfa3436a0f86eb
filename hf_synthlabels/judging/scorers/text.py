"""Scorers that compare words: exact match, ROUGE and BLEU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from hf_synthlabels.errors import ConfigError, import_extra
from hf_synthlabels.judging.scorers.base import best_scores
from hf_synthlabels.judging.scorers.bleu import Normalization, answer_bleu, check_normalization
from hf_synthlabels.statistics.agreement.answers import normalize_answer

RougeKind = Literal["rouge1", "rouge2", "rougeL"]


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """1 if the prediction equals a reference, else 0.

    Args:
        as_squad: compare words only, ignoring case, punctuation and articles (Rajpurkar et al. 2016).
    """

    as_squad: bool = False

    @property
    def name(self) -> str:
        """Name of the scorer's column."""
        return "exact_match_squad" if self.as_squad else "exact_match"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """Score each prediction; see `Scorer.score`."""
        normalized: Callable[[str], str] = normalize_answer if self.as_squad else str
        return best_scores(
            predictions,
            references,
            lambda prediction, reference: float(normalized(prediction) == normalized(reference)),
        )


@dataclass(frozen=True, slots=True)
class Rouge:
    """F1 of ROUGE-1, ROUGE-2 or ROUGE-L (Lin 2004), computed by Google's `rouge-score`.

    By default words are runs of ASCII letters and digits, so texts in other scripts score 0; set `words` for them.

    Args:
        kind: `rouge1`, `rouge2` or `rougeL`.
        stemmer: compare English words by their Porter stems.
        words: splits a text into words, such as `hf_synthlabels.labels.normalized_words`.

    Raises:
        ConfigError: the kind is unknown, or both `stemmer` and `words` are set.
    """

    kind: RougeKind = "rougeL"
    stemmer: bool = False
    words: Callable[[str], list[str]] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(RougeKind):
            raise ConfigError(f"`kind` is {self.kind!r}: give one of {', '.join(get_args(RougeKind))}.")
        if self.stemmer and self.words is not None:
            raise ConfigError("`stemmer` is True and `words` is set: stem the words in that function instead.")

    @property
    def name(self) -> str:
        """Name of the scorer's column."""
        return f"{self.kind}_stemmed" if self.stemmer else self.kind

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """Score each prediction; see `Scorer.score`."""
        library = import_extra("rouge_score.rouge_scorer", "scores")
        tokenizer = None if self.words is None else _Tokenizer(self.words)
        scorer = library.RougeScorer([self.kind], use_stemmer=self.stemmer, tokenizer=tokenizer)
        return best_scores(
            predictions,
            references,
            lambda prediction, reference: float(scorer.score(reference, prediction)[self.kind].fmeasure),
        )


@dataclass(frozen=True, slots=True)
class Bleu:
    """The larger of smoothed BLEU-4 and BLEU-1; see `answer_bleu`.

    Raises:
        ConfigError: the normalization is unknown.
    """

    normalization: Normalization = "paper"

    def __post_init__(self) -> None:
        check_normalization(self.normalization)

    @property
    def name(self) -> str:
        """Name of the scorer's column."""
        return "bleu"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """Score each prediction; see `Scorer.score`."""
        return best_scores(
            predictions,
            references,
            lambda prediction, reference: answer_bleu(prediction, [reference], self.normalization),
        )


@dataclass(frozen=True, slots=True)
class _Tokenizer:
    """A word function with the interface of `rouge-score`."""

    words: Callable[[str], list[str]]

    def tokenize(self, text: str) -> list[str]:
        return self.words(text)
