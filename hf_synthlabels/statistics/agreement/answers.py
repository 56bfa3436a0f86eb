"""Agreement of texts: answers that are spans of a context, and generated texts."""

from __future__ import annotations

import itertools
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.agreement.base import KindAgreement, row_accuracy
from hf_synthlabels.statistics.arrays import Floats, Mask, check_lengths, divided
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, RowContributions, row_intervals, score_of_sums
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, share_interval, subset_design
from hf_synthlabels.statistics.exhibits import Breakdown, shorten

Located = tuple[str, int]
"""An answer and the place of its first character in the context; -1 if unknown."""

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
SHOWN = 3
TEXT_WIDTH = 34

NOTE = (
    "Exact match and token F1 compare words, without case, punctuation and articles, as SQuAD does; of several human "
    "answers the best counts. A row without an LLM label scores 0."
)


def normalize_answer(text: str) -> str:
    """A text as the official SQuAD scorer compares it (Rajpurkar et al. 2016).

    Lower case, without ASCII punctuation (which joins hyphenated words), without a, an, the, with single spaces.
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def token_f1(human: str, llm: str) -> float:
    """The F1 of the words that two texts share, after `normalize_answer`; two texts without words are equal."""
    a, b = normalize_answer(human).split(), normalize_answer(llm).split()
    if not a or not b:
        return float(a == b)
    shared = sum((Counter(a) & Counter(b)).values())
    return 2 * shared / (len(a) + len(b))


def answer_agreement(
    human: Sequence[Sequence[Located]],
    llm: Sequence[Located | None],
    bootstrap: BootstrapConfig | None = None,
    design: SamplingDesign | None = None,
) -> KindAgreement:
    """Agreement of predicted spans with human spans: the scores of `text_agreement`, and `span_overlap`.

    `span_overlap` is the mean Jaccard index of the characters of two spans, in rows where both places are known.

    Args:
        human: one or more correct answers of each row.
        llm: predicted answers, None for no prediction.
        bootstrap: level, resamples and seed.
        design: weights (with the mean 1), clusters and strata of the rows; None for a simple random sample.

    Raises:
        DataError: the lengths differ, or a row has no human answer.
    """
    bootstrap = bootstrap or BootstrapConfig()
    texts = [[text for text, _ in golds] for golds in human]
    result = text_agreement(texts, [None if each is None else each[0] for each in llm], bootstrap, design)
    pairs = list(zip(human, llm, strict=True))
    known = _mask(_is_located(golds, answer) for golds, answer in pairs)
    located = [pairs[row] for row in np.flatnonzero(known)]
    if all(answer is None for _, answer in located):
        return result
    overlaps = np.array([max(_overlap(gold, answer) for gold in golds) for golds, answer in located])
    rows = _mean_contributions(overlaps[:, None], subset_design(design, known))
    overlap = score_of_sums(lambda sums: sums[:, 0] / sums[:, -1])
    return replace(
        result,
        scores={**result.scores, **row_intervals(rows, {"span_overlap": overlap}, bootstrap, len(located))},
    )


def text_agreement(
    human: Sequence[Sequence[str]],
    llm: Sequence[str | None],
    bootstrap: BootstrapConfig | None = None,
    design: SamplingDesign | None = None,
) -> KindAgreement:
    """Agreement of predicted texts with human texts.

    `exact_match` and `token_f1` are SQuAD's; `identical` compares the texts up to surrounding white space. For each
    score the best of several human texts counts. A row without a prediction scores 0.

    Args:
        human: one or more correct texts of each row.
        llm: predicted texts, None for no prediction.
        bootstrap: level, resamples and seed.
        design: weights (with the mean 1), clusters and strata of the rows; None for a simple random sample.

    Raises:
        DataError: the lengths differ, or a row has no human text.
    """
    bootstrap = bootstrap or BootstrapConfig()
    check_lengths(human=human, llm=llm)
    if empty := sum(not golds for golds in human):
        raise DataError(f"`human` has no answer in {empty:,} rows: leave those rows out.")
    pairs = list(zip(human, llm, strict=True))
    identical = _mask(text is not None and text.strip() in {gold.strip() for gold in golds} for golds, text in pairs)
    exact = _mask(exact_match(golds, text) for golds, text in pairs)
    f1 = np.array([0.0 if text is None else max(token_f1(gold, text) for gold in golds) for golds, text in pairs])
    answered = _mask(text is not None for text in llm)
    means = row_intervals(
        _mean_contributions(np.column_stack([f1, answered]) if pairs else np.empty((0, 2)), design),
        {
            "token_f1": score_of_sums(lambda sums: sums[:, 0] / sums[:, -1]),
            "token_f1_answered": score_of_sums(lambda sums: divided(sums[:, 0], sums[:, 1])),
        },
        bootstrap,
        {"token_f1": len(pairs), "token_f1_answered": int(answered.sum())},
    )
    shares = row_accuracy(answered, exact, design, bootstrap.level, "exact_match")
    scores = {
        "coverage": shares.pop("coverage"),
        "identical": share_interval(identical, None, design, bootstrap.level),
        **shares,
        **means,
    }
    return KindAgreement(scores, breakdowns=_differences(pairs, f1), notes=(NOTE,))


def _mask(values: Iterable[bool]) -> Mask:
    return np.array(list(values), dtype=np.bool_)


def _is_located(golds: Sequence[Located], answer: Located | None) -> bool:
    return all(start >= 0 for _, start in golds) and (answer is None or answer[1] >= 0)


def _mean_contributions(values: Floats, design: SamplingDesign | None) -> RowContributions:
    """Rows of which means are taken; the first value is the score, and a last column counts the rows."""
    n = len(values)
    observed = np.hstack([values, np.ones((n, 1))])
    correct, incorrect = np.ones_like(observed), np.ones_like(observed)
    incorrect[:, 0] = 0
    return RowContributions(observed, correct, incorrect, np.full(n, 1 / max(n, 1)), design)


def exact_match(golds: Sequence[str], answer: str | None) -> bool:
    """Whether an answer equals one of the texts after SQuAD's normalization."""
    return answer is not None and normalize_answer(answer) in {normalize_answer(gold) for gold in golds}


