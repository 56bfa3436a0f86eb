"""A recipe from somebody else cannot send a secret or a local file to a server of its choice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hf_synthlabels.annotation import Recipe, load, plan
from hf_synthlabels.annotation.recipe.strict_yaml import read_yaml
from hf_synthlabels.annotation.trust.downloaded import MANIFEST, PULLED, mark_pulled
from hf_synthlabels.annotation.trust.key_hosts import may_receive
from hf_synthlabels.cli.main import app
from hf_synthlabels.errors import ConfigError, RecipeError, UntrustedRecipeError
from hf_synthlabels.judging import read_judge
from tests.servers.chat import LabelServer

EVIL = "https://evil.example/v1"
TASK = {"kind": "text-classification", "instructions": "What?", "text": "text", "labels": ["film", "sport"]}


def recipe(folder: Path, *, source: Any = None, task: Any = None, engine: Any = None, **annotator: Any) -> Path:
    """A recipe file with rows beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text('{"text": "a film"}\n')
    content = {
        "name": "films",
        "source": source or {"path": "json", "data_files": "rows.jsonl"},
        "task": TASK | (task or {}),
        "annotator": {"client": "openai", "model": "m", **annotator},
        **({} if engine is None else {"engine": engine}),
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return folder / "recipe.yaml"


def test_known_secret_goes_to_its_own_server_only(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str, bool]] = [
        ("OPENAI_API_KEY", "https://api.openai.com/v1", True),
        ("OPENAI_API_KEY", "https://API.OpenAI.com./v1", True),
        ("OPENAI_API_KEY", "http://localhost:8000/v1", True),
        ("OPENAI_API_KEY", "http://192.168.1.7:8000/v1", True),
        ("OPENAI_API_KEY", "http://vllm:8000/v1", True),
        ("OPENAI_API_KEY", EVIL, False),
        # Without encryption anybody on the way reads the key.
        ("OPENAI_API_KEY", "http://api.openai.com/v1", False),
        ("OPENAI_API_KEY", "https://api.openai.com@evil.example/v1", False),
        ("OPENAI_API_KEY", "https://evil.example\\@api.openai.com/v1", False),
        ("OPENAI_API_KEY", "https://api.openai.com.evil.example/v1", False),
        ("OPENAI_API_KEY", "https://evilapi.openai.com.co/v1", False),
        # 8.8.8.8 as a number, and within IPv6.
        ("OPENAI_API_KEY", "http://134744072/v1", False),
        ("OPENAI_API_KEY", "http://[::ffff:8.8.8.8]/v1", False),
        ("OPENAI_API_KEY", "http://169.254.169.254/v1", False),
        ("OPENAI_API_KEY", "https://openrouter.ai/api/v1", False),
        ("OPENROUTER_API_KEY", "https://openrouter.ai/api/v1", True),
        ("AZURE_OPENAI_API_KEY", "https://mine.openai.azure.com/openai/v1", True),
        ("AZURE_OPENAI_API_KEY", "https://openai.azure.com.evil.example/v1", False),
        ("HF_TOKEN", "https://router.huggingface.co/v1", True),
        ("HF_TOKEN", "https://somebody.hf.space/v1", False),
        ("HF_TOKEN", EVIL, False),
        ("MY_SERVER_KEY", EVIL, True),
        ("OPENAI_KEY_OF_MY_TEAM", EVIL, False),
        ("OPENAI_KEY_OF_MY_TEAM", "https://api.openai.com/v1", True),
        ("AWS_SECRET_ACCESS_KEY", EVIL, False),
        ("aws_session_token", EVIL, False),
        ("GITHUB_TOKEN", EVIL, False),
        ("GOOGLE_APPLICATION_CREDENTIALS", EVIL, False),
        ("DJANGO_SECRET", EVIL, False),
        ("AWS_SECRET_ACCESS_KEY", "http://localhost:8000/v1", False),
    ]
    for variable, url, allowed in cases:
        with subtests.test(repr((variable, url, allowed))):
            assert may_receive(variable, url) is allowed


