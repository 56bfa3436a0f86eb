"""Phrases that this project's English avoids: where they occur in the documents and in the package.

List the occurrences under some paths (everything without a path), or print the table `REMAINING` as it is now:

    python tests/test_language.py hf_synthlabels/clients docs README.md
    python tests/test_language.py --counts
"""

from __future__ import annotations

import ast
import functools
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FILES = (
    "README.md",
    "CONTRIBUTING.md",
    "train.py",
    *(f"{folder}/**/*" for folder in ("docs", "hf_synthlabels", "metrics", "configs", "examples", "benchmarks")),
)
SUFFIXES = (".css", ".html", ".js", ".md", ".py", ".txt", ".yaml", ".yml")

BANNED = {
    r"told apart|tell apart|tells? (?:\w+ ){1,3}apart": "distinguish, differ significantly, separate",
    r"can not": "cannot",
    r"chances": "probabilities, inclusion probabilities",
    r"put right": "corrected",
    r"hangs? together": "clustered",
    r"dealt out": "permuted, assigned",
    r"(?:hold|holds|held|holding) the truth": "cover the true value",
    r"anew": "again",
    r"heed(?:s|ed|ing)?": "respect, follow",
    r"whoever|whomever|whom": "anyone who, or the noun: the annotator, the server",
    r"nobody|somebody": "no annotator, the user, unlabeled",
    r"people's": "human",
    r"wished": "requested, target",
    r"in place of": "instead of",
    r"beside": "next to, alongside, besides",
    r"at hand": "available",
    r"of (?:its|their|one's|your|our|his|my) own": "its own, separate",
    r"one's own": "your own",
    r"(?:stand|stands|stood|standing) (?:in|beside|for|beneath|between)": "is in, is next to, represents",
    r"(?:is|are) (?:asked(?! for)|told|said)": "active voice with a subject: the run requests, the report states",
    r"(?<!there\s)(?:is|are) (?-i:none)(?! of)|none that (?:is|are)": "is not a ..., is missing",
    r"no number(?! of)": "NaN, not a number",
    r"what (?:\S+ ){1,5}?(?:comes|came) to|(?:comes|came) to nothing": "is, totals, results in",
    r"what (?:comes|came|becomes|became) of": "result of, outcome of",
    r"(?:has|have|had) not(?=[.,;:!?'\"`)]|$)": "does not have, is missing",
    r"[\d.]+ %(?![\w(}])": "95%, without the space",
    r"&#91;": "[",
    # The row status is written `labelled`.
    r"(?<![`'\">])(?:\w+-)*(?:[a-z]*)labell(?:ed|ing)(?![`'\"]| [\d|{`(]|: \d|, abstained)": "labeled",
}
"""What is not written, each with what to write instead. A space matches any white space, including line breaks."""

PATTERN = re.compile(
    "|".join(rf"(?<![\w-])(?P<p{number}>{phrase})(?!\w)" for number, phrase in enumerate(BANNED)).replace(" ", r"\s+"),
    re.IGNORECASE,
)

EXEMPT = {
    "configs/recipes/derailing.yaml",
    "configs/recipes/figurative.yaml",
    "configs/recipes/rte.yaml",
    "configs/recipes/wnut17.yaml",
}
"""Label definitions are prompts: the numbers of the result pages are of this wording."""

REMAINING: dict[str, int] = {}
"""Occurrences that are left, by folder. Lower a number when its folder has fewer; a folder without one has none."""


def occurrences(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, phrase and advice of each banned phrase in one file."""
    text = path.read_text(encoding="utf-8")
    for first, prose in python_prose(text) if path.suffix == ".py" else ((1, text),):
        for match in PATTERN.finditer(prose):
            advice = list(BANNED.values())[int((match.lastgroup or "p0")[1:])]
            yield first + prose.count("\n", 0, match.start()), " ".join(match[0].split()), advice


def python_prose(source: str) -> Iterator[tuple[int, str]]:
    """First line and text of the comments, docstrings and strings of a program; names in strings are no prose."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isidentifier():
            yield node.lineno, node.value
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != last + 1:
            yield last - len(block) + 1, "\n".join(block)
            block = []
        last = token.start[0]
        block.append(token.string.lstrip("# "))
    if block:
        yield last - len(block) + 1, "\n".join(block)


def section(path: Path) -> str:
    """The key of a file in `REMAINING`: its subpackage or its folder."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) == 1 or (parts[0] != "hf_synthlabels" or len(parts) == 2) else "/".join(parts[:2])


def files() -> list[Path]:
    """Documents and everything that the package ships, and the programs beside it."""
    paths = {path for pattern in FILES for path in ROOT.glob(pattern) if path.suffix in SUFFIXES}
    return sorted(paths - {ROOT / name for name in EXEMPT})


@functools.cache
def counts() -> Counter[str]:
    """Occurrences of each section that has any."""
    return Counter(section(path) for path in files() for _ in occurrences(path))


@pytest.mark.parametrize("name", sorted(REMAINING.keys() | {section(path) for path in files()}))
def test_banned_phrases_do_not_return(name: str) -> None:
    folder = name if name != "hf_synthlabels" else "hf_synthlabels/*.py"
    assert counts()[name] <= REMAINING.get(name, 0), f"list them: python tests/test_language.py {folder}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# It can\n# not be.\nx = 1\n", [(1, "can not")]),
        ('"""One.\n\nRows were told\napart."""\n', [(3, "told apart")]),
        ('x = f"{y} of its" " own"\n', [(1, "of its own")]),
        ("x = ['chances']\n", []),
        ("wished = asked(nobody)\n", []),
        ("# 95 % of them\nx = '%d %s' % (1, 2)\n", [(1, "95 %")]),
    ],
)
def test_prose_is_found_and_code_is_not(source: str, expected: list[tuple[int, str]], tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert [(line, phrase) for line, phrase, _ in occurrences(path)] == expected


def show(paths: Iterable[str]) -> int:
    """Print the occurrences under some paths as file:line, and how many they are."""
    roots = [Path(path).resolve() for path in paths] or [ROOT]
    number = 0
    for path in files():
        if any(path.is_relative_to(root) for root in roots):
            for line, phrase, advice in occurrences(path):
                print(f"{path.relative_to(ROOT)}:{line}: {phrase!r} -> {advice}")  # noqa: T201
                number += 1
    return number


if __name__ == "__main__":
    if sys.argv[1:] == ["--counts"]:
        for name, number in sorted(counts().items()):
            print(f'    "{name}": {number},')  # noqa: T201
    else:
        print(f"{show(sys.argv[1:])} occurrences")  # noqa: T201
