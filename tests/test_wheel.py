"""The wheel, built and installed where the checkout can not help it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from hf_synthlabels.cli.help import GROUPS

ROOT = Path(__file__).resolve().parents[1]
VERBS = [verb for verbs in GROUPS.values() for verb in verbs]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    (file,) = folder.glob("*.whl")
    return file


def test_wheel_carries_metrics_recipes_and_templates(wheel: Path) -> None:
    files = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        "hf_synthlabels/py.typed",
        "hf_synthlabels/metrics/label_agreement/label_agreement.py",
        "hf_synthlabels/metrics/bleu_accuracy/bleu_accuracy.py",
        "hf_synthlabels/metrics/llm_judge/llm_judge.py",
        "hf_synthlabels/metrics/metric_audit/metric_audit.py",
        "hf_synthlabels/configs/recipes/conference_titles.yaml",
        "hf_synthlabels/configs/studies/conference_titles.yaml",
        "hf_synthlabels/configs/judges/squad_answers.yaml",
        "hf_synthlabels/configs/rubrics/score_1_5.toml",
        "hf_synthlabels/annotation/templates/system.txt",
        "hf_synthlabels/cards/templates/dataset.md",
        "hf_synthlabels/cards/templates/model.md",
        "hf_synthlabels/judging/templates/judge.txt",
        "hf_synthlabels/clients/prices.yaml",
        "hf_synthlabels/review/static/app.js",
        "hf_synthlabels/review/static/index.html",
        "hf_synthlabels/publishing/templates/report.css",
        "hf_synthlabels/publishing/templates/report.html",
    }
    assert expected <= files
    # And whatever else lies in the folders that are packaged: recipes, studies, grids, rubrics, judges, templates.
    for folder, place in (("configs", "hf_synthlabels/configs"), ("metrics", "hf_synthlabels/metrics"), (None, None)):
        root = ROOT / (folder or "hf_synthlabels")
        there = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        wanted = {f"{place or 'hf_synthlabels'}/{name}" for name in there if "__pycache__" not in name}
        assert wanted <= files, sorted(wanted - files)
    # Nothing of the repository that is not the package's, and no file of somebody's data.
    assert {name.split("/")[0].split("-")[0] for name in files} == {"hf_synthlabels"}
    assert not [name for name in files if name.endswith((".jsonl", ".csv", ".parquet"))]


@pytest.mark.slow
def test_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=120)
    python = place / "bin" / "python"
    purelib = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
    )
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    # The dependencies are those of the running environment; .pth files of that folder, the checkout's own among
    # them, are not read when it is only a line in another one.
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        "import hf_synthlabels\n"
        "print(hf_synthlabels.__file__)\n"
        "print(hf_synthlabels.metric_path('label_agreement'))\n"
        "print(hf_synthlabels.recipe_path('conference_titles'))\n"
        "import evaluate\n"
        "metric = evaluate.load(hf_synthlabels.metric_path('label_agreement'), 'strings')\n"
        "print(metric.compute(predictions=['a', 'b'], references=['a', 'a'])['accuracy'])\n"
    )
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=empty, timeout=300)
    assert run.returncode == 0, run.stderr
    package, metric, recipe, accuracy = run.stdout.split()
    assert all(Path(path).is_relative_to(place) for path in (package, metric, recipe))
    assert float(accuracy) == 0.5
    shown = subprocess.run(
        [place / "bin" / "hf-synthlabels", "--help"], capture_output=True, text=True, cwd=empty, timeout=60
    )
    assert shown.returncode == 0
    assert all(verb in shown.stdout for verb in VERBS)
