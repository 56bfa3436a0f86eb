from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_synthlabels.errors import DataError
from hf_synthlabels.training.data.label_names import label_names
from hf_synthlabels.training.data.training_rows import training_rows

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


def test_integer_labels_are_codes_into_the_names_whatever_the_format() -> None:
    for data in (table(label=[1, 0], w=[1.0, 2.0]), table(label=[1, 0], w=[1.0, 2.0]).with_format("torch")):
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


BAD: dict[str, tuple[dict[str, list[Any]], str]] = {
    "no column": ({"other": ["yes"]}, r"`label_column` is 'label', which is not a column"),
    "no label": ({"label": [None, None]}, r"`label` has no label in any of 2 rows"),
    "no rows": ({"label": []}, r"`label` has no label in any of 0 rows"),
    "unknown name": ({"label": ["yes", "maybe"]}, r"`label` of row 1 is 'maybe'"),
    "code too high": ({"label": [0, 2]}, r"`label` of row 1 is 2, no code of"),
    "minus one": ({"label": [0, -1]}, r"`label` of row 1 is -1, no code of"),
    "a number": ({"label": [0.5]}, r"`label` of row 0 is 0.5"),
    "wrong length": ({"label": [0], "p": [[1.0]]}, r"`p` of row 0 is \[1.0\]. It must list 2"),
    "wrong sum": ({"label": [0], "p": [[0.5, 0.6]]}, r"`p` of row 0 .* sum to 1"),
    "negative share": ({"label": [0], "p": [[-0.5, 1.5]]}, r"`p` of row 0 .* at least 0"),
    "share not a number": ({"label": [0], "p": [[float("nan"), 1.0]]}, r"`p` of row 0"),
    "not a list": ({"label": [0], "p": [1.0]}, r"`p` of row 0 is 1.0. It must list"),
    "negative weight": ({"label": [0, 1], "w": [1.0, -1.0]}, r"`w` of row 1 is -1.0"),
    "weight not a number": ({"label": [0, 1], "w": [1.0, float("nan")]}, r"`w` of row 1 is nan"),
    "no weight": ({"label": [0, 1], "w": [1.0, None]}, r"`w` of row 1 is None"),
    "weights all 0": ({"label": [0, None], "w": [0.0, 1.0]}, r"`w` is 0"),
}


def test_bad_rows_are_rejected_in_one_line(subtests: pytest.Subtests) -> None:
    for case, (columns, message) in BAD.items():
        options = {
            "probs_column": "p" if "p" in columns else None,
            "weight_column": "w" if "w" in columns else None,
        }
        with subtests.test(case), pytest.raises(DataError, match=message) as caught:
            training_rows(table(**columns), names=NAMES, label_column="label", **options)
        assert "\n" not in str(caught.value)
    for names in ([], ["one"], ["a", "a"]):
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
