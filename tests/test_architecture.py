"""Rules of the layout: import direction, sizes, names, and the cost of importing the package."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hf_synthlabels"
MODULES = sorted(file for file in PACKAGE.rglob("*.py") if not {"configs", "metrics"} & set(file.parts))
SUBPACKAGES = (
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
    "review",
    "engines",
    "cli",
)
"""A subpackage imports only from itself and from those before it."""

BELOW_ALL = {"errors", "registration", "resources"}
"""Modules of the package itself that every subpackage may import."""

MAX_MODULES = 12
MAX_VERBS = 20
"""The command line has one module per verb."""

MAX_NAMES = 25
MAX_LINES = 300
MIN_LINES = 40
MAX_FUNCTION_LINES = 50
SHARED_NAMES = {"__init__", "base", "config", "report", "client"}
"""Module names that may occur in any number of subpackages."""

# Exceptions are values that may only fall. Each entry is deleted once its code keeps the rule.
EXTRA_MODULES: dict[str, int] = {}
EXTRA_NAMES: dict[str, int] = {}
LONG_MODULES: dict[str, int] = {}
SHORT_MODULES: set[str] = {
    "registration.py",
    "cli/version.py",
    "verbosity.py",
}
LONG_FUNCTIONS: dict[str, int] = {
    "judging/scorers/bleu.py::bleu_accuracy": 53,
}
REPEATED_NAMES: set[str] = set()


def dotted(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(file) for file in MODULES}


def level(module: str) -> int:
    """Position of a module in the import order."""
    parts = module.split(".")
    if len(parts) == 2 and parts[1] in BELOW_ALL:
        return -1
    return SUBPACKAGES.index(parts[1]) if len(parts) > 1 and parts[1] in SUBPACKAGES else len(SUBPACKAGES) - 1


def imports(file: Path) -> set[str]:
    """Modules of this package that a file imports, at any depth of its code."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {name if name in NAMES else str(node.module) for name in names}
    return {name for name in imported if name.split(".")[0] == PACKAGE.name}


def test_subpackages_are_those_of_the_import_order() -> None:
    folders = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()}
    assert folders == set(SUBPACKAGES)


def test_imports_point_upward() -> None:
    wrong = [
        f"{dotted(file)} imports {module}"
        for file in MODULES
        for module in imports(file)
        if level(module) > level(dotted(file))
    ]
    assert wrong == []


def test_there_are_no_import_cycles() -> None:
    graph = {dotted(file): imports(file) for file in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"cycle: {' -> '.join((*path, module))}"
        if module in done:
            return
        for other in graph.get(module, ()):
            visit(other, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_statistics_loads_no_formula_parser_on_import() -> None:
    code = "import sys, hf_synthlabels.statistics; print('formulaic' in sys.modules, 'pandas' in sys.modules)"
    assert run_python(code).split() == ["False", "False"]


def test_statistics_needs_only_numpy_and_scipy() -> None:
    allowed = {"numpy", "scipy", PACKAGE.name} | set(sys.stdlib_module_names)
    for file in (PACKAGE / "statistics").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            # Formulas are parsed by formulaic, which reads tables of pandas.
            parser = {"formulaic", "pandas"} if file.stem == "formula" else set()
            assert {name.split(".")[0] for name in names} <= allowed | parser, file.name
        # Only validation reads labels; everything else gets numbers and names.
        known = {"errors", "statistics"} | ({"labels"} if file.parent.name == "validation" else set())
        assert {name.split(".")[1] for name in imports(file)} <= known, file.name


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_importing_the_package_loads_no_library_of_the_ecosystem() -> None:
    loaded = ast.literal_eval(run_python("import sys, hf_synthlabels; print(sorted(sys.modules))"))
    third_party = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"__main__", "sitecustomize"}
    assert {name for name in third_party if not name.startswith("_")} == {PACKAGE.name, "wrapt"}
    own = {name.split(".")[1] for name in loaded if name.startswith(f"{PACKAGE.name}.")}
    assert own <= BELOW_ALL | {"verbosity"}


@pytest.mark.parametrize("order", ["hf_synthlabels, datasets", "datasets, hf_synthlabels"])
def test_the_builder_is_registered_in_either_order_of_imports(order: str) -> None:
    code = f"import {order}\nprint('hf_synthlabels' in datasets.packaged_modules._PACKAGED_DATASETS_MODULES)"
    assert run_python(code).strip() == "True"


def test_the_help_of_a_verb_does_not_load_datasets() -> None:
    code = (
        "import sys\n"
        "from hf_synthlabels.cli.main import main\n"
        "sys.argv = ['hf-synthlabels', 'plan', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print(end.code, 'datasets' in sys.modules)"
    )
    assert run_python(code).splitlines()[-1] == "0 False"


def test_names_and_subpackages_are_loaded_on_first_use() -> None:
    code = (
        "import hf_synthlabels\n"
        "missing = [name for name in hf_synthlabels.__all__ if getattr(hf_synthlabels, name, None) is None]\n"
        "print(missing, set(hf_synthlabels.__all__) <= set(dir(hf_synthlabels)))\n"
        "print(hf_synthlabels.training.StudentConfig.__name__)"
    )
    assert run_python(code).splitlines() == ["[] True", "StudentConfig"]


def test_every_module_has_a_docstring_and_every_exported_name_exists() -> None:
    for file in MODULES:
        assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or file.stem == "__main__", file
        module = importlib.import_module(dotted(file))
        exported = getattr(module, "__all__", [])
        assert len(set(exported)) == len(exported), file
        for name in exported:
            assert hasattr(module, name), f"{file}: {name}"


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_a_subpackage_exports_few_names(subpackage: str) -> None:
    exported = getattr(importlib.import_module(f"hf_synthlabels.{subpackage}"), "__all__", [])
    assert len(exported) <= EXTRA_NAMES.get(subpackage, MAX_NAMES)


def test_folders_hold_few_modules() -> None:
    counts = Counter(
        str(file.parent.relative_to(PACKAGE)) for file in MODULES if file.stem not in ("__init__", "__main__")
    )
    limits = {"cli": MAX_VERBS, **EXTRA_MODULES}
    over = {folder: count for folder, count in counts.items() if count > limits.get(folder, MAX_MODULES)}
    assert over == {}


def test_module_names_are_unique() -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for file in MODULES:
        owners[file.stem].add(file.relative_to(PACKAGE).parts[0])
    repeated = {name for name, places in owners.items() if len(places) > 2} - SHARED_NAMES
    assert repeated <= REPEATED_NAMES


def test_modules_are_neither_long_nor_tiny() -> None:
    wrong = {}
    for file in MODULES:
        lines = file.read_text(encoding="utf-8").count("\n")
        name = file.relative_to(PACKAGE).as_posix()
        is_short = lines < MIN_LINES and file.stem not in ("__init__", "__main__") and name not in SHORT_MODULES
        if lines > LONG_MODULES.get(name, MAX_LINES) or is_short:
            wrong[name] = lines
    assert wrong == {}


def test_functions_fit_on_a_screen() -> None:
    wrong = {}
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # The signature of a verb is the list of its options, each with its help.
                start = node.body[0].lineno if file.parent.name == "cli" else node.lineno
                length = (node.end_lineno or node.lineno) - start + 1
                name = f"{file.relative_to(PACKAGE).as_posix()}::{node.name}"
                if length > LONG_FUNCTIONS.get(name, MAX_FUNCTION_LINES):
                    wrong[name] = length
    assert wrong == {}


def test_only_the_command_line_prints() -> None:
    for file in MODULES:
        if file.parent.name == "cli":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id == "print"), file.name
