"""Qwen-Image-Edit-2509 and later: pictures are numbered in the prompt, and seen smaller by the text encoder."""

from __future__ import annotations

from typing import ClassVar

from dragflow.backbones.qwen_image_edit.model import SEEN, QwenImageEdit
from dragflow.backbones.qwen_image_edit_plus import FAMILY


class QwenImageEditPlus(QwenImageEdit):
    """A `Backbone` on a `QwenImageTransformer2DModel` and the rest of its `QwenImageEditPlusPipeline`."""

    _family: ClassVar = "qwen-image-edit-plus", FAMILY
    _references: ClassVar = 3
    """Its pipeline takes any number; the weights were trained with up to three."""
    _seen_area: ClassVar = 384 * 384

    def _wording(self, prompt: str, pictures: int) -> str:
        numbered = "".join(f"Picture {number}: {SEEN}" for number in range(1, pictures + 1))
        return self._parts().prompt_template_encode.format(numbered + prompt)
