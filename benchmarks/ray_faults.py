"""A batch on a Ray cluster of two nodes, with faults at random: is every item done once, with the bytes of a run
without faults?

    python benchmarks/ray_faults.py --items 200 --seed 0

Actors and nodes are killed, the command itself is killed or finds its disk full and is given again, some items kill
their process and some hang. Needs Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import psutil
from PIL import Image

from dragflow.service.batch import work
from dragflow.service.batch.work import Outcome, Request

Fault = Literal["actor", "node", "driver", "disk"]
CRASH, HANG = "an item that kills its process", "an item that hangs"
"""Prompts of such items."""
_PICTURES = 20
_OPTIONS = ("--model", "nano", "--preset", "paste", "--set", "inversion.steps=2", "--set", "inversion.skip=1")
_NODE: dict[str, Any] = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 2**27}


def edit(request: Request, device: str | None) -> Outcome:
    """Edit one item, if its prompt lets it."""
    if request.instruction.prompt == CRASH:
        os.kill(os.getpid(), signal.SIGKILL)
    if request.instruction.prompt == HANG:
        time.sleep(10**6)
    return work.edit(request, device)


def main_with_faults(argv: Sequence[str]) -> None:
    """The command line, whose batches edit by the function above."""
    from dragflow.cli.app import main
    from dragflow.service.batch import run

    run.edit = edit
    main(list(argv))


def environment() -> dict[str, str]:
    """Variables with which all processes find this module, and compute alike."""
    return {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # else they give way to whatever else runs on the machine
    }


def manifest(folder: Path, items: int, crashing: int, hanging: int, draw: random.Random) -> Path:
    """Small pictures, an instruction, and a manifest in which bad items are anywhere; gives its path."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(_PICTURES):
        Image.fromarray(noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    region = {"type": "box", "left": 8, "top": 8, "right": 23, "bottom": 23}
    moved = {"region": region, "motion": {"type": "translate", "to": [40, 24], "label": "relocation"}, "cut": "hard"}
    (folder / "move.json").write_text(json.dumps({"version": 2, "operations": [moved]}))
    lines = [
        {"image": f"{number % _PICTURES}.png", "instruction": "move.json", "seed": number} for number in range(items)
    ]
    bad = draw.sample(range(items), crashing + hanging)
    for place, number in enumerate(bad):
        lines[number]["prompt"] = CRASH if place < crashing else HANG
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@dataclass
class Batch:
    """The command, given again and again until the batch is done."""

    path: Path
    out: Path
    more: tuple[str, ...]
    errors: IO[str]
    """What is told goes there."""
    starts: int = 0
    ends: list[int] = field(default_factory=list[int])
    """Exit codes, or negative signals."""
    process: subprocess.Popen[str] | None = None

    def records(self) -> Iterator[dict[str, Any]]:
        """What the command says of each item, over all its runs."""
        while True:
            self.process = self._started()
            assert self.process.stdout is not None
            for line in self.process.stdout:
                with contextlib.suppress(ValueError):  # half a line of a killed one
                    yield json.loads(line)
            self.ends.append(self.process.wait())
            if self.ends[-1] in (0, 1):  # all are done, or failed for good
                return

    def _started(self) -> subprocess.Popen[str]:
        self.starts += 1
        script = "import sys, ray_faults; ray_faults.main_with_faults(sys.argv[1:])"
        command = [sys.executable, "-c", script, "batch", self.path, "-o", self.out, *_OPTIONS, "--json", *self.more]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True)


