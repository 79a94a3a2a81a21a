"""What is kept of a picture taken apart depends on its regions alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dragflow.core.motion import Rotate, Translate
from dragflow.core.task import DragTask, Instruction, MaskArray, Operation
from dragflow.pixels import layers as module
from dragflow.pixels.layers import Kept, Layers, layers_of
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

ys, xs = np.mgrid[:90, :120]
BALL = np.hypot(xs - 40, ys - 40) <= 14
OTHER = np.hypot(xs - 80, ys - 60) <= 10


def picture(seed: int = 0) -> Any:
    image = np.random.default_rng(seed).normal((70, 120, 90), 3, (90, 120, 3))
    image[BALL], image[OTHER] = (200, 60, 50), (60, 60, 200)
    return np.clip(image, 0, 255).astype(np.uint8)


def task(*motions: Any, seed: int = 0) -> DragTask:
    regions = (BALL, OTHER)[: len(motions)]
    return resolve(
        picture(seed),
        Instruction(tuple(Operation(MaskArray(r), m) for r, m in zip(regions, motions, strict=True))),
    )


def test_a_new_target_of_the_same_regions_needs_no_new_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[DragTask] = []
    monkeypatch.setattr(module, "layers_of", lambda task: made.append(task) or layers_of(task))
    kept = Kept(2)
    first, second = task(Translate((60, 40))), task(Rotate((50, 50), degrees=90))
    assert kept.of(first) is kept.of(second)
    assert len(made) == 1
    np.testing.assert_array_equal(draw_preview(second, kept.of(second)), draw_preview(second))


def test_other_pixels_regions_and_cuts_have_layers_of_their_own() -> None:
    kept = Kept(9)
    asked = task(Translate((60, 40)))
    hard = replace(asked, operations=(replace(asked.operations[0], cut="hard"),))
    different = [asked, hard, task(Translate((60, 40)), seed=1), task(Translate((60, 40)), Translate((90, 60)))]
    assert len({id(kept.of(one)) for one in different}) == len(different)


def test_several_who_ask_at_once_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[DragTask] = []
    asking = threading.Barrier(2)

    def slow(task: DragTask) -> Layers:
        made.append(task)
        time.sleep(0.3)  # longer than the other needs to ask
        return layers_of(task)

    def ask() -> Layers:
        asking.wait()
        return kept.of(asked)

    monkeypatch.setattr(module, "layers_of", slow)
    kept, asked = Kept(2), task(Translate((60, 40)))
    with ThreadPoolExecutor(2) as threads:
        first, second = (answer.result() for answer in [threads.submit(ask) for _ in range(2)])
    assert first is second
    assert len(made) == 1


def test_a_failure_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(task: DragTask) -> Layers:
        raise MemoryError

    kept, asked = Kept(2), task(Translate((60, 40)))
    with monkeypatch.context() as patch:
        patch.setattr(module, "layers_of", failing)
        with pytest.raises(MemoryError):
            kept.of(asked)
    assert len(kept.of(asked).regions) == 1


def test_only_the_last_ones_are_kept() -> None:
    kept = Kept(1)
    asked = task(Translate((60, 40)))
    first = kept.of(asked)
    kept.of(task(Translate((60, 40)), seed=1))
    assert kept.of(asked) is not first


def test_the_plate_has_neither_the_region_nor_its_rim() -> None:
    found = layers_of(task(Translate((80, 40))))
    assert np.abs(found.plate[BALL].astype(float) - (70, 120, 90)).max() < 25
    assert len(found.regions) == 1
    assert found.regions[0].shadow is None
