from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_synthlabels.errors import DataError
from hf_synthlabels.training.data.training_rows import training_rows
from hf_synthlabels.training.student_file import label_names

NAMES = ["no", "yes"]


def table(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict(columns)


def test_rows_without_a_label_are_left_out_and_counted() -> None:
    rows = training_rows(table(label=["yes", None, "no", None]), names=NAMES, label_column="label")
    assert rows.kept.tolist() == [0, 2]
    assert rows.codes.tolist() == [1, 0]
    assert (rows.n_unlabelled, rows.names, len(rows)) == (2, ("no", "yes"), 2)


def test_class_label_codes_follow_the_names_not_the_feature() -> None:
    features = Features({"label": ClassLabel(names=["yes", "no"])})
    # A code of -1 is a missing label.
    data = Dataset.from_dict({"label": [0, 1, None, -1]}, features=features)
    assert training_rows(data, names=NAMES, label_column="label").codes.tolist() == [1, 0]


def test_integer_labels_are_codes_into_the_names() -> None:
    assert training_rows(table(label=[1, 0]), names=NAMES, label_column="label").codes.tolist() == [1, 0]


def test_a_data_set_with_a_format_is_read_as_plain_values() -> None:
    data = table(label=[1, 0], w=[1.0, 2.0]).with_format("torch")
    rows = training_rows(data, names=NAMES, label_column="label", weight_column="w")
    assert rows.codes.tolist() == [1, 0]


def test_probabilities_follow_the_names_and_a_row_without_them_is_certain() -> None:
    features = Features({"label": ClassLabel(names=["yes", "no"]), "p": [Value("float32")]})
    data = Dataset.from_dict({"label": [0, None, 1], "p": [[0.7, 0.3], [0.5, 0.5], None]}, features=features)
    rows = training_rows(data, names=NAMES, label_column="label", probs_column="p")
    assert rows.probs is not None
    # The column lists yes before no; the names say no before yes.
    np.testing.assert_allclose(rows.probs, [[0.3, 0.7], [1.0, 0.0]], atol=1e-7)


def test_weights_of_kept_rows_are_kept() -> None:
    data = table(label=["yes", None, "no"], w=[0.5, -1.0, 0.0])
    rows = training_rows(data, names=NAMES, label_column="label", weight_column="w")
    assert rows.weights is not None
    assert rows.weights.tolist() == [0.5, 0.0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        pytest.param({"other": ["yes"]}, r"`label_column` is 'label', which is not a column", id="no column"),
        pytest.param({"label": [None, None]}, r"`label` has no label in any of 2 rows", id="all unlabelled"),
        pytest.param({"label": []}, r"`label` has no label in any of 0 rows", id="no rows"),
        pytest.param(
            {"label": ["yes", "maybe"]}, r"`label` of row 1 is 'maybe', which is not among", id="unknown name"
        ),
        pytest.param({"label": [0, 2]}, r"`label` of row 1 is 2, no code of", id="code too high"),
        pytest.param({"label": [0, -1]}, r"`label` of row 1 is -1, no code of", id="minus one"),
        pytest.param({"label": [0.5]}, r"`label` of row 0 is 0.5", id="a number"),
        pytest.param({"label": [0], "p": [[1.0]]}, r"`p` of row 0 is \[1.0\]. It must list 2", id="wrong length"),
        pytest.param({"label": [0], "p": [[0.5, 0.6]]}, r"`p` of row 0 .* sum to 1", id="wrong sum"),
        pytest.param({"label": [0], "p": [[-0.5, 1.5]]}, r"`p` of row 0 .* at least 0", id="negative share"),
        pytest.param({"label": [0], "p": [[float("nan"), 1.0]]}, r"`p` of row 0", id="share not a number"),
        pytest.param({"label": [0], "p": [1.0]}, r"`p` of row 0 is 1.0. It must list", id="not a list"),
        pytest.param({"label": [0, 1], "w": [1.0, -1.0]}, r"`w` of row 1 is -1.0. A weight", id="negative weight"),
        pytest.param({"label": [0, 1], "w": [1.0, float("nan")]}, r"`w` of row 1 is nan", id="weight not a number"),
        pytest.param({"label": [0, 1], "w": [1.0, None]}, r"`w` of row 1 is None", id="no weight"),
        pytest.param({"label": [0, None], "w": [0.0, 1.0]}, r"`w` is 0", id="weights all 0"),
    ],
)
def test_bad_rows_are_refused_in_one_line(columns: dict[str, list[Any]], message: str) -> None:
    options = {
        "probs_column": "p" if "p" in columns else None,
        "weight_column": "w" if "w" in columns else None,
    }
    with pytest.raises(DataError, match=message) as caught:
        training_rows(table(**columns), names=NAMES, label_column="label", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [[], ["one"], ["a", "a"]])
def test_names_that_can_not_be_told_apart_are_refused(names: list[str]) -> None:
    with pytest.raises(DataError, match="`names`"):
        training_rows(table(label=["a"]), names=names, label_column="label")


def test_probabilities_over_other_labels_are_refused() -> None:
    features = Features({"label": ClassLabel(names=["yes", "no", "maybe"]), "p": [Value("float32")]})
    data = Dataset.from_dict({"label": [0], "p": [[0.5, 0.3, 0.2]]}, features=features)
    with pytest.raises(DataError, match="`p`"):
        training_rows(data, names=NAMES, label_column="label", probs_column="p")


def test_label_names_come_from_the_feature_or_the_strings() -> None:
    features = Features({"label": ClassLabel(names=["z", "a"])})
    assert label_names(Dataset.from_dict({"label": [0]}, features=features), "label") == ("z", "a")
    assert label_names(table(label=["z", None, "a", "z"]), "label") == ("a", "z")
    with pytest.raises(DataError, match="`label`"):
        label_names(table(label=[3]), "label")
