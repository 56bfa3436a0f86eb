"""Import of the human labels of several variables from one annotation sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_synthlabels.publishing.label_import import ImportedLabels, import_labels
from hf_synthlabels.publishing.sampled_data import label_texts
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.validation.table_variables import Variables, not_coded


@dataclass(frozen=True, slots=True)
class ImportedCodebook:
    """A table with the imported labels of its variables."""

    rows: Any
    variables: Mapping[str, ImportedLabels]
    """Counts of changes by variable."""
    not_coded: Mapping[str, int]
    """Sampled rows in which a variable is empty since its condition does not hold for the human's own labels."""


def import_codebook(
    rows: Any, sheet: Any, variables: Variables, *, new_labels: bool = False, normalize_labels: bool = False
) -> ImportedCodebook:
    """Import the labels of all variables; see `import_labels`.

    An empty cell is not missing if the human label of the condition's variable says that the variable is not coded.

    Args:
        rows: table returned by `sample_rows`.
        sheet: filled-in sheet with a column for each variable.
        variables: of the codebook.
        new_labels: as for `import_labels`, like `normalize_labels`.
        normalize_labels: whether names that differ only in case or white space are mapped to those of the table.

    Raises:
        DataError: as for `import_labels`.
    """
    imported: dict[str, ImportedLabels] = {}
    for name, variable in variables.items():
        imported[name] = import_labels(
            rows,
            sheet,
            human=variable.human,
            llm=variable.llm,
            new_labels=new_labels,
            normalize_labels=normalize_labels,
            variables=variables,
        )
        rows = imported[name].rows
    drawn = np.array([value is not None for value in rows[PROBABILITY]])
    absent = {name: mask & drawn for name, mask in not_coded(rows, variables).items()}
    counts: dict[str, ImportedLabels] = {}
    for name, each in imported.items():
        empty = np.array([value is None for value in label_texts(rows, variables[name].human)])
        counts[name] = replace(each, open=int((drawn & empty & ~absent[name]).sum()))
    return ImportedCodebook(rows, counts, {name: int(mask.sum()) for name, mask in absent.items() if mask.any()})
