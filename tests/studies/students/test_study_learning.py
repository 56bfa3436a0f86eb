"""What one cell learns, for every kind of label and every sort of student."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import Kind, LabelSchema
from hf_synthlabels.studies.runs import CellName
from hf_synthlabels.studies.students.job import Job, training_steps
from hf_synthlabels.studies.students.learning import run_job
from hf_synthlabels.studies.tasks.training_tables import Tables
from tests.conftest import FILLER, FILM, SPORT
from tests.tiny_models import taught_model

FORMS = {
    "question-answering": RowForm(("context", "question"), question="question", context="context"),
    "text-pair": RowForm(("text", "other"), pair=True),
}
COLUMNS = {"question-answering": ("question", "context"), "text-pair": ("text", "other")}


def job(
    kind: Kind,
    names: Sequence[str],
    labels: Sequence[Any],
    options: dict[str, Any],
    *,
    learner: str = "encoder",
    **changes: Any,
) -> Job:
    """A cell of all rows of a pool."""
    made = Job(
        key="k",
        cell=CellName("toy", "llm", None, "-", "small", changes.pop("strategy", "plain"), 0, changes.pop("seed", 0)),
        schema=LabelSchema(kind=kind, names=tuple(names)),
        learner=learner,  # type: ignore[arg-type]
        form=FORMS.get(kind, RowForm()),
        columns=COLUMNS.get(kind, ("text",)),
        rows=tuple(range(len(labels))),
        labels=tuple(labels),
        few=None,
        probs=None,
        confidence=None,
        nominal=len(labels),
        options=options,
        prompt="What is it about?",
        evaluate_each_epoch=False,
        threads=1,
        place=Path(),
        folder=Path(),
    )
    return replace(made, **changes)


def sentences(count: int, seed: int = 0) -> list[list[str]]:
    """Half of them with two words on films, the others with two on sport."""
    draw = random.Random(seed)
    rows = []
    for row in range(count):
        words = [*draw.choices(FILLER, k=4), *draw.choices((FILM, SPORT)[row % 2], k=2)]
        draw.shuffle(words)
        rows.append(words)
    return rows


def tables(count: int, held: int = 20) -> Tables:
    pool, test = (
        Dataset.from_dict({"text": [" ".join(w) for w in sentences(n, s)]}) for n, s in ((count, 0), (held, 1))
    )
    return Tables(pool, test)


@pytest.fixture
def small(encoder: str) -> dict[str, Any]:
    return {
        "model": encoder,
        "learning_rate": 5e-3,
        "num_train_epochs": 6,
        "per_device_train_batch_size": 8,
        "max_length": 32,
        "use_cpu": True,
    }


def test_several_names_are_learnt_and_answered_as_codes(small: dict[str, Any]) -> None:
    labels: list[Any] = [[0] if row % 2 == 0 else [1, 2] for row in range(48)]
    labels[7] = None
    for learner in ("encoder", "tfidf"):
        outcome = run_job(job("multi-label", ["film", "sport", "ball"], labels, small, learner=learner), tables(48))
        assert outcome.failed is None
        assert outcome.rows == 47
        expected = [[0] if row % 2 == 0 else [1, 2] for row in range(20)]
        assert sum(a == b for a, b in zip(outcome.answers, expected, strict=True)) >= 18


def test_entities_are_learnt_and_answered_with_their_places(small: dict[str, Any]) -> None:
    def entities(words: list[str]) -> list[dict[str, Any]]:
        found, start = [], 0
        for word in words:
            if word in FILM + SPORT:
                found.append({"start": start, "end": start + len(word), "text": word, "label": int(word in SPORT)})
            start += len(word) + 1
        return found

    labels = [entities(words) for words in sentences(48)]
    outcome = run_job(job("token-classification", ["film", "sport"], labels, small), tables(48))
    expected = [entities(words) for words in sentences(20, 1)]
    assert outcome.failed is None
    assert sum(a == b for a, b in zip(outcome.answers, expected, strict=True)) >= 15


def test_answers_are_learnt_as_spans(small: dict[str, Any]) -> None:
    contexts = [" ".join(words) for words in sentences(40)]
    places = [next(word for word in words if word in FILM + SPORT) for words in sentences(40)]
    pool = Dataset.from_dict({"context": contexts, "question": ["the plot of a"] * 40})
    labels = [{"text": word, "start": text.find(word)} for text, word in zip(contexts, places, strict=True)]
    outcome = run_job(job("question-answering", [], labels, small), Tables(pool, pool.select(range(6))))
    assert outcome.failed is None
    for text, answer in zip(contexts, outcome.answers, strict=False):
        assert text[answer["start"] : answer["start"] + len(answer["text"])] == answer["text"]


def test_human_labels_beside_others_are_learnt_by_every_strategy(small: dict[str, Any]) -> None:
    wrong = [1 - row % 2 if row % 3 == 0 else row % 2 for row in range(48)]
    few = tuple(row % 2 if row < 24 else None for row in range(48))
    for strategy in ("mix", "mix_x4", "forward", "llm_then_human"):
        cell = job("text-classification", ["film", "sport"], wrong, small, strategy=strategy, few=few)
        outcome = run_job(cell, tables(48))
        assert outcome.failed is None, strategy
        # 36 steps of all rows, of which those of the human rows that come after are a part.
        assert outcome.steps == 36


def test_words_beside_human_labels_take_those_in_place() -> None:
    wrong = [1 - row % 2 for row in range(40)]
    cell = job(
        "text-classification",
        ["film", "sport"],
        wrong,
        {},
        learner="tfidf",
        strategy="mix",
        few=tuple(row % 2 for row in range(40)),
    )
    outcome = run_job(cell, tables(40))
    assert outcome.answers == tuple(row % 2 for row in range(20))


def test_an_encoder_that_stays_as_it_is_gives_vectors_once(encoder: str) -> None:
    cell = job(
        "text-classification",
        ["film", "sport"],
        [row % 2 for row in range(40)],
        {"features": encoder},
        learner="vectors",
    )
    outcome, again = (run_job(cell, tables(40)) for _ in range(2))
    assert sum(a == row % 2 for row, a in enumerate(outcome.answers)) >= 15
    assert again.answers == outcome.answers
    # What was kept counts with what it took, as if it were made anew.
    assert again.predict_s > 0.3 * outcome.predict_s


def test_epochs_are_read_without_changing_the_training(small: dict[str, Any]) -> None:
    labels = [row % 2 for row in range(32)]
    plain = job("text-classification", ["film", "sport"], labels, {**small, "num_train_epochs": 3})
    read = run_job(replace(plain, evaluate_each_epoch=True), tables(32))
    assert [epoch for epoch, _ in read.epochs] == [1.0, 2.0, 3.0]
    assert read.answers == read.epochs[-1][1] == run_job(plain, tables(32)).answers


def test_pairs_are_learnt_from_both_texts(small: dict[str, Any]) -> None:
    words = sentences(40)
    both = Dataset.from_dict(
        {"text": [" ".join(row[:3]) for row in words], "other": [" ".join(row[3:]) for row in words]}
    )
    for learner in ("encoder", "tfidf"):
        cell = job("text-pair", ["film", "sport"], [row % 2 for row in range(40)], small, learner=learner)
        outcome = run_job(cell, Tables(both, both))
        assert sum(a == row % 2 for row, a in enumerate(outcome.answers)) >= 36


def test_steps_hold_for_all_sources_and_few_rows_are_gone_through_more_often() -> None:
    labels = [0, None] * 20
    options = {"per_device_train_batch_size": 8, "num_train_epochs": 3}
    # 40 rows, whether they are labelled or not: five batches, three times.
    assert training_steps(job("text-classification", ["a", "b"], labels, options), 40, 0) == (15, 0)
    more = {**options, "min_steps": 50}
    assert training_steps(job("text-classification", ["a", "b"], labels, more), 40, 0) == (50, 0)
    # Two batches at most twenty times.
    assert training_steps(job("text-classification", ["a", "b"], labels, more), 16, 0) == (40, 0)
    after = job("text-classification", ["a", "b"], labels, options, strategy="llm_then_human")
    # 16 human rows twice are four of the fifteen steps.
    assert training_steps(after, 40, 16) == (11, 4)
    with pytest.raises(ConfigError, match="`num_train_epochs` gives 15 steps"):
        training_steps(after, 40, 80)


def test_what_can_not_be_learnt_is_told(small: dict[str, Any]) -> None:
    alike = job("text-classification", ["film", "sport"], [0] * 10, small)
    assert "`label`" in str(run_job(alike, tables(10)).failed)
    soft = job("text-classification", ["film", "sport"], [0, 1] * 5, small, strategy="weighted")
    assert "needs confidence" in str(run_job(soft, tables(10)).failed)


def test_a_student_who_writes_is_read_strictly_and_forgetting_is_seen(tmp_path: Path) -> None:
    model = taught_model(tmp_path / "model", {"hello": "film"}, steps=5)
    base = Dataset.from_dict({"instruction": ["say yes", "say no"] * 8, "output": ["yes", "no"] * 8})
    made = replace(tables(16, 4), base=base, held_out=base.select(range(2)))
    options = {
        "model": model,
        "task": "text-generation",
        "learning_rate": 1e-3,
        "num_train_epochs": 1,
        "per_device_train_batch_size": 8,
        "max_length": 96,
        "max_new_tokens": 4,
        "use_cpu": True,
    }
    cell = job("text-classification", ["film", "sport"], [row % 2 for row in range(16)], options, learner="writer")
    outcome = run_job(cell, made)
    assert outcome.failed is None, outcome.failed
    # 16 rows and 16 of the base in batches of 8.
    assert (outcome.steps, outcome.rows) == (4, 16)
    assert len(outcome.answers) == 4
    assert set(outcome.answers) <= {0, 1, None}
    assert outcome.base_score is not None
    assert 0 <= outcome.base_score <= 1
    nothing = replace(cell, rows=(), labels=(), nominal=0)
    alone = run_job(nothing, made)
    assert (alone.failed, alone.rows, alone.steps) == (None, 0, 2)
