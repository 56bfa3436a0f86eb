"""Answers that other people recorded, read by this package's parser, against the labels that humans gave.

Three public collections keep what models really answered: SQuAD questions put to gpt-3.5-turbo several at a time, 16
tasks of computational social science put to ChatGPT, and sentences judged for media bias. Here each answer goes through
the parser that live answers go through. The output is in docs/results/recorded_answers/.

    python examples/recorded_answers.py $HF_SYNTHLABELS_DATA
    python examples/recorded_answers.py $HF_SYNTHLABELS_DATA --draw 100     # projected answers, to be judged by reading
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.labels import LabelSchema, Projection, Span, parse, project
from hf_synthlabels.labels.parsing.parser import plain_answer
from hf_synthlabels.labels.row_answers import numbered_items, split_row_answers
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.agreement.answers import normalize_answer, text_agreement, token_f1
from hf_synthlabels.statistics.agreement.base import KindAgreement
from hf_synthlabels.statistics.agreement.classification import classification_agreement
from hf_synthlabels.statistics.arrays import encode
from hf_synthlabels.statistics.intervals import wilson

GPT = "gpt-3.5-turbo"
QUESTION = LabelSchema(kind="question-answering")
MATCH_TYPES = ("exact", "exact-ambiguous", "normalized", "normalized-ambiguous", "closest", "closest-ambiguous")
SEED = 17


# ---------------------------------------------------------------------------------------------------------------- SQuAD


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with what people and the model said."""

    id: str
    question: str
    context: str
    human: str
    recorded: str
    """The model's answer out of its list."""
    published: str
    """The same answer as the authors' own script cut it out."""
    source: str
    """How the answer was found: `list`, `numbers` of a list of another length, `lines`, or `published`."""
    label: Span | None
    match_type: str


def squad(folder: Path, split: str) -> Iterator[Asked]:
    """The questions of a split with their recorded answers, each with the span that the parser finds."""
    questions: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in read(folder / "squad_gpt35" / f"{split}.jsonl"):
        questions[row["context_id"]].append(row)
    for passage in read(folder / "squad_gpt35" / f"{split}_contexts.jsonl"):
        rows = questions[passage["context_id"]]
        source, items = taken_apart(passage[f"raw:{GPT}"], len(rows))
        for row, item in zip(rows, items, strict=True):
            published = (row[f"llm:{GPT}"] or "").strip()
            said = published if source == "published" else item or ""
            answer = parse(QUESTION, said, passage["context"], row["question"])
            label = answer.label if isinstance(answer.label, Span) else None
            yield Asked(
                id=row["id"],
                question=row["question"],
                context=passage["context"],
                human=row["answer"],
                recorded=plain_answer(said),
                published=published,
                source=source,
                label=label,
                match_type=answer.match_type,
            )


