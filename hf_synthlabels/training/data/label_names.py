"""Label names of a column, and training rows with every label."""

from __future__ import annotations

from datasets import ClassLabel, Dataset, concatenate_datasets

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.validation.label_columns import label_column
from hf_synthlabels.statistics.validation.label_columns import label_names as names_within
from hf_synthlabels.training.data.training_rows import column_values

WITHOUT_NAMES = ("text-scale", "question-answering", "text-generation")
"""Task types without label names."""


def check_names(names: tuple[str, ...], dataset: Dataset, column: str) -> None:
    """Require at least two classes.

    Raises:
        DataError: the column has no label, or one only.
    """
    if not names:
        raise DataError(
            f"`{column}` has no label in any of {len(dataset)} rows. Label some, or name another `label_column`."
        )
    if len(names) == 1:
        raise DataError(
            f"`{column}` is {names[0]!r} in all labeled rows of {len(dataset)}. A student needs rows with at least two "
            "different labels."
        )


def all_labels_train(train: Dataset, test: Dataset, column: str) -> tuple[Dataset, Dataset]:
    """Move one row of each label that occurs in the test rows only to the training rows."""
    seen = {value for value in train[column][:] if value is not None}
    moved: list[int] = []
    for row, value in enumerate(test[column][:]):
        if value is not None and value not in seen:
            seen.add(value)
            moved.append(row)
    if not moved or len(moved) == len(test):
        return train, test
    others = [row for row in range(len(test)) if row not in moved]
    return concatenate_datasets([train, test.select(moved)]), test.select(others)


def label_names(dataset: Dataset, column: str, task: str = "text-classification") -> tuple[str, ...]:
    """The names of a ClassLabel column, or the distinct labels of a string column in alphabetical order.

    Args:
        dataset: rows.
        column: label column; for multi-label and entities, the names inside the lists.
        task: the task type; some have no names.

    Raises:
        DataError: there is no such column, or it has neither type.
    """
    values = column_values(dataset, column, "label_column")
    if task in WITHOUT_NAMES:
        return ()
    if task in ("multi-label", "token-classification"):
        return tuple(names_within([label_column(dataset, column, task)], task))
    feature = dataset.features[column]
    if isinstance(feature, ClassLabel):
        return tuple(feature.names)
    labels = {value for value in values if value is not None}
    for label in labels:
        if not isinstance(label, str):
            raise DataError(
                f"`{column}` has the label {label!r}, which is not a name. Give `names`, in the order of the codes."
            )
    return tuple(sorted(labels))
