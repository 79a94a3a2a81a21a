"""What the encoders of all adapters share: letterboxed pictures as a network takes them, loading, and offloading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image as Pictures
from torch import Tensor

from dragflow.backbones.parts import load_part
from dragflow.core.errors import UserError
from dragflow.method.backbone import Image

_PAPER = (255, 255, 255)
"""What fills the letterbox."""


@dataclass(frozen=True)
class Kind:
    """The facts of a kind of encoder."""

    name: str
    option: str
    """End of the option that names one, as in `subject.clip`."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """By which pixels in [0, 1] are normalised."""


def load_network(kind: Kind, cls: Any, model: str, device: torch.device, dtype: torch.dtype) -> Any:
    """An encoder in transformers layout, from a folder or by a hub id.

    Raises:
        UserError: it is missing, or another architecture.
    """
    is_hub_id = model.count("/") == 1 and not model.startswith((".", "~", "/"))
    if not (Path(model).is_dir() or is_hub_id):
        raise UserError(
            f"subject encoder {kind.name} is missing: {model} is neither a folder nor a hub id; give a {kind.name} in "
            f"transformers layout as `subject.{kind.option}`"
        )
    return load_part(cls, model, f"{kind.name} encoder", device, dtype=dtype)


def as_picture(image: Image) -> Pictures.Image:
    """An image (1, 3, H, W) in [0, 1] as 8-bit RGB."""
    return Pictures.fromarray((image[0].permute(1, 2, 0) * 255).round().to("cpu", torch.uint8).numpy())


def letterboxed(picture: Pictures.Image, side: int) -> Pictures.Image:
    """The whole of a picture in the middle of a white square, never squashed."""
    scale = side / max(picture.size)
    w, h = (max(1, round(length * scale)) for length in picture.size)
    square = Pictures.new("RGB", (side, side), _PAPER)
    square.paste(picture.resize((w, h), Pictures.Resampling.BICUBIC), ((side - w) // 2, (side - h) // 2))
    return square


def normalised(pictures: Sequence[Pictures.Image], kind: Kind, model: Any) -> Float[Tensor, "b 3 s s"]:
    """Square pictures of one size as an encoder takes them."""
    x = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).float() / 255
    x = (x - x.new_tensor(kind.mean)) / x.new_tensor(kind.std)
    return rearrange(x, "b h w c -> b c h w").to(model.device, model.dtype)
