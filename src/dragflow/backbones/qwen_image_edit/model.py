"""Qwen-Image-Edit: Qwen-Image whose references are tokens after the image's, and pictures in the prompt.

The text encoder looks at each reference, too. `condition` is given latents, so it is shown what these decode to: the
picture as the autoencoder gives it back, its tokens moved where the reference's are.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

from dragflow.backbones.qwen_image.model import QwenImage, Text
from dragflow.backbones.qwen_image.prompts import PICTURE, check_prompt
from dragflow.backbones.qwen_image.shown import Shown, shown_by
from dragflow.backbones.qwen_image_edit import FAMILY
from dragflow.method.backbone import BackboneSpec, Reference

_STEP = 32
"""Pixels of which the pipelines make both sides of a picture multiples."""
AREA = 1024 * 1024
_SIDES = range(512, 2048 + 1, _STEP)
SEEN = f"<|vision_start|>{PICTURE}<|vision_end|>"
"""Stands for a picture in a prompt."""


def scaled(size: tuple[int, int], area: int) -> tuple[int, int]:
    """(h, w) to which the pipelines scale a picture of (h, w) for an area."""
    aspect = size[1] / size[0]
    width = math.sqrt(area * aspect)
    return round(width / aspect / _STEP) * _STEP, round(width / _STEP) * _STEP


SIZES = tuple(
    sorted(
        ((h, w) for h in _SIDES for w in _SIDES if scaled((h, w), AREA) == (h, w)), key=lambda size: size[1] / size[0]
    )
)
"""(h, w) of the pictures that the pipelines leave as they are, from tall to wide, about a megapixel each."""


class QwenImageEdit(QwenImage):
    """A `Backbone` on a `QwenImageTransformer2DModel` and the rest of its `QwenImageEditPipeline`."""

    _family: ClassVar = "qwen-image-edit", FAMILY
    _references: ClassVar = 2
    """Its pipeline takes one, as the published weights were trained; a second is numbered as in its successors."""
    _seen_area: ClassVar = AREA

    def _facts(self) -> BackboneSpec:
        name, family = self._family
        return replace(
            super()._facts(),
            family=name,
            references=self._references,
            prompts=family.prompts,
            sizes=SIZES,
            preset=family.preset,
        )

    def _shown(self, references: tuple[Reference, ...]) -> tuple[Shown, ...]:
        return tuple(shown_by(each) for each in sorted(references, key=lambda each: each.index))

    def _encode_prompt(self, prompt: str, *shown: Shown) -> Text:
        check_prompt(prompt)
        return self._encode(self._wording(prompt, len(shown)), *map(self._picture, shown))

    def _wording(self, prompt: str, pictures: int) -> str:
        """The prompt in the pipeline's template, which has one picture before it."""
        return self._parts().prompt_template_encode.replace(SEEN, SEEN * pictures).format(prompt)

    def _picture(self, shown: Shown) -> Any:
        """What the text encoder sees of a latent: a picture of PIL."""
        processor = self._parts().image_processor
        (picture,) = processor.postprocess(self.decode(shown.z) * 2 - 1, output_type="pil")
        return processor.resize(picture, *scaled((picture.height, picture.width), self._seen_area))
