"""Recorded answers to several questions at once become one row for each question.

The authors of "Efficacy of Machine-Generated Instructions" (arXiv 2312.14423) gave gpt-3.5-turbo a passage with all of
its questions, and kept the numbered list that it answered with. This takes the lists apart, so that the recipe
`squad_gpt35` can read each answer and find its place in the passage.

    python examples/squad_gpt35.py $HF_SYNTHLABELS_DATA/squad_gpt35 train
    hf-synthlabels annotate squad_gpt35 -o labeled.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_synthlabels.labels.row_answers import numbered_items

ANSWERS = "raw:gpt-3.5-turbo"


def rows(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    """One row for each question, with its passage, its human answer in SQuAD's form, and the recorded one.

    An answer is known by its number in the list; a number that is missing or stands twice leaves no answer.
    """
    passages = {passage["context_id"]: passage for passage in read(folder / f"{split}_contexts.jsonl")}
    asked: Counter[int] = Counter()
    for row in read(folder / f"{split}.jsonl"):
        passage = passages[row["context_id"]]
        asked[row["context_id"]] += 1
        items = numbered_items(passage[ANSWERS] or "")
        yield {
            "id": row["id"],
            "context": passage["context"],
            "question": row["question"],
            "answers": {"text": [row["answer"]], "answer_start": [row["answer_start"]]},
            ANSWERS: items.get(asked[row["context_id"]]),
        }


def read(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def main() -> None:
    """Write `questions_<split>.jsonl`, by default alongside the lists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder with <split>.jsonl and <split>_contexts.jsonl")
    parser.add_argument("split", nargs="?", default="train")
    parser.add_argument("-o", "--output", type=Path, help="the folder to write to")
    options = parser.parse_args()
    output = (options.output or options.folder) / f"questions_{options.split}.jsonl"
    with output.open("w", encoding="utf-8") as file:
        for row in rows(options.folder, options.split):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"written: {output}")


if __name__ == "__main__":
    main()
