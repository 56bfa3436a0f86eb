"""Colors of a report, light and dark, distinguishable with color blindness and with sufficient contrast.

Text has a contrast of at least 4.5 on its ground and every line and point at least 3 (WCAG 2.2, 1.4.3 and 1.4.11);
series differ by their marks and dashes, too. The hues follow Okabe and Ito (2008), darker or lighter by theme.
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "page": "#f6f8fa",
    "card": "#ffffff",
    "ink": "#1b1f24",
    "soft": "#57606a",
    "line": "#d0d7de",
    "link": "#0550ae",
    "head": "#eef1f4",
    "s0": "#0068a8",
    "s1": "#d55e00",
    "s2": "#009e73",
    "s3": "#8a2f6b",
    "s4": "#4a3b10",
    "s5": "#5a5fb0",
    "s6": "#6e7781",
    "ramp": "#00527f",
    "low": "#020202",
    "high": "#fefefe",
}
"""Every value once: figures are drawn in these and their colors then exchanged for names."""

DARK: Mapping[str, str] = {
    "page": "#0d1117",
    "card": "#161b22",
    "ink": "#e6edf3",
    "soft": "#9da7b3",
    "line": "#3a424c",
    "link": "#79b8ff",
    "head": "#1f262e",
    "s0": "#56b4e9",
    "s1": "#e8773a",
    "s2": "#a8efd4",
    "s3": "#c06fa6",
    "s4": "#fbe6a0",
    "s5": "#a5a9f5",
    "s6": "#a9b2bd",
    "ramp": "#579ac7",
    "low": "#fefefe",
    "high": "#020202",
}

SERIES = tuple(f"s{place}" for place in range(7))


def style_rules() -> str:
    """The colors as CSS: the reader's system decides, then the switch in the page; print is light."""
    light, dark = ("".join(f"--{name}:{value};" for name, value in theme.items()) for theme in (LIGHT, DARK))
    names = "".join(f".f-{name}{{fill:var(--{name})}}.k-{name}{{stroke:var(--{name})}}" for name in LIGHT)
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{color-scheme:dark;{dark}}}}}\n"
        f":root:has(#theme-light:checked){{color-scheme:light;{light}}}\n"
        f":root:has(#theme-dark:checked){{color-scheme:dark;{dark}}}\n"
        f"@media print{{:root,:root:has(input:checked){{color-scheme:light;{light}}}}}\n{names}\n"
    )


def mixed(over: str, under: str, share: float) -> str:
    """The color of a ground that is covered to that share."""
    parts = zip(_channels(over), _channels(under), strict=True)
    return "#" + "".join(f"{round(255 * (share * a + (1 - share) * b)):02x}" for a, b in parts)


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colors, 1 to 21 (WCAG 2.2, relative luminance)."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _channels(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def _luminance(color: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _channels(color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
