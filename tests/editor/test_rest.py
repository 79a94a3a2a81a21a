"""Weights that are on an accelerator only while they work."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dragflow import Box, Editor, Operation, Translate
from dragflow.backbones.devices import Rest, networks_of


class Elsewhere(nn.Module):
    """Whose weights are on another device, and which notes where it is sent."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, device=device))
        self.sent: list[str] = []

    def to(self, *args: Any, **kwargs: Any) -> Any:
        self.sent.append(str(args[0]))
        return self


def test_what_worked_on_a_device_rests_in_main_memory() -> None:
    there, here = Elsewhere("meta"), Elsewhere("cpu")
    rest = Rest((there, {"a": [here]}))

    def fail() -> None:
        with rest.working(threading.RLock()):
            assert there.sent[-1] == "meta"
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
        assert there.sent[-1] == "cpu"
    assert (there.sent, here.sent) == (["meta", "cpu"] * 2, [])


def test_every_weight_of_an_editor_is_among_its_networks() -> None:
    editor = Editor.load("nano", subject="nano")
    networks = networks_of((editor.backbone, editor.adapter))
    listed = {id(weight) for network in networks for weight in network.parameters()}
    waiting: list[object] = [editor]
    reached = {id(editor)}
    while waiting:
        for one in gc.get_referents(waiting.pop()):
            if id(one) in reached or isinstance(one, type) or type(one).__name__ in ("module", "function"):
                continue
            reached.add(id(one))
            waiting.append(one)
            assert not isinstance(one, nn.Parameter) or id(one) in listed


@pytest.mark.slow
def test_an_edit_within_gives_the_bytes_of_one_outside() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    operation = Operation(Box(10, 10, 25, 25), Translate((40, 40), label="relocation"))
    editor = Editor.load("nano")
    plain = editor.open(picture, config="paste").edit(operation, "paste")
    with editor.working():
        worked = editor.open(picture, config="paste").edit(operation, "paste")
    assert (plain.pixels == worked.pixels).all()
