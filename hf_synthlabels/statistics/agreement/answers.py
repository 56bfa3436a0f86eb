"""Agreement of texts: answers that are spans of a context, and texts that were written."""

from __future__ import annotations

import itertools
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.agreement.classification import KindAgreement
from hf_synthlabels.statistics.agreement.weighted import share
from hf_synthlabels.statistics.arrays import Floats, Mask, divided
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, Rows, of_sums, row_intervals
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, taken
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.text_tables import Breakdown, shorten

Located = tuple[str, int]
"""An answer and the place of its first character in the context; -1 where that is not known."""


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

    Lower case; then without ASCII punctuation, which joins what a hyphen parted; then without a, an, the; then with
    single spaces.
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def token_f1(human: str, llm: str) -> float:
    """The F1 of the words that two texts share, after `normalize_answer`; two texts without a word are equal."""
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
    """How far predicted spans agree with human ones.

    `exact_match` and `token_f1` are SQuAD's. `span_overlap` is the mean share of characters that the two spans have in
    common, of those that either has, in rows where both places are known. Of several human answers the best counts, for
    each score by itself. A row without a prediction scores 0.

    Args:
        human: one or more right answers of each row.
        llm: the predicted one, None for no prediction.
        bootstrap: level, resamples and seed of the intervals.
        design: weights (with the mean 1), clusters and strata of the rows; None for a simple random sample.

    Raises:
        DataError: the lengths differ, or a row has no human answer.
    """
    bootstrap = bootstrap or BootstrapConfig()
    result = text_agreement(
        [[text for text, _ in golds] for golds in human],
        [None if each is None else each[0] for each in llm],
        bootstrap,
        design,
    )
    pairs = list(zip(human, llm, strict=True))
    known = np.array([_placed(golds, each) for golds, each in pairs], dtype=np.bool_)
    placed = [pairs[row] for row in np.flatnonzero(known)]
    if not any(each is not None for _, each in placed):
        return result
    overlaps = np.array([max(_overlap(gold, each) for gold in golds) for golds, each in placed])
    rows = _mean_rows(overlaps[:, None], taken(design, known))
    intervals = row_intervals(
        rows, {"span_overlap": of_sums(lambda sums: sums[:, 0] / sums[:, -1])}, bootstrap, len(placed)
    )
    return KindAgreement({**result.scores, **intervals}, breakdowns=result.breakdowns, notes=result.notes)


def text_agreement(
    human: Sequence[Sequence[str]],
    llm: Sequence[str | None],
    bootstrap: BootstrapConfig | None = None,
    design: SamplingDesign | None = None,
) -> KindAgreement:
    """How far predicted texts agree with human ones; the words of `answer_agreement` hold.

    `identical` compares the texts as they stand but for white space around them.

    Args:
        human: one or more right texts of each row.
        llm: the predicted one, None for no prediction.
        bootstrap: level, resamples and seed of the intervals.
        design: weights (with the mean 1), clusters and strata of the rows; None for a simple random sample.

    Raises:
        DataError: the lengths differ, or a row has no human text.
    """
    bootstrap = bootstrap or BootstrapConfig()
    if len(human) != len(llm):
        raise DataError(f"`human` has {len(human):,} rows and `llm` {len(llm):,}: give one each per row.")
    if empty := sum(not golds for golds in human):
        raise DataError(f"`human` has no answer in {empty:,} rows: leave those rows out.")
    pairs = list(zip(human, llm, strict=True))
    identical = _mask(each is not None and each.strip() in {gold.strip() for gold in golds} for golds, each in pairs)
    exact = _mask(_exact(golds, each) for golds, each in pairs)
    f1 = np.array([0.0 if each is None else max(token_f1(gold, each) for gold in golds) for golds, each in pairs])
    answered = _mask(each is not None for each in llm)
    n, n_answered = len(llm), int(answered.sum())
    means: dict[str, Interval] = row_intervals(
        _mean_rows(np.column_stack([f1, answered]) if n else np.empty((0, 2)), design),
        {
            "token_f1": of_sums(lambda sums: sums[:, 0] / sums[:, -1]),
            "token_f1_answered": of_sums(lambda sums: divided(sums[:, 0], sums[:, 1])),
        },
        bootstrap,
        {"token_f1": n, "token_f1_answered": n_answered},
    )
    return KindAgreement(
        {
            "coverage": share(answered, None, design, bootstrap.level),
            "identical": share(identical, None, design, bootstrap.level),
            "exact_match": share(exact, None, design, bootstrap.level),
            "exact_match_answered": share(exact, answered, design, bootstrap.level),
            **means,
        },
        breakdowns=_differences(pairs, f1),
        notes=(NOTE,),
    )


def _mask(values: Iterable[bool]) -> Mask:
    return np.array(list(values), dtype=np.bool_)


def _placed(golds: Sequence[Located], answer: Located | None) -> bool:
    """Whether all places are known."""
    return all(start >= 0 for _, start in golds) and (answer is None or answer[1] >= 0)


def _mean_rows(values: Floats, design: SamplingDesign | None) -> Rows:
    """Rows of which means are taken, the first value being the score; a last column counts them."""
    ones = np.ones((len(values), 1))
    wrong = np.ones_like(values)
    wrong[:, 0] = 0
    found, right, wrong = (np.hstack([each, ones]) for each in (values, np.ones_like(values), wrong))
    return Rows(found, right, wrong, np.full(len(values), 1 / max(len(values), 1)), design)


def _exact(golds: Sequence[str], answer: str | None) -> bool:
    return answer is not None and normalize_answer(answer) in {normalize_answer(gold) for gold in golds}


def _overlap(gold: Located, answer: Located | None) -> float:
    """The Jaccard share of two spans' characters; two empty spans at one place are the same."""
    if answer is None:
        return 0.0
    (a, start_a), (b, start_b) = gold, answer
    if (a, start_a) == (b, start_b):
        return 1.0
    shared = max(0, min(start_a + len(a), start_b + len(b)) - max(start_a, start_b))
    return shared / (len(a) + len(b) - shared) if shared else 0.0


def _differences(pairs: Sequence[tuple[Sequence[str], str | None]], f1: Floats) -> tuple[Breakdown, ...]:
    """How answers differ from the nearest human ones, and some that share least with them."""
    kinds = Counter(_difference(golds, answer) for golds, answer in pairs)
    lines = tuple((kind, kinds[kind], len(pairs)) for kind in DIFFERENCES if kinds[kind])
    tables = [Breakdown(("how the answers differ", "rows", "of"), lines)] if lines else []
    # The order is that of the rows where scores are equal.
    worst = (row for row in np.argsort(f1, kind="stable") if pairs[row][1] is not None and f1[row] < 1)
    lines_of = (
        (shorten(pairs[row][0][0], TEXT_WIDTH), shorten(pairs[row][1] or "", TEXT_WIDTH), float(f1[row]))
        for row in worst
    )
    if shown := tuple(itertools.islice(dict.fromkeys(lines_of), SHOWN)):
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
    if _exact(golds, answer):
        return DIFFERENCES[0]
    gold = max(golds, key=lambda each: token_f1(each, answer))
    a, b = Counter(normalize_answer(gold).split()), Counter(normalize_answer(answer).split())
    if not a & b:
        return DIFFERENCES[4]
    if a <= b:
        return DIFFERENCES[1] if a != b else DIFFERENCES[3]
    return DIFFERENCES[2] if b <= a else DIFFERENCES[3]
