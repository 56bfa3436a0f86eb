"""A grid on a small Ray cluster says what it says on one machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.engines import tuner_on
from hf_synthlabels.training import TrainingData
from hf_synthlabels.training.search import GridFile, run_grid
from hf_synthlabels.training.search.results import RunJournal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two machines with one processor each, both of them this one."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    pytest.importorskip("ray.tune", reason="needs the extra `ray`")
    from ray.cluster_utils import Cluster

    # Sockets have short names.
    folder = tempfile.mkdtemp(prefix="hfsl-", dir="/tmp")
    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False, "temp_dir": folder})
    cluster.add_node(**node)
    yield cluster.address
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_cluster_has_the_results_of_one_machine(
    grid_file: Callable[..., GridFile], grid_data: TrainingData, tmp_path: Path, address: str
) -> None:
    file = grid_file(seed=[0, 1], learning_rate=[1e-3], size=[40])
    here = run_grid(file, tmp_path / "here", data=grid_data)
    engine = tuner_on(Engine(name="ray", address=address))
    there = run_grid(file, tmp_path / "there", data=grid_data, engine=engine)
    assert there.cells == here.cells
    for result in (tmp_path / "here" / "runs").glob("*.json"):
        a, b = (RunJournal(tmp_path / place).get(result.stem) for place in ("here", "there"))
        assert a is not None
        assert b is not None
        assert a.evaluations == b.evaluations
    again: list[str] = []
    run_grid(file, tmp_path / "there", data=grid_data, engine=engine, progress=again.append)
    # Four runs, then four refits: two sources with two seeds.
    assert again == ["4 of 4 runs are in the journal"] * 2
