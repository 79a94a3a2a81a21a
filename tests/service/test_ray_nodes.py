"""A node that is lost in the middle of a run: its jobs are done elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from test_executors import lost, who

from dragflow.service.executors import executor

pytest.importorskip("ray")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ray tries several nodes on one machine on Linux")
def test_jobs_of_a_lost_node_are_done_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    size: dict[str, Any] = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 2**27}
    cluster = Cluster(initialize_head=True, head_node_args=dict(size))
    try:
        second = cluster.add_node(**size)
        with executor(ray=cluster.address) as pool:
            assert len({process for _, process in pool.run(who, range(40))}) == 2
            results = pool.run(who, range(100), lost=lost)
            found = [next(results) for _ in range(10)]
            cluster.remove_node(second)
            found += list(results)
        assert sorted(job for job, _ in found) == list(range(100))
    finally:
        cluster.shutdown()
