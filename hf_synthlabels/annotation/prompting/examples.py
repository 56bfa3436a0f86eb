"""Which examples are shown: the same for all rows, or for each row those that help it most."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from hf_synthlabels.annotation.prompting.row_inputs import RowForm, compared
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.labels import Entity, Label, LabelSchema
from hf_synthlabels.tables import write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

Encode = Callable[[list[str]], "NDArray[Any]"]
"""Texts to vectors of unit length, one row each."""


class ExampleSelection(StrictModel):
    """How few-shot examples are chosen among those that a recipe gives."""

    method: Literal["fixed", "random", "balanced", "nearest", "diverse"] = "fixed"
    """`fixed`: the first ones; `random`: drawn once; `balanced`: drawn once, each label as often as any other as far as
    there are examples (several names: each set of names); `diverse`: once, each the farthest from those before it;
    `nearest`: for each row those that are most like it. The last two need an encoder."""
    count: int = Field(default=8, ge=1)
    seed: int = 0
    encoder: str | None = None


def fixed_examples(
    examples: Sequence[Example], selection: ExampleSelection, schema: LabelSchema, form: RowForm
) -> list[Example]:
    """The examples that all rows share, in the order in which they are shown; equal inputs give equal choices.

    Args:
        examples: all that the recipe gives.
        selection: number and method of the selection, without an encoder; `nearest` falls back to the first ones.
        schema: the labels that `balanced` counts.
        form: what of an example is shown.
    """
    if len(examples) <= selection.count:
        return list(examples)
    generator = random.Random(selection.seed)
    match selection.method:
        case "random":
            return generator.sample(list(examples), selection.count)
        case "balanced":
            labels = [_group(example.read_label(schema, example.row_text(form))) for example in examples]
            return _balanced(examples, labels, selection.count, generator)
        case _:
            return list(examples[: selection.count])


def diverse_examples(
    examples: Sequence[Example], selection: ExampleSelection, form: RowForm, encode: Encode
) -> list[int]:
    """The places of the examples that are most unlike each other (greedy farthest-first; Gonzalez 1985).

    The first is the one nearest to the middle of all, each next one the farthest from those chosen before it.
    """
    import numpy as np

    vectors = encode([example.row_text(form).text for example in examples])
    chosen = [int(np.argmax(vectors @ vectors.mean(axis=0)))]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < min(selection.count, len(examples)):
        nearest[chosen] = np.inf
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return chosen


def kept_choice(
    examples: Sequence[Example],
    selection: ExampleSelection,
    form: RowForm,
    folder: Path,
    encoder: Callable[[], Encode],
) -> list[Example]:
    """The `diverse` examples, encoded once and then known by a file, to this process and to those that it starts."""
    content = json.dumps([selection.model_dump(), [example.row_text(form).text for example in examples]])
    path = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.json"
    try:
        places = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        places = diverse_examples(examples, selection, form, encoder())
        # Another process may do the same: it must never see half a file.
        write_text(path, json.dumps(places))
    return [examples[place] for place in places]


class NearestExamples:
    """For each row the examples that are most like it, the likest last, next to the row itself.

    An example whose text is the row's own is left out: it would tell the row's label.
    """

    def __init__(self, examples: Sequence[Example], selection: ExampleSelection, form: RowForm, encode: Encode) -> None:
        self._examples = list(examples)
        self._count = selection.count
        self._encode = encode
        texts = [example.row_text(form).text for example in examples]
        self._compared = [compared(text) for text in texts]
        self._vectors = encode(texts)

    def of(self, texts: Sequence[str]) -> list[list[Example]]:
        """The examples for each of several texts."""
        import numpy as np

        similarities = self._encode(list(texts)) @ self._vectors.T
        chosen = []
        for text, row in zip(texts, similarities, strict=True):
            # A stable order of equals, so that equal inputs give equal prompts.
            order = np.argsort(-row, kind="stable")
            own = compared(text)
            nearest = [int(place) for place in order if self._compared[place] != own][: self._count]
            chosen.append([self._examples[place] for place in reversed(nearest)])
        return chosen


def _group(label: Label) -> Hashable:
    """What an example is balanced by: its label, of entities the names alone."""
    if isinstance(label, tuple):
        return frozenset(item.label if isinstance(item, Entity) else item for item in label)
    return label


def _balanced(
    examples: Sequence[Example], labels: Sequence[Hashable], count: int, generator: random.Random
) -> list[Example]:
    """In turn one of each label, until there are enough or none is left; then shuffled."""
    groups: dict[Hashable, list[Example]] = {}
    for example, label in zip(examples, labels, strict=True):
        groups.setdefault(label, []).append(example)
    turns = list(groups.values())
    # Where not every label has a place, which have is drawn too.
    generator.shuffle(turns)
    for group in turns:
        generator.shuffle(group)
    chosen: list[Example] = []
    while len(chosen) < min(count, len(examples)):
        chosen += [group.pop() for group in turns if group][: count - len(chosen)]
    generator.shuffle(chosen)
    return chosen
