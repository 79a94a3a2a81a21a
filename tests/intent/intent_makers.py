"""A request about a picture of two regions, and answers to it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import from_pixels
from dragflow.intent.base import IntentRequest
from dragflow.intent.request import make_request


def request(size: tuple[int, int] = (60, 90), count: int = 3) -> IntentRequest:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    operation = Operation(Box(20, 20, 35, 40), Translate((60.0, 30.0)))
    return make_request(from_pixels(pixels), Instruction((operation,)), count=count)


def answer(count: int = 3, **changed: Any) -> str:
    """A valid answer; `changed` replaces keys of its first candidate."""
    labels = ("relocation", "deformation", "rotation")
    candidates = [
        {
            "label": labels[i % 3],
            "prompt": f"a grey field with box {i}",
            "anchor": {"x": 500, "y": 900} if i % 3 == 2 else None,
            "confidence": None,
        }
        for i in range(count)
    ]
    candidates[0] |= changed
    return json.dumps({"background_prompt": "a grey field", "change": "the box moves", "candidates": candidates})
