"""What one recipe may do at once is divided among actors, and no more than that is done by all together."""

from __future__ import annotations

from typing import Any

import pytest

from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.clients.factory import split_rate_limits


def annotator(**keys: Any) -> ClientConfig:
    return ClientConfig.model_validate({"client": "openai", "model": "tiny", **keys})


def test_what_can_not_be_divided_goes_to_the_first() -> None:
    assert [part.max_in_flight for part in split_rate_limits(annotator(max_in_flight=11), 4)] == [3, 3, 3, 2]


def test_the_parts_are_the_whole(subtests: pytest.Subtests) -> None:
    cases: list[int] = [1, 2, 3, 7, 64]
    for actors in cases:
        with subtests.test(repr(actors)):
            parts = split_rate_limits(
                annotator(max_in_flight=65, requests_per_minute=10_000, tokens_per_minute=50_000_000), actors
            )
            assert len(parts) == actors
            assert sum(part.max_in_flight for part in parts) == 65
            assert sum(part.requests_per_minute or 0 for part in parts) == pytest.approx(10_000, rel=1e-12)
            assert sum(part.tokens_per_minute or 0 for part in parts) == pytest.approx(50_000_000, rel=1e-12)


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        pytest.param({"max_in_flight": 3}, 3, id="each has a request on the way"),
        pytest.param({"requests_per_minute": 200}, 3, id="each may send one a second"),
        pytest.param({"requests_per_minute": 5}, 1, id="slower than one a second"),
        pytest.param({"tokens_per_minute": 130_000}, 2, id="each has 60,000 tokens a minute"),
        pytest.param({"tokens_per_minute": 100}, 1, id="hardly a token"),
        pytest.param({}, 8, id="no limits"),
    ],
)
def test_small_limits_are_for_few(keys: dict[str, Any], count: int) -> None:
    assert len(split_rate_limits(annotator(**keys), 8)) == count


def test_money_is_one_account_and_nothing_else_changes() -> None:
    whole = annotator(max_in_flight=8, budget_usd=3.0, budget_tokens=1000, temperature=0.5)
    for part in split_rate_limits(whole, 2):
        assert part.model_copy(update={"max_in_flight": 8}) == whole
