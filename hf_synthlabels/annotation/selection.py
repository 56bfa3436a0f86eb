"""Which examples are shown: the same for all rows, or for each row those that help it most."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from hf_synthlabels.annotation.rows import RowForm
from hf_synthlabels.annotation.strict_yaml import StrictModel
from hf_synthlabels.annotation.task import Example

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ExampleSelection", "NearestExamples", "fixed_examples"]

Encode = Callable[[list[str]], "NDArray[Any]"]
"""Texts to vectors of unit length, one row each."""


class ExampleSelection(StrictModel):
    """How few-shot examples are chosen among those that a recipe gives."""

    method: Literal["fixed", "random", "balanced", "nearest", "diverse"] = "fixed"
    """`fixed`: the first ones; `random`: drawn once; `balanced`: drawn once, each label as often as any other as far as
    there are examples; `diverse`: once, each the farthest from those before it; `nearest`: for each row those that are
    most like it. The last two need an encoder."""
    count: int = Field(default=8, ge=1)
    seed: int = 0
    encoder: str | None = None


def fixed_examples(
    examples: Sequence[Example], selection: ExampleSelection, form: RowForm, encode: Encode | None = None
) -> list[Example]:
    """The examples that all rows share, in the order in which they are shown; equal inputs give equal choices."""
    if len(examples) <= selection.count and selection.method != "balanced":
        return list(examples)
    generator = random.Random(selection.seed)
    match selection.method:
        case "fixed" | "nearest":
            return list(examples[: selection.count])
        case "random":
            return generator.sample(list(examples), selection.count)
        case "balanced":
            return _balanced(examples, selection.count, generator)
        case "diverse":
            assert encode is not None
            vectors = encode([example.row_text(form).text for example in examples])
            return [examples[place] for place in _diverse(vectors, selection.count)]


class NearestExamples:
    """For each row the examples that are most like it, the likest last, next to the row itself.

    An example whose text is the row's own is left out: it would tell the row's label.
    """

    def __init__(self, examples: Sequence[Example], selection: ExampleSelection, form: RowForm, encode: Encode) -> None:
        self._examples = list(examples)
        self._count = selection.count
        self._encode = encode
        self._texts = [example.row_text(form).text.strip() for example in examples]
        self._vectors = encode(self._texts)

    def of(self, texts: Sequence[str]) -> list[list[Example]]:
        """The examples for each of several texts."""
        import numpy as np

        similarities = self._encode(list(texts)) @ self._vectors.T
        chosen = []
        for text, row in zip(texts, similarities, strict=True):
            # A stable order of equals, so that equal inputs give equal prompts.
            order = np.argsort(-row, kind="stable")
            nearest = [int(place) for place in order if self._texts[place] != text.strip()][: self._count]
            chosen.append([self._examples[place] for place in reversed(nearest)])
        return chosen


def _balanced(examples: Sequence[Example], count: int, generator: random.Random) -> list[Example]:
    """In turn one of each label, until there are enough or none is left; then shuffled."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(repr(example.label), []).append(example)
    for group in groups.values():
        generator.shuffle(group)
    chosen: list[Example] = []
    while len(chosen) < min(count, len(examples)):
        for group in groups.values():
            if group and len(chosen) < count:
                chosen.append(group.pop())
    generator.shuffle(chosen)
    return chosen


def _diverse(vectors: NDArray[Any], count: int) -> list[int]:
    """The place nearest to the middle of all, then always the one farthest from those chosen."""
    import numpy as np

    chosen = [int(np.argmax(vectors @ vectors.mean(axis=0)))]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < count:
        nearest[chosen] = np.inf
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return chosen
