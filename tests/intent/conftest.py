"""A picture of 100 x 81 with a drag on it, and answers of a model to ask for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dragflow.core.motion import Motion, Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import from_pixels
from dragflow.intent.base import IntentRequest
from dragflow.intent.request import make_request

MakeRequest = Callable[..., IntentRequest]


@pytest.fixture(scope="session")
def asked() -> MakeRequest:
    """A request; its region is 10 to 30, 20 to 40, so that its handle is (20, 30)."""

    def make(motion: Motion = Translate((60, 30)), count: int = 3, **options: Any) -> IntentRequest:  # noqa: B008
        pixels = np.full((81, 101, 3), 200, np.uint8)
        pixels[20:41, 10:31] = (255, 0, 0)
        operation = Operation(Box(10, 20, 30, 40), motion)
        return make_request(from_pixels(pixels), Instruction((operation,), "a red square"), count=count, **options)

    return make


@pytest.fixture(scope="session")
def said() -> Callable[..., str]:
    """The text of an answer of three candidates; keyword arguments replace parts of candidate 1, the rotation."""

    def text(**changed: Any) -> str:
        rotation = {"label": "rotation", "prompt": "A square on its tip.", "anchor": {"x": 100, "y": 500}}
        return json.dumps(
            {
                "background_prompt": "A red square on grey.",
                "change": "The square moves.",
                "candidates": [
                    {"label": "relocation", "prompt": "A square at the right.", "anchor": None, "confidence": 0.5},
                    {**rotation, "confidence": 0.25, **changed},
                    {"label": "deformation", "prompt": "A wide bar.", "anchor": None, "confidence": None},
                ],
            }
        )

    return text
