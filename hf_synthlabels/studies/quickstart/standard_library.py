"""Demo data: docstrings of Python's standard library, each with its subject area."""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets

AREAS = {
    "Numeric and Mathematical": "numbers and mathematics: decimals, fractions, random numbers, statistics, arithmetic",
    "Data Types": "dates, times and calendars, collections, containers, enumerations, copying and printing of objects",
    "File and Directory Access": "paths, files and directories: finding, comparing, copying, temporary files",
    "Concurrent Execution": "threads, processes, pools, locks, queues, running and scheduling tasks in parallel",
    "Networking": "sockets, event loops, transports, streams, asynchronous input and output, signals",
    "Internet Protocols": "web clients and servers, URLs, HTTP, cookies, FTP, mail protocols, IP addresses, XML-RPC",
    "Internet Data Handling": "e-mail messages, headers, mailboxes, JSON, MIME types, encoding data for the internet",
    "Structured Markup": "HTML and XML documents: parsing, elements, nodes, DOM and SAX handlers",
    "Development Tools": "testing, test cases, mocks, assertions, documentation, type hints",
}
"""Chapters of the library reference, each with a definition that sums up the chapter's list of modules."""

MODULES = {
    "Numeric and Mathematical": ("numbers", "_pydecimal", "fractions", "random", "statistics"),
    "Data Types": (
        *(
            "datetime",
            "_pydatetime",
            "zoneinfo",
            "calendar",
            "collections",
            "heapq",
            "bisect",
            "weakref",
            "_weakrefset",
        ),
        *("types", "copy", "pprint", "reprlib", "enum", "graphlib"),
    ),
    "File and Directory Access": (
        *("pathlib", "posixpath", "genericpath", "fileinput", "filecmp", "tempfile", "glob", "fnmatch", "linecache"),
        "shutil",
    ),
    "Concurrent Execution": ("threading", "multiprocessing", "concurrent", "subprocess", "sched", "queue"),
    "Networking": ("asyncio", "socket", "ssl", "selectors", "signal"),
    "Internet Protocols": (
        *("webbrowser", "wsgiref", "urllib", "http", "ftplib", "poplib", "imaplib", "smtplib", "uuid"),
        *("socketserver", "xmlrpc", "ipaddress"),
    ),
    "Internet Data Handling": ("email", "json", "mailbox", "mimetypes", "base64", "quopri"),
    "Structured Markup": ("html", "xml"),
    "Development Tools": ("typing", "pydoc", "doctest", "unittest"),
}
"""Modules and packages of each chapter that are written in Python; one that a version lacks is passed over."""

MAX_PER_FILE = 240
"""No module file gives more rows, or a few long ones would be the whole corpus."""

MIN_WORDS = 3
TEST_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Docstring:
    """The first sentence of what a module, class or function says of itself."""

    id: str
    """Module and qualified name."""
    name: str
    """Qualified name within the module, `module` for the module itself."""
    module: str
    text: str
    """What is to be labeled: name and sentence, without the module, which would give the label away."""
    area: str


def read_docstrings() -> list[Docstring]:
    """The corpus, in a fixed order for a version of Python; modules are read as text and never imported."""
    library = Path(sysconfig.get_path("stdlib"))
    rows: dict[str, Docstring] = {}
    for area, modules in MODULES.items():
        for module in modules:
            for file in _files(library, module):
                for row in _spread(list(_docstrings(file, library, area))):
                    # The same sentence may occur in several places; the first keeps it.
                    rows.setdefault(row.text.casefold(), row)
    return list(rows.values())


def load_corpus() -> datasets.DatasetDict:
    """The corpus as a data set with the splits `train` and `test`.

    Columns: `id`, `name`, `module`, `text`, and `label`, a ClassLabel of the areas. Which split a row is in depends
    on its identifier alone; a module's rows are in both, as rows of one source are in any random sample.
    """
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    string = Value("string")
    features = Features(
        {"id": string, "name": string, "module": string, "text": string, "label": ClassLabel(names=list(AREAS))}
    )
    splits: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    for row in sorted(read_docstrings(), key=lambda row: _rank(row.id)):
        part = "test" if _rank(row.id) < TEST_SHARE else "train"
        content = {"id": row.id, "name": row.name, "module": row.module, "text": row.text, "label": row.area}
        splits[part].append(content)
    return DatasetDict({name: Dataset.from_list(rows, features=features) for name, rows in splits.items()})


def _files(library: Path, module: str) -> list[Path]:
    """The source files of a module or of a whole package, sorted; tests of the library are not documentation."""
    if (library / f"{module}.py").is_file():
        return [library / f"{module}.py"]
    files = sorted((library / module).rglob("*.py"))
    return [file for file in files if not {"test", "tests", "__main__.py"} & set(file.relative_to(library).parts)]


def _docstrings(file: Path, library: Path, area: str) -> Iterator[Docstring]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    module = ".".join(file.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
    for name, node in _named(tree, ""):
        sentence = _first_sentence(ast.get_docstring(node) or "")
        if len(sentence.split()) >= MIN_WORDS:
            text = f"{name}: {sentence}" if name != "module" else sentence
            yield Docstring(f"{module}:{name}", name, module, text, area)


def _named(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, prefix: str
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The module, its classes and functions, and the methods of its classes, in the order of the file."""
    yield (prefix or "module", node)
    for child in node.body if isinstance(node, ast.Module | ast.ClassDef) else ():
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _named(child, f"{prefix}.{child.name}" if prefix else child.name)


def _first_sentence(docstring: str) -> str:
    """The first sentence of the first paragraph, on one line."""
    paragraph = re.split(r"\n\s*\n", docstring.strip(), maxsplit=1)[0]
    line = " ".join(paragraph.split())
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`'\"(])", line, maxsplit=1)[0]


def _spread(rows: list[Docstring]) -> list[Docstring]:
    """At most `MAX_PER_FILE` rows, evenly spread over the file."""
    if len(rows) <= MAX_PER_FILE:
        return rows
    return [rows[place * len(rows) // MAX_PER_FILE] for place in range(MAX_PER_FILE)]


def _rank(identifier: str) -> float:
    """A number from 0 to 1 that depends on the identifier alone, and on nothing of this process."""
    return int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8]) / 2**64
