"""The documentation as a site: every page can be found, every link leads somewhere, tables say what the code says."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from hf_synthlabels.annotation.codebook.codebook_keys import (
    CodebookKeys,
    CodebookTask,
    ConditionKeys,
    LongTexts,
    Variable,
)
from hf_synthlabels.annotation.columns import LabelColumns
from hf_synthlabels.annotation.prompting.examples import ExampleSelection
from hf_synthlabels.annotation.recipe.annotator_config import AnnotatorConfig, Escalation
from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.annotation.recipe.recipe import Output, Recipe
from hf_synthlabels.annotation.recipe.source_config import Source
from hf_synthlabels.annotation.recipe.task import LongText, ScaleKeys, SubQuestion, Task
from hf_synthlabels.clients.config import ClientConfig, Price
from hf_synthlabels.labels import KINDS, STATUSES, LabelSchema
from tests.test_architecture import PACKAGE, SUBPACKAGES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINKED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", *PAGES]


class _Loader(yaml.SafeLoader):
    """Reads the site's configuration; what names code is left as it is."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def configuration() -> dict[str, Any]:
    return dict(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _Loader))


def pages_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_of(part)


def test_every_page_is_in_the_navigation() -> None:
    site = configuration()
    shown = set(pages_of(site["nav"])) | set(site.get("not_in_nav", "").split())
    assert {path.relative_to(DOCS).as_posix() for path in PAGES} == shown


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^( *)(```+).*?^\1\2", "", text, flags=re.M | re.S))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as Python-Markdown and GitHub make them."""
    text = re.sub(r"^( *)(```+).*?^\1\2", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        found.add(re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return found | set(re.findall(r'(?:id|name)="([^"]+)"', text))


@pytest.mark.parametrize("page", LINKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_the_page_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            assert link.startswith(("https://", "mailto:")), link
            continue
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name}: {link}"
        if anchor and there.suffix == ".md" and "reference" not in there.parts:
            assert anchor in anchors(there), f"{page.name}: {link}"


SECTIONS: dict[str, type[BaseModel]] = {
    "The file": Recipe,
    "`source`": Source,
    "`task`": Task,
    "`task.scale`": ScaleKeys,
    "`task.questions.NAME`": SubQuestion,
    "`task.long_text`": LongText,
    "`task` of a codebook": CodebookTask,
    "`task.long_text` of a codebook": LongTexts,
    "`task.variables.NAME`": Variable,
    "`task.variables.NAME.ask_if`": ConditionKeys,
    "`annotator`": AnnotatorConfig,
    "`annotator.price`": Price,
    "`annotator.example_selection`": ExampleSelection,
    "`annotator.escalate`": Escalation,
    "One of `annotator.examples`": Example,
    "`output`": Output,
    "`engine`": Engine,
}


def test_page_of_keys_says_every_key_and_its_default() -> None:
    text = (DOCS / "recipe_keys.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    for title, model in SECTIONS.items():
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", parts[title], re.M)
        assert all(meaning.strip() for _, _, meaning in rows), title
        told = {key: default for key, default, _ in rows}
        assert told == {key: default_of(field) for key, field in fields_of(model).items() if not field.exclude}, title


def test_sections_of_a_codebook_are_those_of_a_recipe() -> None:
    recipe = {key: field.annotation for key, field in Recipe.model_fields.items() if not field.exclude}
    codebook = {key: field.annotation for key, field in CodebookKeys.model_fields.items()}
    assert set(codebook) == set(recipe)
    assert {key for key, kind in codebook.items() if kind is not recipe[key]} == {"task"}


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """The keys of a section; those of a client are in the section itself."""
    fields = {field.alias or key: field for key, field in model.model_fields.items()}
    client = fields.get("client")
    return (
        fields
        if client is None or client.annotation is not ClientConfig
        else fields_of(ClientConfig) | {key: field for key, field in fields.items() if key != "client"}
    )


def default_of(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "`{}`" if hasattr(value, "model_dump") else f"`{json.dumps(value)}`"


def test_page_of_columns_says_every_column_kind_and_status() -> None:
    text = (DOCS / "columns.md").read_text(encoding="utf-8")
    schema = LabelSchema(names=("a", "b"))
    names = LabelColumns(schema, Output(probabilities=True)).features
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.M))
    for name in (*names, "llm_label_tags", "inclusion_probability"):
        assert name in rows, name
    plain = {"float32", "float64", "string", "int32"}
    for name, feature in names.items():
        dtype = getattr(feature, "dtype", "")
        if dtype in plain:
            assert f'Value("{dtype}")' in rows[name], name
    assert all(f"| `{status}` |" in text for status in STATUSES)
    assert all(f"`{kind}`" in text for kind in KINDS)
    assert len(list((DOCS / "kinds").glob("*.md"))) == len(KINDS)


def test_reference_has_a_page_for_every_room() -> None:
    for room in SUBPACKAGES[:-1]:
        page = DOCS / "reference" / f"{room}.md"
        assert f"::: hf_synthlabels.{room}\n" in page.read_text(encoding="utf-8")
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"configs"} <= {*SUBPACKAGES, "metrics"}


@pytest.mark.parametrize("room", SUBPACKAGES[:-1])
def test_names_that_are_modules_too_have_a_line_of_their_own(room: str) -> None:
    """The reference takes such a name for the module, and would leave the function out."""
    modules = {path.stem for path in (PACKAGE / room).glob("*.py")}
    source = (PACKAGE / room / "__init__.py").read_text(encoding="utf-8")
    page = (DOCS / "reference" / f"{room}.md").read_text(encoding="utf-8")
    public = set(re.findall(r'^    "(\w+)",$', source, re.M))
    for name in sorted(public & modules):
        assert f"::: hf_synthlabels.{room}.{name}.{name}\n" in page, name


@pytest.mark.parametrize(
    "page", [ROOT / "CONTRIBUTING.md", *sorted((DOCS / "design").glob("*.md"))], ids=lambda p: p.name
)
def test_modules_that_the_design_names_exist(page: Path) -> None:
    paths = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.(?:py|yaml))?)`", page.read_text(encoding="utf-8"))
    missing = [path for path in paths if not any((root / path).exists() for root in (PACKAGE, ROOT, DOCS))]
    assert missing == []


INNER_BENCHMARKS = ("training_arms",)
"""Programs that another benchmark starts."""


def test_table_of_benchmarks_lists_all_that_can_be_run() -> None:
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    table = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        runs = any(isinstance(node, ast.If) and "__main__" in ast.dump(node.test) for node in tree.body)
        if runs and path.stem not in INNER_BENCHMARKS:
            assert f"benchmarks.{path.stem}`" in table, path.name
    assert all(f"benchmarks.{name}" in make for name in ("annotation", "judging", "training", "reliability"))


