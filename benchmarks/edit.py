"""What an edit costs: every preset against the published schedule, on one random FLUX of full depth, in one run.

    python benchmarks/edit.py [--size 256] [--width 256] [--dtype float32] [--rounds 1] [--json FILE]

Ratios are wall-clock seconds of the published schedule's model calls over those of a whole edit (open and edit, with
encoding and decoding). Peak memory is the process's, so each contestant runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

BASELINES = {"published": True, "published, lower bound": False}
"""Name -> whether the backward pass visits every block; see `published_schedule`."""
PRESETS = ("paper", "default", "fast", "paste")
FULL_DEPTH = (19, 38)


def main() -> None:
    """Run every contestant, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="side of the picture in pixels")
    parser.add_argument("--width", type=int, default=256, help="width of the transformer, a multiple of 64")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=1, help="times each contestant runs; medians are shown")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        from dragflow.backbones.dummy import write_dummy

        model = write_dummy(
            Path(folder), doubles=FULL_DEPTH[0], singles=FULL_DEPTH[1], heads=args.width // 64, head_dim=64
        )
        rows = {name: _measure(name, model, args) for name in (*BASELINES, *PRESETS)}
    print(_table(rows, args))
    if args.json:
        args.json.write_text(json.dumps({"arguments": {**vars(args), "json": None}, "rows": rows}, indent=2))


def _measure(name: str, model: Path, args: argparse.Namespace) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    runs: list[dict[str, float]] = []
    for _ in range(args.rounds):
        with context.Pool(1) as pool:
            work = _published if name in BASELINES else _preset
            runs.append(pool.apply(work, (name, str(model), args.size, args.dtype)))
    return {key: median(run[key] for run in runs) for key in runs[0]}


def _published(name: str, model: str, size: int, dtype: str) -> dict[str, float]:
    import torch
    from published_schedule import PublishedSchedule

    from dragflow import Editor
    from dragflow.backbones.flux1.layout import image_ids
    from dragflow.backbones.packing import pack

    backbone: Any = Editor.load(model, dtype=dtype).backbone
    transformer, text = backbone._transformer, backbone.condition("a ball", guidance=3.5).text
    h = w = size // backbone.spec.pixel_multiple
    z = torch.randn(1, 16, 2 * h, 2 * w, generator=torch.Generator().manual_seed(0))
    inputs = {
        "hidden_states": pack(z).to(transformer.dtype),
        "encoder_hidden_states": text.tokens.to(transformer.dtype),
        "pooled_projections": text.pooled.to(transformer.dtype),
        "timestep": torch.full((1,), 0.8),
        "guidance": torch.full((1,), 3.5),
        "img_ids": image_ids(h, w, z.device),
        "txt_ids": torch.zeros(text.tokens.shape[1], 3),
    }
    schedule = PublishedSchedule(transformer, inputs, whole_graph=BASELINES[name])
    begun = time.perf_counter()
    calls = schedule.run()
    return {"first": time.perf_counter() - begun, "calls": calls, "memory": _peak()}


def _preset(name: str, model: str, size: int, dtype: str) -> dict[str, float]:
    import numpy as np

    from dragflow import Box, Editor, Instruction, Operation, Translate

    editor = Editor.load(model, dtype=dtype)
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    side = size - 1
    region = Box(0.2 * side, 0.3 * side, 0.45 * side, 0.6 * side)
    first, second = (
        Instruction((Operation(region, Translate((x * side, 0.5 * side))),), prompt="a ball") for x in (0.6, 0.7)
    )
    begun = time.perf_counter()
    session = editor.open(picture, "a ball", config=name)
    session.edit(first, name)
    middle = time.perf_counter()
    result = session.edit(second, name)
    end = time.perf_counter()
    calls = sum(timing.calls for timing in result.provenance.timings if timing.phase in ("start", "drag", "denoise"))
    return {"first": middle - begun, "second": end - middle, "calls": calls, "memory": _peak()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _table(rows: dict[str, dict[str, float]], args: argparse.Namespace) -> str:
    bases = [rows[name]["first"] for name in BASELINES]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads; {FULL_DEPTH[0]} + {FULL_DEPTH[1]} blocks, "
        f"width {args.width}, {args.size} x {args.size} px, {args.dtype}, median of {args.rounds}",
        "",
        "| | open + edit, s | faster than published | than its lower bound "
        "| second edit, s | faster than the first | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        second = f"{row['second']:.1f} | {row['first'] / row['second']:.2f}x" if "second" in row else "- | -"
        ratios = " | ".join(f"{base / row['first']:.2f}x" for base in bases)
        lines.append(f"| {name} | {row['first']:.1f} | {ratios} | {second} | {row['memory']:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
