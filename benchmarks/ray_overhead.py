"""What an item costs more on a Ray cluster than in this process.

    OMP_NUM_THREADS=1 python benchmarks/ray_overhead.py

One actor does the same items as this process, one after the other: a batch of small edits by the model `dummy`, and
jobs without any work that take and give files of some sizes. Rounds alternate; told is the median over rounds. Then the
server: what an edit costs more over HTTP on a cluster, and how many requests a second one front and the keeper answer.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median

import httpx
import numpy as np
from ray_faults import environment, manifest

from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.encoding import encode_png
from dragflow.files.instructions import to_file
from dragflow.files.pictures import as_source
from dragflow.http.ray_front import Deployment, deployed
from dragflow.intent.options import ProviderOptions
from dragflow.service.batch import Settings, opened, read_manifest
from dragflow.service.executors import Executor, InProcess
from dragflow.service.ray_actors import RayActors
from dragflow.service.scale import Scale

SETTINGS = Settings(ModelOptions("dummy", device="cpu"), "paste", ("inversion.steps=2", "inversion.skip=1"))
_QUESTIONS = 1000
SIZES = (0, 2**20, 4 * 2**20)
"""Bytes of a picture's file, sent there and back."""


def back(data: bytes, device: str | None) -> bytes:
    """Give what was sent."""
    return data


def seconds_of_batch(folder: Path, path: Path, executor: Executor) -> float:
    """Of an item, once the model is loaded."""
    listing = read_manifest(path)
    times = list[float]()
    with opened(folder, SETTINGS) as batch:
        for _ in batch.run(listing.items, listing.folder, listing.folder, executor):
            times.append(time.monotonic())
    return (times[-1] - times[0]) / (len(times) - 1)


def seconds_of_files(size: int, count: int, executor: Executor) -> float:
    """Of a job that gives what it is sent."""

    def jobs() -> Iterator[bytes]:
        for _ in range(count):
            yield os.urandom(size)

    times = [time.monotonic() for _ in executor.run(back, jobs())]
    return (times[-1] - times[0]) / (len(times) - 1)


def of_server(items: int) -> tuple[float, float, float]:
    """Seconds from a request to its result, seconds of the edit itself, and questions answered a second."""
    made = Deployment((SETTINGS.model,), ProviderOptions("rules"), Scale(1, 1), preview_seconds=0)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    region = Operation(Box(8, 8, 23, 23), Translate((40, 24), "relocation"), cut="hard")
    asked = {
        "picture": base64.b64encode(encode_png(as_source(pixels), pixels)).decode(),
        "instruction": to_file(Instruction(region)),
        "preset": SETTINGS.preset,
        "settings": list(SETTINGS.changes),
    }
    with deployed(made, "auto", "127.0.0.1", 0) as at, httpx.Client(base_url=at, timeout=60) as client:
        whole, edit = list[float](), list[float]()
        name = ""
        for seed in range(items):
            begun = time.monotonic()
            name = client.post("/v1/edits", json=asked | {"seed": seed}).raise_for_status().json()["id"]
            client.get(f"/v1/edits/{name}/events")
            client.get(f"/v1/edits/{name}/result.png").raise_for_status()
            whole.append(time.monotonic() - begun)
            edit.append(client.get(f"/v1/edits/{name}").json()["variants"][0]["seconds"])

        def ask(_: int) -> None:
            client.get(f"/v1/edits/{name}").raise_for_status()

        begun = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(_QUESTIONS)))
        return median(whole), median(edit), _QUESTIONS / (time.monotonic() - begun)


def main() -> int:
    """Tell both, and what they differ by."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.environ |= environment()
    import ray

    ray.init("local", num_cpus=1, num_gpus=0, include_dashboard=False, log_to_driver=False, object_store_memory=2**27)
    here = InProcess()
    with tempfile.TemporaryDirectory() as spare, closing(RayActors("auto", 1)) as there:
        path = manifest(Path(spare) / "in", args.items, 0, 0, random.Random(0))
        found = [
            tuple(
                seconds_of_batch(Path(spare) / f"{name}{number}", path, executor)
                for name, executor in (("here", here), ("there", there))
            )
            for number in range(args.rounds)
        ]
        _tell("an edit of 64 x 48 pixels", found)
        for size in SIZES:
            found = [
                tuple(seconds_of_files(size, args.items, executor) for executor in (here, there))
                for _ in range(args.rounds)
            ]
            _tell(f"a file of {size / 2**20:g} MiB there and back", found)
    whole, edit, rate = of_server(args.items)
    print(
        f"an edit over HTTP: {1000 * whole:.0f} ms from request to result, of which {1000 * edit:.0f} ms are the edit"
    )
    print(f"{rate:.0f} questions for the state of an edit a second, by one front and the keeper")
    ray.shutdown()
    return 0


def _tell(what: str, found: list[tuple[float, ...]]) -> None:
    here, there = (1000 * median(one) for one in zip(*found, strict=True))
    more = 1000 * median(far - near for near, far in found)
    print(f"{what}: {here:.1f} ms here, {there:.1f} ms on an actor, {more:.1f} ms more")


if __name__ == "__main__":
    sys.exit(main())
