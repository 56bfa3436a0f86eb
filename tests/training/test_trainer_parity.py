"""StudentTrainer beside plain Trainer: equal numbers, or a difference that docs/training.md describes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset
from torch import nn
from torch.utils.data import DataLoader
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    DataCollatorWithPadding,
    EvalPrediction,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
    set_seed,
)

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import MultiLabel, StudentConfig, StudentTrainer

WORDS, LENGTH, ROWS = 24, 6, 22
DRAW = np.random.default_rng(0)
IDS = DRAW.integers(5, WORDS, (ROWS, LENGTH))
# Tokens before the padding; rows of one length are read in the same order by both trainers.
SIZES = DRAW.integers(2, LENGTH + 1, ROWS)
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def bert(kind: Any, **options: Any) -> Any:
    set_seed(0)
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.5}
    return kind(BertConfig(vocab_size=WORDS, max_position_embeddings=16, **SHAPE, **quiet, **options))


def llama() -> Any:
    set_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, max_position_embeddings=16, initializer_range=0.5, **SHAPE))


def rows(labels: Any = None, *, padded: bool = True, **columns: Any) -> Dataset:
    ids = [row[:size].tolist() + [0] * (LENGTH - size) * padded for row, size in zip(IDS, SIZES, strict=True)]
    mask = [[1] * size + [0] * (LENGTH - size) * padded for size in SIZES]
    given = {} if labels is None else {"labels": labels}
    return Dataset.from_dict({"input_ids": ids, "attention_mask": mask, **given, **columns})


CLASSES = [int(row) for row in DRAW.integers(0, 3, ROWS)]
TAGS = [[int(tag) if place < size else -100 for place, tag in enumerate(DRAW.integers(0, 3, LENGTH))] for size in SIZES]
SETS = DRAW.integers(0, 2, (ROWS, 3)).tolist()
TEXTS = [row[:size].tolist() + [-100] * (LENGTH - size) for row, size in zip(IDS, SIZES, strict=True)]


class Own(nn.Module):
    """A model outside transformers with its own loss, images and no tokens; it returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        set_seed(0)
        self.layer = nn.Linear(4, 3)

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        logits = self.layer(pixels)
        return (logits,) if labels is None else (nn.functional.cross_entropy(logits, labels), logits)


PIXELS = DRAW.normal(size=(ROWS, 4)).astype("float32").tolist()
SEQUENCES = BertForSequenceClassification
Make = Callable[[], Any]

TASKS: dict[str, tuple[Make, Callable[[], Any]]] = {
    "classes": (lambda: bert(SEQUENCES, num_labels=3), lambda: rows(CLASSES)),
    "classes in a column": (lambda: bert(SEQUENCES, num_labels=3), lambda: rows([[label] for label in CLASSES])),
    "list of dicts": (lambda: bert(SEQUENCES, num_labels=3), lambda: list(rows(CLASSES))),
    "regression": (lambda: bert(SEQUENCES, num_labels=1), lambda: rows([label / 2 for label in CLASSES])),
    "several numbers": (
        lambda: bert(SEQUENCES, num_labels=3, problem_type="regression"),
        lambda: rows([[float(value) for value in row] for row in SETS]),
    ),
    "multi-label by floats": (
        lambda: bert(SEQUENCES, num_labels=3),
        lambda: rows([[float(value) for value in row] for row in SETS]),
    ),
    "multi-label by problem type": (
        lambda: bert(SEQUENCES, num_labels=3, problem_type="multi_label_classification"),
        lambda: rows([[float(value) for value in row] for row in SETS]),
    ),
    "tags": (lambda: bert(BertForTokenClassification, num_labels=3), lambda: rows(TAGS)),
    "masked words": (lambda: bert(BertForMaskedLM), lambda: rows(TEXTS)),
    "next token": (llama, lambda: rows(TEXTS)),
    "multiple choice": (
        lambda: bert(BertForMultipleChoice),
        lambda: Dataset.from_dict({"input_ids": np.stack([IDS, IDS[::-1]], 1).tolist(), "labels": [0, 1] * 11}),
    ),
    "own model, tuples, images": (Own, lambda: Dataset.from_dict({"pixels": PIXELS, "labels": CLASSES})),
    "iterable": (lambda: bert(SEQUENCES, num_labels=3), lambda: rows(CLASSES).to_iterable_dataset()),
}