class Loaded(HTMLParser):
    """What a page fetches when it is shown, and the places that links can lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids[str(values["id"])] += 1
        if tag in ("script", "img", "iframe", "source"):
            self.fetched.append(values.get("src") or "")
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.fetched.append(values.get("href") or "")


@pytest.mark.slow
def test_site_is_built_strictly_fetches_nothing_and_has_every_public_name(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    pytest.importorskip("mkdocstrings", reason="the extra `docs` is not installed")
    # With --quiet warnings are not counted, and nothing is strict.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    for path in (tmp_path / "site").rglob("*.html"):
        page = Loaded()
        page.feed(path.read_text(encoding="utf-8"))
        assert not [address for address in page.fetched if re.match(r"(https?:)?//", address)], path.name
    for room in SUBPACKAGES[:-1]:
        page = Loaded()
        page.feed((tmp_path / "site" / "reference" / f"{room}.html").read_text(encoding="utf-8"))
        names = importlib.import_module(f"hf_synthlabels.{room}").__all__
        missing = [name for name in names if not any(place.endswith(f".{name}") for place in page.ids)]
        assert not missing, (room, missing)
    said = (tmp_path / "site" / "reference" / "command_line.html").read_text(encoding="utf-8")
    assert "Usage: hf-synthlabels annotate" in said
    assert "Usage: hf-synthlabels push model" in said
