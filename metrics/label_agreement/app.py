"""The page of the metric's Space: labels of an LLM and of people in, agreement out. Run: python app.py."""

from __future__ import annotations

from typing import Any

from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.statistics import MEASURES, validate

TITLE = "Label agreement"
ABOUT = (
    "How far the labels of an LLM agree with those of people, with an interval on every score. One label in each line; "
    "an empty line of the LLM is a row without a label, an empty human line is an unlabeled row."
)
EXAMPLE = ("billing\ndelivery\n\nbilling", "billing\ndelivery\nbilling\naccount")
HEADERS = ["score", "estimate and interval", "n"]
EMPTY: list[list[str]] = []
LARGEST = 5_000
"""Rows that the page takes: it is shared."""


class Rows:
    """Two columns of labels, as `validate` reads a data set."""

    def __init__(self, human: list[str | None], llm: list[str | None]) -> None:
        self.columns = {"label": human, "llm_label": llm}
        self.column_names = list(self.columns)

    def __getitem__(self, column: str) -> list[str | None]:
        return self.columns[column]


def agreed(predictions: str, references: str) -> tuple[str, list[list[str]], list[list[str]]]:
    """The verdict in words, a table of the scores and one of the labels."""
    llm, human = _labels(predictions), _labels(references)
    rows = max(len(llm), len(human))
    if rows > LARGEST:
        return f"The page takes {LARGEST:,} rows; install hf-synthlabels for more.", EMPTY, EMPTY
    llm, human = (column + [None] * (rows - len(column)) for column in (llm, human))
    try:
        found = validate(Rows(human, llm), kind="text-classification")
    except SynthLabelsError as error:
        return str(error), EMPTY, EMPTY
    named = MEASURES[found.kind]
    scores = [[named[name], str(score), f"{score.n:,}"] for name, score in found.scores.items()]
    labels = [
        [each.name, f"{each.support:,}", f"{each.predicted:,}", *map(str, (each.precision, each.recall, each.f1))]
        for each in found.classes
    ]
    return f"Right: {found.accuracy} of {found.n_human:,} human-labeled rows.", scores, labels


def page() -> Any:
    """The page, to be launched."""
    import gradio

    with gradio.Blocks(title=TITLE) as blocks:
        gradio.Markdown(f"# {TITLE}\n{ABOUT}")
        with gradio.Row():
            predictions = gradio.Textbox(label="Labels of the LLM", lines=8, value=EXAMPLE[0])
            references = gradio.Textbox(label="Labels of people", lines=8, value=EXAMPLE[1])
        button = gradio.Button("Compare", variant="primary")
        verdict = gradio.Textbox(label="Verdict", interactive=False)
        scores = gradio.Dataframe(headers=HEADERS, interactive=False)
        labels = gradio.Dataframe(headers=["label", "human n", "LLM n", "precision", "recall", "F1"], interactive=False)
        button.click(agreed, [predictions, references], [verdict, scores, labels])
    return blocks


def _labels(text: str) -> list[str | None]:
    """A label for each line, None for an empty one; empty lines at the end are ignored."""
    return [line.strip() or None for line in text.rstrip("\n").split("\n")] if text.strip() else []


if __name__ == "__main__":
    page().launch()
