"""Actors of a local Ray: what an edit raises is told once, what a machine does is made good, bytes are the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from test_executors import die_of_two, die_once, lost, raise_odd, who

from batch_makers import QUICK, desk, manifest
from dragflow.core.errors import DragFlowError, UserError
from dragflow.service.executors import executor

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals"),
]

OPTIONS = ("--model", "nano", "--preset", "paste", "--set", QUICK[0], "--set", QUICK[1])
LINES = [{"image": f"a{i % 2}.png", "instruction": "move.json", "seed": i} for i in range(8)]
POISON = {"image": "a0.png", "instruction": "gone.json"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two CPUs; its workers find the modules of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        started = ray.init(
            num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, object_store_memory=2**28
        )
        yield started.address_info["gcs_address"]
        ray.shutdown()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As actors on the CPU have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def actors() -> list[psutil.Process]:
    """Those of the cluster that this process started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "ray::_Actor" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


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


@pytest.mark.usefixtures("one_thread")
def test_a_batch_survives_its_actors_and_its_driver(cluster: str, tmp_path: Path, run: Any) -> None:
    path, out = manifest(desk(tmp_path / "in"), POISON, *LINES), tmp_path / "out"
    main = "from dragflow.cli.app import main; main()"
    driver = subprocess.Popen(
        [sys.executable, "-c", main, "batch", str(path), "-o", str(out), *OPTIONS, "--ray", cluster, "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    first = [json.loads(driver.stdout.readline()) for _ in range(2)]
    actors()[0].kill()
    first += [json.loads(driver.stdout.readline()) for _ in range(2)]
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    rest = run("batch", path, "-o", out, *OPTIONS, "--ray", cluster, "--json")
    assert rest.code == 1, rest.err  # the poison
    assert "gone.json does not exist" in rest.err
    made = [event["item"] for event in (*first, *rest.events)]
    records = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
    assert len(records) == len({record["item"] for record in records}) == len(LINES) + 1
    assert len(set(made)) == len(made)
    assert sorted(record["status"] for record in records) == ["done"] * len(LINES) + ["failed"]
    assert run("batch", path, "-o", tmp_path / "here", *OPTIONS).code == 1
    for here in (tmp_path / "here").glob("*.png"):
        assert (out / here.name).read_bytes() == here.read_bytes()


def test_a_benchmark_runs_on_the_same_actors(cluster: str, tmp_path: Path, run: Any) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    assert run("bench", "run", "world:2", "--method", "preview", "-o", there, "--ray", cluster).code == 0
    assert run("bench", "run", "world:2", "--method", "preview", "-o", here).code == 0
    pictures = {path.name: path.read_bytes() for path in (there / "pictures").iterdir()}
    assert pictures == {path.name: path.read_bytes() for path in (here / "pictures").iterdir()}


def test_devices_are_said_by_ray() -> None:
    with pytest.raises(UserError, match="`devices` has no effect here"), executor(["cuda:0"], ray="auto"):
        pass
