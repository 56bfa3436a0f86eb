"""Students of every kind of label, end to end on tiny models: learnt, predicted in row order, fit for `validate`."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from datasets import List as ListOf
from transformers import AutoTokenizer

from hf_synthlabels.errors import ConfigError, DataError, TrainingError
from hf_synthlabels.labels import Entity, LabelSchema, Span
from hf_synthlabels.statistics import validate
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.data.label_names import label_names
from hf_synthlabels.training.tasks import student_task
from hf_synthlabels.training.tasks.generation import pack
from hf_synthlabels.training.tasks.spans import answer_place
from hf_synthlabels.training.tasks.tokens import TokenTask
from tests.conftest import FILLER, FILM, SPORT
from tests.tiny_models import tiny_model

Config = Callable[..., StudentConfig]
NAMES = ["film", "sport"]


def sentences(count: int, longest: int, seed: int = 0) -> list[list[str]]:
    draw = random.Random(seed)
    return [draw.choices(FILLER + FILM + SPORT, k=draw.randint(3, longest)) for _ in range(count)]


def entities(words: list[str]) -> list[dict[str, Any]]:
    found, start = [], 0
    for word in words:
        if word in FILM + SPORT:
            found.append({"start": start, "end": start + len(word), "text": word, "label": NAMES[word in SPORT]})
        start += len(word) + 1
    return found


def entity_rows(count: int, seed: int = 0) -> Dataset:
    # The longest texts have several windows of 32 tokens.
    words = sentences(count, 80, seed)
    return Dataset.from_dict({"text": [" ".join(row) for row in words], "label": [entities(row) for row in words]})


def question_rows(count: int, seed: int = 0) -> Dataset:
    """The answer to each question is the only word about films, somewhere in a text of several windows."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        words = draw.choices(FILLER + SPORT, k=draw.randint(3, 60))
        place = draw.randrange(len(words) + 1)
        answer = draw.choice(FILM)
        start = len(" ".join([*words[:place], ""]))
        context = " ".join([*words[:place], answer, *words[place:]])
        rows.append({"question": "the plot of a", "context": context, "label": {"text": answer, "start": start}})
    return Dataset.from_list(rows)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("writer"), initializer_range=0.05)


def test_several_names_are_learnt_and_validated(config: Config) -> None:
    words = sentences(160, 8)
    held = [[name for name, own in zip(NAMES, (FILM, SPORT), strict=True) if set(own) & set(row)] for row in words]
    data = Dataset.from_dict({"text": [" ".join(row) for row in words], "label": held})
    chosen = config(task="multi-label", num_train_epochs=25, learning_rate=3e-3, class_weights=[1.0, 1.0])
    student = train_student(chosen, data.select(range(120)), names=NAMES, eval=data.select(range(120, 160)))
    assert student.metrics["eval_f1_micro"] > 0.9
    prediction = student.predict(data)
    assert prediction.probabilities.shape == (160, 2)
    with pytest.raises(DataError, match="`codes`"):
        _ = prediction.codes
    report = validate(prediction.add_to(data), human="label", llm="student_label")
    assert report.kind == "multi-label"
    assert report.n_answered == 160
    assert student.trainer.model.config.problem_type == "multi_label_classification"


@pytest.mark.parametrize("loss", ["mse", "ordinal"])
def test_a_scale_is_learnt_and_validated(config: Config, loss: str) -> None:
    # The number tells how many of three words are about films.
    draw = random.Random(0)
    numbers = [float(1 + row % 4) for row in range(160)]
    texts = [
        " ".join(draw.sample([*draw.choices(FILM, k=int(n) - 1), *draw.choices(SPORT, k=4 - int(n))], k=3))
        for n in numbers
    ]
    data = Dataset.from_dict({"text": texts, "label": numbers})
    chosen = config(task="text-scale", scale=[1, 4], scale_loss=loss, num_train_epochs=15, learning_rate=3e-3)
    student = train_student(chosen, data, eval=data)
    assert student.metrics["eval_mae"] < 0.3
    assert student.metrics["eval_spearman"] > 0.8
    prediction = student.predict(data)
    assert set(prediction.labels) <= {1.0, 2.0, 3.0, 4.0}
    assert np.isnan(prediction.confidence).all()
    assert validate(prediction.add_to(data), llm="student_label").kind == "text-scale"


def test_entities_are_learnt_over_windows_and_validated(config: Config) -> None:
    data = entity_rows(160)
    chosen = config(task="token-classification", learning_rate=3e-3)
    student = train_student(chosen, data.select(range(120)), names=NAMES, eval=data.select(range(120, 160)))
    assert student.metrics["eval_entity_f1"] > 0.95
    # More windows than rows, and each word is learnt once.
    features = student.trainer.train_dataset
    assert len(features) > 120
    words = sum(len(text.split()) for text in data["text"][:120])
    assert sum(label != -100 for row in features["labels"][:] for label in row) == words
    labelled = student.predict(data).add_to(data)
    assert validate(labelled, llm="student_label").scores["entity_f1"].estimate > 0.95
    turned = student.predict(data.select(range(159, -1, -1))).labels[::-1]
    assert turned == student.predict(data).labels


