"""Without Ray, the engine names the missing extra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hf_synthlabels.engines import annotate_with_ray
from hf_synthlabels.errors import ConfigError, MissingExtraError
from tests.engines.ray.test_shards import recipe


def test_a_missing_package_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"`ray` is not installed. Run: pip install 'hf-synthlabels\[ray\]'"):
        annotate_with_ray(recipe(tmp_path), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_output_must_be_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra `ray`")
    with pytest.raises(ConfigError, match="`output`"):
        annotate_with_ray(recipe(tmp_path), str(tmp_path / "out.parquet"))


def test_importing_the_engines_loads_no_ray() -> None:
    code = "import sys, hf_synthlabels, hf_synthlabels.engines; print('ray' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.strip() == "False"
