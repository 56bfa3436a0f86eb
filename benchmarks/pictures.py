"""The pictures of a report in the documentation: its beginning, and the section on LLM labels in the dark theme.

    hf-synthlabels study study.yaml -o out           # one task with recorded LLM labels and few conditions
    python -m benchmarks.pictures out/report.html    # docs/images/titles-report.png and report-dark.png

The pictures of the review page are taken by its tests: `HF_SYNTHLABELS_PICTURES=docs/images pytest
tests/review/test_review_looks.py`.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from hf_synthlabels.errors import import_extra

__all__ = ["main", "take_pictures"]

FOLDER = Path(__file__).parents[1] / "docs" / "images"
WIDTH, HEIGHT = 1280, 1330
DARK_HEIGHT = 1060


def take_pictures(report: Path, folder: Path) -> list[Path]:
    """Take both pictures of a report with a Chromium on the path, or the one that CHROMIUM names."""
    playwright = import_extra("playwright.sync_api", "dev")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    light, dark = folder / "titles-report.png", folder / "report-dark.png"
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(report.resolve().as_uri())
        page.screenshot(path=str(light))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark")
        page.goto(report.resolve().as_uri())
        box = page.locator("#section-labels").bounding_box()
        clip = {"x": box["x"], "y": box["y"], "width": box["width"], "height": min(box["height"], DARK_HEIGHT)}
        page.screenshot(path=str(dark), clip=clip, full_page=True)
        browser.close()
    return [light, dark]


def main() -> None:
    """Take the pictures of a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="report.html of a study of one task")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="output folder")
    options = parser.parse_args()
    for path in take_pictures(options.report, options.folder):
        print(f"written: {path}")


if __name__ == "__main__":
    main()
