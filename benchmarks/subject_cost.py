"""What a subject adapter costs an edit, and what caching saves of what depends on the time alone.

    python benchmarks/subject_cost.py [--size 256] [--width 256] [--tokens 64] [--preset paper] [--json FILE]

One random FLUX of full depth with a random adapter in the layout of InstantCharacter, one picture, one edit (open and
edit, with encoding and decoding). "projector" is the time inside its time-conditioned part; keys and values are made
from its tokens, in every block that runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dragflow import Box, Editor, Instruction, Operation, SubjectOptions, Translate
from dragflow.backbones.dummy import write_dummy
from dragflow.cli.progress import silence_libraries
from dragflow.core.config import SubjectConfig
from dragflow.method.backbone import Image, Subject, SubjectControl
from dragflow.subject.dummy import write_encoders, write_instantcharacter
from dragflow.subject.instantcharacter.adapter import InstantCharacter

FULL_DEPTH = (19, 38)
HEAD = 32


@dataclass(frozen=True, eq=False)
class UncachedSubject:
    """A `Subject` that keeps nothing from one model call to the next."""

    subject: Subject
    config: SubjectConfig = field(default_factory=SubjectConfig)

    def under(self, config: SubjectConfig) -> UncachedSubject:
        return replace(self, config=config)

    def at(self, t: float) -> SubjectControl:
        return self.subject.under(self.config).at(t)

    @property
    def negative(self) -> Subject | None:
        return self.subject.under(self.config).negative


@dataclass(frozen=True, eq=False)
class UncachedAdapter:
    """A `SubjectAdapter` of such subjects."""

    adapter: InstantCharacter

    @property
    def record(self) -> Any:
        return self.adapter.record

    def encode(self, image: Image) -> UncachedSubject:
        return UncachedSubject(self.adapter.encode(image))


@dataclass
class Stopwatch:
    """Time spent in modules, and how often they ran."""

    seconds: float = 0.0
    runs: int = 0
    started: float = 0.0

    @contextmanager
    def on(self, *modules: torch.nn.Module) -> Iterator[None]:
        def start(*_: Any) -> None:
            self.started = time.perf_counter()

        def stop(*_: Any) -> None:
            self.seconds += time.perf_counter() - self.started
            self.runs += 1

        handles = [m.register_forward_pre_hook(start) for m in modules]
        handles += [m.register_forward_hook(stop) for m in modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def main() -> None:
    """Time the same edit three ways, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="side of the picture in pixels")
    parser.add_argument("--width", type=int, default=256, help=f"width of the transformer, a multiple of {HEAD}")
    parser.add_argument("--tokens", type=int, default=64, help="subject tokens, a quarter of the real ratio by default")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    args = parser.parse_args()
    silence_libraries()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        heads = args.width // HEAD
        write_dummy(folder / "model", doubles=FULL_DEPTH[0], singles=FULL_DEPTH[1], heads=heads, head_dim=HEAD)
        write_encoders(folder)
        weights = write_instantcharacter(
            folder / "adapter.safetensors", heads=heads, blocks=sum(FULL_DEPTH), tokens=args.tokens
        )
        options = SubjectOptions("instantcharacter", str(weights), str(folder / "siglip"), str(folder / "dinov2"))
        editor = Editor.load(folder / "model", subject=options)
    adapter: Any = editor.adapter
    _edit(editor, adapter, "paste", args.size)  # the first runs of all parts are slower
    rows = {
        "no adapter": _edit(Editor(editor.backbone), adapter, args.preset, args.size),
        "adapter": _edit(editor, adapter, args.preset, args.size),
        "adapter, nothing kept": _edit(
            Editor(editor.backbone, UncachedAdapter(adapter)), adapter, args.preset, args.size
        ),
    }
    print(_table(rows, args))
    if args.json:
        args.json.write_text(json.dumps({"arguments": {**vars(args), "json": None}, "rows": rows}, indent=2))


def _edit(editor: Editor, adapter: InstantCharacter, preset: str, size: int) -> dict[str, float]:
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    side = size - 1
    region = Box(0.2 * side, 0.3 * side, 0.45 * side, 0.6 * side)
    instruction = Instruction((Operation(region, Translate((0.6 * side, 0.5 * side))),), prompt="a ball")
    projector, kv = Stopwatch(), Stopwatch()
    projections = [part for a in adapter.attentions.values() for part in (a.to_k_ip, a.to_v_ip)]
    with projector.on(adapter.projector.resampler), kv.on(*projections):
        begun = time.perf_counter()
        editor.open(picture, "a ball", config=preset).edit(instruction, preset)
        whole = time.perf_counter() - begun
    return {"whole": whole, "projector": projector.seconds, "runs": projector.runs, "kv": kv.seconds}


def _table(rows: dict[str, dict[str, float]], args: argparse.Namespace) -> str:
    cached, uncached = rows["adapter"], rows["adapter, nothing kept"]
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; {FULL_DEPTH[0]} + "
        f"{FULL_DEPTH[1]} blocks, width {args.width}, {args.size} x {args.size} px, {args.tokens} subject tokens, "
        f"preset {args.preset}",
        "",
        "| | open + edit, s | of no adapter | projector, s | times computed | keys and values, s |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        ratio = row["whole"] / rows["no adapter"]["whole"]
        cells = [
            f"{row['whole']:.1f}",
            f"{ratio:.2f}x",
            f"{row['projector']:.2f}",
            f"{row['runs']}",
            f"{row['kv']:.2f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    saved = {key: 1 - cached[key] / uncached[key] for key in ("projector", "kv")}
    return "\n".join(
        [
            *lines,
            "",
            f"Keeping what depends on time alone saves {saved['projector']:.0%} of the projector's time and "
            f"{saved['kv']:.0%} of that of keys and values.",
        ]
    )


if __name__ == "__main__":
    main()
