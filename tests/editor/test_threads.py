"""Threads that share a loaded model take turns: each gets the bytes that it would get alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from test_editor import able, bridged, config_of, edit_model, filling

from dragflow import Box, Cancelled, EditConfig, Editor, Event, Instruction, Operation, Rotate, Stepped, Translate
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.lora import attach_loras
from dragflow.files.pictures import from_pixels
from dragflow.files.presets import preset_names
from dragflow.lora.config import LoraConfig
from dragflow.lora.train import train_lora

__all__ = ["able", "bridged", "edit_model", "filling"]  # fixtures

T = TypeVar("T")
GRID = ("inversion.steps=3", "inversion.skip=1", "kv.rule=mapped")
ASKED = (
    Instruction((Operation(Box(8, 8, 23, 23), Translate((40, 30))),), prompt="a cat", edit_prompt="moved right"),
    Instruction((Operation(Box(20, 12, 43, 31), Rotate((31, 21), degrees=40)),), prompt="a dog"),
)


@pytest.fixture(scope="module")
def editor(dummy_folder: Path) -> Editor:
    return Editor.load(dummy_folder, device="cpu")


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def together(*works: Callable[[], T]) -> list[T]:
    """What each gives, begun at one moment in threads of their own."""
    gate = threading.Barrier(len(works))

    def begin(work: Callable[[], T]) -> T:
        gate.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(begin, work) for work in works]]


def is_held(lock: AbstractContextManager[object]) -> bool:
    """Whether another thread would have to wait."""
    mutex: Any = lock

    def is_free() -> bool:
        taken = mutex.acquire(blocking=False)
        if taken:
            mutex.release()
        return taken

    return not together(is_free)[0]


def same(found: Sequence[NDArray[np.uint8]], expected: Sequence[NDArray[np.uint8]]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("preset", preset_names())
def test_two_sessions_of_one_editor(preset: str, able: Editor) -> None:
    config = config_of(preset, *GRID)
    works = [lambda i=i: edited(able, i, config) for i in range(2)]
    expected = [work() for work in works]
    assert same(together(*works), expected)


def edited(editor: Editor, i: int, config: EditConfig) -> NDArray[np.uint8]:
    return editor.open(picture(i), "an animal", config=config).edit(ASKED[i], config).pixels


@pytest.mark.parametrize("preset", preset_names())
def test_both_in_one_session(preset: str, able: Editor) -> None:
    config = config_of(preset, *GRID)
    one = able.open(picture(0), "an animal", config=config)
    expected = [one.edit(asked, config).pixels for asked in ASKED]
    shared = able.open(picture(0), "an animal", config=config)
    assert same(together(*(lambda asked=asked: shared.edit(asked, config).pixels for asked in ASKED)), expected)


@pytest.mark.parametrize("phase", ["invert", "drag", "denoise"])
def test_a_cancelled_thread_disturbs_no_other(phase: str, editor: Editor) -> None:
    config = config_of("default", *GRID)
    shared = editor.open(picture(0), "an animal", config=config)
    expected = [shared.edit(asked, config).pixels for asked in ASKED]

    def cancel(event: Event) -> None:
        if isinstance(event, Stepped) and event.phase == phase:
            raise Cancelled

    def cancelled() -> NDArray[np.uint8]:
        with pytest.raises(Cancelled):  # of a prompt of its own, so that it inverts again
            shared.edit(replace(ASKED[0], prompt="another cat"), config, cancel)
        return shared.edit(ASKED[0], config).pixels

    assert same(together(cancelled, lambda: shared.edit(ASKED[1], config).pixels), expected)


def test_a_preview_that_was_kept_waits_its_turn_and_changes_nothing(editor: Editor) -> None:
    config = config_of("default", *GRID)
    kept: list[Callable[[], NDArray[np.uint8]]] = []

    def keep(event: Event) -> None:
        if isinstance(event, Stepped) and event.preview is not None:
            kept.append(event.preview)

    session = editor.open(picture(0), config=config)
    expected = session.edit(ASKED[0], config, keep).pixels
    *shown, pixels = together(*kept, lambda: session.edit(ASKED[0], config).pixels)
    assert same(shown, [preview() for preview in kept])
    assert np.array_equal(pixels, expected)


def test_the_model_is_held_while_its_weights_are_others(editor: Editor, tmp_path: Path) -> None:
    backbone = editor.backbone
    assert isinstance(backbone, Flux1)
    config = config_of("default", *GRID)
    plain = edited(editor, 0, config)
    file, seen = tmp_path / "a.safetensors", list[bool]()
    begun = threading.Event()

    def watch(event: Event) -> None:
        seen.append(is_held(backbone.lock))
        begun.set()

    def train() -> NDArray[np.uint8]:
        train_lora(
            backbone,
            from_pixels(picture(1)),
            config=LoraConfig(rank=2, steps=3, batch=1, rate=1e-2),
            to=file,
            observer=watch,
        )
        return plain

    def edit() -> NDArray[np.uint8]:
        begun.wait()
        return edited(editor, 0, config)

    assert same(together(train, edit), [plain, plain])
    assert seen
    assert all(seen)
    assert not is_held(backbone.lock)
    with attach_loras(backbone, [str(file)]) as changed:
        assert changed.lock is backbone.lock
        assert is_held(backbone.lock)
        learnt = edited(Editor(changed), 0, config)
    assert not is_held(backbone.lock)
    assert not np.array_equal(learnt, plain)
    assert np.array_equal(edited(editor, 0, config), plain)
    assert backbone.renamed(backbone.weights).lock is backbone.lock
