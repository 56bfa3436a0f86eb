"""What the questions of a study say of runs whose answer is known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import Curves, Section, Table
from hf_synthlabels.studies import StudyRuns, recommend, report_sections
from hf_synthlabels.studies.analysis.base import analyze_runs
from hf_synthlabels.studies.analysis.consistency import filtered_students
from hf_synthlabels.studies.analysis.costs import break_even, condition_cost
from hf_synthlabels.studies.analysis.curves import label_values
from hf_synthlabels.studies.analysis.phases import learning_phases
from hf_synthlabels.studies.analysis.scores import answer_features
from hf_synthlabels.studies.analysis.synthetic_first import source_switch
from hf_synthlabels.studies.runs import CellRun
from tests.studies.analysis.study_cells import cell, make_runs, make_task, noisy

TRUTH = [row % 2 for row in range(200)]
SIZES = (0, 10, 25, 50, 100, 200, 400, 1000)
FORM = (0.1, 0.5, 0.9, 0.97, 0.98, 0.98, 0.98, 0.98)
SKILL = (0.5, 0.5, 0.5, 0.5, 0.5, 0.65, 0.8, 0.95)


def conditions(task: str = "t", llm: float = 0.8) -> list[CellRun]:
    return [
        each
        for seed in range(3)
        for each in (
            cell("human", noisy(TRUTH, 0.9, seed), seed, task=task),
            cell("human", noisy(TRUTH, 0.75, seed), seed, task=task, size=50, rows=50),
            cell("llm", noisy(TRUTH, llm, 50 + seed), seed, task=task),
        )
    ]


def titled(runs: StudyRuns) -> dict[str, Section]:
    return {section.name: section for section in report_sections(runs)}


def table(section: Section, name: str) -> Table:
    return next(each for each in section.exhibits if isinstance(each, Table) and each.name == name)


def test_a_question_without_its_cells_gives_no_section() -> None:
    assert report_sections(make_runs()) == ()
    only = [cell("human", noisy(TRUTH, 0.9, seed), seed) for seed in range(2)]
    assert set(titled(make_runs(make_task(only)))) == {"costs"}


def test_scores_of_a_pair_are_those_of_scikit_learn() -> None:
    cells = conditions()
    sections = titled(make_runs(make_task(cells, llm_labels={"llm": noisy(TRUTH, 0.7, 9)})))
    found = table(sections["human_or_llm"], "human_llm_table")
    row = dict(zip(found.columns, found.rows[0], strict=True))
    whole = [run for run in cells if run.cell.size is None]
    mean = {
        source: np.mean([f1_score(TRUTH, run.answers, average="macro") for run in whole if run.cell.source == source])
        for source in ("human", "llm")
    }
    assert row["human-trained"].estimate == pytest.approx(mean["human"])  # type: ignore[union-attr]
    assert row["difference"].estimate == pytest.approx(mean["llm"] - mean["human"])  # type: ignore[union-attr]
    assert row["ratio"].estimate == pytest.approx(mean["llm"] / mean["human"])  # type: ignore[union-attr]
    shifted = table(sections["shifts"], "shifts_table").rows
    expected = precision_recall_fscore_support(TRUTH, noisy(TRUTH, 0.7, 9), average="macro")
    assert [line[5].estimate for line in shifted] == pytest.approx([expected[2], expected[0], expected[1]])  # type: ignore[union-attr]


def test_answers_name_their_rows_and_intervals() -> None:
    many = [
        make_task(conditions(f"t{at}"), name=f"t{at}", llm_labels={"llm": noisy(TRUTH, 0.8, at)}) for at in range(4)
    ]
    for runs in (make_runs(many[0]), make_runs(*many)):
        for name in ("human_or_llm", "shifts"):
            assert "200" in titled(runs)[name].answer or "800" in titled(runs)[name].answer
            assert "[" in titled(runs)[name].answer


def test_tasks_are_pooled_and_tested_all_at_once() -> None:
    tasks = [
        make_task(conditions(f"t{at}", llm=0.6 if at == 0 else 0.9), name=f"t{at}", llm_labels={"llm": TRUTH})
        for at in range(5)
    ]
    section = titled(make_runs(*tasks))["pooled"]
    assert table(section, "pooled_table").rows[0][1] == 5
    singles = {str(row[0]): float(str(row[3]).lstrip("< ")) for row in table(section, "single_tasks").rows}
    assert singles["t0, s, llm"] < 0.05 < min(value for name, value in singles.items() if "t0" not in name)


def test_labels_of_better_accuracy_are_worth_more() -> None:
    sizes = (50, 100, 200, 400, 800)
    people = [(n, seed) for n in sizes for seed in range(3)]
    cells = [cell("human", noisy(TRUTH, 0.95 - 2 * n**-0.5, seed), seed, size=n, rows=n) for n, seed in people]
    for accuracy, low, high in ((0.81, 120, 400), (0.99, np.inf, np.inf)):
        llm = [cell("llm", noisy(TRUTH, accuracy, seed), seed, size=400, rows=400) for seed in range(3)]
        task = analyze_runs(make_runs(make_task([*cells, *llm], llm_labels={"llm": TRUTH}))).tasks[0]
        ((_, worth),) = label_values(task)
        assert low <= worth.equivalent.estimate <= high
        assert worth.equivalent.n == 200


def test_filtered_sources_stand_beside_the_whole_ones() -> None:
    cells = [*conditions(), *(cell("llm@0.67", noisy(TRUTH, 0.85, 50 + seed), seed, rows=60) for seed in range(3))]
    sure = [1.0 if row < 100 else 1 / 3 for row in range(200)]
    labels = [code if row < 100 else 1 - code for row, code in enumerate(TRUTH)]
    runs = make_runs(
        make_task(
            cells, llm_labels={"llm": TRUTH}, train_labels={"llm": labels}, confidence={"llm": sure}, train_truth=TRUTH
        )
    )
    ((filtered),) = filtered_students(analyze_runs(runs).tasks[0])
    assert filtered.threshold == 0.67
    assert filtered.score.difference.estimate > 0
    rows = table(titled(runs)["consistency"], "filters").rows
    # All labels: half are right; of those with full agreement all.
    assert [(row[1], row[2].estimate, row[3].estimate) for row in rows] == [  # type: ignore[union-attr]
        (pytest.approx(1 / 3), 1.0, 0.5),
        (1.0, 0.5, 1.0),
    ]


def test_students_of_prompts_are_compared_two_by_two() -> None:
    skills = {"plain": (0.6, 1), "reasons": (0.9, 1), "batch": (0.6, 2)}
    cells = [
        cell("llm", noisy(TRUTH, skill, 10 * luck + seed), seed, prompt=prompt)
        for prompt, (skill, luck) in skills.items()
        for seed in range(3)
    ]
    labels = {f"llm/{prompt}": noisy(TRUTH, skill, luck) for prompt, (skill, luck) in skills.items()}
    section = titled(make_runs(make_task(cells, llm_labels=labels)))["comparison"]
    pairs = {frozenset(row[1:3]): str(row[-1]) for row in table(section, "prompt_pairs").rows}
    assert len(pairs) == 3
    assert pairs[frozenset({"llm/plain", "llm/reasons"})] < "0.05"
    assert pairs[frozenset({"llm/plain", "llm/batch"})] > "0.05"


def written(source: str, offset: int, final: float) -> list[CellRun]:
    cells = []
    for seed in range(5):
        for size, form, skill in zip(SIZES, FORM, SKILL, strict=True):
            said = noisy(TRUTH, min(skill, final), 1000 * offset * (size > 0) + size + seed)
            known = np.random.default_rng([seed, size]).random(200) < form
            answers = [code if yes else None for code, yes in zip(said, known, strict=True)]
            lost = {"before": 0.5, "after": 0.5 - size / 10_000}
            cells.append(cell(source, answers, seed, size=size, rows=size, forgetting=lost))
    return cells


def test_form_before_task_is_found_against_the_control() -> None:
    cells = [*written("human", 1, 1.0), *written("random", 2, 0.5), *written("llm>human@100", 3, 1.0)]
    runs = make_runs(make_task(cells, llm_labels={"llm": noisy(TRUTH, 0.8, 1)}))
    found = {phases.conditions[0].source: phases for phases in learning_phases(analyze_runs(runs).tasks[0])}
    assert set(found) == {"human", "llm>human@100"}
    assert found["human"].test.ordered
    assert found["human"].p_value == pytest.approx(1 / 32)
    sections = titled(runs)
    assert {"synthetic_first", "phases", "forgetting"} <= set(sections)
    assert sections["phases"].answer.startswith("In 2 of 2 curves")
    assert "-0.100" in sections["forgetting"].answer
    switched = [row[1] for row in table(sections["synthetic_first"], "switches").rows]
    assert switched == [200, 400, 1000]


def test_what_could_be_done_before_is_not_taken_for_learning() -> None:
    # With the form comes what the student knew: .8 from 50 rows on, with random labels too. Human ones teach from 200.
    skills = {"human": (0.5, 0.8, 0.8, 0.95, 1.0), "random": (0.5, 0.8, 0.8, 0.8, 0.8)}
    cells = []
    for source, shown in skills.items():
        for seed in range(5):
            for size, form, skill in zip((0, 50, 100, 200, 400), (0.3, 1.0, 1.0, 1.0, 1.0), shown, strict=True):
                said = noisy(TRUTH, skill, 7 * seed + size)
                known = np.random.default_rng([seed, size]).random(200) < form
                answers = [code if yes else None for code, yes in zip(said, known, strict=True)]
                cells.append(cell(source, answers, seed, size=size, rows=size))
    (against,) = learning_phases(analyze_runs(make_runs(make_task(cells))).tasks[0])
    assert against.gains is not None
    assert [gain.estimate for gain in against.gains[:3]] == pytest.approx([0, 0, 0])
    assert against.test.ordered
    assert 50 < against.test.task.estimate < 200
    # Without the control the first rise is all that can be seen.
    (alone,) = learning_phases(
        analyze_runs(make_runs(make_task([one for one in cells if one.cell.source == "human"]))).tasks[0]
    )
    assert alone.gains is None
    assert alone.test.task.estimate < 50


def test_a_task_that_is_not_learnt_has_no_second_phase() -> None:
    cells = [*written("human", 1, 0.5), *written("random", 2, 0.5)]
    runs = make_runs(make_task(cells))
    (found,) = learning_phases(analyze_runs(runs).tasks[0])
    assert found.p_value is not None
    assert found.p_value > 0.05
    assert titled(runs)["phases"].answer.startswith("In 0 of 1 curves")


def test_form_is_shown_where_too_few_sizes_have_any_for_a_test() -> None:
    # Nothing is well formed at 0 and 25 rows, everything at 100 and 400; of 200 rows 100 are of each class.
    always = {"human": {100: [1] * 200, 400: TRUTH}, "random": {100: [0] * 200, 400: [1] * 200}}
    cells = [
        cell(source, said.get(size, [None] * 200), seed, size=size, rows=size, forgetting={"before": 0.0, "after": 0.0})
        for source, said in always.items()
        for size in (0, 25, 100, 400)
        for seed in range(3)
    ]
    runs = make_runs(make_task(cells))
    assert learning_phases(analyze_runs(runs).tasks[0]) == []
    sections = titled(runs)
    assert sections["phases"].answer.startswith("Not tested")
    human = [row[3:] for row in table(sections["phases"], "form_table").rows if row[0] == "t, s, human"]
    assert [share.estimate for share, _, _ in human] == [0, 0, 1, 1]  # type: ignore[union-attr]
    assert [row[1:] for row in human[:2]] == [(None, None)] * 2
    assert [(score.estimate, over.estimate) for _, score, over in human[2:]] == [(0.5, 0), (1, 0.5)]  # type: ignore[union-attr]
    # Macro F1 of one label alone is 1/3, of all labels right 1.
    control = table(sections["synthetic_first"], "controls").rows[-1]
    assert [value.estimate for value in control[3:]] == pytest.approx([2 / 3, 0.5])  # type: ignore[union-attr]
    assert sections["forgetting"].answer.startswith("There is nothing to forget")


def test_no_form_no_section() -> None:
    assert "phases" not in titled(make_runs(make_task(conditions())))


@pytest.mark.parametrize(
    ("kind", "names", "right", "wrong"),
    [
        ("token-classification", ("org",), [{"start": 0, "end": 4, "text": "acme", "label": "org"}], []),
        ("question-answering", (), {"text": "acme", "start": 0}, {"text": "corp", "start": 5}),
        ("multi-label", ("a", "b"), ["a"], ["b"]),
        ("text-generation", (), "acme", "corp"),
    ],
)
def test_answers_of_every_kind_come_to_a_report(kind: str, names: tuple[str, ...], right: Any, wrong: Any) -> None:
    said = [right, wrong] * 20
    cells = [cell(source, said, seed, size=size, rows=size) for source in ("human", "llm") for size in (10, 20, 40)
             for seed in range(2)]  # fmt: skip
    # Of answers and texts there may be several right ones.
    truth = [(right,) if not names else right] * 40
    task = make_task(cells, kind=kind, names=names, truth=truth, llm_labels={"llm": said})
    runs = make_runs(task, resamples=100)
    note = next(note for note in titled(runs)["human_or_llm"].notes if "same students" in note)
    assert note.startswith("In 1 of 1 pairs all seeds gave the same students")
    assert any("All seeds gave the same students" in line for line in recommend(runs).caveats)


def test_what_nobody_wrote_has_no_score() -> None:
    # No entity in no answer would be a perfect score of nothing.
    rows = 40
    found = [[{"start": 0, "end": 4, "text": "acme", "label": "org"}]] * rows
    conditions = [
        cell("human", said, size=size, rows=size, seed=seed)
        for size, said in ((0, [None] * rows), (10, [[]] * rows), (50, found))
        for seed in (0, 1)
    ]
    runs = make_runs(make_task(conditions, kind="token-classification", names=("org",), truth=found), resamples=100)
    rows_shown = table(titled(runs)["phases"], "form_table").rows
    shares, scores = ([row[column] for row in rows_shown] for column in (3, 4))
    assert [share.estimate for share in shares] == [0, 1, 1]  # type: ignore[union-attr]
    assert scores[0] is None
    assert [score.estimate for score in scores[1:]] == [0, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("source", "switch"),
    [("llm>human@100", ("llm", "human", 100)), ("llm", None), ("llm@0.67", None), ("llm>human", None)],
)
def test_switches_are_known_by_their_names(source: str, switch: tuple[str, str, int] | None) -> None:
    assert source_switch(source) == switch


def test_costs_and_the_break_even_volume() -> None:
    cells = [cell("llm", TRUTH, seed, rows=400, train_s=10.0 * (seed + 1), predict_s=2.0) for seed in range(3)]
    runs = make_runs(
        make_task(cells, llm_labels={"llm": TRUTH}, usd_per_row={"llm": 0.01, "human": 0.5}, s_per_row={"llm": 0.51})
    )
    task = analyze_runs(runs).tasks[0]
    cost = condition_cost(task, next(iter(task.conditions)))
    assert [cost.label_usd, cost.train_s, cost.predict_s, cost.score] == pytest.approx([4.0, 20.0, 0.01, 1.0])
    assert cost.usd_per_point == pytest.approx(0.04)
    volumes = table(titled(runs)["costs"], "break_even").rows
    # Money: 4 USD at 0.01 a text, with 200 test rows at 0.5 more 104 USD. Time: 204 + 20 s at 0.5 s a text saved.
    assert volumes[0][-1] == "400 [400, 10,400]"
    assert volumes[1][-1] == "448 [428, 468]"
    assert str(break_even(1, 0.1, 0.2, low=1, high=1)) == "never"


def test_unknown_costs_are_not_zero() -> None:
    section = titled(make_runs(make_task(conditions(), llm_labels={"llm": TRUTH})))["costs"]
    assert section.answer.startswith("The cost of the labels is not recorded")
    assert all(row[2] is None for row in table(section, "costs_table").rows)


def test_epochs_are_read() -> None:
    cells = [
        cell(
            "human",
            noisy(TRUTH, 0.9, seed),
            seed,
            epochs=((1.0, noisy(TRUTH, 0.7, seed)), (2.0, noisy(TRUTH, 0.9, seed))),
        )
        for seed in range(3)
    ]
    (figure,) = titled(make_runs(make_task(cells)))["epochs"].exhibits
    assert isinstance(figure, Curves)
    assert [point.x for point in figure.curves[0].points] == [1.0, 2.0]


OTHER: dict[str, tuple[list[Any], list[Any], float]] = {
    "multi-label": ([[0], [1], [0, 1], []], [[0], [0], [0, 1], [1]], 2 * 3 / (4 + 5)),
    "token-classification": (
        [[{"start": 0, "end": 3, "text": "abc", "label": 0}], []],
        [[{"start": 0, "end": 3, "text": "abc", "label": 1}], []],
        0.0,
    ),
    "text-scale": ([1.0, 5.0, 3.0], [1.0, 3.0, None], (1 + 0.5 + 0) / 3),
    "question-answering": (
        [[{"text": "the red house", "start": 4}], [{"text": "1998", "start": 0}, {"text": "in 1998", "start": 0}]],
        [{"text": "red house", "start": 8}, {"text": "in 1998", "start": 0}],
        1.0,
    ),
    "text-generation": ([["a cat sat"], ["no"]], ["a cat", None], (2 * 1 * 0.5 / 1.5) / 2),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHER)
def test_every_kind_has_its_score(kind: str) -> None:
    truth, answers, expected = OTHER[kind]
    runs = make_runs(make_task([cell("human", answers)], kind=kind, truth=truth))
    task = analyze_runs(runs).tasks[0]
    assert task.score(next(iter(task.conditions))).estimate == pytest.approx(expected)
    # What is right by the features is right by the score.
    whole = task.rows.right[None]
    assert task.draws.draw(whole, task.main_score).estimate == pytest.approx(1.0)


def test_the_score_of_entities_has_one_name() -> None:
    one = [{"start": 0, "end": 3, "text": "abc", "label": 0}]
    cells = [cell("human", [one, []] * 10), cell("llm", [one, one] * 10)]
    runs = make_runs(
        make_task(cells, kind="token-classification", truth=[one, []] * 10, llm_labels={"llm": [one, []] * 10})
    )
    shown = " ".join(str(section) for section in report_sections(runs)) + recommend(runs).text
    assert "entity F1" in shown
    assert "micro F1" not in shown


def test_answers_lead_with_the_student_that_human_labels_train_best() -> None:
    # "a" comes first in the alphabet, and "z" is the better student of human labels.
    cells = [
        cell(source, noisy(TRUTH, right, seed), student=student, seed=seed)
        for student, shares in (("a", (0.7, 0.7)), ("z", (0.95, 0.6)))
        for source, right in zip(("human", "llm"), shares, strict=True)
        for seed in range(2)
    ]
    sections = titled(make_runs(make_task(cells, llm_labels={"llm": noisy(TRUTH, 0.7, 9)})))
    assert sections["shifts"].answer.startswith("z, llm")
    accuracy = table(sections["human_or_llm"], "exact_tests")
    found = {str(row[0]): row for row in accuracy.rows}["t, z, llm"]
    human, llm = (np.mean([noisy(TRUTH, right, seed) == np.array(TRUTH) for seed in range(2)]) for right in (0.95, 0.6))
    shown = [value.estimate for value in found[2:5] if isinstance(value, Interval)]
    assert shown == pytest.approx([human, llm, llm - human])


def test_sections_can_be_told_apart_and_are_the_same_again() -> None:
    runs = make_runs(make_task(conditions(), llm_labels={"llm": noisy(TRUTH, 0.8, 3)}))
    first, second = report_sections(runs), report_sections(runs)
    assert repr(first) == repr(second)
    names = [each.name for section in first for each in section.exhibits]
    assert len(set(names)) == len(names)
    assert json.dumps(names)


def test_an_answer_short_of_the_rows_is_refused() -> None:
    with pytest.raises(Exception, match="Run the study again"):
        answer_features(make_task(), [0, 1])
