"""bespokelabs-curator, with its limits lifted; its cache is on, as always."""

from __future__ import annotations

import os
from typing import Any, Literal

from measured import SYSTEM, arguments, count_right, measured, text_of

UNLIMITED = 1_000_000_000


def main() -> None:
    told = arguments()
    os.environ["CURATOR_CACHE_DIR"] = str(told.folder)
    os.environ["CURATOR_DISABLE_RICH_DISPLAY"] = "1"

    import tiktoken

    class Words:
        """A tokenizer that needs no download: curator only counts with it."""

        def encode(self, text: str, **_: Any) -> list[int]:
            return [0] * (len(text) // 4)

    tiktoken.get_encoding = lambda _: Words()

    from bespokelabs import curator
    from datasets import Dataset
    from pydantic import BaseModel

    class Answer(BaseModel):
        label: Literal["sports", "business", "science", "politics"]

    class Labeler(curator.LLM):
        def prompt(self, input: dict[str, Any]) -> str:
            return f"<text>\n{input['text']}\n</text>"

        def parse(self, input: dict[str, Any], response: Answer) -> dict[str, Any]:  # noqa: ARG002  curator calls it so
            return {"label": response.label}

    rows = Dataset.from_dict({"text": [text_of(number) for number in range(told.rows)]})
    limits = {
        "base_url": told.base_url,
        "max_requests_per_minute": UNLIMITED,
        "max_tokens_per_minute": UNLIMITED,
        "max_concurrent_requests": told.in_flight,
    }

    def run() -> int:
        labeler = Labeler(
            model_name="bench-1",
            backend="openai",
            response_format=Answer,
            backend_params=limits,
            generation_params={"temperature": 0.0},
            system_prompt=SYSTEM,
        )
        return count_right(labeler(rows).dataset["label"])

    measured(run)


if __name__ == "__main__":
    main()