@pytest.mark.parametrize(
    "annotator", [{"api_key_env": "HF_TOKEN"}, {}, {"api_key_env": None, "headers": {"X-Key": {"env": "HF_TOKEN"}}}]
)
def test_own_recipe_sends_no_known_secret_to_a_foreign_server(annotator: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        UntrustedRecipeError, match=r"recipe.yaml .*`annotator.api_key_env`.*evil.*--trust-recipe"
    ) as error:
        Recipe.from_yaml(recipe(tmp_path, base_url=EVIL, **annotator))
    assert "\n" not in str(error.value)


def test_a_wrong_address_is_reported_before_it_has_to_be_confirmed(subtests: pytest.Subtests, tmp_path: Path) -> None:
    urls: list[str] = [
        "evil.example/v1",
        "llm:8000/v1",
        "https://user:hunter2@evil.example/v1",
        "https://evil.example:99999/v1",
    ]
    pulleds: list[bool] = [False, True]
    for pulled in pulleds:
        for url in urls:
            with subtests.test(repr((url, pulled))):
                folder = as_pulled(tmp_path) if pulled else tmp_path
                with pytest.raises(RecipeError, match=r"`annotator\.base_url`") as caught:
                    Recipe.from_yaml(recipe(folder, base_url=url, api_key_env="HF_TOKEN"))
                assert not isinstance(caught.value, UntrustedRecipeError)
                assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "annotator", [{"api_key_env": "MY_SERVER_KEY"}, {"api_key_env": None}, {"client": "recorded", "column": "text"}]
)
def test_own_recipe_for_an_own_server_needs_no_confirmation(annotator: dict[str, Any], tmp_path: Path) -> None:
    base = {} if annotator.get("client") == "recorded" else {"base_url": EVIL}
    Recipe.from_yaml(
        recipe(tmp_path / "a", source={"path": "json", "data_files": "../b/rows.jsonl"}, **base, **annotator)
    )


