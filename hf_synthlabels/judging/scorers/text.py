"""Scorers that compare words: exact match, ROUGE and BLEU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from hf_synthlabels.errors import ConfigError, import_extra
from hf_synthlabels.judging.scorers.base import best_scores
from hf_synthlabels.judging.scorers.bleu import NORMALISATIONS, Normalisation, answer_bleu
from hf_synthlabels.statistics.agreement.answers import normalize_answer

RougeKind = Literal["rouge1", "rouge2", "rougeL"]


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """1 where the prediction is a reference, else 0.

    Args:
        as_squad: compare words only, without case, punctuation and articles (Rajpurkar et al. 2016); by default texts
            are compared as they stand, as `evaluate`'s exact match does.
    """

    as_squad: bool = False

    @property
    def name(self) -> str:
        """What its column is called."""
        return "exact_match_squad" if self.as_squad else "exact_match"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """The score of each prediction; see `Scorer.score`."""
        same: Callable[[str, str], float]
        same = _same_words if self.as_squad else lambda prediction, gold: float(prediction == gold)
        return best_scores(predictions, references, same)


@dataclass(frozen=True, slots=True)
class Rouge:
    """The F1 of ROUGE-1, ROUGE-2 or ROUGE-L (Lin 2004), by Google's `rouge-score`.

    Its own words are runs of ASCII letters and digits in lower case: a text in another script has none, and scores 0.
    Give `words` for such texts.

    Args:
        kind: `rouge1`, `rouge2` or `rougeL`.
        stemmer: compare English words by their Porter stems.
        words: from a text to its words, such as `hf_synthlabels.labels.normalized_words`.

    Raises:
        ConfigError: there is no such kind, or `stemmer` is asked of own words.
    """

    kind: RougeKind = "rougeL"
    stemmer: bool = False
    words: Callable[[str], list[str]] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(RougeKind):
            raise ConfigError(f"`kind` is {self.kind!r}: give one of {', '.join(get_args(RougeKind))}.")
        if self.stemmer and self.words is not None:
            raise ConfigError("`stemmer` is True and `words` is given: stem the words in that function, if at all.")

    @property
    def name(self) -> str:
        """What its column is called."""
        return f"{self.kind}_stemmed" if self.stemmer else self.kind

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """The score of each prediction; see `Scorer.score`."""
        library = import_extra("rouge_score.rouge_scorer", "scores")
        tokenizer = None if self.words is None else _Words(self.words)
        scorer = library.RougeScorer([self.kind], use_stemmer=self.stemmer, tokenizer=tokenizer)
        return best_scores(
            predictions, references, lambda prediction, gold: float(scorer.score(gold, prediction)[self.kind].fmeasure)
        )


@dataclass(frozen=True, slots=True)
class Bleu:
    """The larger of smoothed BLEU-4 and BLEU-1; see `answer_bleu`.

    Raises:
        ConfigError: the normalisation is unknown.
    """

    normalisation: Normalisation = "paper"

    def __post_init__(self) -> None:
        if self.normalisation not in NORMALISATIONS:
            raise ConfigError(f"`normalisation` is {self.normalisation!r}: give one of {', '.join(NORMALISATIONS)}.")

    @property
    def name(self) -> str:
        """What its column is called."""
        return "bleu"

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,  # noqa: ARG002  # Scorers have one interface.
    ) -> list[float]:
        """The score of each prediction; see `Scorer.score`."""
        return best_scores(
            predictions, references, lambda prediction, gold: answer_bleu(prediction, [gold], self.normalisation)
        )


@dataclass(frozen=True, slots=True)
class _Words:
    """A function as the tokenizer that `rouge-score` wants."""

    words: Callable[[str], list[str]]

    def tokenize(self, text: str) -> list[str]:
        return self.words(text)


def _same_words(prediction: str, gold: str) -> float:
    return float(normalize_answer(prediction) == normalize_answer(gold))
