"""SvgFigure: a figure as SVG, for a page with themes and as files, and as PNG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from hf_synthlabels.errors import import_extra
from hf_synthlabels.publishing.report.theme import DARK, LIGHT

SVG = "http://www.w3.org/2000/svg"
XLINK = "{http://www.w3.org/1999/xlink}"
FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"
ROLES = {value: name for name, value in LIGHT.items()}
DPI = 180
LARGE = 700
"""Pixels from which on a figure keeps more of its width on a narrow screen."""

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": LIGHT["ink"],
    # Texts from data may contain dollar signs.
    "text.parse_math": False,
    "axes.labelcolor": LIGHT["ink"],
    "axes.edgecolor": LIGHT["line"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": LIGHT["soft"],
    "ytick.color": LIGHT["line"],
    "xtick.labelcolor": LIGHT["soft"],
    "ytick.labelcolor": LIGHT["ink"],
    "figure.facecolor": LIGHT["card"],
    # Text stays text, for search and screen readers, and fonts of the reader support all scripts.
    "svg.fonttype": "none",
}


@dataclass(frozen=True, slots=True)
class SvgFigure:
    """A figure in all formats; equal inputs give equal bytes."""

    inline: str
    """SVG element for a page, with the colors of the page."""
    svg: str
    """SVG file of the light theme, with explicit colors."""
    dark: str
    png: bytes
    """Light theme, 180 dpi."""


@contextmanager
def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any
) -> Iterator[tuple[Any, list[Any]]]:
    """Create a figure of a size in inches, with its axes from left to right and top to bottom.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib = import_extra("matplotlib", "report")
    # Not pyplot, so that the figures and the backend of the calling program do not change.
    figures = import_extra("matplotlib.figure", "report")
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Letters that the font lacks are boxes in the PNG, but not in the SVG.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = figures.Figure(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, wspace=0.05)
        yield figure, list(figure.subplots(rows, columns, squeeze=False, **grid).flat)


def finished(figure: Any, name: str) -> SvgFigure:
    """Render a figure in all formats.

    Args:
        figure: matplotlib figure of an open `canvas`.
        name: unique name on the page, which begins all identifiers.
    """
    matplotlib = import_extra("matplotlib", "report")
    text, picture = io.StringIO(), io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", text.getvalue(), flags=re.S)
    svg = svg[svg.index("<svg") :]
    # Without DejaVu, the browser's sans-serif font, which is narrower, so that texts fit.
    svg = re.sub(r"'DejaVu Sans'(, [^;\"]*sans-serif)?", FONTS, svg)
    dark = re.sub("|".join(ROLES), lambda match: DARK[ROLES[match[0]]], svg)
    width = round(figure.get_figwidth() * 96)
    return SvgFigure(_inline(svg, name, width), svg, dark, picture.getvalue())


def _inline(svg: str, name: str, width: int) -> str:
    """Replace inline styles of an element by classes, so that a page needs no inline style."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in [each for each in parent if each.tag == f"{{{SVG}}}style"]:
            parent.remove(child)
    for element in root.iter():
        if href := element.attrib.pop(f"{XLINK}href", None):
            element.set("href", href)
        _classes(element)
        # matplotlib numbers identifiers alike in every figure, so they would collide on a page.
        element.attrib.update({key: _own(key, value, name) for key, value in element.attrib.items()})
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    # It shrinks with the page, but never grows.
    root.attrib |= {
        "width": f"{width}",
        "role": "img",
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
        **({"class": "large"} if width > LARGE else {}),
    }
    return (
        ElementTree.tostring(root, encoding="unicode", short_empty_elements=True).replace("\n", "").replace("> <", "><")
    )


def _own(key: str, value: str, name: str) -> str:
    """An attribute whose identifiers begin with the figure's name."""
    if key == "id":
        return f"{name}--{value}"
    return f"#{name}--{value[1:]}" if key == "href" else value.replace("url(#", f"url(#{name}--")


def _classes(element: ElementTree.Element) -> None:
    style = element.attrib.pop("style", "")
    names: list[str] = []
    for part in filter(None, (each.strip() for each in style.split(";"))):
        key, _, value = (piece.strip() for piece in part.partition(":"))
        role = ROLES.get(value.lower())
        if key in ("fill", "stroke") and role is not None:
            names.append(f"{'f' if key == 'fill' else 'k'}-{role}")
        elif key == "font":
            size = re.search(r"([\d.]+)px", value)
            element.set("font-size", size[1] if size else "9")
            if "bold" in value or "700" in value:
                element.set("font-weight", "bold")
        else:
            element.set(key, value)
    if names:
        element.set("class", " ".join(names))
