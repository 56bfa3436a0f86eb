"""This package's judge: the same rows as annotation, as answers; store, ledger and limiter are on, as always."""

from __future__ import annotations

import os
from typing import Any

from measured import LABELS, arguments, count_right, measured, text_of


def judge_file(base_url: str, in_flight: int) -> dict[str, Any]:
    """Requests one of the server's labels as the verdict, so that both send and receive the same texts."""
    return {
        "name": "benchmark",
        "source": {"path": "json"},
        "rubric": {
            "name": "topics",
            "instructions": "Which topic is the answer about?",
            "reasoning": False,
            "reference": "never",
            "verdict": {"name": "label"},
            "choices": [{"answer": label, "score": score} for score, label in enumerate(LABELS)],
        },
        "columns": {"prediction": "text"},
        "judge": {
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

    from hf_synthlabels.clients.factory import open_client
    from hf_synthlabels.judging import Judge, read_judge

    file = read_judge(judge_file(told.base_url, told.in_flight))
    answers = [text_of(number) for number in range(told.rows)]

    def judged() -> int:
        with open_client(file.client(), file.client_use({})) as opened:
            judge = Judge(file.read_rubric(), opened.client, file.extraction_options(), opened.as_json)
            found = judge.judge(answers)
        return count_right(None if one.score is None else LABELS[int(one.score)] for one in found.judgments)

    measured(judged)


if __name__ == "__main__":
    main()