class Nodes:
    """The cluster: a head, which stays, and a second node."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args=dict(_NODE))
        self._second = self._cluster.add_node(**_NODE)
        self.address = str(self._cluster.address)

    def kill_second(self) -> None:
        """Kill a node; another takes its place."""
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(**_NODE)

    def kill_actor(self, draw: random.Random) -> None:
        """Kill an actor, wherever it runs."""
        while not (actors := _actors()):
            time.sleep(0.1)
        draw.choice(actors).kill()

    def close(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


def _actors() -> list[psutil.Process]:
    found = list[psutil.Process]()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ray::_Actor" in " ".join(process.cmdline()):
                found.append(process)
    return found


def strike(fault: Fault, batch: Batch, nodes: Nodes, draw: random.Random) -> None:
    """Let a fault happen."""
    if fault == "actor":
        nodes.kill_actor(draw)
    elif fault == "node":
        nodes.kill_second()
    elif batch.process is not None and fault == "driver":
        batch.process.kill()
    elif batch.process is not None:
        # From here on the kernel refuses what lies beyond, in the middle of a line, until the command is given again.
        full = (batch.out / "batch.jsonl").stat().st_size + 100
        psutil.Process(batch.process.pid).rlimit(resource.RLIMIT_FSIZE, (full, full))


@dataclass(frozen=True)
class Found:
    """What came of a run with faults."""

    items: int
    twice: int
    """Items that have more than one record."""
    done: int
    reported: Counter[str]
    """Of the items that failed: the prompts."""
    different: tuple[str, ...]
    """Results whose bytes are not those of a run without faults, or that are missing."""
    starts: int
    seconds: float


def run(folder: Path, items: int, faults: Sequence[Fault], bad: tuple[int, int], seed: int, timeout: float) -> Found:
    """Make a batch with faults, and once more without.

    Args:
        folder: new.
        items: how many.
        faults: happen at random times, in this order.
        bad: how many items kill their process, and how many hang.
        seed: of all that is random here.
        timeout: seconds after which an item counts as one that hangs.
    """
    draw = random.Random(seed)
    folder.mkdir(exist_ok=True)
    path = manifest(folder / "in", items, *bad, draw)
    times = sorted(draw.sample(range(1, items - sum(bad) - 2), len(faults)))
    begun, nodes, errors = time.monotonic(), Nodes(), (folder / "stderr").open("a")
    batch = Batch(path, folder / "out", ("--ray", nodes.address, "--item-timeout", f"{timeout:g}"), errors)
    try:
        waiting = list(zip(times, faults, strict=True))
        for count, _ in enumerate(batch.records(), 1):
            while waiting and waiting[0][0] <= count:
                strike(waiting.pop(0)[1], batch, nodes, draw)
    finally:
        nodes.close()
    seconds = time.monotonic() - begun
    return _compared(folder, path, batch, items, seconds)


def _compared(folder: Path, path: Path, batch: Batch, items: int, seconds: float) -> Found:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    good = path.with_name("good.jsonl")
    good.write_text("".join(json.dumps(line) + "\n" for line in lines if "prompt" not in line))
    alone = Batch(good, folder / "alone", (), batch.errors)
    list(alone.records())
    records = [json.loads(line) for line in (batch.out / "batch.jsonl").read_text().splitlines()]
    asked = {f"line {number}": line.get("prompt", "a good item") for number, line in enumerate(lines, 1)}
    pictures = sorted(alone.out.glob("*.png"))
    assert len(pictures) == sum("prompt" not in line for line in lines), "the run without faults is not done"
    there = {one.name: one.read_bytes() for one in batch.out.glob("*.png")}
    names = Counter(record["item"] for record in records)
    return Found(
        items=len(names),
        twice=sum(count > 1 for count in names.values()),
        done=sum(record["status"] == "done" for record in records),
        reported=Counter(asked[record["place"]] for record in records if record["status"] == "failed"),
        different=tuple(one.name for one in pictures if there.get(one.name) != one.read_bytes()),
        starts=batch.starts,
        seconds=seconds,
    )


def main() -> int:
    """Tell what came of it; exit code 1 if an item is missing, was done twice, or has other bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=15, help="seconds after which an item counts as hanging")
    for kind, usual in {"actor": 12, "node": 3, "driver": 4, "disk": 3, "crashing": 4, "hanging": 3}.items():
        parser.add_argument(f"--{kind}", type=int, default=usual, metavar="N", help=f"how many (default: {usual})")
    parser.add_argument("-o", "--output", type=Path, help="new folder (default: a temporary one)")
    args = parser.parse_args()
    kinds: tuple[Fault, ...] = ("actor", "node", "driver", "disk")
    faults: list[Fault] = [kind for kind in kinds for _ in range(getattr(args, kind))]
    random.Random(args.seed).shuffle(faults)
    os.environ |= environment()
    with tempfile.TemporaryDirectory() as spare:
        folder = args.output or Path(spare) / "faults"
        found = run(folder, args.items, faults, (args.crashing, args.hanging), args.seed, args.timeout)
    print(f"{found.items} items in {found.seconds:.0f} s: {found.done} done, {found.twice} recorded twice")
    print(f"faults: {dict(Counter(faults))}; the command was given {found.starts} times")
    print(f"reported: {dict(found.reported)}")
    print(f"bytes that differ from a run without faults: {len(found.different)}")
    expected = Counter({CRASH: args.crashing, HANG: args.hanging})
    whole = found.items == args.items and found.done + found.reported.total() == args.items
    return 0 if whole and not found.twice and not found.different and found.reported == expected else 1


if __name__ == "__main__":
    sys.exit(main())
