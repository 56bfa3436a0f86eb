"""Page: a report as a value, to JSON and back without loss."""

from __future__ import annotations

import dataclasses
import json
import math
import re
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
    Table,
    Value,
)

NAME = re.compile(r"[A-Za-z0-9_]+")
KINDS = {kind.__name__.lower(): kind for kind in (Table, Intervals, Curves, Counts, Calibration, Bars, Scatter)}


@dataclass(frozen=True, slots=True)
class Page:
    """All that a report shows.

    Raises:
        ConfigError: a name is no word, or stands twice; a table's row is not as wide as its head.
    """

    title: str
    sections: tuple[Section, ...]
    summary: tuple[str, ...] = ()
    """What a reader must know who reads nothing else, the recommendation first."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """How it was made, by name: data, seeds, machine, versions."""

    def __post_init__(self) -> None:
        _check_names(section.name for section in self.sections)
        _check_names(exhibit.name for section in self.sections for exhibit in section.exhibits)
        for exhibit in (each for section in self.sections for each in section.exhibits):
            _check_shape(exhibit)


def page_to_json(page: Page) -> str:
    """Everything as indented JSON. None is null; a number that JSON has not is an object, such as {"number": "nan"}."""
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
    """The page that `page_to_json` wrote.

    Raises:
        DataError: the text is not such a page.
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
            f"`report` is not the page.json of a report ({type(error).__name__}: {error}). Make the report again."
        ) from None


def plain_exhibit(exhibit: Exhibit) -> dict[str, Any]:
    """An exhibit as JSON types, with its kind."""
    kind = type(exhibit).__name__.lower()
    values = {each.name: _plain(getattr(exhibit, each.name)) for each in dataclasses.fields(exhibit)}
    return {"kind": kind, **values}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        # The range of an interval may be open: its ends then are infinite.
        return {name: _plain(part) for name, part in value.to_dict().items()}
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    # Numbers of numpy are numbers of Python here.
    return value.item() if hasattr(value, "item") else value


def _exhibit(values: Mapping[str, Any]) -> Exhibit:
    made = {name: part for name, part in values.items() if name != "kind"}
    match values["kind"]:
        case "table":
            made["rows"] = [[_value(cell) for cell in row] for row in made["rows"]]
        case "intervals":
            made["panels"] = {
                name: tuple((row, Interval.from_dict(each)) for row, each in rows)
                for name, rows in made["panels"].items()
            }
        case "curves":
            made["curves"] = [_curve(each) for each in made["curves"]]
        case "calibration":
            made["bins"] = [[place, Interval.from_dict(each)] for place, each in made["bins"]]
        case "bars" | "scatter":
            key = "panels" if values["kind"] == "bars" else "groups"
            made[key] = {name: _tuples(rows) for name, rows in made[key].items()}
    kind: Any = KINDS[values["kind"]]
    found: Exhibit = kind(**{name: _tuples(part) for name, part in made.items()})
    return found


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
            raise ConfigError(f"`name` is {name!r}: files and anchors need letters, digits and `_` alone.")
        # Files of some systems do not tell capitals from small letters.
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