def test_tokens_with_tags_are_the_same_task(config: Config) -> None:
    words = sentences(40, 20)
    tags = [["B-film" if word in FILM else "B-sport" if word in SPORT else "O" for word in row] for row in words]
    data = Dataset.from_dict({"tokens": words, "tags": tags})
    assert label_names(data, "tags", "token-classification") == ("film", "sport")
    chosen = config(task="token-classification", text_columns="tokens", label_column="tags", max_steps=2)
    student = train_student(chosen, data, names=NAMES)
    by_tags = student.trainer.train_dataset["labels"][:]
    texts = Dataset.from_dict({"text": [" ".join(row) for row in words], "label": [entities(row) for row in words]})
    by_entities = train_student(config(task="token-classification", max_steps=2), texts, names=NAMES)
    assert by_tags == by_entities.trainer.train_dataset["labels"][:]
    found = student.predict(data).add_to(data)
    report = validate(found, human="tags", llm="student_label", tokens="tokens", kind="token-classification")
    assert "token_accuracy" in report.scores


def test_a_word_that_shares_its_token_goes_on_with_the_entity(encoder: str, config: Config) -> None:
    task = TokenTask(config(task="token-classification"), LabelSchema(kind="token-classification", names=("film",)))
    data = Dataset.from_dict({"text": ["the plot."], "label": [[{"start": 4, "end": 9, "label": "film"}]]})
    rows = task.rows(data)
    features = task.features(data, rows, AutoTokenizer.from_pretrained(encoder))
    # [CLS] the plot . [SEP]: O, B-film, I-film.
    assert features["labels"][0] == [-100, 0, 1, 2, -100]


def test_answers_are_learnt_over_windows_and_validated(config: Config) -> None:
    data = question_rows(200)
    chosen = config(
        task="question-answering", text_columns=["question", "context"], num_train_epochs=12, learning_rate=3e-3
    )
    student = train_student(chosen, data.select(range(160)), eval=data.select(range(160, 200)))
    assert student.metrics["eval_exact_match"] > 0.9
    assert len(student.trainer.train_dataset) > 160
    tested = data.select(range(160, 200))
    prediction = student.predict(tested)
    for row, span in zip(tested, prediction.labels, strict=True):
        assert isinstance(span, Span)
        assert row["context"][span.start : span.end] == span.text
    scores = validate(prediction.add_to(tested), llm="student_label").scores
    # The same metric, by another road.
    assert scores["exact_match"].estimate == pytest.approx(student.metrics["eval_exact_match"])
    assert scores["token_f1"].estimate == pytest.approx(student.metrics["eval_token_f1"])
    turned = student.predict(tested.select(range(39, -1, -1))).labels[::-1]
    assert turned == prediction.labels


def test_questions_without_an_answer_are_learnt_only_where_asked(config: Config) -> None:
    data = question_rows(60)
    # Every third question has its answer cut out, as SQuAD 2 says it.
    rows = [{**row, "label": {"text": [row["label"]["text"]], "answer_start": [row["label"]["start"]]}} for row in data]
    for row in rows[::3]:
        row["context"] = row["context"].replace(row["label"]["text"][0], "and")
        row["label"] = {"text": [], "answer_start": []}
    empty = Dataset.from_list(rows)
    columns = {"task": "question-answering", "text_columns": ["question", "context"], "learning_rate": 3e-3}
    student = train_student(config(**columns, max_steps=2), empty)
    assert (len(student.rows), student.rows.n_unlabelled) == (40, 0)
    assert getattr(student.rows, "n_unusable") == 20  # noqa: B009 - of this kind of rows alone
    student = train_student(config(**columns, null_answers=True, num_train_epochs=25), empty)
    assert len(student.rows) == 60
    none = [span is None for span in student.predict(empty).labels]
    assert np.mean(np.array(none) == np.array([row % 3 == 0 for row in range(60)])) > 0.8


def test_an_answer_is_found_where_it_stands() -> None:
    context = "Nine years ago the team won nine matches."
    assert answer_place(context, "nine", 28) == (28, 32)
    # A wrong place, another case, not there at all, none.
    assert answer_place(context, "nine", 3) == (28, 32)
    assert answer_place(context, "Team", -1) == (19, 23)
    assert answer_place(context, "elephants", -1) is None
    assert answer_place(context, "", -1) is None


