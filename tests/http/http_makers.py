"""Requests as clients send them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from dragflow.core.motion import Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.files.instructions import to_file

SHORT = ["inversion.steps=4", "inversion.skip=1", "optimise.refining=1"]
ys, xs = np.mgrid[:96, :128]
BALL = np.hypot(xs - 40, ys - 48) <= 14


def picture() -> Any:
    image = np.random.default_rng(0).normal((70, 120, 90), 4, (96, 128, 3))
    image[BALL] = (200, 60, 50)
    return np.clip(image, 0, 255).astype(np.uint8)


def png(pixels: Any, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def asked(**more: Any) -> dict[str, Any]:
    instruction = to_file(Instruction(Operation(MaskArray(BALL), Translate((80, 48))), "a ball"))
    return {"picture": b64(png(picture())), "instruction": instruction} | more
