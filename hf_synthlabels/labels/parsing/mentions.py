"""Label names in prose: which occur, and whether a negation concerns them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hf_synthlabels.labels.parsing.answer import BULLET, Answer, unparsed

CLAUSE_END = re.compile(r"[.!?;:,\n]")
NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|none|cannot|unlikely|except|without|hardly|rather than|instead of|far from"
    r"|anything but)\b|n['’]t\b",
    re.I,
)
REVISION = re.compile(
    r"\b(?:wait|correction|on second thoughts?|scratch that|i mean|revised?|or rather|maybe|perhaps|possibly"
    r"|(?:could|might|may) (?:also|as well) be)\b",
    re.I,
)
"""Phrases with which an answer retracts its label or leaves it open."""

SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]*_]*\s+|\n\s*\n|(?<=[:;])\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")
CLAUSE = re.compile(
    r"[,;:()–—]|\s-+\s|\b(?:because|since|as|but|although|though|while|whereas|so|therefore|thus|hence|and|given)\b",
    re.I,
)
SUBJECT = r"(?:it|this|these|i|we|he|she|they|(?:the|my|its|this)\s+\w+(?:\s+\w+){0,3})"
VERB = (
    r"(?:is|are|was|were|['’]s|will|must|should|seems?|appears?|falls?|fits?|belongs?|has|have|qualif\w+|express\w*"
    r"|classif\w+|label\w*|choose|pick|select|convey\w*|indicat\w+|suggest\w*|lean\w*)"
)
STATEMENT = re.compile(rf"^\W*(?:(?:then|overall|clearly|instead)\W+)*{SUBJECT}\s*(?<![^\W_]['’]){VERB}\b", re.I)
"""A complete statement. A negation in another clause does not concern it."""
HEDGE = re.compile(r"\b(?:might|could|may|would|some|if|whether|at first|unless|initially)\b|\?\W*$", re.I)
ONLY_NO = re.compile(
    r"^\W*(?:(?:it|this|that)\s+(?:is|was|does)\s*)?(?:no|not|n['’]t|not really|never|wrong|false)\W*$", re.I
)

FUNCTION_WORDS = frozenset({"no", "not", "none", "never", "neither", "nor", "yes", "i", "or", "and"})
"""Names that are also common words of prose, as are single letters."""


def is_numeric(name: str) -> bool:
    """Whether a name is a number, which prose may compare with."""
    return name[:1].isdigit() and name.replace(".", "", 1).isdigit()


def segments(text: str) -> list[str]:
    """Split a text into lines and sentences, without bullets, item numbers and parts without words."""
    lines = (BULLET.sub("", line) for line in text.splitlines())
    parts = [part.strip() for line in lines for part in re.split(r"(?<=[.!?])\s+", line)]
    return [part for part in parts if any(character.isalnum() for character in part)]


def mentions(menu: Mapping[str, str], text: str) -> tuple[list[str], str]:
    """Return the names that occur as whole words, and the text with a NUL character for each mention."""
    names = []
    # Longest names first: 'very good' does not also mention 'good'.
    for folded, name in menu.items():
        # 'non-toxic' does not mention 'toxic', nor 'C++' 'C', nor '4.5' '4' or '5'.
        pattern = re.compile(rf"(?<!\w)(?<!\w-)(?<!\d[.,]){re.escape(folded)}(?![\w+#]|-\w|[.,]\d)")
        if pattern.search(text):
            names.append(name)
            text = pattern.sub("\0", text)
    return names, text


def only_mention(menu: Mapping[str, str], text: str) -> str | Answer:
    """Return the only name that a text mentions without negating it, or an unparsed answer."""
    names, masked = mentions(menu, text)
    if len(names) != 1:
        named = "no label of the schema" if not names else f"several labels: {', '.join(sorted(names))}"
        return unparsed(f"the answer names {named}")
    name = names[0]
    is_common_word = len(name) == 1 or name.casefold() in FUNCTION_WORDS
    if NEGATION.search(masked) and (is_common_word or _is_negated(masked)):
        return unparsed(f"the answer names {name!r} but negates something")
    return name


def _is_negated(text: str) -> bool:
    """Whether a negation concerns one of the mentions, which are NUL characters."""
    sentences = [sentence for sentence in SENTENCE_END.split(text) if sentence]
    for number, sentence in enumerate(sentences):
        if "\0" not in sentence:
            continue
        following = sentences[number + 1] if number + 1 < len(sentences) else ""
        if HEDGE.search(sentence) or ONLY_NO.match(following):
            return True
        clauses = CLAUSE.split(sentence)
        for position, clause in enumerate(clauses):
            if "\0" not in clause:
                continue
            after = clauses[position + 1] if position + 1 < len(clauses) else ""
            before = "" if STATEMENT.match(clause) else " ".join(clauses[:position])
            if NEGATION.search(clause) or NEGATION.search(before) or ONLY_NO.match(after):
                return True
    return False
