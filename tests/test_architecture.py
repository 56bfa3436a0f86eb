"""The house: who may import whom, what importing costs, and what is public."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hf_synthlabels"
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = (
    *(
        "tables",
        "labels",
        "clients",
        "annotation",
        "statistics",
        "judging",
        "cards",
        "training",
        "studies",
        "publishing",
    ),
    "engines",
)
"""A room imports only from rooms before it; modules of the package itself come after all of them."""

MOST_LINES = 350
MOST_FUNCTION_LINES = 50


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor(module: str) -> int:
    """How far down a module is: what it imports must be above."""
    parts = module.split(".")
    if parts[1:] == ["errors"]:
        return -1
    return ROOMS.index(parts[1]) if len(parts) > 1 and parts[1] in ROOMS else len(ROOMS)


def imports(file: Path) -> set[str]:
    """The modules of this package that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name_of(other) for other in MODULES}
            found |= {name if name in modules else str(node.module) for name in names}
    return {name for name in found if name.split(".")[0] == PACKAGE.name}


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_module_imports_only_from_rooms_above(file: Path) -> None:
    here = name_of(file)
    for there in imports(file):
        if floor(here) == floor(there) == len(ROOMS):
            continue
        assert floor(there) <= floor(here), f"{here} imports {there}"


def test_modules_import_in_no_circle() -> None:
    graph = {name_of(file): imports(file) for file in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"circle: {' -> '.join((*path, module))}"
        if module in done:
            return
        for other in graph.get(module, ()):
            visit(other, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


READS_LABELS = {"credits.py", "kinds.py", "reading.py", "validation.py"}
"""What turns columns into numbers may know what a label is; what scores them knows numbers and names only."""


def test_statistics_stands_on_numpy_and_scipy_alone() -> None:
    allowed = {"numpy", "scipy", PACKAGE.name} | set(sys.stdlib_module_names)
    for file in (PACKAGE / "statistics").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, file.name
        inside = {name for name in imports(file) if not name.startswith("hf_synthlabels.statistics")}
        known = {"hf_synthlabels.errors"} | ({"hf_synthlabels.labels"} if file.name in READS_LABELS else set())
        assert inside <= known, file.name


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, hf_synthlabels\n"
        "heavy = ('torch', 'transformers', 'sentence_transformers', 'evaluate', 'sklearn', 'matplotlib', 'ray')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_room_lists_what_the_others_may_use(room: str) -> None:
    module = importlib.import_module(f"hf_synthlabels.{room}")
    assert list(module.__all__) == sorted(module.__all__, key=sort_key)
    # What the room's face imports from its own files is what it offers.
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"hf_synthlabels.{room}")
        for alias in node.names
    }
    assert imported == set(module.__all__)


def sort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_everything_public_exists(file: Path) -> None:
    module = importlib.import_module(name_of(file))
    public = getattr(module, "__all__", None)
    assert public is not None, "every module lists what is public"
    assert len(set(public)) == len(public)
    for name in public:
        assert hasattr(module, name), name


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_files_and_functions_can_be_read_at_once(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # What a function promises takes the room that it needs; what it does must fit a screen.
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or node.lineno) - first.lineno + 1
            assert length <= MOST_FUNCTION_LINES, f"{node.name} has {length} lines"


def test_only_the_command_line_prints() -> None:
    for file in MODULES:
        if file.name.endswith("cli.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id == "print"), file.name
