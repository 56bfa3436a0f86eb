"""The part of the prompt that describes the answer, for each kind of task, as text or JSON."""

from __future__ import annotations

from hf_synthlabels.annotation.prompting.stated_confidence import MEANING, SHAPE
from hf_synthlabels.annotation.prompting.strategies import Strategy
from hf_synthlabels.labels import Kind, LabelSchema

ENTITY_ITEMS = (
    "one object per entity in order of appearance, its text copied verbatim and its label spelled exactly as shown "
    "(an empty list if there are no entities)"
)
SPAN = "the shortest span of the context that answers the question, copied verbatim"

TEXT_ANSWER: dict[Kind, str] = {
    "text-classification": "exactly one label from the list, spelled exactly as shown",
    "text-pair": "exactly one label from the list, spelled exactly as shown",
    "multi-label": 'all labels from the list that apply, spelled exactly as shown and separated by commas, or "none"',
    "text-scale": "exactly one number",
    "token-classification": f'a JSON list of {{"text": "...", "label": "..."}} objects with {ENTITY_ITEMS}',
    "question-answering": SPAN,
    "text-generation": "your response",
}
"""The label of a plain text answer."""

JSON_ANSWER: dict[Kind, tuple[str, str]] = {
    "text-classification": ('"..."', "exactly one label from the list, spelled exactly as shown"),
    "text-pair": ('"..."', "exactly one label from the list, spelled exactly as shown"),
    "multi-label": (
        '["...", ...]',
        "the list of all labels that apply, spelled exactly as shown (an empty list if none applies)",
    ),
    "text-scale": ("0", "the number"),
    "token-classification": ('[{"text": "...", "label": "..."}, ...]', f"a list with {ENTITY_ITEMS}"),
    "question-answering": ('"..."', SPAN),
    "text-generation": ('"..."', "your response"),
}
"""The label of a JSON answer: its form, and its meaning."""

EXPLAIN = "First explain your reasoning in a few sentences."
LABEL_LINE = "write a final line that starts with `label:`, followed by"
CONFIDENCE_LINE = "write a final line that starts with `confidence:`, followed by"


def answer_form(schema: LabelSchema, strategy: Strategy, *, as_json: bool) -> str:
    """The last sentences of the system prompt."""
    if strategy.candidates:
        return _candidates(strategy, as_json=as_json)
    return _json_form(schema, strategy) if as_json else _text_form(schema, strategy)


def _candidates(strategy: Strategy, *, as_json: bool) -> str:
    meaning = f"up to {strategy.candidates} plausible labels from the list, most likely first"
    certain = "Give only one label if you are certain."
    if as_json:
        item = _json_object(strategy, '"candidates": ["...", ...]', f"`candidates` is {meaning}")
        return f"{item} {certain}"
    if strategy.reasoning:
        return f"{EXPLAIN} Then {LABEL_LINE} {meaning}, separated by commas. {certain}"
    return f"Answer with {meaning}, separated by commas, and nothing else. {certain}"


def _json_form(schema: LabelSchema, strategy: Strategy) -> str:
    shape, meaning = JSON_ANSWER[schema.kind]
    if strategy.rows_per_call > 1:
        return (
            f'Answer only with a JSON object {{"answers": [{{"row": 1, "label": {shape}}}, ...]}} with one item per '
            f"row, where `label` is {meaning}."
        )
    fields = [f'"{question.name}": "..."' for question in strategy.questions]
    if strategy.decide:
        return _json_object(strategy, ", ".join(fields), "")
    fields.append(f'"label": {shape}')
    meanings = [f"`label` is {meaning}"]
    if strategy.confidence:
        fields.append(f'"confidence": {SHAPE[strategy.confidence]}')
        meanings.append(f"`confidence` is {MEANING[strategy.confidence]}")
    return _json_object(strategy, ", ".join(fields), *meanings)


def _json_object(strategy: Strategy, fields: str, *given: str) -> str:
    """The request for a JSON object, with the reasoning as its first field where it is wanted."""
    meanings = [meaning for meaning in given if meaning]
    if strategy.reasoning:
        fields = f'"reasoning": "...", {fields}'
        meanings = ["`reasoning` explains your reasoning in a few sentences", *meanings]
    where = f", where {' and '.join(meanings)}" if meanings else ""
    return f"Answer only with a JSON object {{{fields}}}{where}."


def _text_form(schema: LabelSchema, strategy: Strategy) -> str:
    label = TEXT_ANSWER[schema.kind]
    if strategy.confidence:
        return _text_with_confidence(label, strategy, MEANING[strategy.confidence])
    if strategy.rows_per_call > 1:
        return (
            f"Answer with a numbered list, such as `1. ...`: on each line the row number and {label}, and nothing else."
        )
    if strategy.questions:
        first = f"{EXPLAIN} Then answer" if strategy.reasoning else "Answer"
        lines = f"{first} with one line per question, such as `{strategy.questions[0].name}: ...`."
        return lines if strategy.decide else f"{lines} Then {LABEL_LINE} {label}."
    if strategy.reasoning:
        return f"{EXPLAIN} Then {LABEL_LINE} {label}."
    return f"Answer with {label}{',' if ',' in label else ''} and nothing else."


def _text_with_confidence(label: str, strategy: Strategy, meaning: str) -> str:
    """The request for a line with the label, and a final line with the confidence."""
    last = f"write a line that starts with `label:`, followed by {label}. Then {CONFIDENCE_LINE} {meaning}."
    if strategy.questions:
        first = f"{EXPLAIN} Then answer" if strategy.reasoning else "Answer"
        return f"{first} with one line per question, such as `{strategy.questions[0].name}: ...`. Then {last}"
    if strategy.reasoning:
        return f"{EXPLAIN} Then {last}"
    return f"{last[0].upper()}{last[1:]} Write nothing else."
