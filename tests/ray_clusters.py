"""A Ray cluster on this machine, for tests that ask one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def ray_cluster() -> Iterator[str]:
    """The address of one with two CPUs, whose workers find the tests' modules; a process can have one at a time."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else they give way to other tests
        patch.setenv("OMP_NUM_THREADS", "1")
        started = ray.init(
            "local",  # not one of another test that runs at the same time
            num_cpus=2,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=2**27,
        )
        yield started.address_info["gcs_address"]
        ray.shutdown()
