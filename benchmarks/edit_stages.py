"""One edit by stage: seconds, model calls, operations done and necessary, share of the device's peak, peak memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dragflow import Box, EditConfig, Editor, Instruction, Operation, Translate
from dragflow.core.events import Event, Finished, Started, Stepped
from dragflow.editor.metering import peak_memory, reset_peak_memory
from dragflow.method.backbone import BackboneSpec
from dragflow.ops.masks import any_cells
from dragflow.pixels.resolve import resolve

REST = "rest"
"""What lies between stages: previews, references, conditioning, the composite."""
CALLING = ("invert", "start", "drag", "denoise")
"""Stages that are model calls."""
FIRST, NEXT = "first edit", "next edit"


@dataclass
class Stage:
    """What one stage of an edit took."""

    seconds: float = 0.0
    calls: int = 0
    flop: int = 0
    memory: float = 0.0
    """Peak in MiB."""


@dataclass
class Stages:
    """An observer that keeps what the stages of an edit took."""

    done: Callable[[], int] = lambda: 0
    """Operations so far."""
    clock: Callable[[], float] = time.perf_counter
    """Seconds so far."""
    found: dict[str, Stage] = field(default_factory=dict)
    _since: tuple[float, int] = (0.0, 0)

    def begin(self) -> None:
        """The edit begins."""
        self._since = self.clock(), self.done()
        reset_peak()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._of(event.phase).calls += 1
        elif isinstance(event, Started):
            self._close(REST)
        elif isinstance(event, Finished):
            self._close(event.phase)

    def end(self) -> dict[str, Stage]:
        """The edit has ended; its stages."""
        self._close(REST)
        return self.found

    def _close(self, name: str) -> None:
        stage, (begun, before) = self._of(name), self._since
        stage.seconds += self.clock() - begun
        stage.flop += self.done() - before
        stage.memory = max(stage.memory, peak())
        self.begin()

    def _of(self, name: str) -> Stage:
        return self.found.setdefault(name, Stage())


def reset_peak() -> None:
    """Forget the peak of memory so far, where the system can."""
    reset_peak_memory()
    forget = Path("/proc/self/clear_refs")
    if not torch.cuda.is_available() and forget.exists():
        forget.write_text("5")


def peak() -> float:
    """MiB: the accelerator's peak since the reset; the process's on Linux; elsewhere since the process began."""
    status = Path("/proc/self/status")
    if torch.cuda.is_available() or not status.exists():
        return peak_memory()
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@dataclass(frozen=True)
class Work:
    """The edit that is measured: things in a rectangle of the picture move within it."""

    size: tuple[int, int]
    """Of the picture, (h, w)."""
    area: float = 0.2
    """Share of the picture that may change."""
    operations: int = 1

    def picture(self) -> np.ndarray[Any, Any]:
        """Noise."""
        return np.random.default_rng(0).integers(0, 256, (*self.size, 3), dtype=np.uint8)

    def instruction(self, farther: float = 0.0) -> Instruction:
        """What to do; one that moves things `farther`, as a share of the way, changes the target alone."""
        (h, w), side = self.size, self.area**0.5
        left, top, width, height = w * (1 - side) / 2, h * (1 - side) / 2, side * (w - 1), side * (h - 1)
        rows, row = height / self.operations, []
        for number in range(self.operations):
            y = top + rows * number
            region = Box(left + 0.1 * width, y + 0.2 * rows, left + 0.4 * width, y + 0.8 * rows)
            to = (left + width * (0.6 + 0.2 * farther), y + 0.5 * rows)
            row.append(Operation(region, Translate(to, label="relocation")))
        return Instruction(tuple(row), prompt="a ball", editable=Box(left, top, left + width, top + height))


def measured(
    editor: Editor,
    work: Work,
    config: EditConfig,
    done: Callable[[], int] = lambda: 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, dict[str, Stage]]:
    """A picture is opened and edited, then edited again with another target: what each took, by stage."""
    edits: dict[str, dict[str, Stage]] = {}
    stages = Stages(done, clock)
    stages.begin()
    session = editor.open(work.picture(), "a ball", config=config, observer=stages)
    for name, farther in ((FIRST, 0.0), (NEXT, 0.5)):
        session.edit(work.instruction(farther), config, observer=stages)
        edits[name] = stages.end()
        stages = Stages(done, clock)
        stages.begin()
    return edits


def total(stages: dict[str, Stage]) -> Stage:
    """All stages together."""
    each = list(stages.values())
    return Stage(
        sum(one.seconds for one in each),
        sum(one.calls for one in each),
        sum(one.flop for one in each),
        max(one.memory for one in each),
    )


@dataclass(frozen=True)
class Necessary:
    """The operations that an edit needs of a FLUX's blocks, by the sizes of its streams alone."""

    width: int
    blocks: int
    tapped: int
    """Blocks up to the last tap."""
    image: int
    """Image tokens."""
    active: int
    """Image tokens of the editable area, with a rim of one token."""
    text: int

    @staticmethod
    def of(backbone: Any, work: Work, config: EditConfig) -> Necessary:
        """For an edit by this model."""
        spec: BackboneSpec = backbone.spec
        h, w = (side // spec.pixel_multiple for side in work.size)
        area = any_cells(torch.tensor(resolve(work.picture(), work.instruction(), margin=0).area), (h, w))
        rim = torch.nn.functional.max_pool2d(area[None].float(), 3, 1, 1)
        last = max(spec.blocks.index(tap.rpartition(".")[0]) for tap in config.optimise.taps or spec.taps)
        return Necessary(
            backbone.transformer.inner_dim,
            len(spec.blocks),
            last + 1,
            h * w,
            int(rim.sum()),
            backbone.condition("", guidance=1.0).text.tokens.shape[1],
        )

    def call(self, tokens: int, blocks: int) -> tuple[int, int]:
        """Of linear layers and of attention, where so many tokens are computed and attend to all."""
        linear, attention = 24 * self.width**2 * tokens, 4 * self.width * tokens * (self.image + self.text)
        return blocks * linear, blocks * attention

    def stage(self, name: str, calls: int) -> int:
        """Of so many calls of a stage: all tokens to invert, those of the area afterwards; a gradient costs one more
        product in each linear layer, and two in attention.
        """
        tokens, blocks = (self.image + self.text, self.blocks) if name == "invert" else (self.active, self.blocks)
        if name not in CALLING:
            return 0
        if name == "drag":
            linear, attention = self.call(tokens, self.tapped)
            return calls * (2 * linear + 3 * attention)
        return calls * sum(self.call(tokens, blocks))


def matmul_peak(
    device: torch.device,
    dtype: torch.dtype,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """FLOP a second of the device's own matrix product, the best of those made within some seconds."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    wait = torch.cuda.synchronize if device.type == "cuda" else nullcontext
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        wait()
        begun = clock()
        torch.mm(a, b)
        wait()
        best = min(best, clock() - begun)
    return 2 * side**3 / best
