"""Weighted means and shares of rows that were drawn with unequal chances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_synthlabels.statistics.agreement.weighted import weighted_mean, weighted_share
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign


def test_a_weighted_mean_has_the_interval_of_its_linearised_variance() -> None:
    found = weighted_mean(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    # (0 + 3) / 4; variance (0.75^2 + (3 x 0.25)^2) / 16 x 2 / 1 = 0.140625, which is 0.375^2; 1.96 x 0.375 = 0.735.
    assert (found.estimate, found.low, found.high, found.n) == pytest.approx((0.75, 0.015, 1.0, 2), abs=1e-3)


def test_of_one_row_anything_is_possible_and_of_none_nothing_is_known() -> None:
    one = weighted_mean(np.array([0.4]), np.array([2.0]))
    assert (one.estimate, one.low, one.high) == (0.4, 0.0, 1.0)
    assert math.isnan(weighted_mean(np.zeros(0), np.zeros(0)).estimate)
    nobody = np.zeros(2, dtype=np.bool_)
    assert weighted_share(nobody, nobody, SamplingDesign(np.ones(2))).n == 0


def test_a_share_counts_rows_with_their_weights() -> None:
    found = weighted_share(
        np.array([True, False, True]), np.ones(3, dtype=np.bool_), SamplingDesign(np.array([2.0, 4.0, 2.0]))
    )
    assert found.estimate == 0.5
    assert 0 < found.low < 0.5 < found.high < 1