def plain_and_ours(folder: Path, model: Make, **options: Any) -> tuple[Trainer, StudentTrainer]:
    """Both trainers with equal arguments."""
    settings = {
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 8,
        # Adam would blow up the noise of gradients that are zero, such as those of key biases.
        "optim": "sgd",
        "learning_rate": 0.1,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "max_steps": 3,
        "train_sampling_strategy": "sequential",
        **options.pop("args", {}),
    }
    subclass = options.pop("subclass", lambda kind: kind)
    options.setdefault("data_collator", default_data_collator)
    made = []
    for kind, args in ((Trainer, TrainingArguments), (StudentTrainer, StudentConfig)):
        chosen = args(str(folder / kind.__name__), **settings)
        made.append(subclass(kind)(model(), chosen, **options))
    return made[0], made[1]


def same_weights(plain: Trainer, ours: Trainer) -> None:
    for (name, one), other in zip(plain.model.named_parameters(), ours.model.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5), name


def same_output(plain: Any, ours: Any) -> None:
    one, other = plain.predictions, ours.predictions
    pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
    for first, second in pairs:
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(plain.label_ids, ours.label_ids)


def test_each_kind_of_model_trains_evaluates_and_predicts_as_with_trainer(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for task, (model, data) in TASKS.items():
        with subtests.test(task):
            plain, ours = plain_and_ours(tmp_path, model, train_dataset=data(), eval_dataset=data())
            assert ours.train().training_loss == pytest.approx(plain.train().training_loss, rel=1e-4)
            same_weights(plain, ours)
            same_output(plain.predict(data()), ours.predict(data()))
            if task in ("tags", "masked words", "next token"):
                # Documented: the loss is over all tokens, and Trainer's the mean of its batches' means.
                plain.args.per_device_eval_batch_size = ROWS
            assert ours.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], rel=1e-4)


def test_answers_differ_from_trainer_by_the_padding_only(tmp_path: Path) -> None:
    labels: dict[str, Any] = {"start_positions": [0] * ROWS, "end_positions": [1] * ROWS}
    whole = rows(**labels).map(lambda _: {"attention_mask": [1] * LENGTH})
    model = lambda: bert(BertForQuestionAnswering)  # noqa: E731
    plain, ours = plain_and_ours(tmp_path, model, eval_dataset=whole)
    assert ours.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], rel=1e-4)
    padded = rows(**labels)
    # Padding is a candidate for the answer in transformers, and none here: the loss is smaller.
    assert ours.evaluate(padded)["eval_loss"] < plain.evaluate(padded)["eval_loss"] - 0.01


@pytest.mark.parametrize("padded", [True, False])
def test_rows_are_tokenised_on_the_way(encoder: str, toy: Callable[..., Dataset], tmp_path: Path, padded: bool) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder)

    def tokenise(batch: dict[str, Any]) -> dict[str, Any]:
        return {**tokenizer(batch["text"], truncation=True, max_length=16), "labels": batch["label"]}

    def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
        tokens = tokenizer([row["text"] for row in features], padding=True, truncation=True, return_tensors="pt")
        assert set(features[0]) == {"text", "label"}, "collators see the columns of the user and no others"
        return {**tokens, "labels": torch.tensor([row["label"] for row in features])}

    def model() -> Any:
        set_seed(0)
        found = SEQUENCES.from_pretrained(encoder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        nn.init.normal_(found.classifier.weight, generator=torch.Generator().manual_seed(0))
        return found

    data = toy(20).with_transform(tokenise) if padded else toy(20)
    plain, ours = plain_and_ours(
        tmp_path,
        model,
        args={"remove_unused_columns": False},
        data_collator=DataCollatorWithPadding(tokenizer) if padded else collate,
        train_dataset=data,
        eval_dataset=data,
    )
    assert ours.train_dataset.column_names == ["text", "label"]
    plain.train()
    ours.train()
    same_weights(plain, ours)
    same_output(plain.predict(data), ours.predict(data))
    assert ours.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], rel=1e-4)