def taken_apart(text: str | None, count: int) -> tuple[str, Sequence[str | None]]:
    """How a recorded list was taken apart, and its items: one of another length by its numbers, else by its lines."""
    if text is None:
        return "published", [None] * count
    items = split_row_answers(text, count)
    if items is not None:
        return "list", items
    numbered = numbered_items(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if not numbered and len(lines) == count:
        # 'Possible answer to the first question: ...'
        return "lines", [line.partition(": ")[2] or line for line in lines]
    return "numbers", [numbered.get(number) for number in range(1, count + 1)]


def text_scores(human: Sequence[str], said: Sequence[str | None]) -> tuple[Interval, Interval]:
    """Exact match and token F1 as SQuAD has them."""
    scores = text_agreement([[text] for text in human], said).scores
    return scores["exact_match"], scores["token_f1"]


def squad_tables(folder: Path) -> None:
    """Print what the recorded SQuAD answers come to."""
    for split in ("train", "validation"):
        rows = list(squad(folder, split))
        human = [row.human for row in rows]
        spans = [None if row.label is None else row.label.text for row in rows]
        print(f"\n### {split}: {len(rows):,} questions\n")
        print("answers taken from:", counted(Counter(row.source for row in rows)))
        differ = [row for row in rows if normalize_answer(row.recorded) != normalize_answer(row.published)]
        cut = sum(row.recorded.startswith(row.published) for row in differ)
        print(f"read otherwise than the authors' script did: {len(differ)}, of which it cut {cut} at a full stop")
        table(
            ("against people", "exact match", "token F1"),
            [
                ("as the authors' script read the answers", *text_scores(human, [row.published for row in rows])),
                ("as this parser reads them", *text_scores(human, [row.recorded for row in rows])),
                ("the spans that they are projected onto", *text_scores(human, spans)),
            ],
        )
        given = [row for row in rows if row.published]
        standing = sum(row.published in row.context for row in given)
        folded = sum(row.published.lower() in row.context.lower() for row in given)
        found = Counter(row.match_type for row in rows if row.label is not None)
        table(
            ("rows with a span of the context", "rows", "share"),
            [
                ("none: the authors' answer stands there as it is", standing, wilson(standing, len(rows))),
                ("none: the authors' answer stands there but for case", folded, wilson(folded, len(rows))),
                *(
                    (f"match type `{match_type}`", found[match_type], wilson(found[match_type], len(rows)))
                    for match_type in MATCH_TYPES
                ),
                ("all match types", found.total(), wilson(found.total(), len(rows))),
            ],
        )
        lost = [row for row in rows if row.label is not None and row.match_type.startswith("closest")]
        before = sum(token_f1(row.human, row.recorded) for row in lost) / len(lost)
        after = sum(token_f1(row.human, row.label.text) for row in lost if row.label) / len(lost)
        print(f"token F1 of the {len(lost)} closest spans: {after:.3f}, of the answers they come from: {before:.3f}")


def drawn(folder: Path, split: str, count: int, seed: int = SEED) -> list[Asked]:
    """Answers that were projected though they do not occur verbatim in the context, at random."""
    rows = [row for row in squad(folder, split) if row.label is not None and not row.match_type.startswith("exact")]
    return random.Random(seed).sample(rows, count)


# ---------------------------------------------------------------------------------------------- places of human answers


def place_table(folder: Path) -> None:
    """Print how often a human answer that occurs in several places is placed as humans placed it."""
    rows = list(several_places(folder))
    first = sum(context.find(answer) == start for context, answer, start, _ in rows)
    nearest = sum(projection.span.start == start for _, _, start, projection in rows)
    print(f"\n{len(rows)} of the human answers occur in several places of their context as whole words.\n")
    table(
        ("place taken", "rows", "where people put it"),
        [
            ("the first", first, wilson(first, len(rows))),
            ("in the sentence with most words of the question", nearest, wilson(nearest, len(rows))),
        ],
    )


def several_places(folder: Path) -> Iterator[tuple[str, str, int, Projection]]:
    """Context, answer, its start and its projection, for human answers that are ambiguous."""
    contexts = {row["context_id"]: row["context"] for row in read(folder / "xquad_en" / "contexts.jsonl")}
    for row in read(folder / "xquad_en" / "questions.jsonl"):
        context = contexts[row["context_id"]]
        projection = project(context, row["answer"], row["question"])
        if projection is not None and projection.match_type == "exact-ambiguous":
            yield context, row["answer"], row["answer_start"], projection


# ------------------------------------------------------------------------------------------------------- social science

OPTION = re.compile(r"^([A-Z]): ([^(\n]+)", re.M)
SHORT = {
    "white grievance": "white_grievance",
    "incitement to violence": "incitement",
    "inferiority language": "inferiority",
    "stereotypes and misinformation": "stereotypical",
    "threatening and intimidation": "threatening",
}
"""Options that the data's label names shorten."""


def css_tasks(folder: Path) -> list[str]:
    """The names of the tasks."""
    return sorted(file.stem for file in (folder / "css_ziems").glob("*.jsonl"))


def agreement(human: Sequence[str], llm: Sequence[str | None]) -> KindAgreement:
    """The agreement of two columns of class names."""
    names = sorted({name for name in (*human, *llm) if name is not None})
    codes = [encode(column, names) for column in (human, llm)]
    return classification_agreement(codes[0], codes[1], names, BootstrapConfig(resamples=1000))


def _main_scores(found: KindAgreement) -> tuple[Interval, Interval]:
    return found.scores["accuracy"], found.scores["macro_f1"]


def css(folder: Path, task: str) -> tuple[list[str], list[str | None], list[str | None], KindAgreement]:
    """Human labels, those parsed from ChatGPT's recorded answers, the authors' own, and the agreement of the parsed."""
    schema, labels = css_schema(folder, task)
    rows = list(read(folder / "css_ziems" / f"{task}.jsonl"))
    human = [row["label"] for row in rows]
    read_here = [labels.get(str(parse(schema, row["raw:chatgpt"] or "").label)) for row in rows]
    published = [row["llm:chatgpt"] for row in rows]
    return human, read_here, published, agreement(human, read_here)


def css_schema(folder: Path, task: str) -> tuple[LabelSchema, dict[str, str]]:
    """What the prompt lets the model answer, and the label of each answer: a letter for an option."""
    prompt = (folder / "css_ziems" / f"{task}.prompt.txt").read_text(encoding="utf-8")
    options = {letter: name.strip() for letter, name in OPTION.findall(prompt)}
    if not options:
        return LabelSchema(names=("True", "False")), {"True": "True", "False": "False"}
    labels = {letter: SHORT.get(name.lower(), name.lower().rstrip('"')) for letter, name in options.items()}
    return LabelSchema(names=tuple(options), definitions=tuple(options.values())), labels


def css_table(folder: Path) -> None:
    """Print the agreement of ChatGPT's recorded answers, task by task."""
    lines = []
    for task in css_tasks(folder):
        human, read_here, published, found = css(folder, task)
        other = sum(one != two for one, two in zip(read_here, published, strict=True))
        lines.append((task, len(human), read_here.count(None), other, *_main_scores(found)))
    print()
    table(("task", "rows", "unparsed", "read otherwise", "accuracy", "macro F1"), lines)


# ----------------------------------------------------------------------------------------------------------- media bias

BIAS = LabelSchema(names=("biased", "not_biased"))


def babe(folder: Path) -> Iterator[tuple[str, int, KindAgreement]]:
    """For each model: its name, the rows that it answered, and the agreement of its parsed answers."""
    rows = list(read(folder / "media_bias_babe" / "babe_train_dev.jsonl"))
    for column in sorted(key for key in rows[0] if key.startswith("llm:")):
        said = [parse(BIAS, row[column] or "").label for row in rows]
        names = [str(label) if label is not None else None for label in said]
        # A name is read as itself: 'not_biased' is no mention of 'biased'.
        assert names == [row[column] for row in rows]
        scores = agreement([row["label"] for row in rows], names)
        yield column.removeprefix("llm:"), len(rows) - names.count(None), scores


# --------------------------------------------------------------------------------------------------------------- shared


def read(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def counted(counts: Counter[str]) -> str:
    """Counts in words."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())


def table(heading: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Print a table in Markdown."""
    print(f"| {' | '.join(heading)} |\n|{'---|' * len(heading)}")
    for line in lines:
        print(f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in line)} |")
    print()


def main() -> None:
    """Print all tables, or draw projected answers to be judged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, help="the folder with squad_gpt35/, css_ziems/, media_bias_babe/, xquad_en/"
    )
    parser.add_argument("--draw", type=int, default=0, help="print so many projected answers as JSON lines instead")
    parser.add_argument("--split", default="validation", help="the split to draw from")
    options = parser.parse_args()
    if options.draw:
        for row in drawn(options.folder, options.split, options.draw):
            print(
                json.dumps(
                    {
                        "id": row.id,
                        "question": row.question,
                        "human": row.human,
                        "recorded": row.recorded,
                        "span": row.label.text if row.label else "",
                        "match_type": row.match_type,
                    },
                    ensure_ascii=False,
                )
            )
        return
    print("## SQuAD questions, several in one call, gpt-3.5-turbo")
    squad_tables(options.folder)
    print("## Human answers of XQuAD")
    place_table(options.folder)
    print("## 16 tasks of social science, ChatGPT")
    css_table(options.folder)
    print("## Media bias\n")
    table(
        ("model", "answered", "accuracy", "macro F1"),
        ((name, answered, *_main_scores(found)) for name, answered, found in babe(options.folder)),
    )


if __name__ == "__main__":
    main()
