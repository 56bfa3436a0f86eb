"""What stands in data can not break a card."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.cards.markdown import Markdown, code, fenced, interval, plain, table
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.intervals import wilson

HOSTILE = (
    "<script>alert(1)</script>",
    "a | b\\| c",
    "`code` ``more``",
    "![x](https://evil.example/x.png)",
    "line one\n---\n# heading\n| a | b |\n|---|---|",
    "<!-- never closed",
    "</details>",
    "[link]: https://evil.example",
    "- item",
    "12. item",
    "$x$ ~~gone~~ **bold** __bold__",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "@somebody #1",
    "{{ 7 * 7 }} {% raw %}",
    "\\",
)


def test_text_from_data_has_no_structure() -> None:
    for text in HOSTILE:
        made = plain(text)
        # A greater-than sign closes nothing that was not opened.
        for sign in "<|`[]*~$\\\n\r":
            assert sign not in made
        assert "https://" not in made
        assert not made.startswith(("- ", "# ", "12."))


def test_plain_text_is_unchanged() -> None:
    assert (
        plain("Databases, query processing: 0.95 (llm_label) - a_b")
        == "Databases, query processing: 0.95 (llm_label) - a_b"
    )
    # A less-than sign is number 60.
    assert plain("a < b") == "a &#60; b"
    assert plain("_x_") == "&#95;x&#95;"
    assert plain("one\ntwo\u202e") == "one two"
    assert plain("abcdef", 4) == "abc…"


def test_code_uses_backticks_if_possible() -> None:
    assert code("raw:gpt-3.5-turbo") == "`raw:gpt-3.5-turbo`"
    assert code("a|b") == "<code>a&#124;b</code>"
    assert code("a`b") == "<code>a&#96;b</code>"
    assert code("") == "<code></code>"
    assert code("a\nb") == "`a b`"
    # In backticks neither HTML nor a link means anything.
    assert code("<b>") == "`<b>`"


def test_fence_is_longer_than_any_in_the_text() -> None:
    assert fenced("a ```` b") == "`````\na ```` b\n`````"
    assert fenced("x = 1\r\n", "python") == "```python\nx = 1\n```"
    assert fenced("a\x00b\u202e") == "```\nab\n```"


@given(st.text(max_size=60))
def test_row_of_a_table_stays_one_row_of_as_many_cells(text: str) -> None:
    lines = table(("a", "b"), [(text, code(text))]).split("\n")
    assert len(lines) == 3
    # A bar ends a cell unless a backslash stands before it, and none does.
    assert lines[2].count("|") == 3
    assert "\\|" not in lines[2]


@given(st.text(alphabet="`~\n a#<", max_size=40))
def test_fence_is_closed_by_its_end_alone(text: str) -> None:
    lines = fenced(text).split("\n")
    fence = lines[0]
    assert [
        number
        for number, line in enumerate(lines)
        if line.strip() and set(line.strip()) == {"`"} and len(line.strip()) >= len(fence)
    ] == [0, len(lines) - 1]


def test_intervals_have_three_decimals_and_undefined_is_a_dash() -> None:
    # 8 of 10 by Wilson 1927: 0.490 to 0.943.
    assert interval(wilson(8, 10)) == "0.800 [0.490, 0.943]"
    nan = float("nan")
    assert interval(Interval(nan, nan, nan, 0.95, "wilson", 0)) == "–"
    assert interval(None) == "–"


def test_markdown_is_not_escaped() -> None:
    assert table(("a",), [(Markdown("**b**"),), (1234,), (True,)]).split("\n")[2:] == [
        "| **b** |",
        "| 1,234 |",
        "| yes |",
    ]
