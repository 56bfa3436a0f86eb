from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from hf_synthlabels.clients import Price, Usage, list_price
from hf_synthlabels.clients.prices import _prices, is_local

OPENAI = "https://api.openai.com/v1"


def test_what_tokens_cost_by_hand() -> None:
    price = Price(2.0, 8.0, 0.5, batch_price_factor=0.5)
    # 600 at 2, 400 at .5 and 100 at 8 dollars a million.
    assert price.usd(Usage(1000, 100, 400)) == pytest.approx((1200 + 200 + 800) / 1e6)
    assert price.usd(Usage(1000, 100, 400), batch=True) == pytest.approx(1100 / 1e6)
    assert Price(2.0, 8.0).usd(Usage(1000, 100, 400)) == pytest.approx(2800 / 1e6)


def test_prompts_that_are_written_to_the_cache_count_as_written() -> None:
    price = Price(2.0, 8.0, 0.5, cache_write_usd_per_mtok=2.5)
    # Servers keep no prompt under 1,024 tokens.
    assert price.usd(Usage(1000, 0)) == pytest.approx(2000 / 1e6)
    assert price.usd(Usage(2000, 0, 400)) == pytest.approx((1600 * 2.5 + 400 * 0.5) / 1e6)
    # Of several requests together their mean decides.
    assert price.usd(Usage(2000, 0), requests=4) == pytest.approx(4000 / 1e6)


def test_long_prompts_cost_more() -> None:
    price = Price(2.0, 8.0, long_prompt_tokens=100_000, long_prompt_factor=2.0)
    assert price.usd(Usage(100_000, 0)) == pytest.approx(0.2)
    assert price.usd(Usage(100_001, 1000)) == pytest.approx(2 * (0.200002 + 0.008))
    assert price.usd(Usage(1_000_000, 0), requests=100) == pytest.approx(2.0)


def test_more_cached_tokens_than_prompt_tokens_are_no_gain() -> None:
    assert Price(2.0, 8.0, 0.5).usd(Usage(100, 0, 400)) == pytest.approx(50 / 1e6)


def test_a_dated_version_has_the_price_of_its_model(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"]
    for model in cases:
        with subtests.test(model=model):
            price = list_price(model, OPENAI)
            assert price is not None
            assert (price.input_usd_per_mtok, price.output_usd_per_mtok, price.batch_price_factor) == (0.4, 1.6, 0.5)


def test_a_version_that_is_listed_has_its_own_price() -> None:
    first, later = list_price("gpt-4o-2024-05-13", OPENAI), list_price("gpt-4o-2024-08-06", OPENAI)
    assert first is not None
    assert later is not None
    assert (first.input_usd_per_mtok, later.input_usd_per_mtok) == (5.0, 2.5)


def test_a_provider_may_have_several_addresses() -> None:
    model = "openai/gpt-oss-120b"
    assert list_price(model, "https://api.together.xyz/v1") == list_price(model, "https://API.groq.com/openai/v1")


def test_what_is_on_this_machine(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, bool]] = [
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost:11434/v1", True),
        ("http://[::1]:8000/v1", True),
        (OPENAI, False),
        ("https://127.0.0.1.example.org/v1", False),
    ]
    for base_url, local in cases:
        with subtests.test(base_url=base_url, local=local):
            assert is_local(base_url) is local


def test_an_unknown_model_has_no_price_and_never_its_neighbours(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("gpt-4.1-minimal", OPENAI),
        ("gpt-4.1-mini-0414", OPENAI),
        ("gpt-4-turbo-2024-04-09", OPENAI),
        ("GPT-4.1-mini", OPENAI),
        # Another model every year.
        ("gpt-4.1-mini-latest", OPENAI),
        ("gpt-4.1-mini-realtime", OPENAI),
        ("my-model", OPENAI),
        # The same name elsewhere has another price.
        ("gpt-4.1-mini", "https://proxy.example.org/v1"),
        ("gpt-4.1-mini", "http://127.0.0.1:8000/v1"),
        ("", OPENAI),
    ]
    for model, base_url in cases:
        with subtests.test(model=model, base_url=base_url):
            assert list_price(model, base_url) is None


def test_every_list_price_says_when_and_where_it_was_seen() -> None:
    for models in _prices().values():
        for name, price in models.items():
            assert date.fromisoformat(price.seen) >= date(2026, 1, 1), name
            assert price.source.startswith("https://"), name
            assert 0 < price.input_usd_per_mtok < price.output_usd_per_mtok, name
            assert price.cached_input_usd_per_mtok is None or price.cached_input_usd_per_mtok < price.input_usd_per_mtok


def test_the_documented_costs_follow_from_the_list_prices() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in document.splitlines()
        if re.match(r"\| `[\w./-]+` \| [\w.]+ \| \d", line)
    ]
    assert len(rows) >= 8
    for model, host, prompt_price, answer_price, cost, seen in rows:
        price = list_price(model, f"https://{host}/v1")
        assert price is not None
        assert (price.input_usd_per_mtok, price.output_usd_per_mtok) == (float(prompt_price), float(answer_price))
        # 10,000 texts of 200 tokens, a prompt of 150 tokens, answers of 10 tokens.
        assert float(cost) == pytest.approx((350 * float(prompt_price) + 10 * float(answer_price)) / 100, abs=0.006)
        assert str(price.seen) == seen
