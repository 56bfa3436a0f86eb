"""The form of the answer, in the words of the prompt: what is wanted of each kind, in plain text or in JSON."""

from __future__ import annotations

from hf_synthlabels.annotation.prompting.strategies import Strategy
from hf_synthlabels.labels import Kind, LabelSchema

NAMED: dict[Kind, str] = {
    "text-classification": "one label, spelled as in the list",
    "text-pair": "one label, spelled as in the list",
    "multi-label": "all labels that fit, spelled as in the list and separated by commas, or none",
    "text-scale": "one number",
    "token-classification": (
        'a JSON list of {"text": "...", "label": "..."}, one for each entity in the order of the text, '
        "its text copied exactly and its label spelled as in the list; the list is empty when there is no entity"
    ),
    "question-answering": "the words of the context that answer the question, as few as will do, copied exactly",
    "text-generation": "the text that is asked for",
}
"""What a plain answer is, by kind."""

IN_JSON: dict[Kind, tuple[str, str]] = {
    "text-classification": ('"..."', "holds one of the labels"),
    "text-pair": ('"..."', "holds one of the labels"),
    "multi-label": ('["...", ...]', "holds all labels that fit; the list is empty when none does"),
    "text-scale": ("0", "holds the number"),
    "token-classification": (
        '[{"text": "...", "label": "..."}, ...]',
        "holds one item for each entity in the order of the text, its text copied exactly and its label spelled as in "
        "the list; it is empty when there is no entity",
    ),
    "question-answering": (
        '"..."',
        "holds the words of the context that answer the question, as few as will do, copied exactly",
    ),
    "text-generation": ('"..."', "holds the text that is asked for"),
}
"""How the label stands in a JSON object, and what it is, by kind."""


def answer_form(schema: LabelSchema, strategy: Strategy, *, as_json: bool) -> str:
    """The sentences that end the prompt."""
    if strategy.candidates:
        return _candidates(strategy, as_json=as_json)
    return _json_form(schema, strategy) if as_json else _text_form(schema, strategy)


def _candidates(strategy: Strategy, *, as_json: bool) -> str:
    wanted = (
        f"the labels that may be right, at most {strategy.candidates}, the likeliest first, "
        "and one only if it is certain"
    )
    reason = "First reason in a few sentences. " if strategy.reasoning else ""
    if as_json:
        before = '"reasoning": "...", ' if strategy.reasoning else ""
        shape = f'{{{before}"candidates": ["...", ...]}}'
        return f"{reason}Answer with a JSON object {shape} that holds {wanted}, and with nothing else."
    if strategy.reasoning:
        return f"{reason}Then give, on a last line that begins with `label:`, {wanted}, separated by commas."
    return f"Answer with {wanted}, separated by commas, and with nothing else."


def _json_form(schema: LabelSchema, strategy: Strategy) -> str:
    shape, meaning = IN_JSON[schema.kind]
    fields = ['"reasoning": "..."'] if strategy.reasoning else []
    fields += [f'"{question.name}": "..."' for question in strategy.questions]
    if not strategy.decide:
        fields.append(f'"label": {shape}')
    before = "First the reasoning, in a few sentences. " if strategy.reasoning else ""
    if strategy.rows_per_call > 1:
        return (
            f'Answer with a JSON object {{"answers": [{{"row": 1, {", ".join(fields)}}}, ...]}} with one item for each '
            f"row; its label {meaning}. Answer with nothing else."
        )
    if strategy.decide:
        return f"{before}Answer with a JSON object {{{', '.join(fields)}}}, and with nothing else."
    return f"{before}Answer with a JSON object {{{', '.join(fields)}}} that {meaning}, and with nothing else."


def _text_form(schema: LabelSchema, strategy: Strategy) -> str:
    wanted = NAMED[schema.kind]
    if strategy.rows_per_call > 1:
        return (
            "Answer with a numbered list that has one line for each row, such as `1. ...`, with the number of the row "
            f"and {wanted}, and with nothing else."
        )
    before = "First reason in a few sentences. " if strategy.reasoning else ""
    if strategy.questions:
        last = "" if strategy.decide else f" Then a last line that begins with `label:`, with {wanted}."
        answers = f"{'answer' if before else 'Answer'} with one line for each question"
        return f"{before}{'Then ' if before else ''}{answers}, such as `{strategy.questions[0].name}: ...`.{last}"
    if strategy.reasoning:
        return f"{before}Then give, on a last line that begins with `label:`, {wanted}."
    return f"Answer with {wanted}, and with nothing else."
