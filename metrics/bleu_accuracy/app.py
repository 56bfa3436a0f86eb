"""The page of the metric's Space: answers in, the share that BLEU calls right out. Run: python app.py."""

from __future__ import annotations

from typing import Any

from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.judging.scorers import bleu
from hf_synthlabels.statistics import Interval

TITLE = "BLEU accuracy"
ABOUT = (
    "The share of short answers that BLEU calls right, at a threshold and at others, with Wilson intervals. "
    "One answer in each line; several right answers are parted by `|`, and of them the best counts."
)
EXAMPLE = ("in 1876\nthe Eiffel tower\nParis", "1876 | September 1876\nEiffel Tower\nRome", 0.5, "paper")
VERDICTS = {True: "right", False: "wrong", None: "left out"}
EMPTY: list[list[str]] = []


def scored(
    predictions: str, references: str, threshold: float, normalization: bleu.Normalization
) -> tuple[str, list[list[str]], list[list[str]]]:
    """The verdict in words, a table of the answers and one of the thresholds."""
    # An empty line is a row without an answer; empty lines at the end are ignored.
    said, golds = (text.rstrip("\n").split("\n") if text.strip() else [] for text in (predictions, references))
    if len(said) < len(golds):
        said += [""] * (len(golds) - len(said))
    right = [[gold.strip() for gold in line.split("|") if gold.strip()] for line in golds]
    try:
        found = bleu.bleu_accuracy(said, right, threshold=threshold, normalization=normalization)
    except SynthLabelsError as error:
        return str(error), EMPTY, EMPTY
    if not found.n:
        return "There is no row with a right answer: give one in each line.", EMPTY, EMPTY
    answers = [
        [answer, " | ".join(own), "" if verdict is None else f"{score:.3f}", VERDICTS[verdict]]
        for answer, own, score, verdict in zip(said, right, found.scores, found.right, strict=True)
    ]
    sweep = [[f"{point.threshold:g}", _percent(point.accuracy)] for point in found.sweep]
    return f"Right: {_percent(found.accuracy)} of {found.n} rows.", answers, sweep


def page() -> Any:
    """The page, to be launched."""
    import gradio

    with gradio.Blocks(title=TITLE) as blocks:
        gradio.Markdown(f"# {TITLE}\n{ABOUT}")
        with gradio.Row():
            predictions = gradio.Textbox(label="Answers", lines=6, value=EXAMPLE[0])
            references = gradio.Textbox(label="Right answers", lines=6, value=EXAMPLE[1])
        threshold = gradio.Slider(0.05, 1.0, value=EXAMPLE[2], step=0.05, label="Right from this BLEU on")
        normalization = gradio.Radio(list(bleu.NORMALIZATIONS), value=EXAMPLE[3], label="Dots outside numbers")
        button = gradio.Button("Score", variant="primary")
        verdict = gradio.Markdown()
        answers = gradio.Dataframe(headers=["answer", "right answers", "BLEU", "verdict"], interactive=False)
        sweep = gradio.Dataframe(headers=["threshold", "right"], interactive=False)
        button.click(scored, [predictions, references, threshold, normalization], [verdict, answers, sweep])
    return blocks


def _percent(share: Interval) -> str:
    return f"{share.estimate:.1%} [{share.low:.1%}, {share.high:.1%}]"


if __name__ == "__main__":
    page().launch()
