from __future__ import annotations

import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import MISSING, check_lengths, encode


def test_encode_gives_positions_and_minus_one_for_none() -> None:
    assert encode(["b", None, "a"], ["a", "b"]).tolist() == [1, MISSING, 0]


def test_encode_shows_three_unknown_labels_and_counts_rows() -> None:
    with pytest.raises(DataError, match=r"`gold` has 5 rows .*: 'x', 'y', 'z' and 1 more values\..*'a', 'b'"):
        encode(["x", "x", "y", "z", "w", "a"], ["a", "b"], field="gold")
    for names in ([], ["a", "a"]):
        with pytest.raises(ConfigError, match="`names`"):
            encode(["a"], names)


def test_columns_of_different_lengths_are_refused() -> None:
    check_lengths(human=[1, 2], llm=[1, 2], probabilities=[1, 1])
    with pytest.raises(DataError, match=r"`human` has 2 rows and `llm` 1"):
        check_lengths(human=[1, 2], groups=[1, 2], llm=[1])
