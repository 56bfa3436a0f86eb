"""Tuned rows of a table: drawing them in a sample, and leaving their human labels out of estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_synthlabels.annotation import provenance
from hf_synthlabels.publishing.sampled_data import SAMPLE_KIND
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.robustness.tuned_rows import (
    TUNED_ON,
    draw_tuned,
    holdout_columns,
    tuned_note,
    tuned_rows,
)
from hf_synthlabels.tables import embed_records


def with_tuned_rows(rows: Any, n_tune: int | None, seed: int = 0) -> Any:
    """A sampled table with random tuned rows marked in `tuned_on`; number and seed are in the record of the sample.

    Args:
        rows: the table that `sample_rows` returned.
        n_tune: number of tuned rows; None leaves the table as it is.
        seed: of the draw.

    Raises:
        ConfigError: as in `draw_tuned`.
    """
    if n_tune is None:
        return rows
    from datasets import Value

    drawn = np.array([value is not None and value == value for value in rows[PROBABILITY]])
    tuned = draw_tuned(drawn, n_tune, seed, tuned_rows(rows))
    records, description = list(provenance(rows)), rows.info.description
    last = max(place for place, record in enumerate(records) if record.get("kind") == SAMPLE_KIND)
    records[last] = {**records[last], TUNED_ON: {"rows": n_tune, "seed": seed}}
    kept = rows.remove_columns([TUNED_ON]) if TUNED_ON in rows.column_names else rows
    marked = kept.add_column(TUNED_ON, tuned.tolist(), feature=Value("bool"))
    marked.info.description = embed_records(records, description)
    return marked


def holdout_rows(rows: Any, humans: Sequence[str]) -> tuple[Any, list[str]]:
    """The table without the human labels of tuned rows, and a note on them; as it is without tuned rows.

    Args:
        rows: a `datasets.Dataset`.
        humans: columns of human labels; those that are missing are skipped.
    """
    tuned = tuned_rows(rows)
    if tuned is None:
        return rows, []
    from datasets import Value

    present = [name for name in dict.fromkeys(humans) if name in rows.column_names]
    description = rows.info.description
    for name, values in holdout_columns(rows, tuned, present).items():
        feature = Value("float64") if name == PROBABILITY else rows.features[name]
        kept = rows.remove_columns([name]) if name in rows.column_names else rows
        rows = kept.add_column(name, values, feature=feature)
    rows.info.description = description
    return rows, [tuned_note(tuned)]
