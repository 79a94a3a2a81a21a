"""What all adapters' image encoders share: their facts, how they are loaded, and the pictures they take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image as Pictures
from PIL import ImageOps
from torch import Tensor

from dragflow.backbones.hub import WHOLE, find
from dragflow.backbones.parts import load_part
from dragflow.method.backbone import Image


@dataclass(frozen=True)
class EncoderSpec:
    """The facts of one kind of image encoder."""

    name: str
    option: str
    """Last part of the option that names its weights, as in `subject.clip`."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """By which pixels in [0, 1] are normalised."""


SIGLIP = EncoderSpec("SigLIP", "siglip", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
DINOV2 = EncoderSpec("DINOv2", "dinov2", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = EncoderSpec("CLIP", "clip", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def load_network(spec: EncoderSpec, cls: Any, model: str, device: torch.device, dtype: torch.dtype) -> Any:
    """An encoder in transformers layout, from a folder or by a hub id.

    Raises:
        UserError: it is missing, or has another architecture.
    """
    folder = find(model, what=f"`subject.{spec.option}` ({spec.name})", parts=WHOLE)
    return load_part(cls, str(folder), f"{spec.name} encoder", device, dtype=dtype)


def to_pil(image: Image) -> Pictures.Image:
    """An image (1, 3, H, W) in [0, 1] as 8-bit RGB."""
    return Pictures.fromarray((image[0].permute(1, 2, 0) * 255).round().to("cpu", torch.uint8).numpy())


def letterbox(picture: Pictures.Image, side: int) -> Pictures.Image:
    """The whole picture, its aspect kept, centred in a white square of side x side pixels."""
    # PIL rounds the short side of a very thin picture to zero and fails: it gets one pixel of the square first.
    least = math.ceil(max(picture.size) / side)
    w, h = (max(length, least) for length in picture.size)
    return ImageOps.pad(picture.resize((w, h)), (side, side), Pictures.Resampling.BICUBIC, color="white")


def pixel_values(pictures: Sequence[Pictures.Image], spec: EncoderSpec, model: Any) -> Float[Tensor, "b 3 s s"]:
    """Square pictures of one size as an encoder takes them, on its device and in its dtype."""
    from transformers import SiglipImageProcessorPil

    # SigLIP's processor serves every encoder: without resizing it does nothing but normalise.
    processor = SiglipImageProcessorPil(do_resize=False, image_mean=spec.mean, image_std=spec.std)
    return processor(list(pictures), return_tensors="pt")["pixel_values"].to(model.device, model.dtype)
