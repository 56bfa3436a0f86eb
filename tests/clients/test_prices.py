from __future__ import annotations

from datetime import date

import pytest

from hf_synthlabels.clients import Message, Price, Usage, estimate_message_tokens, estimate_tokens, list_price
from hf_synthlabels.clients.prices import _prices

OPENAI = "https://api.openai.com/v1"


def test_what_tokens_cost_by_hand() -> None:
    price = Price(2.0, 8.0, 0.5, batch_share=0.5)
    # 600 at 2, 400 at .5 and 100 at 8 dollars a million.
    assert price.usd(Usage(1000, 100, 400)) == pytest.approx((1200 + 200 + 800) / 1e6)
    assert price.usd(Usage(1000, 100, 400), batch=True) == pytest.approx(1100 / 1e6)
    assert Price(2.0, 8.0).usd(Usage(1000, 100, 400)) == pytest.approx(2800 / 1e6)


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"])
def test_a_dated_version_has_the_price_of_its_model(model: str) -> None:
    price = list_price(model, OPENAI)
    assert price is not None
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok, price.batch_share) == (0.4, 1.6, 0.5)


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-4.1-minimal", OPENAI),
        ("gpt-4", OPENAI),
        ("gpt-4.1-mini-realtime", OPENAI),
        ("my-model", OPENAI),
        # The same name elsewhere has another price.
        ("gpt-4.1-mini", "https://proxy.example.org/v1"),
        ("gpt-4.1-mini", "http://127.0.0.1:8000/v1"),
        ("", OPENAI),
    ],
)
def test_an_unknown_model_has_no_price_and_never_its_neighbours(model: str, base_url: str) -> None:
    assert list_price(model, base_url) is None


def test_every_list_price_says_when_and_where_it_was_seen() -> None:
    for models in _prices().values():
        for name, price in models.items():
            assert date.fromisoformat(price.seen) >= date(2026, 1, 1), name
            assert price.source.startswith("https://"), name
            assert 0 < price.input_usd_per_mtok < price.output_usd_per_mtok, name
            assert price.cached_input_usd_per_mtok is None or price.cached_input_usd_per_mtok < price.input_usd_per_mtok


# Counted with the tokenizer of GPT-4o (o200k_base), as published in its examples and on its counting page.
@pytest.mark.parametrize(
    ("text", "tokens", "off"),
    [
        ("", 0, 0),
        ("hello world", 2, 0),
        ("The quick brown fox jumps over the lazy dog.", 10, 2),
        ("1234567890", 4, 0),
        ("你好", 1, 1),
    ],
)
def test_the_estimate_is_near_what_tokenizers_count(text: str, tokens: int, off: int) -> None:
    assert abs(estimate_tokens(text) - tokens) <= off


def test_a_conversation_costs_a_little_more_than_its_texts() -> None:
    messages = (Message("system", "hello world"), Message("user", "hello"))
    assert estimate_message_tokens(messages) == 3 + 3 * 4
