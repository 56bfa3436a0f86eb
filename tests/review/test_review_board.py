"""Where the work stands: rows in their order, labels that are taken back, what several people come to."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from hf_synthlabels.errors import DataError, StoreError
from hf_synthlabels.review import AnnotationSession, DecisionStore, ReviewState
from hf_synthlabels.review.review_progress import agreement_so_far, annotator_agreement, label_matrix, progress
from hf_synthlabels.review.review_report import LiveReport
from hf_synthlabels.statistics.sequential.betting import anytime_interval
from tests.review.reviewing import HUMAN, SCHEMAS, label, opened, state, table


def test_the_queue_is_all_drawn_rows_in_an_order_by_chance_that_is_always_the_same(tmp_path: Path) -> None:
    rows = opened()
    assert sorted(rows.queue.tolist()) == list(range(10))
    assert rows.queue.tolist() != list(range(10))
    assert rows.queue.tolist() == opened().queue.tolist()
    assert rows.queue.tolist() != opened(seed=1).queue.tolist()


def test_each_annotator_gets_every_row_once(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    first = [row["row"] for row in session.next_rows("ann")]
    assert first == session.state.rows.queue[:3].tolist()
    label(session, "ann", first[0], "billing")
    label(session, "ann", first[1], None)
    assert [row["row"] for row in session.next_rows("ann", skip=(first[2],))] == session.state.rows.queue[3:6].tolist()
    assert [row["row"] for row in session.next_rows("bob")] == first


def test_with_one_person_for_each_row_two_never_get_the_same(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), per_row=1)
    done: dict[str, list[int]] = {"ann": [], "bob": []}
    for turn in range(12):
        name = ("ann", "bob")[turn % 2]
        for row in session.next_rows(name)[:1]:
            label(session, name, row["row"], "billing")
            done[name].append(row["row"])
    assert sorted(done["ann"] + done["bob"]) == list(range(10))
    assert len(done["ann"]) == len(done["bob"]) == 5


def test_undo_takes_the_last_decision_back_and_the_one_before_it_stands_again(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    label(session, "ann", 1, "billing", note="first")
    label(session, "ann", 2, None)
    label(session, "ann", 1, "account")
    assert session.state.resolutions[1].value == "account"
    back = session.undo("ann")
    assert (back["row"]["row"], back["row"]["mine"]) == (1, {"value": "billing", "skipped": False})
    assert session.state.resolutions[1].value == "billing"
    assert session.undo("ann")["row"]["mine"] == {"value": None, "skipped": True}
    back = session.undo("ann")
    assert (back["row"]["mine"], back["row"]["note"]) == ({"value": "billing", "skipped": False}, "first")
    assert 1 not in session.state.resolutions
    assert back["progress"]["labeled"] == 0
    with pytest.raises(DataError, match="nothing to undo"):
        session.undo("ann")
    # Nothing is ever changed: six things were done, and what of them was shown.
    actions = [event.action for event in session.state.store.since()]
    assert actions == ["label", "seen", "skip", "label", "undo", "undo", "undo"]


def test_a_board_that_is_opened_again_is_the_same(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    label(session, "ann", 1, "billing")
    label(session, "bob", 1, "account")
    label(session, "ann", 3, None)
    session.undo("ann")
    again = ReviewState(opened(), DecisionStore(tmp_path / "store.sqlite"))
    assert again.resolutions == session.state.resolutions
    assert again.upcoming("ann", 10) == session.state.upcoming("ann", 10)
    assert again.credits.tolist() == pytest.approx(session.state.credits.tolist(), nan_ok=True)


def test_what_an_llm_said_is_hidden_until_decided_and_recorded_when_shown(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    assert "llm" not in str(session.next_rows("ann"))
    label(session, "ann", 1, "account")
    assert session.show("ann", 2)["label"] == "billing"
    decided = label(session, "ann", 2, "billing")["decided"]
    assert decided["llm"] == {
        "label": "billing",
        "status": "labelled",
        "confidence": 0.75,
        "reason": None,
        "same": True,
    }
    # Who changes a label after it was compared with the LLM's has seen that.
    label(session, "ann", 1, "billing")
    shown = [(event.row, event.llm_shown) for event in session.state.store.since() if event.action == "label"]
    assert shown == [(1, False), (2, True), (1, True)]


def test_a_blind_desk_never_shows_the_llms_label(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=True)
    assert label(session, "ann", 1, "account")["decided"]["llm"] is None
    with pytest.raises(DataError, match="`blind`"):
        session.show("ann", 2)
    assert session.state.annotator("ann").seen == set()


def test_a_validation_sample_is_labelled_blind_unless_asked_otherwise(tmp_path: Path) -> None:
    assert AnnotationSession(state(tmp_path)).blind
    assert not AnnotationSession(state(tmp_path), blind=False).blind
    everything = ReviewState(opened(all_rows=True), DecisionStore(tmp_path / "all.sqlite"))
    assert not AnnotationSession(everything).blind


def found_how(session: AnnotationSession, row: int) -> str:
    return session.state.resolutions[row].how


def test_several_people_come_to_a_label_by_majority_or_by_a_decision(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    for name, value in (("ann", "billing"), ("bob", "account")):
        label(session, name, 1, value)
    assert (found_how(session, 1), session.state.resolutions[1].value) == ("disputed", None)
    label(session, "cyd", 1, "account")
    assert (found_how(session, 1), session.state.resolutions[1].value) == ("majority", "account")
    label(session, "ann", 2, "delivery")
    assert found_how(session, 2) == "one"
    label(session, "bob", 2, "delivery")
    assert found_how(session, 2) == "unanimous"


def test_labels_of_the_table_count_and_are_not_asked_for_again(tmp_path: Path) -> None:
    made = table().add_column("label", [0, 2, *[None] * 10], feature=SCHEMAS["text-classification"].feature())
    rows = opened(made=made)
    assert sorted(rows.queue.tolist()) == list(range(2, 10))
    assert sorted(opened(made=made, relabel=True).queue.tolist()) == list(range(10))
    session = AnnotationSession(ReviewState(rows, DecisionStore(tmp_path / "s.sqlite")))
    assert session.state.resolutions[1].votes == (("(table)", "account"),)
    # Row 0 agrees with the LLM, row 1 does not; both had the chance 0.5.
    assert agreement_so_far(session.state).estimate == pytest.approx(0.5)


def test_the_interval_so_far_counts_rows_with_one_over_their_chance(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    label(session, "ann", 0, "billing")  # same, chance 0.5: weight 2
    label(session, "ann", 9, "account")  # differs, chance 0.25: weight 4
    found = agreement_so_far(session.state)
    assert found.estimate == pytest.approx(2 / 6)
    assert found.n == 2
    # Rows of the least probability, 0.25, have the largest weight.
    expected = anytime_interval([1.0, 0.0], weights=[2, 4], max_weight=4)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.holds_at_any_time
    assert progress(session.state, "ann")["agreement"]["estimate"] == pytest.approx(2 / 6)


def test_numbers_have_a_mean_error(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path, "text-scale"))
    label(session, "ann", 0, 4)  # off by 2, weight 2
    label(session, "ann", 9, 3)  # off by 1, weight 4
    assert progress(session.state, "ann")["mean_error"]["estimate"] == pytest.approx((2 * 2 + 1 * 4) / 6)


def test_annotators_are_compared(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    assert math.isnan(annotator_agreement(label_matrix(session.state)).alpha)
    answers = {"ann": "bbaabd", "bob": "bbaada"}
    spelt = {"b": "billing", "a": "account", "d": "delivery"}
    for name, letters in answers.items():
        for row, letter in enumerate(letters):
            label(session, name, row, spelt[letter])
    found = annotator_agreement(label_matrix(session.state))
    (pair,) = found.pairs
    # Same in 4 of 6. Chance: b 3/6 x 2/6 + a 2/6 x 3/6 + d 1/6 x 1/6 = 13/36; (4/6 - 13/36) / (1 - 13/36) = 11/23.
    assert pair.n == 6
    assert (pair.same, pair.kappa) == pytest.approx((4 / 6, 11 / 23))
    # 12 labels: 5 b, 5 a, 2 d. 1 - 11 x 4 / (144 - 25 - 25 - 4) = 1 - 44 / 90.
    assert found.alpha == pytest.approx(1 - 44 / 90)
    assert (found.n, found.scale) == (6, "nominal")


def test_a_store_of_other_rows_is_refused(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    label(session, "ann", 9, "billing")
    store = tmp_path / "store.sqlite"
    other = table().map(lambda row: {"text": row["text"] + "!"})
    with pytest.raises(StoreError, match="the text of row 9 differs"):
        ReviewState(opened(made=other), DecisionStore(store))
    with pytest.raises(StoreError, match="has a decision on row 9, but the data have 5 rows"):
        ReviewState(opened(made=table(rows=5, drawn=4)), DecisionStore(store))
    with pytest.raises(DataError, match="has another text now"):
        session.decide(type("Said", (), {"annotator": "ann", "row": 1, "digest": "0" * 16, "value": "billing"})())


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_kind_of_label_is_stored_and_differs_from_the_llms(tmp_path: Path, kind: str) -> None:
    session = AnnotationSession(state(tmp_path, kind), blind=False)
    answer = label(session, "ann", 1, HUMAN[kind])
    assert answer["decided"]["value"] == HUMAN[kind]
    assert answer["decided"]["llm"]["same"] is False
    assert session.state.patterns[1] == 0
    again = ReviewState(opened(kind), DecisionStore(tmp_path / "store.sqlite"))
    assert again.resolutions[1].value == HUMAN[kind]


def test_rows_must_be_drawn_or_all_asked_for() -> None:
    made = table().remove_columns("inclusion_probability")
    with pytest.raises(DataError, match="`hf-synthlabels sample` first, or add `--all`"):
        opened(made=made)
    assert len(opened(made=made, all_rows=True).queue) == 12
    with pytest.raises(DataError, match="inclusion_probability"):
        opened(made=table(drawn=0))
    with pytest.raises(DataError, match="`data` has no rows"):
        opened(made=table().select([]))


def test_the_report_holds_at_any_time_until_all_rows_have_a_label(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    report, rows = LiveReport(session.state), sorted(session.state.rows.queue.tolist())

    def methods() -> set[str]:
        while (content := report.report())["state"] == "working":
            time.sleep(0.02)
        return {score["method"] for score in content["scores"]}

    for row in rows[:-1]:
        label(session, "ann", row, "billing")
    assert all("any time" in method for method in methods())
    label(session, "ann", rows[-1], "billing")
    assert not any("any time" in method for method in methods())
