"""From a picture and an instruction to the request to a provider (paper Sec. 3.2)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dragflow.core.arrays import Pixels
from dragflow.core.checked import check
from dragflow.core.errors import UserError
from dragflow.core.motion import Motion, Rotate, Translate
from dragflow.core.task import Instruction, PromptForm
from dragflow.files.masks import freeze
from dragflow.files.pictures import SourceImage
from dragflow.intent.base import IntentRequest, TaskLabel
from dragflow.intent.options import CANDIDATES, Guesses, ProviderOptions, Side
from dragflow.pixels.drawing import marks
from dragflow.pixels.resolve import resolve


def make_request(
    source: SourceImage,
    instruction: Instruction,
    *,
    count: int = CANDIDATES,
    max_side: int = ProviderOptions.max_image_side,
    labels: tuple[TaskLabel | None, ...] | None = None,
    prompts: PromptForm = "captions",
) -> IntentRequest:
    """The request to a provider about an instruction.

    Args:
        source: the picture.
        instruction: what was drawn on it.
        count: how many guesses are wanted.
        max_side: pixels of the longer side of what a model is shown.
        labels: what is known of each operation; `known_labels` when None.
        prompts: what editing prompts are to be.

    Raises:
        UserError: an instruction that breaks a rule, or a number out of range.
    """
    count = check(Guesses, count, "candidates")
    max_side = check(Side, max_side, "max_image_side")
    known = known_labels(instruction) if labels is None else labels
    if len(known) != len(instruction.operations):
        raise UserError(f"{len(known)} labels for {len(instruction.operations)} operations: give one for each")
    instruction = freeze(instruction)
    task = resolve(source.pixels, instruction)
    return IntentRequest(
        source=source,
        instruction=instruction,
        task=task,
        picture=shrunk(source.pixels, max_side),
        overlay=shrunk(marks(task), max_side),
        labels=known,
        count=count,
        prompts=prompts,
    )


def known_labels(instruction: Instruction) -> tuple[TaskLabel | None, ...]:
    """What an instruction itself says of each operation; a translation without a label is open."""
    return tuple(_known(operation.motion) for operation in instruction.operations)


def _known(motion: Motion) -> TaskLabel | None:
    if isinstance(motion, Rotate):
        return "rotation"
    return motion.label if isinstance(motion, Translate) and motion.label != "copy" else None


def shrunk(pixels: Pixels, max_side: int) -> Pixels:
    """A picture (h, w, 3) scaled down so that its longer side has at most `max_side` pixels; never up."""
    h, w = pixels.shape[:2]
    scale = max_side / max(h, w)
    if scale >= 1:
        return pixels
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