def test_answers_that_are_nowhere_are_left_out_and_counted(config: Config) -> None:
    data = question_rows(20)
    labels = [{"text": "elephants", "start": 0} if row < 5 else label for row, label in enumerate(data["label"])]
    data = data.remove_columns("label").add_column("label", labels)
    columns = {"task": "question-answering", "text_columns": ["question", "context"]}
    student = train_student(config(**columns, max_steps=1), data, eval=data)
    assert (len(student.rows), getattr(student.rows, "n_unusable")) == (15, 5)  # noqa: B009
    # They are wrong answers where they are tested, and not left out.
    assert student.metrics["eval_rows"] == 20
    with pytest.raises(DataError, match="`label`"):
        train_student(config(**columns, max_steps=1), data.select(range(5)))


@pytest.mark.parametrize("packing", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_writer_learns_answers_by_heart(config: Config, writer: str, packing: bool) -> None:
    lessons = {"film of": "the plot", "match of": "a goal", "team": "score"}
    data = Dataset.from_dict({"instruction": [*lessons] * 8, "output": [*lessons.values()] * 8})
    chosen = config(
        model=writer,
        task="text-generation",
        text_columns="instruction",
        label_column="output",
        max_length=96,
        max_steps=60,
        learning_rate=1e-2,
        per_device_train_batch_size=4,
        packing=packing,
        max_new_tokens=12,
    )
    student = train_student(chosen, data, eval=data.select(range(3)))
    assert len(student.trainer.train_dataset) < 24 if packing else len(student.trainer.train_dataset) == 24
    prediction = student.predict(data.select(range(3)))
    assert prediction.labels == tuple(lessons.values())
    assert student.metrics["eval_loss"] < 1
    scores = validate(
        prediction.add_to(data.select(range(3))), human="output", llm="student_label", kind="text-generation"
    ).scores
    assert scores["exact_match"].estimate == 1


def test_texts_are_generated_in_the_precision_of_the_training(config: Config, writer: str) -> None:
    data = Dataset.from_dict({"text": ["film", "team", "goal"], "output": ["plot", "a score", "match"]})
    common = {"model": writer, "task": "text-generation", "label_column": "output", "max_length": 64}
    for adapter in ({}, {"lora_r": 2, "lora_alpha": 4}):
        student = train_student(config(**common, **adapter, max_steps=1, max_new_tokens=2, bf16=True), data)
        seen: list[torch.dtype] = []
        for module in student.trainer.model.modules():
            if isinstance(module, torch.nn.Linear) and module.out_features == 16:
                module.register_forward_hook(lambda _module, _given, output, seen=seen: seen.append(output.dtype))
        student.predict(data)
        assert set(seen) == {torch.bfloat16}


def test_only_the_answer_is_learnt_and_examples_keep_apart(config: Config, writer: str) -> None:
    chosen = config(model=writer, task="text-generation", label_column="output", max_length=64)
    task = student_task(chosen)
    data = Dataset.from_dict({"text": ["film", "team", "goal"], "output": ["plot", "a score", "match"]})
    tokenizer = AutoTokenizer.from_pretrained(writer)
    apart = task.features(data, task.rows(data), tokenizer)
    for row, output in zip(apart, data["output"], strict=True):
        learnt = [label for label in row["labels"] if label != -100]
        assert tokenizer.decode(learnt) == f"{output}<|im_end|>"
        assert row["position_ids"] == list(range(len(row["input_ids"])))
    packed = pack(apart, 64)
    ids = [token for row in packed["input_ids"][:] for token in row]
    assert sorted(ids) == sorted(token for row in apart["input_ids"][:] for token in row)
    assert max(map(len, packed["input_ids"][:])) <= 64
    # A position that is 0 begins an example, and its token is not learnt from the one before.
    for row in packed:
        starts = [place for place, position in enumerate(row["position_ids"]) if position == 0]
        assert all(row["labels"][place] == -100 for place in starts)


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "several names, one unknown": (
        {"task": "multi-label"},
        {"text": ["a", "b"], "label": [["film"], ["opera"]]},
        "`label`",
    ),
    "several names, all alike": (
        {"task": "multi-label"},
        {"text": ["a", "b"], "label": [["film"], ["film"]]},
        "`label`",
    ),
    "several names, none anywhere": (
        {"task": "multi-label"},
        {"text": ["a"], "label": [None]},
        "`label`",
    ),
    "number off the scale": (
        {"task": "text-scale", "scale": [1, 5]},
        {"text": ["a", "b"], "label": [1.0, 7.0]},
        "`label`",
    ),
    "number between steps": (
        {"task": "text-scale", "scale": [1, 5]},
        {"text": ["a", "b"], "label": [1.0, 1.5]},
        "`label`",
    ),
    "numbers all alike": (
        {"task": "text-scale", "scale": [1, 5]},
        {"text": ["a", "b"], "label": [2.0, 2.0]},
        "`label`",
    ),
    "no entity at all": (
        {"task": "token-classification"},
        {"text": ["a", "b"], "label": [[], []]},
        "`label`",
    ),
    "entity beyond its text": (
        {"task": "token-classification"},
        {"text": ["a film"], "label": [[{"start": 2, "end": 9, "label": "film"}]]},
        "`label`",
    ),
    "entity of an unknown name": (
        {"task": "token-classification"},
        {"text": ["a film"], "label": [[{"start": 2, "end": 6, "label": "opera"}]]},
        "`label`",
    ),
    "no context column": (
        {"task": "question-answering", "text_columns": ["question", "passage"]},
        {"question": ["a"], "context": ["a film"], "label": [{"text": "film", "start": 2}]},
        "`text_columns`",
    ),
    "question as long as a window": (
        {"task": "question-answering", "text_columns": ["question", "context"], "max_length": 16},
        {"question": ["a", "the " * 20], "context": ["a film"] * 2, "label": [{"text": "film", "start": 2}] * 2},
        "`max_length`",
    ),
}


