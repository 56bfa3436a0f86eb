"""Page: a report as a value, and its JSON format."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import (
    Bars,
    Calibration,
    Counts,
    Curve,
    Curves,
    Exhibit,
    Intervals,
    Point,
    Scatter,
    Section,
    Specifications,
    Table,
    Value,
)

NAME = re.compile(r"[A-Za-z0-9_]+")
KINDS = {
    kind.__name__.lower(): kind
    for kind in (Table, Intervals, Curves, Counts, Calibration, Bars, Scatter, Specifications)
}


@dataclass(frozen=True, slots=True)
class Page:
    """Contents of a report.

    Raises:
        ConfigError: a name is invalid or occurs twice, or a row of a table has the wrong number of cells.
    """

    title: str
    sections: tuple[Section, ...]
    summary: tuple[str, ...] = ()
    """Summary, with the recommendation first."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Methods and provenance by name: data, seeds, machine, versions."""

    def __post_init__(self) -> None:
        _check_names(section.name for section in self.sections)
        _check_names(exhibit.name for exhibit in self.exhibits)
        for exhibit in self.exhibits:
            _check_shape(exhibit)

    @property
    def exhibits(self) -> tuple[Exhibit, ...]:
        """Tables and figures of all sections."""
        return tuple(exhibit for section in self.sections for exhibit in section.exhibits)

    def labels(self) -> dict[str, str]:
        """Label of each exhibit by name, such as `Table 2`; tables and figures are numbered separately."""
        counts: Counter[str] = Counter()
        labels = {}
        for exhibit in self.exhibits:
            word = "Table" if isinstance(exhibit, Table) else "Figure"
            counts[word] += 1
            labels[exhibit.name] = f"{word} {counts[word]}"
        return labels


def page_to_json(page: Page) -> str:
    """Serialize a page; numbers that JSON lacks are objects, such as {"number": "nan"}."""
    content = {
        "title": page.title,
        "summary": list(page.summary),
        "facts": dict(page.facts),
        "sections": [
            {
                "name": section.name,
                "title": section.title,
                "answer": section.answer,
                "exhibits": [plain_exhibit(exhibit) for exhibit in section.exhibits],
                "notes": list(section.notes),
            }
            for section in page.sections
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def page_from_json(text: str) -> Page:
    """Read a page written by `page_to_json`.

    Raises:
        DataError: the text is not a page.
    """
    try:
        content = json.loads(text, object_hook=_number)
        sections = tuple(
            Section(
                each["name"],
                each["title"],
                each["answer"],
                tuple(_exhibit(exhibit) for exhibit in each["exhibits"]),
                tuple(each["notes"]),
            )
            for each in content["sections"]
        )
        return Page(content["title"], sections, tuple(content["summary"]), content["facts"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"`report` is not the page.json of a report ({type(error).__name__}: {error}). Render the report again."
        ) from None


def plain_exhibit(exhibit: Exhibit) -> dict[str, Any]:
    """An exhibit as JSON types, with its kind."""
    kind = type(exhibit).__name__.lower()
    values = {each.name: _plain(getattr(exhibit, each.name)) for each in dataclasses.fields(exhibit)}
    return {"kind": kind, **values}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        # The limits of an open interval are infinite.
        return {name: _plain(part) for name, part in value.to_dict().items()}
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    # Numbers of numpy become numbers of Python.
    return value.item() if hasattr(value, "item") else value


def _exhibit(values: Mapping[str, Any]) -> Exhibit:
    fields = {name: part for name, part in values.items() if name != "kind"}
    match values["kind"]:
        case "table":
            fields["rows"] = [[_value(cell) for cell in row] for row in fields["rows"]]
        case "intervals":
            fields["panels"] = {
                name: tuple((row, Interval.from_dict(each)) for row, each in rows)
                for name, rows in fields["panels"].items()
            }
        case "curves":
            fields["curves"] = [_curve(each) for each in fields["curves"]]
        case "calibration":
            fields["bins"] = [[place, Interval.from_dict(each)] for place, each in fields["bins"]]
        case "bars" | "scatter":
            key = "panels" if values["kind"] == "bars" else "groups"
            fields[key] = {name: _tuples(rows) for name, rows in fields[key].items()}
        case "specifications":
            fields["series"] = {name: tuple(map(Interval.from_dict, each)) for name, each in fields["series"].items()}
            fields["choices"] = {name: tuple(each) for name, each in fields["choices"].items()}
    kind: Any = KINDS[values["kind"]]
    exhibit: Exhibit = kind(**{name: _tuples(part) for name, part in fields.items()})
    return exhibit


def _curve(values: Mapping[str, Any]) -> Curve:
    points = tuple(Point(each["x"], Interval.from_dict(each["y"])) for each in values["points"])
    return Curve(values["name"], points, _tuples(values["fitted"]))


def _value(cell: Any) -> Value:
    return Interval.from_dict(cell) if isinstance(cell, Mapping) else cell


def _number(values: dict[str, Any]) -> Any:
    """Decode numbers that JSON does not have (NaN, infinity); other objects are unchanged."""
    return float(values["number"]) if values.keys() == {"number"} else values


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def _check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if NAME.fullmatch(name) is None:
            raise ConfigError(f"`name` is {name!r}: use letters, digits and `_` only.")
        # Some file systems ignore case.
        if name.lower() in seen:
            raise ConfigError(f"`name` {name!r} occurs twice in the report. Give each part a unique name.")
        seen.add(name.lower())


def _check_shape(exhibit: Exhibit) -> None:
    wide, rows = 0, ()  # type: int, tuple[tuple[Any, ...], ...]
    if isinstance(exhibit, Table):
        wide, rows = len(exhibit.columns), exhibit.rows
    elif isinstance(exhibit, Counts):
        wide, rows = len(exhibit.columns), exhibit.counts
        if len(rows) != len(exhibit.rows):
            raise ConfigError(f"`counts` of {exhibit.name!r} has {len(rows)} rows for {len(exhibit.rows)} names.")
    for row in rows:
        if len(row) != wide:
            raise ConfigError(f"`{exhibit.name}` has a row of {len(row)} values under {wide} columns. Fill every cell.")
