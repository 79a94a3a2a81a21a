"""Latent bridge matching with the pixel preview as its start: one model call from what was drawn to what is true.

At t = 1 the model gets the latent P of the preview instead of noise, and hints beside it; its velocity v is P less the
latent of the truth. Where it has nothing to say, v is zero and the preview's own pixels stay (Chadebec et al. 2025,
"LBM: Latent Bridge Matching").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Latent = Float[Tensor, "b c h w"]
Picture = Float[Tensor, "b 3 H W"]

MASKS = 3
"""Masks among the hints: the editable area, the regions, and where these go."""


def hints(source: Latent, masks: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
    """What the model is told beside the preview: the source's latent, and of each mask the share that it covers."""
    return torch.cat([source, masks], dim=1)


def change(decode: Callable[[Latent], Picture], preview: Latent, v: Latent) -> Picture:
    """What v changes in the preview's pixels: decode(P - v) - decode(P); zero where v is, however lossy the coding."""
    return decode(preview - v) - decode(preview)