def _overlap(gold: Located, answer: Located | None) -> float:
    """The Jaccard index of two spans' characters; two empty spans at one place are equal."""
    if answer is None:
        return 0.0
    if gold == answer:
        return 1.0
    (a, start_a), (b, start_b) = gold, answer
    shared = max(0, min(start_a + len(a), start_b + len(b)) - max(start_a, start_b))
    return shared / (len(a) + len(b) - shared) if shared else 0.0


def _differences(pairs: Sequence[tuple[Sequence[str], str | None]], f1: Floats) -> tuple[Breakdown, ...]:
    """How answers differ from the nearest human ones, and those that share least with them."""
    kinds = Counter(_difference(golds, answer) for golds, answer in pairs)
    lines = tuple((kind, kinds[kind], len(pairs)) for kind in DIFFERENCES if kinds[kind])
    tables = [Breakdown(("how the answers differ", "rows", "of"), lines)] if lines else []
    # Of equal scores the first row comes first.
    worst = (row for row in np.argsort(f1, kind="stable") if pairs[row][1] is not None and f1[row] < 1)
    examples = (
        (shorten(pairs[row][0][0], TEXT_WIDTH), shorten(pairs[row][1] or "", TEXT_WIDTH), float(f1[row]))
        for row in worst
    )
    if shown := tuple(itertools.islice(dict.fromkeys(examples), SHOWN)):
        tables.append(Breakdown(("farthest apart: human", "llm", "token F1"), shown))
    return tuple(tables)


DIFFERENCES = (
    "the same",
    "all words of the human one and more",
    "some words of the human one and no other",
    "some words in common",
    "no word in common",
    "no LLM label",
)


def _difference(golds: Sequence[str], answer: str | None) -> str:
    """How an answer differs from the human one that it shares most with."""
    if answer is None:
        return DIFFERENCES[5]
    if exact_match(golds, answer):
        return DIFFERENCES[0]
    gold = max(golds, key=lambda each: token_f1(each, answer))
    a, b = Counter(normalize_answer(gold).split()), Counter(normalize_answer(answer).split())
    if not a & b:
        return DIFFERENCES[4]
    if a <= b:
        return DIFFERENCES[1] if a != b else DIFFERENCES[3]
    return DIFFERENCES[2] if b <= a else DIFFERENCES[3]
