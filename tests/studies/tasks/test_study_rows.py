"""Which rows train, test and validate, and what their sources say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from hf_synthlabels.annotation import Recipe
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.studies.config_sections import TaskKeys
from hf_synthlabels.studies.tasks.label_sources import Labels, LabelStore
from hf_synthlabels.studies.tasks.splits import split_rows, training_order
from hf_synthlabels.studies.tasks.task import open_task
from tests.studies.conftest import RECIPE, Make, toy_rows


def parts(keys: dict[str, object], rows: list[dict[str, object]]) -> tuple[set[str], set[str], set[str]]:
    recipe = Recipe.from_dict(RECIPE)
    found = split_rows("toy", TaskKeys(recipe="toy", **keys), recipe, {"train": Dataset.from_list(rows)}, 0)
    validation = set() if found.validation is None else set(found.validation["text"])
    return set(found.train["text"]), set(found.test["text"]), validation


def test_parts_share_no_row_and_lose_none() -> None:
    rows = toy_rows(60)
    train, test, validation = parts({"test": 20, "validation": {"rows": 10}}, rows)
    assert (len(train), len(test), len(validation)) == (30, 20, 10)
    assert train | test | validation == {row["text"] for row in rows}


def test_only_labelled_rows_test_and_the_others_may_train() -> None:
    train, test, _ = parts({"test": 0.5}, toy_rows(60, unlabelled_from=20))
    # Half of the 20 rows with a human label.
    assert (len(train), len(test)) == (50, 10)


def test_texts_of_the_test_rows_can_be_kept_from_training() -> None:
    rows = toy_rows(40)
    for row in rows[20:]:
        row["text"] = rows[0]["text"]
    train, test, _ = parts({"test": 20, "drop_shared": True}, rows)
    assert not train & test


def test_too_few_rows_are_told() -> None:
    with pytest.raises(DataError, match=r"`tasks.toy.test` asks for 99 rows, and 40 are there"):
        parts({"test": 99}, toy_rows(40))
    with pytest.raises(DataError, match="leaves 0 rows to train on"):
        parts({"test": {"split": "train"}}, toy_rows(40))


def test_orders_are_nested_and_begin_with_human_labels() -> None:
    known = [row % 3 == 0 for row in range(30)]
    order = training_order(known, 1)
    assert sorted(order) == list(range(30))
    assert all(known[row] for row in order[:10])
    assert list(order) == list(training_order(known, 1)) != list(training_order(known, 2))


def book(study_of: Make, sources: dict[str, object]) -> LabelStore:
    """A study of rows that people labelled 0 and 1 in turn, all of which the annotators call 2 and 3."""
    study = study_of(sources={"human": None, "llm": None, "other": {"annotator": {"column": "coin"}}, **sources})
    schema = LabelSchema(kind="text-classification", names=("a", "b", "c", "d"))
    annotators = {
        ("llm", "-"): lambda: Labels((2,) * 12, usd=0.1),
        ("other", "-"): lambda: Labels((2, 3, None) * 4, usd=0.2),
    }
    return LabelStore(study, "toy", schema, (0, 1) * 6, annotators)


def test_every_beginning_of_a_mixture_has_its_shares(study_of: Make) -> None:
    labels = book(study_of, {"mixed": {"shares": {"human": 1, "llm": 3}}}).ordered("mixed", "-", range(12), 0).values
    for end in range(1, 13):
        human = sum(label in (0, 1) for label in labels[:end])
        # A quarter of the rows, to the nearest whole one.
        assert abs(human - end / 4) <= 0.75
    assert sum(label in (0, 1) for label in labels) == 3


def test_a_switch_takes_one_source_and_then_the_other_in_the_order_of_the_seed(study_of: Make) -> None:
    labels = book(study_of, {"s": {"first": "llm", "then": "human", "at": 4}}).ordered("s", "-", range(11, -1, -1), 0)
    assert labels.values == (2, 2, 2, 2, 1, 0, 1, 0, 1, 0, 1, 0)


def test_votes_have_a_share_and_are_kept_by_it(study_of: Make) -> None:
    sources = {"jury": {"votes": ["llm", "other"]}, "jury@1.00": {"of": "jury", "at_least": 1.0}}
    made = book(study_of, sources)
    votes, sure = made.labels("jury", "-"), made.labels("jury@1.00", "-")
    # 2 and 2 agree; 2 against 3 is a tie, which the first decides; one who is silent agrees with nobody.
    assert votes.values[:3] == (2, 2, 2)
    assert votes.confidence is not None
    assert votes.confidence[:3] == (1.0, 0.5, 0.5)
    assert sure.values[:3] == (2, None, None)
    assert votes.usd == pytest.approx(0.3)


def test_the_control_has_peoples_labels_in_another_order(study_of: Make) -> None:
    made = book(study_of, {"random": None})
    labels = made.ordered("random", "-", range(12), 0).values
    assert sorted(labels) == [0] * 6 + [1] * 6
    assert labels != (0, 1) * 6
    assert labels == made.ordered("random", "-", range(12), 0).values
    assert labels != made.ordered("random", "-", range(12), 1).values


def test_jobs_of_sources_have_the_same_rows_and_smaller_ones_are_in_larger(study_of: Make, tmp_path: Path) -> None:
    study = study_of(sizes=[10, 30, "all"], seeds=[0, 1])
    task = open_task(study, "toy", tmp_path, lambda _: None)
    jobs = {(cell.source, cell.size, cell.seed): task.job(cell) for cell in task.cells}
    for seed in (0, 1):
        assert jobs["human", 10, seed].rows == jobs["llm", 10, seed].rows
        assert set(jobs["llm", 10, seed].rows) < set(jobs["llm", 30, seed].rows)
        assert jobs["llm", None, seed].rows == tuple(range(70))
    assert jobs["human", 10, 0].rows != jobs["human", 10, 1].rows
    # The annotator is silent on some rows, which the steps count all the same.
    silent = jobs["llm", None, 0]
    assert None in silent.labels
    assert silent.nominal == 70
    assert len({job.key for job in jobs.values()}) == len(jobs)


def test_keys_change_with_a_label_and_not_with_a_name(study_of: Make, tmp_path: Path) -> None:
    def keys(**changes: object) -> list[str]:
        task = open_task(study_of(**changes), "toy", tmp_path, lambda _: None)
        return [task.job(cell).key for cell in task.cells]

    plain = keys()
    assert plain == keys(name="another", margin=0.5, students={"words": "tfidf"})
    other = keys(sources={"human": None, "llm": {"annotator": {"column": "coin"}}})
    assert plain[0] == other[0]
    assert plain[1] != other[1]


def test_a_further_seed_or_size_leaves_the_other_cells_known(study_of: Make, tmp_path: Path) -> None:
    def keys(**changes: object) -> dict[object, str]:
        # The pool is what some seed and size take, so that it grows with them.
        task = open_task(study_of(**changes), "toy", tmp_path, lambda _: None)
        return {cell: task.job(cell).key for cell in task.cells}

    before = keys(sizes=[5], seeds=[0, 1])
    after = keys(sizes=[5, 9], seeds=[0, 1, 2])
    assert len(after) == 3 * len(before)
    assert before.items() <= after.items()


def test_pools_hold_what_some_seed_takes(study_of: Make, tmp_path: Path) -> None:
    study = study_of(sizes=[5], seeds=[0, 1], n_human=[3])
    task = open_task(study, "toy", tmp_path, lambda _: None)
    # Two seeds of five rows: no annotator is asked for the other sixty.
    assert 5 <= len(task.pool) <= 10
    assert all(len(task.job(cell).rows) == 5 for cell in task.cells)
    assert np.all(np.diff(task.pool) > 0)
