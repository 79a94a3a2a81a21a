"""A batch on two nodes of a Ray cluster: whatever is killed or hangs, each item is done once, with the same bytes."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")


@pytest.mark.cluster
@pytest.mark.skipif(sys.platform != "linux", reason="Ray tries several nodes on one machine on Linux")
def test_a_batch_survives_its_actors_a_node_its_command_and_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    faults: Any = importlib.import_module("ray_faults")
    for name, value in faults.environment().items():
        monkeypatch.setenv(name, value)
    kinds = ("driver", "actor", "disk", "node")
    found = faults.run(tmp_path / "run", 20, kinds, (1, 1), seed=0, timeout=8)
    told = (tmp_path / "run" / "stderr").read_text()
    assert (found.items, found.twice, found.done, found.different) == (20, 0, 18, ()), told
    assert found.reported == Counter([faults.CRASH, faults.HANG])
    assert found.starts == 3  # killed once, and once with a full disk
