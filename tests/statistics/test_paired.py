from __future__ import annotations

import math

import numpy as np
import pytest

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.comparison.paired import mcnemar


def test_mcnemar_by_hand() -> None:
    # a alone is right in 5 rows, b alone in 1: p = 2 (C(6,0) + C(6,1)) / 2^6 = 14/64
    human = ["x"] * 10
    a = ["x"] * 8 + ["y", None]
    b = ["x", "x", "x"] + ["y"] * 5 + ["x", "y"]
    result = mcnemar(human, a, b)
    assert (result.both, result.only_a, result.only_b, result.neither) == (3, 5, 1, 1)
    assert result.p_value == pytest.approx(14 / 64)
    assert result.difference == pytest.approx(0.4)
    assert result.n == 10


def test_mcnemar_takes_codes_and_is_symmetric() -> None:
    human, a, b = np.array([0, 1, 1, 0]), np.array([0, 1, -1, 0]), np.array([0, 0, -1, 1])
    assert mcnemar(human, a, b).p_value == mcnemar(human, b, a).p_value == 0.5
    assert mcnemar(human, a, b).neither == 1


def test_mcnemar_without_discordant_rows_is_one() -> None:
    assert mcnemar(["x"], ["x"], ["x"]).p_value == 1
    empty = mcnemar([], [], [])
    assert empty.p_value == 1
    assert math.isnan(empty.difference)


def test_mcnemar_of_several_seeds_or_other_lengths_is_refused() -> None:
    with pytest.raises(DataError, match="`human`"):
        mcnemar([0, 1], np.array([[0, 1], [0, 1]]), [0, 1])
    with pytest.raises(DataError, match="shapes"):
        mcnemar([0, 1], [0], [0, 1])


@pytest.mark.parametrize("missing", [None, -1])
def test_mcnemar_without_a_human_label_is_refused(missing: int | None) -> None:
    with pytest.raises(DataError, match="`human`"):
        mcnemar([0, missing], [0, 1], [0, 1])
