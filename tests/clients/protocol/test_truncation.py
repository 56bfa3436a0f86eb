"""A server that truncates prompts without an error is noticed; servers that count oddly are not blamed."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from hf_synthlabels.clients import Completion, Message, Request, ScriptedClient, Usage
from hf_synthlabels.clients.protocol.truncation import checked_prompts, min_tokens, truncation_warning

SYSTEM = Message("system", "Choose one of the labels. " * 20)


def found(prompts: list[tuple[str, Usage]]) -> Counter[str]:
    cases: Counter[str] = Counter()
    requests = [Request(number, (SYSTEM, Message("user", text))) for number, (text, _) in enumerate(prompts)]
    client = ScriptedClient(lambda request: Completion(request.key, text="film", usage=prompts[request.key][1]))
    assert len(list(checked_prompts(client, requests, cases))) == len(prompts)
    return cases


def english(words: int) -> str:
    return "the film was long " * (words // 4)


def test_the_fewest_tokens_of_a_text(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, int]] = [
        ("", 0),
        ("one two, three!", 3),
        ("2024-01-02", 3),
        ("中文文本分类", 2),
        ("นี่คือข้อความ", 4),
        ("Привет мир", 2),
        ("snake_case, 3.5 and a\tb", 7),
        ("snake_case, 3.5 and é\tb", 7),
        ("  \n", 0),
    ]
    for text, least in cases:
        with subtests.test(text=text, least=least):
            assert min_tokens(text) == least


def test_counts_far_below_the_words_of_the_prompts_are_told() -> None:
    # 100 words of the system prompt and 4,000 of the row cannot be 2,048 tokens.
    cases = found([(english(400), Usage(520)), (english(4000), Usage(2048)), (english(4000), Usage(2048))])
    assert cases == {"2048/4100": 2}
    warning = truncation_warning(cases)
    assert warning is not None
    assert all(word in warning for word in ("2 prompts", "2,048", "4,100"))


def test_the_same_count_for_prompts_of_very_different_lengths_is_a_limit() -> None:
    # All have fewer words than 2,048, but the longest of them twice as many as the shortest.
    cases = found([(english(words), Usage(2048)) for words in (900, 1100, 1300, 1500, 1700, 1800)])
    assert cases == {"2048/2048": 6}


@pytest.mark.parametrize(
    "prompts",
    [
        pytest.param([(english(words), Usage(words + 110)) for words in range(400, 4000, 100)], id="honest"),
        pytest.param([(english(4000), Usage(0))] * 6, id="no usage"),
        pytest.param([(english(4000), Usage(80, cached_tokens=4030))] * 6, id="cached tokens left out"),
        pytest.param([(english(4000), Usage(4200)), *[(english(4000), Usage(300))] * 6], id="cache left out, unsaid"),
        pytest.param([("文" * 6000, Usage(2600))] * 6, id="a tokenizer for Chinese"),
        pytest.param([("=" * 8000 + "\n" * 4000, Usage(300))] * 6, id="rulers and empty lines"),
        pytest.param([("data:image/png;base64," + "iVBORw0KGgo" * 2000, Usage(300))] * 6, id="an image"),
        pytest.param([("short", Usage(3))] * 6, id="short"),
        pytest.param([(english(1000), Usage(1400))] * 6, id="equal rows"),
    ],
)
def test_other_servers_are_not_blamed(prompts: list[tuple[str, Usage]]) -> None:
    assert found(prompts) == {}
    assert truncation_warning(found(prompts)) is None


def test_the_check_takes_as_long_for_late_prompts_as_for_early_ones() -> None:
    # A server that counts the same for all prompts keeps all of them in the comparison.
    requests = [Request(number, (SYSTEM, Message("user", english(1200)))) for number in range(12_000)]
    client = ScriptedClient(lambda request: Completion(request.key, text="film", usage=Usage(2048)))
    began, times = time.process_time(), list[float]()
    for _ in checked_prompts(client, requests, Counter()):
        times.append(time.process_time() - began)
    assert times[-1] - times[-3000] < 3 * times[2999]