def test_rows_that_cannot_be_learned_are_rejected_in_one_line(config: Config, subtests: pytest.Subtests) -> None:
    for case, (options, columns, message) in BAD.items():
        names = NAMES if options["task"] in ("multi-label", "token-classification") else ()
        with subtests.test(case), pytest.raises(DataError, match=message) as caught:
            train_student(config(**options), Dataset.from_dict(columns), names=names)
        assert "\n" not in str(caught.value)


def test_names_belong_to_kinds_that_have_them(config: Config) -> None:
    with pytest.raises(ConfigError, match="`names`"):
        student_task(config(task="multi-label"))
    with pytest.raises(ConfigError, match=r"and task 'text-scale' has no label names"):
        student_task(config(task="text-scale", scale=[0, 1]), NAMES)
    with pytest.raises(ConfigError, match="`class_weights`"):
        _ = student_task(config(task="multi-label", class_weights=[1.0]), NAMES).objective
    with pytest.raises(ConfigError, match="`scale_loss`"):
        _ = student_task(config(task="text-scale", scale=[0, 1, 0], scale_loss="ordinal"), ()).head


def test_a_model_that_sees_later_tokens_cannot_generate(config: Config) -> None:
    data = Dataset.from_dict({"text": ["film", "team"], "label": ["plot", "goal"]})
    for packing in (True, False):
        with pytest.raises(TrainingError, match="`model`"):
            train_student(config(task="text-generation", max_steps=1, packing=packing), data)


def test_a_class_with_one_row_is_learned_and_an_unknown_one_is_an_error(
    config: Config, toy: Callable[..., Dataset]
) -> None:
    data = toy(21).select([*range(0, 20, 2), 1])
    assert len(train_student(config(max_steps=1), data, names=NAMES, eval=data).rows) == 11
    tested = Dataset.from_dict({"text": ["a film"], "label": ["opera"]})
    with pytest.raises(DataError, match="`label`"):
        train_student(config(max_steps=1), toy(20), names=NAMES, eval=tested)


def test_labels_of_lists_follow_the_order_of_the_names(config: Config) -> None:
    features = Features({"text": Value("string"), "label": ListOf(ClassLabel(names=["sport", "film"]))})
    data = Dataset.from_dict({"text": ["a", "b", "c"], "label": [[0], [1, 0], None]}, features=features)
    rows = student_task(config(task="multi-label"), NAMES).rows(data)
    assert (rows.kept.tolist(), rows.n_unlabelled) == ([0, 1], 1)
    assert getattr(rows, "labels")[0] == ("sport",)  # noqa: B009
    assert label_names(data, "label", "multi-label") == ("sport", "film")
    assert label_names(data, "label", "text-generation") == ()


def test_entities_of_no_rows_and_of_missing_texts_and_in_transformers(config: Config, tmp_path: Path) -> None:
    from transformers import AutoModelForTokenClassification

    data = entity_rows(12)
    student = train_student(config(task="token-classification", max_steps=1), data, names=NAMES)
    assert len(student.predict(data.select([]))) == 0
    labels = student.predict(Dataset.from_dict({"text": [None, "", "film"]})).labels
    assert labels[:2] == ((), ())
    assert isinstance(labels[2], tuple)
    assert all(isinstance(item, Entity) for item in labels[2])
    student.save(tmp_path / "saved")
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "saved")
    assert model.config.id2label == {0: "O", 1: "B-film", 2: "I-film", 3: "B-sport", 4: "I-sport"}
    ids = torch.tensor([student.trainer.train_dataset[0]["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(ids).logits, student.trainer.model.eval()(ids).logits)
