"""CodebookRows: the table under review with the rows of each variable and the conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.annotation.codebook.codebook import Codebook
from hf_synthlabels.annotation.codebook.groups import Condition
from hf_synthlabels.annotation.codebook.source_recipe import has_numbers
from hf_synthlabels.labels import Annotation
from hf_synthlabels.publishing.labeled_data import label_options, open_labeled
from hf_synthlabels.review.review_options import ReviewOptions
from hf_synthlabels.review.review_rows import ReviewRows, Row, review_rows


@dataclass(frozen=True, slots=True)
class CodebookRows:
    """A table under review with several label columns; all variables have the same rows and the same queue."""

    variables: Mapping[str, ReviewRows]
    """The rows of each variable; a variable comes after the one on which its condition depends."""
    conditions: Mapping[str, Condition | None]
    instructions: str = ""
    """What the whole codebook is about."""

    @property
    def first(self) -> ReviewRows:
        """The rows of the first variable, which has no condition."""
        return next(iter(self.variables.values()))

    @property
    def queue(self) -> NDArray[np.int64]:
        """Rows to annotate in random order, which is the same for all variables."""
        return self.first.queue

    @property
    def sampled(self) -> bool:
        """Whether the rows were sampled; otherwise all rows are annotated."""
        return self.first.sampled

    def __len__(self) -> int:
        return len(self.first)

    def row(self, number: int) -> Row:
        """A row as annotators see it: with a passage to mark if any variable needs one.

        Raises:
            DataError: the row does not exist.
        """
        rows = [each.row(number) for each in self.variables.values()]
        return next((row for row in rows if any(part.marked for part in row.parts)), rows[0])

    def applicable(self, labels: Mapping[str, Any]) -> list[str]:
        """The variables whose conditions hold, given the labels of a row in plain JSON."""
        applicable: list[str] = []
        for name, condition in self.conditions.items():
            if condition is None or (
                condition.variable in applicable and condition_holds(condition, labels.get(condition.variable))
            ):
                applicable.append(name)
        return applicable


def open_codebook(data: str, codebook: Codebook, options: ReviewOptions | None = None) -> CodebookRows:
    """Open the rows to review with all variables of a codebook.

    Args:
        data: labeled file or folder, recipe file, or name of a packaged recipe.
        codebook: the recipe.
        options: which rows are annotated, and what is shown with them.

    Raises:
        SynthLabelsError: the data cannot be read, or lack a column.
    """
    options = options or ReviewOptions()
    columns = [*codebook.variables, *map(human_column, codebook.variables.values()), *codebook.task.columns]
    reading = label_options(
        *columns,
        *options.show_columns,
        numbers=has_numbers(codebook),
        encoding=options.encoding,
        separator=options.separator,
    )
    table = open_labeled(data, options.split, reading).rows
    variables = {
        name: review_rows(
            table,
            schema=recipe.schema_of_labels(),
            form=recipe.task.form(),
            instructions=recipe.task.instructions_or_default(),
            human=human_column(recipe),
            llm=name,
            options=options,
        )
        for name, recipe in codebook.variables.items()
    }
    ordered = {name: variables[name] for name in codebook.conditions}
    rows = CodebookRows(ordered, codebook.conditions, codebook.task.instructions)
    queue = _queue(rows, options)
    return replace(rows, variables={name: replace(each, queue=queue) for name, each in ordered.items()})


def human_column(recipe: Recipe) -> str:
    """The column with the human labels of a variable."""
    return recipe.task.human or f"{recipe.output.column}_human"


def labels_in_table(rows: CodebookRows, number: int) -> dict[str, Any]:
    """The human labels that a row has in the table."""
    return {name: each.human_labels[number] for name, each in rows.variables.items() if number in each.human_labels}


def _queue(rows: CodebookRows, options: ReviewOptions) -> NDArray[np.int64]:
    """Sampled rows in which an applicable variable has no human label, in random order."""
    sampled = np.flatnonzero(~np.isnan(rows.first.inclusion_probabilities))
    if not options.relabel:
        labels = [labels_in_table(rows, int(number)) for number in sampled]
        sampled = sampled[[not set(rows.applicable(given)) <= set(given) for given in labels]]
    return np.random.default_rng(options.seed).permutation(sampled)


def condition_holds(condition: Condition, label: Any) -> bool:
    """Whether a condition holds, given a label in plain JSON; None for no label."""
    if label is None:
        return False
    return condition.holds(Annotation("labelled", tuple(label) if isinstance(label, list) else label))
