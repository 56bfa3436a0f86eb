"""Figures: colours by name in a page, by number in a file; every awkward state drawn; equal bytes."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from hf_synthlabels.publishing.report.confusion_figure import MAX_DRAWN, OTHER, SWITCH, drawn_counts, frequent_errors
from hf_synthlabels.publishing.report.export_files import alt_text, figure_table
from hf_synthlabels.publishing.report.figure_parts import named_lines, rows_axis
from hf_synthlabels.publishing.report.figures import draw
from hf_synthlabels.publishing.report.formatting import are_numbers, decimals, fold, number, value_words
from hf_synthlabels.publishing.report.svg import SvgFigure, canvas
from hf_synthlabels.publishing.report.theme import DARK, LIGHT, SERIES, contrast, mixed
from hf_synthlabels.statistics.exhibits import Counts, Intervals
from tests.publishing.exhibits import ARABIC, AWKWARD, COUNTS, CURVES, INTERVALS, NAMES, ORDINARY, near

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def drawings() -> dict[str, SvgFigure]:
    return {figure.name: draw(figure) for figure in (*ORDINARY, *AWKWARD)}


def texts(svg: str) -> list[str]:
    return [
        "".join(element.itertext()).strip()
        for element in ElementTree.fromstring(svg).iter()
        if element.tag.endswith("text")
    ]


def test_figure_in_a_page_has_no_colour_and_no_style_of_its_own(drawings: dict[str, SvgFigure]) -> None:
    for figure in [*ORDINARY, *AWKWARD]:
        inline = drawings[figure.name].inline
        assert "style=" not in inline
        assert "<style" not in inline
        # Nothing but colours begins with a hash and is six letters long, and identifiers begin with the figure's name.
        assert not re.search(r'"#[0-9a-f]{6}"', inline)
        for found in re.findall(r'(?:href="|url\()#([^")]+)', inline):
            assert found.startswith(f"{figure.name}--")
            assert f'id="{found}"' in inline
        assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", inline)


def test_figure_in_a_file_is_whole_and_of_its_theme(drawings: dict[str, SvgFigure]) -> None:
    for figure in [*ORDINARY, *AWKWARD]:
        drawing = drawings[figure.name]
        for svg, here, there in ((drawing.svg, LIGHT, DARK), (drawing.dark, DARK, LIGHT)):
            ElementTree.fromstring(svg)
            assert here["card"] in svg
            assert there["card"] not in svg
        assert drawing.png.startswith(b"\x89PNG")


def test_figures_are_the_same_for_the_same_numbers(drawings: dict[str, SvgFigure]) -> None:
    for figure in (INTERVALS, COUNTS):
        assert draw(figure) == drawings[figure.name]


def test_intervals_show_each_estimate_with_its_n(drawings: dict[str, SvgFigure]) -> None:
    shown = texts(drawings["scores"].svg)
    # The n differs between the sources, so that each number has its own; the mark and what is undefined are named.
    assert {"0.810 (n = 377)", "0.780 (n = 374)", "undefined", "not measured", "paper 0.77", "goal 0.8"} <= set(shown)
    alike = draw(Intervals("alike", "Alike", {"F1": (("x", near(0.5)), ("y", near(0.6)))}, "F1"))
    assert "F1  (n = 377)" in texts(alike.svg)
    assert "0.500" in texts(alike.svg)


def test_rows_of_the_same_name_stay_apart() -> None:
    twice = Intervals("twice", "Twice", {"F1": (("x", near(0.5)), ("x", near(0.6)))}, "F1")
    assert {"0.500", "0.600"} <= set(texts(draw(twice).svg))
    assert figure_table(twice).rows == (("x", near(0.5)), ("x", near(0.6)))


def test_open_end_of_an_interval_is_an_arrow_and_no_number(drawings: dict[str, SvgFigure]) -> None:
    assert "inf" not in drawings["open_end"].svg.lower()
    assert "nan" not in drawings["open_end"].svg.lower()


def test_counts_show_every_count(drawings: dict[str, SvgFigure]) -> None:
    shown = texts(drawings["counts"].svg)
    assert {"12,345", "9", "no label", "human label", "LLM"} <= set(shown)
    # Zeros are dots.
    assert [text for text in shown if re.fullmatch(r"[\d,]+", text)] == ["9", "1", "1", "12,345", "2", "3"]
    assert shown.count("·") == 6


def test_names_of_a_large_matrix_are_on_both_sides(drawings: dict[str, SvgFigure]) -> None:
    shown = texts(drawings["many"].svg)
    assert all(shown.count(name) == 2 for name in ("topic 3", "topic 12", "$5 and $6", "bell"))
    assert "no label" in shown
    assert "<script>alert(1)</script>" in shown
    assert any(ARABIC.startswith(text) for text in shown if text)


def large_matrix() -> Counts:
    """77 classes with 10 rows each; of class k from 0 to 29, k % 3 rows are labeled as class k + 1, one is missing."""
    names = tuple(f"intent {place}" for place in range(77))
    counts = [[0] * 78 for _ in names]
    for place in range(77):
        wrong = place % 3 if place < 30 else 0
        missing = int(place < 30)
        counts[place][place] = 10 - wrong - missing
        counts[place][place + 1] += wrong
        counts[place][77] = missing
    return Counts("large", "77", names, (*names, "no label"), tuple(map(tuple, counts)), "LLM label")


def test_figure_of_many_classes_has_those_with_the_most_errors_and_loses_no_row() -> None:
    figure = drawn_counts(large_matrix())
    # Errors of class k, both ways, with one missing: 4 if k % 3 is 2, 3 for 3, 6, ... 27, and 2 for 1, 4, ... and 30.
    kept = sorted([*range(2, 30, 3), *range(3, 28, 3), 1])
    assert len(kept) == MAX_DRAWN
    assert figure.rows == (*(f"intent {place}" for place in kept), OTHER)
    assert figure.columns == (*figure.rows, "no label")
    assert sum(map(sum, figure.counts)) == 770
    assert [sum(row) for row in figure.counts[:-1]] == [10] * MAX_DRAWN
    assert draw(large_matrix()).inline.count(OTHER) == 2


def test_most_frequent_errors_have_their_denominator() -> None:
    table = frequent_errors("errors", "Errors", large_matrix())
    # By hand: two errors each for k = 2, 5, 8, ... 29, then one each for k = 0 as missing, and so on; 30 + 10 + 20 all.
    assert table.rows[0] == ("intent 2", "intent 3", 2, 10, "20.0%")
    assert [row[2] for row in table.rows] == [2] * 10 + [1] * 5
    assert table.note == "These 15 pairs are 25 of 60 errors."


def test_alternative_text_has_the_numbers() -> None:
    assert alt_text(COUNTS) == "Three: confusion matrix of 3 classes, 12,357 of 12,361 on the diagonal."
    assert "human labels, accuracy 0.810 [0.770, 0.850], n = 377" in alt_text(INTERVALS)
    assert "from 0.624 [0.584, 0.664], n = 377 at rows 25 to 0.809 [0.769, 0.849], n = 377 at rows 400" in alt_text(
        CURVES
    )
    assert "no numbers" in alt_text(AWKWARD[0])


def test_the_name_of_a_line_crosses_no_other_line_where_there_is_room() -> None:
    for ends in [(-0.1, 0.02), (-0.04, 0.04), (-0.021, 0.1), (-1.0, 1.0)]:
        marks = (("as good", 0.0), ("margin", -0.02))
        with canvas(7.0, 2.0) as (drawn, (place,)):
            place.set_xlim(*ends)
            rows_axis(place, ["one", "two"], above=0.9)
            named_lines(place, marks, 3, 2)
            drawn.canvas.draw()
            zero = place.transData.transform((0.0, 0.0))[0]
            margin = next(text for text in place.texts if text.get_text().startswith("margin"))
            box = margin.get_window_extent()
            room = (-0.02 - ends[0]) / (ends[1] - ends[0]) > 0.25
            assert not room or box.x1 < zero
            # Where there is none, the text has a ground that hides the line.
            assert margin.get_bbox_patch().get_alpha() > 0.5


def test_lines_stand_apart_where_they_are_many(drawings: dict[str, SvgFigure]) -> None:
    shown = texts(drawings["apart"].svg)
    assert all(f"task number {place}" in shown for place in range(14))


def test_nothing_is_said_to_be_nothing(drawings: dict[str, SvgFigure]) -> None:
    for name in ["no_panels", "no_curves", "no_counts", "no_bins", "empty_bins", "no_bars", "no_points"]:
        assert texts(drawings[name].svg) == ["No numbers to draw."]


def test_unknown_is_not_drawn_as_zero(drawings: dict[str, SvgFigure]) -> None:
    assert "unknown" in texts(drawings["bars"].svg)
    assert "unknown" in texts(drawings["all_unknown"].svg)


def test_text_has_contrast_on_every_ground() -> None:
    for theme in (LIGHT, DARK):
        for ground in ("page", "card"):
            assert all(contrast(theme[name], theme[ground]) >= 4.5 for name in ("ink", "soft", "link"))
        assert contrast(theme["soft"], theme["head"]) >= 4.5
        assert all(contrast(theme[name], theme["card"]) >= 3 for name in SERIES)
        # The numbers of a confusion matrix, on the shade of their share.
        for share in np.linspace(0.001, 1, 400):
            ground_of_cell = mixed(theme["ramp"], theme["head"], float(share))
            letters = theme["low"] if share < SWITCH else theme["high"]
            assert contrast(letters, ground_of_cell) >= 4.5, share


# Machado, Oliveira and Fernandes (2009), severity 1.
SIGHT = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def test_lines_of_one_panel_are_told_apart_without_all_colours() -> None:
    for sight in SIGHT:
        for theme in (LIGHT, DARK):
            seen = [lab(np.array(SIGHT[sight]) @ linear(theme[name])) for name in SERIES[:5]]
            # A difference of 2.3 in CIELAB is just noticed.
            assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)) > 20


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    whole = matrix @ np.clip(light, 0, 1) / np.array([0.9505, 1, 1.089])
    root = np.where(whole > 0.008856, np.cbrt(whole), 7.787 * whole + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def test_numbers_have_as_many_decimals_as_they_need() -> None:
    assert decimals([0.5, near(0.8)]) == 3
    assert decimals([12.0, 93.5]) == 2
    assert decimals([1234.5]) == 0
    assert decimals([0.00042]) == 6
    assert decimals(["text", None, 7]) == 3
    assert [number(value, 3) for value in (0.5, -0.5, 1e-9, float("nan"), float("inf"))] == [
        "0.500", "−0.500", "1e-09", "undefined", "∞",
    ]  # fmt: skip
    assert number(-0.0, 3) == "0.000"
    assert number(12345, 3) == "12,345"


def test_values_of_a_cell_tell_unknown_from_undefined() -> None:
    from tests.publishing.exhibits import NOTHING, bare

    assert value_words(None, 3) == "unknown"
    assert value_words(NOTHING, 3) == "undefined (n = 0)"
    assert value_words(bare(0.5), 3) == "0.500 no interval, n = 30"
    assert value_words(near(0.5), 3) == "0.500 [0.460, 0.540], n = 377"
    assert value_words(True, 3) == "yes"
    assert value_words(np.int64(12345), 3) == "12,345"  # type: ignore[arg-type]


def test_column_of_numbers_is_told_from_one_of_words() -> None:
    assert are_numbers([0.5, None, "–", "< 0.001", "5e-05", "−1,234.5", "96 %", near(0.5)])
    assert not are_numbers(["0.5", "1 of 2"])
    assert not are_numbers(["macro F1"])


def test_names_are_folded_by_what_they_take() -> None:
    assert fold("one two three four", 9) == "one two\nthree…"
    assert fold("科学技術と社会", 8, 1) == "科学技…"
    assert fold("a\x00b\n c") == "ab c"
    assert all(len(line) <= 26 for name in NAMES for line in fold(name).split("\n"))


def test_figure_says_which_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    from hf_synthlabels.errors import MissingExtraError

    real = builtins.__import__

    def without(name: str, *more: object, **options: object) -> object:
        if name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *more, **options)  # type: ignore[arg-type]

    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"hf-synthlabels\[report\]"):
        draw(Counts("x", "x", ("a",), ("a",), ((1,),), "y"))