def doubled(kind: Any) -> Any:
    """A subclass whose loss is its own."""

    class Doubled(kind):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            inputs = dict(inputs)
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            loss = 2 * nn.functional.cross_entropy(outputs["logits"], labels)
            return (loss, outputs) if return_outputs else loss

    return Doubled


def penalised(kind: Any) -> Any:
    """A subclass that adds to the loss of its parent."""

    class Penalised(kind):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **options: Any) -> Any:
            loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **options)
            return (loss + 1, outputs) if return_outputs else loss + 1

    return Penalised


def own_loader(kind: Any) -> Any:
    """A subclass whose evaluation loader is a plain list of batches."""

    class Loader(kind):  # type: ignore[misc]
        def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
            data: Any = list(eval_dataset or self.eval_dataset)
            loader: Any = DataLoader(data, batch_size=5, collate_fn=default_data_collator, drop_last=True)
            batches = list(loader)
            return [{name: batch[name] for name in batch} for batch in batches]

    return Loader


def own_step(kind: Any) -> Any:
    """A subclass that reads what a prediction step returns."""

    class Step(kind):  # type: ignore[misc]
        def prediction_step(self, *args: Any, **options: Any) -> Any:
            loss, logits, labels = super().prediction_step(*args, **options)
            return loss, None if logits is None else logits * 2, labels

    return Step


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float(np.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


def test_subclasses_behave_as_those_of_trainer(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for subclass in (doubled, penalised, own_loader, own_step):
        for steps in (1, 2):
            with subtests.test(subclass.__name__, steps=steps):
                check_subclass(subclass, steps, tmp_path)


def check_subclass(subclass: Any, steps: int, tmp_path: Path) -> None:
    plain, ours = plain_and_ours(
        tmp_path,
        TASKS["classes"][0],
        subclass=subclass,
        args={"gradient_accumulation_steps": steps},
        train_dataset=rows(CLASSES),
        eval_dataset=rows(CLASSES),
        compute_metrics=accuracy,
    )
    plain.train()
    ours.train()
    if subclass is doubled or steps == 1:
        # Documented: with accumulation Trainer's own loss of a classifier is multiplied by the steps.
        same_weights(plain, ours)
    if subclass is own_loader:
        ours.model.load_state_dict(plain.model.state_dict())
    elif steps == 1:
        same_output(plain.predict(rows(CLASSES)), ours.predict(rows(CLASSES)))
    if subclass is own_loader or steps == 1:
        expected, measured = plain.evaluate(), ours.evaluate()
        for name in ("eval_loss", "eval_accuracy"):
            assert measured[name] == pytest.approx(expected[name], rel=1e-4), name


def by_hand(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    total = nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum")
    return 3 * total / (len(labels) if num_items_in_batch is None else num_items_in_batch)


def test_a_loss_function_is_used_as_by_trainer(tmp_path: Path) -> None:
    data = rows(CLASSES)
    for steps in (1, 2):
        plain, ours = plain_and_ours(
            tmp_path,
            TASKS["classes"][0],
            args={"gradient_accumulation_steps": steps},
            compute_loss_func=by_hand,
            train_dataset=data,
            eval_dataset=data,
        )
        plain.train()
        ours.train()
        same_weights(plain, ours)
        assert ours.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], rel=1e-4)
    with pytest.raises(ConfigError, match="`compute_loss_func`"):
        StudentTrainer(bert(SEQUENCES), StudentConfig(), compute_loss_func=by_hand, objective=MultiLabel())


class Batches:
    """Metrics that are added up over batches."""

    def __init__(self) -> None:
        self.hits: list[float] = []

    def __call__(self, prediction: EvalPrediction, compute_result: bool) -> dict[str, float]:
        self.hits += (prediction.predictions.argmax(-1) == prediction.label_ids).float().tolist()
        return {"accuracy": float(np.mean(self.hits)), "first": self.hits[0]} if compute_result else {}


def everything(prediction: EvalPrediction) -> dict[str, float]:
    assert prediction.inputs is not None
    assert prediction.losses is not None
    weights = np.arange(len(prediction.label_ids))
    return {"inputs": float((prediction.inputs[:, 0] * weights).sum()), "losses": float(prediction.losses.mean())}


EVALUATIONS: dict[str, dict[str, Any]] = {
    "metrics": {"compute_metrics": accuracy},
    "metrics of batches": {"compute_metrics": Batches, "args": {"batch_eval_metrics": True}},
    "inputs and losses": {"compute_metrics": everything, "args": {"include_for_metrics": ["inputs", "loss"]}},
    "preprocessed": {
        "compute_metrics": lambda prediction: {"sum": float(prediction.predictions.sum())},
        "preprocess_logits_for_metrics": lambda logits, _: logits.argmax(-1),
    },
    "accumulated": {"compute_metrics": accuracy, "args": {"eval_accumulation_steps": 1}},
    "label names": {"compute_metrics": accuracy, "args": {"label_names": ["labels"]}},
    "loss alone": {"compute_metrics": accuracy, "args": {"prediction_loss_only": True}},
    "smoothed": {"args": {"label_smoothing_factor": 0.1}},
    "workers": {"args": {"dataloader_num_workers": 1}},
}


def test_evaluation_options_give_trainers_numbers(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for case, options in EVALUATIONS.items():
        with subtests.test(case):
            check_evaluation(case, dict(options), tmp_path)


def check_evaluation(case: str, options: dict[str, Any], tmp_path: Path) -> None:
    metrics = options.pop("compute_metrics", None)
    data = rows(CLASSES, padded=True)
    plain, ours = plain_and_ours(tmp_path, TASKS["classes"][0], eval_dataset=data, **options)
    if metrics is not None:
        for trainer in (plain, ours):
            trainer.compute_metrics = metrics() if metrics is Batches else metrics
    expected, measured = plain.evaluate(), ours.evaluate()
    timing = ("_runtime", "_per_second", "_time")
    expected = {name: value for name, value in expected.items() if not name.endswith(timing)}
    if case == "inputs and losses":
        # Documented: rows are read longest first, so the means of batches are of other rows.
        assert measured["eval_losses"] == pytest.approx(expected.pop("eval_losses"), rel=0.05)
    assert {name: measured[name] for name in expected} == pytest.approx(expected, rel=1e-4)


def test_data_sets_by_name_and_rows_of_another_length(tmp_path: Path) -> None:
    data = rows(CLASSES)
    both = {"one": data, "two": data.select(range(9))}
    plain, ours = plain_and_ours(tmp_path, TASKS["classes"][0], eval_dataset=both, compute_metrics=accuracy)
    expected, measured = plain.evaluate(), ours.evaluate()
    for name in ("eval_one_loss", "eval_two_loss", "eval_one_accuracy", "eval_two_accuracy"):
        assert measured[name] == pytest.approx(expected[name], rel=1e-4), name


def test_evaluation_never_drops_rows(tmp_path: Path) -> None:
    # Documented: Trainer drops the last batch of an evaluation, too.
    data = rows(CLASSES)
    options = {"eval_dataset": data, "compute_metrics": lambda p: {"rows": len(p.label_ids)}}
    plain, ours = plain_and_ours(tmp_path, TASKS["classes"][0], args={"dataloader_drop_last": True}, **options)
    assert plain.evaluate()["eval_rows"] == 16
    assert ours.evaluate()["eval_rows"] == ROWS
    assert ours.predict(data).label_ids.tolist() == CLASSES
    ours.args.per_device_eval_batch_size = 64
    assert ours.evaluate()["eval_rows"] == ROWS


def test_training_without_one_whole_batch_is_refused(tmp_path: Path) -> None:
    args = {"dataloader_drop_last": True, "per_device_train_batch_size": 64}
    ours = plain_and_ours(tmp_path, TASKS["classes"][0], args=args, train_dataset=rows(CLASSES))[1]
    with pytest.raises(ConfigError, match="`dataloader_drop_last`"):
        ours.train()


def test_labels_that_do_not_fit_name_the_objective(tmp_path: Path) -> None:
    model = TASKS["classes"][0]
    ours = plain_and_ours(tmp_path, model, train_dataset=rows(SETS))[1]
    with pytest.raises(ConfigError, match="`objective`") as caught:
        ours.train()
    assert "\n" not in str(caught.value)


class Heard(TrainerCallback):  # type: ignore[misc]
    """Which events a trainer reports."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            object.__getattribute__(self, "events").append(name)
        return object.__getattribute__(self, name)


RUNS: dict[str, dict[str, Any]] = {
    "epochs": {"max_steps": -1, "num_train_epochs": 2, "eval_strategy": "epoch"},
    "best": {
        "max_steps": 6,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "steps",
        "save_steps": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": "accuracy",
        "save_total_limit": 1,
    },
    "accumulated": {"max_steps": 2, "gradient_accumulation_steps": 3},
    "drop last": {"max_steps": -1, "num_train_epochs": 1, "dataloader_drop_last": True},
    "clipped": {"max_grad_norm": 0.01},
}


def test_runs_take_trainers_steps(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for case in RUNS:
        with subtests.test(case):
            check_run(case, tmp_path / case)


def check_run(case: str, tmp_path: Path) -> None:
    heard = [Heard(), Heard()]
    data = rows(CLASSES)
    # A causal model: its loss is right under accumulation in Trainer, too.
    model, data = (llama, rows(TEXTS)) if case == "accumulated" else (TASKS["classes"][0], data)
    metrics = None if case == "accumulated" else accuracy
    plain, ours = plain_and_ours(
        tmp_path, model, args=RUNS[case], train_dataset=data, eval_dataset=data, compute_metrics=metrics
    )
    for trainer, callback in zip((plain, ours), heard, strict=True):
        trainer.add_callback(callback)
    expected, measured = plain.train(), ours.train()
    assert measured.global_step == expected.global_step
    assert measured.training_loss == pytest.approx(expected.training_loss, rel=1e-4)
    assert heard[0].events == heard[1].events
    same_weights(plain, ours)
    assert ours.state.best_global_step == plain.state.best_global_step


def test_a_saved_trainer_is_read_by_transformers_alone(tmp_path: Path) -> None:
    data = rows(CLASSES)
    _, ours = plain_and_ours(tmp_path, TASKS["classes"][0], train_dataset=data)
    ours.save_model(str(tmp_path / "saved"))
    args = torch.load(tmp_path / "saved" / "training_args.bin", weights_only=False)
    assert type(args) is TrainingArguments
    assert args.learning_rate == ours.args.learning_rate
    assert not hasattr(args, "text_columns")
    weights = SEQUENCES.from_pretrained(tmp_path / "saved").classifier.weight
    torch.testing.assert_close(weights, ours.model.classifier.weight)


def test_streams_and_missing_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = StudentTrainer(bert(SEQUENCES, num_labels=3), eval_dataset=rows(CLASSES))
    assert isinstance(trainer.args, StudentConfig)
    stream: IterableDataset = rows(CLASSES).to_iterable_dataset()
    assert trainer.evaluate(stream)["eval_loss"] == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-4)
