"""The functions that programs call, with what they do not take: always a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dragflow
import dragflow.service as service
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Operation

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
MOVE = Operation(Box(8, 8, 20, 20), Translate((40, 40)))
DUMMY = ModelOptions("dummy")
JOB = service.plan(PIXELS, MOVE, "paste", DUMMY)
REQUEST, ANSWER = service.guess(JOB.source, JOB.instruction, service.GuessOptions())

WRONG: list[Any] = [
    *("foo", "x" * 5000, "a\0b", b"foo", -1, 10**30, 1e308, math.nan, math.inf, {"a": 1}, (1, 2, 3), {1, 2}, object()),
    *(np.zeros((2, 2, 2)), np.array("t"), np.zeros((64, 64, 3), complex), np.zeros((0, 0, 3), np.uint8)),
    *(Image.new("LAB", (64, 64)), Image.new("F", (64, 64)), Image.new("RGB", (1, 1)), Path("/dev/zero"), Path("/")),
]
CALLS: dict[str, Callable[[Any], object]] = {
    "preview image": lambda v: dragflow.preview(v, MOVE),
    "preview instruction": lambda v: dragflow.preview(PIXELS, v),
    "preview margin": lambda v: dragflow.preview(PIXELS, MOVE, margin=v),
    "load_instruction": dragflow.load_instruction,
    "save_instruction": lambda v: dragflow.save_instruction(Path("never.json"), v),
    "load_preset": dragflow.load_preset,
    "load_recipe": dragflow.load_recipe,
    "plan picture": lambda v: service.plan(v, MOVE, "paste", DUMMY),
    "plan instruction": lambda v: service.plan(PIXELS, v, "paste", DUMMY),
    "plan configuration": lambda v: service.plan(PIXELS, MOVE, v, DUMMY),
    "plan model": lambda v: service.plan(PIXELS, MOVE, "paste", v),
    "repeat source": lambda v: service.repeat(v, v),
    "repeat recipe": lambda v: service.repeat(JOB.source, v),
    "guess source": lambda v: service.guess(v, JOB.instruction, service.GuessOptions()),
    "guess options": lambda v: service.guess(JOB.source, JOB.instruction, v),
    "choose request": lambda v: service.choose(v, ANSWER, 1),
    "choose answer": lambda v: service.choose(REQUEST, v, 1),
    "choose number": lambda v: service.choose(REQUEST, ANSWER, v),
    "answer_data": service.answer_data,
    "pool size": service.ModelPool,
    "pool options": lambda v: service.ModelPool().get(v),
    "service pool": service.Service,
    "service job": lambda v: service.Service().submit(v),
    "service observer": lambda v: service.Service().submit(JOB, v),
    "run job": lambda v: service.run(v, service.ModelPool()),
    "run pool": lambda v: service.run(JOB, v),
    "event data": service.from_data,
    "event index": lambda v: service.from_data({"event": "stepped", "phase": v, "index": 1, "total": 3}),
    "event": service.to_data,
}


@pytest.mark.parametrize("name", CALLS)
def test_what_a_function_does_not_take_is_a_sentence(name: str) -> None:
    empty = [] if name in ("service pool", "load_instruction") else ["", []]
    nothing = [] if name == "plan configuration" or not empty else [None]  # without one the model's own is planned
    for value in [*nothing, *empty, *WRONG]:
        with pytest.raises(UserError) as error:
            CALLS[name](value)
        assert 10 < len(str(error.value)) < 600


def test_a_closed_service_takes_no_job() -> None:
    closed = service.Service()
    closed.close()
    with pytest.raises(UserError, match="closed"):
        closed.submit(JOB)


@pytest.mark.parametrize("size", [0, -1, 1.5, None, True])
def test_a_pool_holds_one_model_at_least(size: Any) -> None:
    with pytest.raises(UserError, match=r"ModelPool\.size"):
        service.ModelPool(size)
