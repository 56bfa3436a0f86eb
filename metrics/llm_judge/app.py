"""The page of the metric's Space: answers in, verdicts out, with the visitor's own key. Run: python app.py."""

from __future__ import annotations

import os
from typing import Any

from hf_synthlabels.clients import OpenAIClient
from hf_synthlabels.clients.protocol.endpoint import RequestHeaders
from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.judging import Judge, read_rubric

TITLE = "LLM judge"
ABOUT = (
    "Scores answers with a rubric and a model of your choice. Enter one answer per line, and its prompt on the same "
    "line of the other box. Your key is sent only to the server that you choose. Neither key nor answers are stored."
)
RUBRICS = ("score_0_5", "score_1_5", "correctness")
EXAMPLE = ("Paris\nRome", "What is the capital of France?\nWhat is the capital of Spain?")
SERVERS = (
    "https://api.openai.com/v1",
    "https://router.huggingface.co/v1",
    "https://openrouter.ai/api/v1",
    "https://api.mistral.ai/v1",
    "https://api.together.xyz/v1",
)
LARGEST = 50
"""Answers that the page takes: it is shared."""
HEADERS = ["answer", "score", "status", "reason"]
EMPTY: list[list[str]] = []


def any_server() -> bool:
    """Whether a visitor may name any server: not on a Space, which must not knock at doors for strangers."""
    return "SPACE_ID" not in os.environ


def judged(answers: str, inputs: str, rubric: str, model: str, server: str, key: str) -> tuple[str, list[list[str]]]:
    """The verdict in words, and a table of the answers."""
    # An empty line is a row without an answer; empty lines at the end are ignored.
    said, asked = (text.rstrip("\n").split("\n") if text.strip() else [] for text in (answers, inputs))
    if not said:
        return "Give at least one answer.", EMPTY
    if len(said) > LARGEST:
        return f"The page takes {LARGEST} answers; install hf-synthlabels for more.", EMPTY
    if not model.strip() or not key.strip():
        return "Name the model, and give your key: the page has no key.", EMPTY
    if server not in SERVERS and not any_server():
        return f"The page speaks to {', '.join(SERVERS)} only.", EMPTY
    asked = (asked + [""] * len(said))[: len(said)]
    try:
        found = _judge(rubric, model.strip(), server.strip(), key.strip()).judge(
            said, inputs=asked, keep_on_failure=True
        )
    except SynthLabelsError as error:
        return _hidden(str(error), key), EMPTY
    rows = [
        [answer, "" if one.score is None else f"{one.score:g}", one.status, _hidden(one.reason or one.error, key)]
        for answer, one in zip(said, found.judgments, strict=True)
    ]
    return _hidden(found.stopped or f"{found.summary}.", key), rows


def _judge(rubric: str, model: str, server: str, key: str) -> Judge:
    # Only this object holds the key: no variable that another visitor's request could read, no store.
    headers = RequestHeaders(plain={"Authorization": f"Bearer {key}"})
    client = OpenAIClient(
        model=model,
        base_url=server,
        api_key_env=None,
        headers=headers,
        max_in_flight=8,
        max_retries=2,
        timeout_s=60,
    )
    return Judge(read_rubric(rubric), client)


def _hidden(words: str, key: str) -> str:
    """A server's words without the key, which some quote."""
    return words.replace(key.strip(), "***") if key.strip() else words


def page() -> Any:
    """The page, to be launched."""
    import gradio

    with gradio.Blocks(title=TITLE) as blocks:
        gradio.Markdown(f"# {TITLE}\n{ABOUT}")
        with gradio.Row():
            answers = gradio.Textbox(label="Answers", lines=6, value=EXAMPLE[0])
            inputs = gradio.Textbox(label="What was asked (may be empty)", lines=6, value=EXAMPLE[1])
        with gradio.Row():
            rubric = gradio.Dropdown(list(RUBRICS), value=RUBRICS[0], label="Rubric")
            server = gradio.Dropdown(list(SERVERS), value=SERVERS[0], label="Server", allow_custom_value=any_server())
            model = gradio.Textbox(label="Model", value="gpt-4o-mini")
            key = gradio.Textbox(label="Your key", type="password")
        button = gradio.Button("Judge", variant="primary")
        verdict = gradio.Markdown()
        table = gradio.Dataframe(headers=HEADERS, interactive=False, wrap=True)
        button.click(judged, [answers, inputs, rubric, model, server, key], [verdict, table], api_name=False)
    return blocks


if __name__ == "__main__":
    page().launch()
