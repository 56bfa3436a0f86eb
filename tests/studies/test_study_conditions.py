"""Which cells a study has."""

from __future__ import annotations

from collections import Counter

from hf_synthlabels.studies.runs import CellName
from hf_synthlabels.studies.tasks.conditions import learns, planned_cells
from tests.studies.conftest import Make

ROWS = {"human": 70, "llm": 70, "random": 70, "half": 70}
ENCODER = {"model": "some"}


def test_every_combination_once_seed_by_seed(study_of: Make) -> None:
    study = study_of(sizes=[10, "all"], seeds=[5, 3], students={"counts": "tfidf", "small": ENCODER})
    cells = planned_cells(study, "toy", "text-classification", ROWS)
    # 2 seeds x 2 sources x 2 students x 2 sizes, those of the first seed first.
    assert len(cells) == len(set(cells)) == 16
    assert [cell.seed for cell in cells] == [5] * 8 + [3] * 8
    assert cells[0] == CellName("toy", "human", 10, "-", "counts", "plain", 0, 5)


def test_sizes_that_are_not_there_are_not_trained(study_of: Make) -> None:
    study = study_of(sizes=[10, 70, 500, "all"], sources={"human": None})
    # 70 rows are there: size 70 is what "all" is.
    assert [cell.size for cell in planned_cells(study, "toy", "text-classification", ROWS)] == [10, None]


def test_strategies_are_for_annotators_labels_and_count_human_ones(study_of: Make) -> None:
    study = study_of(strategies=["plain", "mix", "forward", "soft"], n_human=[10, 20], students={"small": ENCODER})
    cells = planned_cells(study, "toy", "text-classification", ROWS)
    found = Counter((cell.source, cell.strategy, cell.n_human) for cell in cells)
    llm = [("plain", 0), ("mix", 10), ("mix", 20), ("forward", 10), ("forward", 20), ("soft", 10), ("soft", 20)]
    assert set(found) == {("human", "plain", 0), *(("llm", *way) for way in llm)}
    assert set(found.values()) == {1}


def test_pairs_choose_and_exclude_leaves_out(study_of: Make) -> None:
    study = study_of(
        sizes=[10, 20, "all"],
        sources={"human": None, "llm": None, "random": None},
        pairs=[{"source": "human"}, {"source": "llm", "size": "all"}],
        exclude=[{"size": [20]}],
    )
    cells = planned_cells(study, "toy", "text-classification", ROWS)
    assert [(cell.source, cell.size) for cell in cells] == [("human", 10), ("human", None), ("llm", None)]


def test_prompts_multiply_what_a_annotator_says_and_nothing_else(study_of: Make) -> None:
    study = study_of(
        sources={"human": None, "llm": None, "half": {"shares": {"human": 1, "llm": 1}}},
        prompts={"plain": {}, "reasons": {"task": {"reasoning": True}}},
    )
    cells = planned_cells(study, "toy", "text-classification", ROWS)
    assert [(cell.source, cell.prompt) for cell in cells] == [
        *(("human", "-"), ("llm", "plain"), ("llm", "reasons"), ("half", "plain"), ("half", "reasons"))
    ]


def test_the_annotator_is_an_arm_once(study_of: Make) -> None:
    study = study_of(seeds=[0, 1], sizes=[10, "all"], students={"annotator": "annotator"})
    # People's labels have no annotator; it does not learn, so sizes and seeds change nothing.
    assert planned_cells(study, "toy", "text-classification", ROWS) == [
        CellName("toy", "llm", None, "-", "annotator", "plain", 0, 0)
    ]


def test_words_are_counted_for_names_only() -> None:
    assert [learns(kind, "tfidf", "plain") for kind in ("multi-label", "question-answering")] == [True, False]
    assert not learns("text-classification", "tfidf", "forward")
    # What needs a transition matrix needs one name per row; human labels in place of others do not.
    assert [learns("token-classification", "encoder", way) for way in ("plain", "mix", "forward")] == [
        True,
        True,
        False,
    ]