def test_hidden_and_system_files_do_not_go_to_a_foreign_server(
    subtests: pytest.Subtests, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paths: list[str] = ["~/.ssh/id_rsa", "../../.env", "/etc/passwd", "/proc/self/environ", "link.txt"]
    keys: list[str] = ["guidelines_file", "examples", "data_files"]
    for key in keys:
        for path in paths:
            with subtests.test(repr((path, key))):
                tmp_path = tmp_path_factory.mktemp("case")
                folder = tmp_path / "clone"
                (tmp_path / ".aws").mkdir()
                (tmp_path / ".aws" / "credentials").write_text("secret")
                folder.mkdir()
                (folder / "link.txt").symlink_to(tmp_path / ".aws" / "credentials")
                every: dict[str, dict[str, Any]] = {
                    "guidelines_file": {"task": {"guidelines_file": path}},
                    "examples": {"examples": path},
                    "data_files": {"source": {"path": "text", "data_files": {"train": [path]}}},
                }
                parts = every[key]
                with pytest.raises(UntrustedRecipeError, match=key):
                    Recipe.from_yaml(recipe(folder, base_url=EVIL, api_key_env=None, **parts))
                Recipe.from_yaml(recipe(folder, base_url="http://localhost:1/v1", api_key_env=None, **parts))


def test_address_that_looks_like_the_hub_gets_no_token(tmp_path: Path) -> None:
    # `datasets` compares the first letters only.
    source = {"path": "json", "data_files": "https://huggingface.co.evil.example/rows.jsonl"}
    with pytest.raises(UntrustedRecipeError, match=r"source.data_files.*Hub token"):
        Recipe.from_yaml(recipe(tmp_path, source=source, client="embedding"))


def as_pulled(folder: Path) -> Path:
    mark_pulled(folder, "dataset user/set")
    return folder


def as_published(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    return folder


def as_downloaded(folder: Path) -> Path:
    (folder / ".cache" / "huggingface" / "download").mkdir(parents=True)
    return folder


def in_the_cache(folder: Path) -> Path:
    place = folder / "datasets--user--set" / "snapshots" / "0123"
    place.mkdir(parents=True)
    return place


def test_downloaded_recipe_leaves_its_folder_by_no_way(
    subtests: pytest.Subtests, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds: list[Any] = [as_pulled, as_published, as_downloaded, in_the_cache]
    field_cases: list[tuple[str, dict[str, Any]]] = [
        ("base_url", {"base_url": EVIL, "api_key_env": None}),
        ("base_url", {"base_url": "http://10.0.0.1/v1", "api_key_env": None}),
        ("api_key_env", {"base_url": EVIL, "api_key_env": "MY_SERVER_KEY"}),
        ("api_key_env", {"base_url": "http://localhost:8000/v1", "api_key_env": "MY_SERVER_KEY"}),
        ("api_key_env", {"api_key_env": "HF_TOKEN"}),
        ("api_key_env", {"headers": {"X-Key": {"env": "AWS_SECRET_ACCESS_KEY"}}}),
        ("headers", {"headers": {"X-Key": "text"}}),
        ("guidelines_file", {"task": {"guidelines_file": "/etc/passwd"}}),
        ("guidelines_file", {"task": {"guidelines_file": "../../../../outside.txt"}}),
        ("guidelines_file", {"task": {"guidelines_file": "link.txt"}}),
        ("examples", {"examples": "~/private.jsonl"}),
        ("data_files", {"source": {"path": "json", "data_files": {"train": ["rows.jsonl", "C:\\private.jsonl"]}}}),
        ("data_files", {"source": {"path": "json", "data_files": "*/../../*.jsonl"}}),
        ("data_files", {"source": {"path": "json", "data_files": "data/*.jsonl"}}),
        ("data_files", {"source": {"path": "json", "data_files": "file:///home/user/private.jsonl"}}),
        ("data_files", {"source": {"path": "json", "data_files": "s3://private/rows.jsonl"}}),
        ("data_files", {"source": {"path": "json", "data_files": "${HF_SYNTHLABELS_DATA}/../rows.jsonl"}}),
        ("path", {"source": {"path": "data"}}),
        ("path", {"source": {"path": "/home/user/data"}}),
        ("model", {"client": "transformers", "model": "../../../../model"}),
        ("address", {"engine": {"name": "ray", "address": "evil.example:6379"}}),
    ]
    for field, parts in field_cases:
        for kind in kinds:
            with subtests.test(repr((kind, field, parts))):
                tmp_path = tmp_path_factory.mktemp("case")
                folder = kind(tmp_path / "pulled")
                (tmp_path / "outside.txt").write_text("secret")
                (folder / "data").mkdir()
                (folder / "data" / "rows.jsonl").symlink_to(tmp_path / "outside.txt")
                (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
                path = recipe(folder, **parts)
                with pytest.raises(UntrustedRecipeError, match=rf"comes from elsewhere.*{field}"):
                    Recipe.from_yaml(path)
                assert PULLED.startswith(".")


def test_downloaded_recipe_may_use_its_folder_the_hub_and_providers(
    subtests: pytest.Subtests, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds: list[Any] = [as_pulled, in_the_cache]
    partss: list[dict[str, Any]] = [
        {},
        {"base_url": "https://openrouter.ai/api/v1", "api_key_env": "OPENROUTER_API_KEY"},
        {"base_url": "http://localhost:8000/v1", "api_key_env": None},
        {"source": {"path": "user/set", "data_files": "data/train.parquet"}},
        {"source": {"path": "json", "data_files": "${HF_SYNTHLABELS_DATA}/rows.jsonl"}},
        {"source": {"path": "json", "data_files": "hf://datasets/user/set/rows.jsonl"}},
        {"system": "/no_think See ../../notes and https://example.com."},
    ]
    for parts in partss:
        for kind in kinds:
            with subtests.test(repr((kind, parts))):
                tmp_path = tmp_path_factory.mktemp("case")
                assert Recipe.from_yaml(recipe(kind(tmp_path / "pulled"), **parts)).name == "films"


def test_confirmation_is_remembered_for_what_was_confirmed_and_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVER_KEY", "secret-1")
    with LabelServer(lambda _: "film") as server:
        folder = as_pulled(tmp_path / "pulled")
        path = recipe(folder, base_url=server.base_url, api_key_env="MY_SERVER_KEY")
        cache = str(tmp_path / "cache")
        with pytest.raises(UntrustedRecipeError):
            load(path, cache_dir=cache)
        assert server.requests == []
        assert load(path, cache_dir=cache, trust_recipe=True)["train"]["llm_label"] == [0]
        assert server.keys == {"Bearer secret-1"}
        # Another prompt sends nothing else; another variable does.
        recipe(folder, base_url=server.base_url, api_key_env="MY_SERVER_KEY", system="Label it.")
        assert plan(path).rows == 1
        recipe(folder, base_url=server.base_url, api_key_env="HF_TOKEN")
        with pytest.raises(UntrustedRecipeError):
            plan(path)


def test_command_line_confirms_for_one_recipe(tmp_path: Path) -> None:
    path = str(recipe(as_pulled(tmp_path / "a"), base_url="https://evil.example/v1", api_key_env=None))
    other = recipe(as_pulled(tmp_path / "b"), base_url="https://evil.example/v1", api_key_env=None)
    run = CliRunner()
    assert isinstance(run.invoke(app, ["plan", path]).exception, UntrustedRecipeError)
    assert run.invoke(app, ["plan", path, "--trust-recipe"]).exit_code == 0
    assert run.invoke(app, ["plan", path]).exit_code == 0
    with pytest.raises(UntrustedRecipeError):
        Recipe.from_yaml(other)


def test_variable_confirms_for_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recipe(as_pulled(tmp_path), base_url=EVIL, api_key_env=None)
    monkeypatch.setenv("HF_SYNTHLABELS_TRUST_RECIPE", "1")
    Recipe.from_yaml(path)
    monkeypatch.setenv("HF_SYNTHLABELS_TRUST_RECIPE", "0")
    with pytest.raises(UntrustedRecipeError):
        Recipe.from_yaml(path)


def test_judge_files_are_recipes_too(tmp_path: Path) -> None:
    content = {
        "name": "j",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "rubric": "score_1_5",
        "columns": {"prediction": "text"},
        "judge": {"client": "openai", "model": "m", "base_url": EVIL, "api_key_env": "HF_TOKEN"},
    }
    with pytest.raises(UntrustedRecipeError, match=r"judge.api_key_env"):
        read_judge(content)
    as_pulled(tmp_path)
    judge: dict[str, Any] = content["judge"]  # type: ignore[assignment]
    judge["api_key_env"] = None
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UntrustedRecipeError, match=r"judge.base_url"):
        read_judge(tmp_path / "judge.yaml")


def test_other_files_of_a_downloaded_folder_are_checked_alike(subtests: pytest.Subtests, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"student": {"model": "m"}, "data": {"path": "json", "data_files": "/home/user/private.jsonl"}}, "data_files"),
        ({"student": {"model": "m", "output_dir": "../../elsewhere"}, "data": {"path": "json"}}, "output_dir"),
        ({"recipe": "r.yaml", "annotators": {"a": {"annotator": {"base_url": EVIL, "api_key_env": None}}}}, "base_url"),
        ({"recipe": "../../r.yaml", "annotators": {"a": {"annotator": {"num_samples": 3}}}}, "recipe"),
    ]
    for content, field in cases:
        with subtests.test(repr((content, field))):
            file = as_pulled(tmp_path / "pulled") / "file.yaml"
            file.write_text(yaml.safe_dump(content))
            with pytest.raises(UntrustedRecipeError, match=field):
                read_yaml(file, "study", ConfigError)


def test_repository_cannot_remove_the_mark(tmp_path: Path) -> None:
    # A link in place of the mark must not be written through, nor hide it.
    target = tmp_path / "precious.txt"
    target.write_text("mine")
    folder = tmp_path / "pulled"
    folder.mkdir()
    (folder / PULLED).symlink_to(target)
    mark_pulled(folder, "dataset user/set")
    assert target.read_text() == "mine"
    assert not os.path.islink(folder / PULLED)
    with pytest.raises(UntrustedRecipeError):
        Recipe.from_yaml(recipe(folder / "annotation", base_url=EVIL, api_key_env=None))
