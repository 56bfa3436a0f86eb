"""This package with a codebook: eight variables in one request per row; a row counts when all are right."""

from __future__ import annotations

import os
from typing import Any

from measured import LABELS, arguments, count_right, measured, text_of

VARIABLES = 8


def codebook(base_url: str, in_flight: int) -> dict[str, Any]:
    variable = {"kind": "text-classification", "instructions": "Which topic is it about?", "labels": list(LABELS)}
    return {
        "name": "benchmark-codebook",
        "source": {"path": "json"},
        "task": {"variables": {f"topic_{number}": variable for number in range(VARIABLES)}},
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
    options = arguments()
    os.environ["HF_SYNTHLABELS_HOME"] = str(options.folder)

    # As in the program with one variable, imports are not part of the measurement.
    import aiohttp  # noqa: F401
    import datasets
    import uvloop  # noqa: F401

    from hf_synthlabels import annotate

    table = datasets.Dataset.from_dict({"text": [text_of(number) for number in range(options.rows)]})

    def labeled_rows() -> int:
        labeled = annotate(table, codebook(options.base_url, options.in_flight))
        columns = [labeled[f"topic_{number}"] for number in range(VARIABLES)]
        names = labeled.features["topic_0"].names
        same = (codes[0] if len(set(codes)) == 1 else None for codes in zip(*columns, strict=True))
        return count_right(None if code is None else names[code] for code in same)

    measured(labeled_rows)


if __name__ == "__main__":
    main()
