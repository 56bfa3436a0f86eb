"""This package: `hf_synthlabels.annotate` with the openai client; store, ledger and limiter are on, as always."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from measured import LABELS, arguments, count_right, measured, text_of


def recipe(base_url: str, in_flight: int) -> dict[str, Any]:
    return {
        "name": "benchmark",
        "source": {"path": "json"},
        "task": {
            "kind": "text-classification",
            "text": "text",
            "instructions": "Which topic is the text about?",
            "labels": list(LABELS),
        },
        "annotator": {
            "client": "openai",
            "model": "bench-1",
            "base_url": base_url,
            "api_key_env": None,
            "response_format": "json_schema",
            "max_in_flight": in_flight,
        },
    }


def main() -> None:
    told = arguments()
    os.environ["HF_SYNTHLABELS_HOME"] = str(told.folder)

    # The client imports aiohttp when it is first used; what is measured is without imports, as of all programs here.
    import aiohttp  # noqa: F401
    import datasets
    import uvloop  # noqa: F401

    # Loads the package, which imports its parts on first use.
    from hf_synthlabels import annotate

    wanted = recipe(told.base_url, told.in_flight)

    def rows() -> Iterator[dict[str, str]]:
        for number in range(told.rows):
            yield {"text": text_of(number)}

    def whole() -> int:
        labeled = annotate(table, wanted)
        names = labeled.features["llm_label"].names
        return count_right(None if code is None else names[code] for code in labeled["llm_label"])

    def streamed() -> int:
        features = datasets.Features({"text": datasets.Value("string")})
        stream = datasets.IterableDataset.from_generator(rows, features=features)
        labeled = annotate(stream, wanted)
        names = labeled.features["llm_label"].names
        return count_right(None if (code := row["llm_label"]) is None else names[code] for row in labeled)

    if told.streamed:
        measured(streamed)
        return
    table = datasets.Dataset.from_dict({"text": [row["text"] for row in rows()]})
    measured(whole)


if __name__ == "__main__":
    main()
