from __future__ import annotations

import pytest

from hf_synthlabels.clients import Message
from hf_synthlabels.clients.token_estimates import TokenRatio, estimate_message_tokens, estimate_tokens


# Counted with tiktoken's cl100k_base, the tokenizer of GPT-4.
def test_the_estimate_is_near_what_a_tokenizer_counts(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, int]] = [
        ("hello world", 2),
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("1234567890", 4),
        (
            "Researchers at the university reported on Tuesday that the new vaccine protects nine out of ten people "
            "against infection.",
            20,
        ),
        ("def mean(values: list[float]) -> float:\n    return sum(values) / len(values)\n", 19),
        ('{"label": "film", "confidence": 0.93, "row": 17}', 20),
        ("Die Bundesregierung hat am Dienstag beschlossen, die Förderung der Windkraft auszuweiten.", 24),
        ("Правительство приняло решение о поддержке малого бизнеса в регионах страны.", 35),
        ("今天天气很好，我们一起去公园散步吧。", 22),
        ("今日は天気がいいので、公園まで散歩に行きましょう。", 29),
        ("오늘은 날씨가 좋아서 공원에 산책하러 갑시다.", 31),
        ("الطقس جميل اليوم لذلك سنذهب إلى الحديقة.", 28),
        ("आज मौसम बहुत अच्छा है, चलो पार्क में घूमने चलते हैं।", 55),
        ("Ο καιρός είναι καλός σήμερα, ας πάμε στο πάρκο.", 38),
    ]
    for text, tokens in cases:
        with subtests.test(text=text, tokens=tokens):
            assert estimate_tokens(text) == pytest.approx(tokens, rel=0.3)


def test_nothing_is_no_token() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("   ") <= 1


def test_the_estimate_is_never_more_than_the_bytes() -> None:
    for text in ("a", "ß", "ა" * 50, "🎬" * 20, "﷽", "x9" * 40, "\n" * 9, "?!" * 30):
        assert estimate_tokens(text) <= len(text.encode())


def test_a_conversation_costs_a_little_more_than_its_texts() -> None:
    messages = (Message("system", "hello world"), Message("user", "hello"))
    assert estimate_message_tokens(messages) == 3 + (2 + 4) + (1 + 4)


def test_a_ratio_is_learnt_from_what_was_counted() -> None:
    ratio = TokenRatio()
    assert (ratio.value, ratio.is_known) == (1.0, False)
    # A server that counts nothing teaches nothing.
    ratio.add(100, 0)
    assert (ratio.value, ratio.is_known) == (1.0, False)
    ratio.add(100, 120)
    ratio.add(300, 280)
    assert (ratio.value, ratio.is_known) == (1.0, True)
    ratio.add(100, 200)
    assert ratio.value == pytest.approx(600 / 500)
