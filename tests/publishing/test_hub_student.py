"""`push_to_hub: true`: one commit of the finished student, and nothing before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load

from hf_synthlabels.cards import CardFields
from hf_synthlabels.errors import ConfigError, HubError
from hf_synthlabels.publishing import StudentPublisher
from hf_synthlabels.training import StudentConfig, StudentTrainer, train_student
from tests.command_line import Run
from tests.publishing.conftest import READER, TOKEN
from tests.publishing.hub_server import Fault, HubServer

ROOT = Path(__file__).resolve().parents[2]
CARD: dict[str, Any] = {"license": "mit", "llm_terms": "unknown", "base_model": "user/base", "language": ["en"]}
WORDS = CardFields.from_dict(CARD, "test")


@pytest.fixture
def config(encoder: str, tmp_path: Path) -> Callable[..., StudentConfig]:
    def make(**options: Any) -> StudentConfig:
        given = {"model": encoder, "output_dir": str(tmp_path / "films"), "max_length": 32, "learning_rate": 1e-3}
        return StudentConfig(**{**given, "num_train_epochs": 1, "push_to_hub": True, **options})

    return make


def test_best_epoch_is_pushed_once_when_it_is_there(
    hub: HubServer, config: Callable[..., StudentConfig], toy: Callable[..., Any]
) -> None:
    options = config(num_train_epochs=3, load_best_model_at_end=True, metric_for_best_model="f1_macro")
    publisher = StudentPublisher.of(options, WORDS, [{"column": "label", "kind": "text-classification"}])
    before = list(hub.requests)
    # Nothing of a repository: who it is, and what the client asks on its own.
    assert not [path for _, path in before if "/models" in path or "/repos" in path]
    seen: list[int] = []

    def publish(student: Any) -> None:
        # All of the training lies before this.
        seen.append(len(hub.requests))
        publisher(student)

    student = train_student(options, toy(24), names=["film", "sport"], eval=toy(12, seed=1), publish=publish)
    assert seen == [len(before)]
    there = hub.repository("user/films", "model")
    assert there.private
    assert publisher.result is not None
    # The first commit is that of the Hub.
    assert [commit.sha for commit in there.commits][1:] == [publisher.result.revision]
    files = there.head.files
    assert not [path for path in files if "checkpoint" in path or path.endswith("training_args.bin")]
    pushed = load(files["model.safetensors"])
    for name, weight in student.trainer.model.state_dict().items():
        if name in pushed:
            assert weight.equal(pushed[name]), name
    facts = json.loads(files["student.json"])
    assert facts["metrics"]["best_epoch"] == student.metrics["best_epoch"]
    assert facts["records"] == [{"column": "label", "kind": "text-classification"}]
    card = ModelCard(files["README.md"].decode()).data.to_dict()
    assert (card["license"], card["base_model"], card["language"]) == ("mit", "user/base", ["en"])


def test_trainer_alone_asks_nothing_of_the_hub(
    hub: HubServer, config: Callable[..., StudentConfig], toy: Callable[..., Any], tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    options = config(save_strategy="epoch", hub_model_id="user/films")
    assert options.model is not None
    model = AutoModelForSequenceClassification.from_pretrained(options.model)
    trainer = StudentTrainer(model, options, train_dataset=None)
    trainer.save_model(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "model.safetensors").is_file()
    with pytest.raises(ConfigError, match="`push_to_hub`"):
        trainer.push_to_hub()
    assert hub.requests == []
    with pytest.raises(ConfigError, match="`push_to_hub` requires `publish`"):
        train_student(options, toy(8), names=["film", "sport"])


def test_options_that_contradict_one_commit_are_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"hub_token": TOKEN}, "`hub_token`"),
        ({"hub_strategy": "all_checkpoints"}, r"`hub_strategy` is 'all_checkpoints', but a student is pushed once"),
        ({"hub_always_push": True}, r"`hub_always_push` is True, but a student is pushed once"),
    ]
    for options, message in cases:
        with pytest.raises(ConfigError, match=message) as caught:
            StudentConfig(push_to_hub=True, **options)
        assert TOKEN not in str(caught.value)


def test_names_are_completed_and_checked(hub: HubServer, config: Callable[..., StudentConfig]) -> None:
    assert StudentPublisher.of(config(), WORDS).repo == "user/films"
    assert StudentPublisher.of(config(hub_model_id="mine"), WORDS).repo == "user/mine"
    assert StudentPublisher.of(config(hub_model_id="other/mine"), WORDS).repo == "other/mine"
    assert not StudentPublisher.of(config(hub_private_repo=False), WORDS).private
    with pytest.raises(ConfigError, match="`repo` is 'user/a b'"):
        StudentPublisher.of(config(hub_model_id="a b"), WORDS)


def test_adapter_of_a_folder_needs_the_name_of_its_base_before_it_is_trained(
    hub: HubServer, config: Callable[..., StudentConfig]
) -> None:
    nameless = CardFields(license="mit", llm_terms="unknown")
    with pytest.raises(ConfigError, match=r"`card.base_model` is missing: .* an adapter of 'encoder\d+'"):
        StudentPublisher.of(config(lora_r=2), nameless)
    assert StudentPublisher.of(config(lora_r=2, save="merged"), nameless).repo == "user/films"
    assert StudentPublisher.of(config(lora_r=2), WORDS).card.base_model == "user/base"


@pytest.fixture
def train(run: Run, tmp_path: Path, toy: Any) -> Any:
    """Run `hf-synthlabels train` on a file with these options: exit status, output, errors."""
    toy(24).to_json(str(tmp_path / "rows.jsonl"))

    def call(card: Any = CARD, **options: Any) -> tuple[int, str, str]:
        names = ["film", "sport"]
        data = {"path": "json", "data_files": "rows.jsonl", "test_size": 0, "names": names}
        content = {"student": options, "data": data, **({} if card is None else {"card": card})}
        (tmp_path / "student.yaml").write_text(yaml.safe_dump(content))
        code, out, err = run("train", "student.yaml")
        assert TOKEN not in out + err
        return code, out, err

    return call


def test_train_publishes_and_says_where(hub: HubServer, train: Any, encoder: str) -> None:
    code, out, err = train(model=encoder, max_length=32, max_steps=1, push_to_hub=True, hub_model_id="films")
    assert code == 0, err
    assert f"{hub.url}/user/films" in out
    assert "README.md" in hub.repository("user/films", "model").head.files


def test_what_is_wrong_is_told_before_anything_is_trained(
    hub: HubServer, train: Any, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"model": encoder, "max_length": 32, "max_steps": 1, "push_to_hub": True}
    code, _, err = train(card=None, **options)
    assert (code, "`card`" in err) == (2, True)
    monkeypatch.setenv("HF_TOKEN", READER)
    code, _, err = train(**options)
    assert (code, "the token may only read" in err) == (2, True)
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = train(**options)
    assert (code, "there is no token for the Hub" in err) == (2, True)
    assert not (tmp_path / "student").exists()


def test_student_that_could_not_be_published_is_saved_and_can_be_later(
    hub: HubServer, train: Any, encoder: str, tmp_path: Path, no_waiting: list[float]
) -> None:
    hub.faults.append(Fault("POST", "/commit/", status=403, message="no"))
    code, _, err = train(model=encoder, max_length=32, max_steps=1, push_to_hub=True)
    assert code == 2
    assert "The student is saved: `hf-synthlabels push model student user/student` publishes it." in err
    assert (tmp_path / "student" / "model.safetensors").is_file()
    assert (tmp_path / "student" / "student.json").is_file()


def test_hub_that_can_not_be_reached_is_told(
    hub: HubServer, config: Callable[..., StudentConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults.append(Fault("GET", "whoami", status=401, message="expired"))
    with pytest.raises(HubError, match="does not accept the token"):
        StudentPublisher.of(config(), WORDS)


@pytest.mark.slow
def test_two_processes_push_one_commit(hub: HubServer, toy: Callable[..., Any], encoder: str, tmp_path: Path) -> None:
    toy(24).to_json(str(tmp_path / "rows.jsonl"))
    student = {"model": encoder, "max_length": 32, "max_steps": 2, "push_to_hub": True, "hub_model_id": "films"}
    data = {"path": "json", "data_files": "rows.jsonl", "test_size": 0, "names": ["film", "sport"]}
    (tmp_path / "student.yaml").write_text(yaml.safe_dump({"student": student, "data": data, "card": CARD}))
    launcher = str(Path(sys.executable).parent / "accelerate")
    cpu = str(ROOT / "configs" / "accelerate" / "cpu_2.yaml")
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    environment["HF_HOME"] = str(tmp_path / "hf-home")
    script = str(ROOT / "train.py")
    command = [launcher, "launch", "--config_file", cpu, "--main_process_port", "0", script, "student.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert TOKEN not in done.stdout + done.stderr
    there = hub.repository("user/films", "model")
    assert len(there.commits) == 2
    assert "model.safetensors" in there.head.files
