"""Actors of a local Ray: what an edit raises is told once, what a machine does is made good, bytes are the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_executors import die_of_two, die_once, lost, raise_odd, who

from dragflow.core.errors import DragFlowError, UserError
from dragflow.service.executors import executor
from ray_clusters import ray_cluster

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with ray_cluster() as address:
        yield address


def test_what_a_machine_does_is_made_good_and_what_a_job_does_is_not(cluster: str, tmp_path: Path) -> None:
    with executor(ray="auto", processes=2) as pool:
        assert sorted(job for job, _ in pool.run(who, range(6))) == list(range(6))
        assert sorted(pool.run(die_once, [tmp_path / "a", tmp_path / "b"])) == ["a", "b"]
        found = list(pool.run(die_of_two, range(4), lost=lost))
        assert sorted(value for value in found if isinstance(value, int)) == [0, 1, 3]
        (text,) = [value for value in found if isinstance(value, str)]
        assert text.startswith("2: an actor of Ray died (ActorDiedError: ")
        with pytest.raises(DragFlowError, match="TwoArguments: odd one"):
            list(pool.run(raise_odd, [1]))


def test_a_benchmark_runs_on_the_same_actors(cluster: str, tmp_path: Path, run: Any) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    assert run("bench", "run", "world:2", "--method", "preview", "-o", there, "--ray", cluster).code == 0
    assert run("bench", "run", "world:2", "--method", "preview", "-o", here).code == 0
    pictures = {path.name: path.read_bytes() for path in (there / "pictures").iterdir()}
    assert pictures == {path.name: path.read_bytes() for path in (here / "pictures").iterdir()}


def test_devices_are_said_by_ray() -> None:
    with pytest.raises(UserError, match="`devices` has no effect here"), executor(["cuda:0"], ray="auto"):
        pass
