"""No public type keeps a caller's buffer: what happens to an array later changes nothing that was made from it."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.bench.sample import Sample
from dragflow.core.motion import Translate
from dragflow.core.task import DragTask, Instruction, MaskArray, MaskImage, Operation, ResolvedOperation
from dragflow.editor.result import EditResult
from dragflow.editor.session import Session
from dragflow.files.pictures import SourceImage, from_pixels
from dragflow.intent.base import IntentRequest
from dragflow.service import EditJob
from dragflow.service.apart import Apart

MOVE = Translate((40.0, 30.0))
ANY: Any = None
"""A field that plays no part."""


def operation() -> Operation:
    return Operation(np.ones((48, 64), dtype=bool), MOVE)


MADE: dict[type, Callable[[Any, Any], Any]] = {
    SourceImage: lambda pixels, mask: SourceImage(pixels, alpha=mask.view(np.uint8)),
    MaskArray: lambda pixels, mask: MaskArray(mask),
    MaskImage: lambda pixels, mask: MaskImage(Image.frombuffer("RGB", (64, 48), pixels, "raw", "RGB", 0, 1)),
    Operation: lambda pixels, mask: Operation(mask, MOVE),
    Instruction: lambda pixels, mask: Instruction(operation(), editable=mask),
    ResolvedOperation: lambda pixels, mask: ResolvedOperation(mask, MOVE, (1.0, 1.0), joint=mask[::-1]),
    DragTask: lambda pixels, mask: DragTask(pixels, (), mask, Instruction(operation())),
    EditResult: lambda pixels, mask: EditResult(pixels, ANY, (), ANY, ANY),
    IntentRequest: lambda pixels, mask: IntentRequest(ANY, ANY, ANY, pixels, pixels[:, ::-1], ()),
    EditJob: lambda pixels, mask: EditJob(from_pixels(pixels), Instruction(Operation(mask, MOVE)), ANY, ANY),
    Apart: lambda pixels, mask: Apart(mask, pixels, pixels, pixels[::-1]),
    Sample: lambda pixels, mask: Sample("a", "", SourceImage(pixels), ANY, (), (), pixels, mask),
}
"""Every public type that takes arrays or pictures, made from these."""


def arrays(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Image.Image):
        yield np.asarray(value)
    elif isinstance(value, tuple):
        for item in value:
            yield from arrays(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from arrays(getattr(value, field.name))


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_a_callers_buffer_is_not_kept(kind: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    mask = pixels[..., 0] > 127
    for frozen in (False, True):  # a buffer that is read-only now may be made writable later
        pixels.setflags(write=not frozen)
        mask.setflags(write=not frozen)
        made = MADE[kind](pixels, mask)
        before = [array.copy() for array in arrays(made)]
        assert before
        pixels.setflags(write=True)
        mask.setflags(write=True)
        pixels[:] = 255 - pixels
        mask[:] = ~mask
        assert all(np.array_equal(one, other) for one, other in zip(before, arrays(made), strict=True))


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_what_it_holds_cannot_be_changed_in_place(kind: type) -> None:
    made = MADE[kind](np.zeros((48, 64, 3), np.uint8), np.ones((48, 64), bool))
    for array in arrays(made) if kind is not MaskImage else ():
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            array.setflags(write=True)


def test_a_copy_that_is_owned_already_is_not_copied_again() -> None:
    source = from_pixels(np.zeros((48, 64, 3), np.uint8))
    assert dataclasses.replace(source, orientation=3).pixels is source.pixels
    assert Session(ANY, source, "", None).source.pixels is source.pixels


def test_every_public_type_that_takes_arrays_is_in_the_table() -> None:
    exported = [
        getattr(module, name)
        for module in map(importlib.import_module, ("dragflow", "dragflow.service", "dragflow.bench.sample"))
        for name in getattr(module, "__all__", ("Sample",))
    ]
    found = {kind for kind in _reached(exported) if _takes_arrays(kind)}
    assert {DragTask, SourceImage, MaskArray, EditResult} <= found  # the walk does find what there is
    assert found <= set(MADE)


def _reached(kinds: list[Any]) -> set[type]:
    """These dataclasses, and those that their fields hold."""
    found: set[type] = set()
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        waiting += typing.get_args(kind)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind not in found:
            found.add(kind)
            waiting += _types(kind).values()
    return found


def _types(kind: type) -> dict[str, Any]:
    """The types of the fields, those that are only imported for a type checker among them."""
    names = {"Pixels": np.ndarray, "Mask": np.ndarray, "Image": Image.Image, "NDArray": np.ndarray, "np": np}
    return typing.get_type_hints(kind, localns=names)


def _takes_arrays(kind: type) -> bool:
    hints = [str(hint) for hint in _types(kind).values()]
    return any("Callable" not in hint and ("array" in hint or "Image" in hint) for hint in hints)
