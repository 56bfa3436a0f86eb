"""Label names within prose: alone in a sentence, or mentioned once where nothing negates them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hf_synthlabels.labels.parsing.answer import Answer, unparsed
from hf_synthlabels.labels.parsing.answer_lines import BULLET

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
"""Words with which an answer takes its label back, or leaves it open."""

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
"""A clause that makes a statement by itself, so that a negation in another clause is about something else."""
HEDGE = re.compile(r"\b(?:might|could|may|would|some|if|whether|at first|unless|initially)\b|\?\W*$", re.I)
ONLY_NO = re.compile(
    r"^\W*(?:(?:it|this|that)\s+(?:is|was|does)\s*)?(?:no|not|n['’]t|not really|never|wrong|false)\W*$", re.I
)

FUNCTION_WORDS = frozenset({"no", "not", "none", "never", "neither", "nor", "yes", "i", "or", "and"})
"""Names that prose uses for other things; so are single letters."""


def is_numeric(name: str) -> bool:
    """Whether a name is a number, which prose may compare with."""
    return name[:1].isdigit() and name.replace(".", "", 1).isdigit()


def segments(text: str) -> list[str]:
    """The sentences and lines of a text that say something, without bullets and numbers of items."""
    lines = (BULLET.sub("", line) for line in text.splitlines())
    parts = [part.strip() for line in lines for part in re.split(r"(?<=[.!?])\s+", line)]
    return [part for part in parts if any(character.isalnum() for character in part)]


def mentions(menu: Mapping[str, str], text: str) -> tuple[list[str], str]:
    """The names that occur in a text as whole words, and the text with a NUL character for each mention."""
    mentioned = []
    # Longest names first, and each mention is cut out, so that 'very good' is not also a mention of 'good'.
    for compared, name in menu.items():
        # 'non-toxic' is no mention of toxic, 'C++' none of C, and '4.5' none of 4 or 5.
        pattern = re.compile(rf"(?<!\w)(?<!\w-)(?<!\d[.,]){re.escape(compared)}(?![\w+#]|-\w|[.,]\d)")
        if pattern.search(text):
            mentioned.append(name)
            text = pattern.sub("\0", text)
    return mentioned, text


def only_mention(menu: Mapping[str, str], text: str) -> str | Answer:
    """The one name that a text mentions, unless it is negated; otherwise an answer that says why there is none."""
    mentioned, cut = mentions(menu, text)
    if len(mentioned) != 1:
        named = "no label of the schema" if not mentioned else f"several labels: {', '.join(sorted(mentioned))}"
        return unparsed(f"the answer names {named}")
    name = mentioned[0]
    short = len(name) == 1 or name.casefold() in FUNCTION_WORDS
    if NEGATION.search(cut) and (short or _is_negated(cut)):
        return unparsed(f"the answer names {name!r} but negates something")
    return name


def _is_negated(text: str) -> bool:
    """Whether a negation of a text concerns one of its mentions, which are NUL characters."""
    sentences = [sentence for sentence in SENTENCE_END.split(text) if sentence]
    for number, sentence in enumerate(sentences):
        if "\0" not in sentence:
            continue
        following = sentences[number + 1] if number + 1 < len(sentences) else ""
        if HEDGE.search(sentence) or ONLY_NO.match(following):
            return True
        clauses = CLAUSE.split(sentence)
        for place, clause in enumerate(clauses):
            if "\0" not in clause:
                continue
            after = clauses[place + 1] if place + 1 < len(clauses) else ""
            before = "" if STATEMENT.match(clause) else " ".join(clauses[:place])
            if NEGATION.search(clause) or NEGATION.search(before) or ONLY_NO.match(after):
                return True
    return False
