"""Latent bridge matching with the pixel preview as its start: one model call from what was drawn to what is true.

At t = 1 the model gets the latent P of the preview instead of noise, and hints beside it; its velocity v is P less the
latent of the truth. Where it has nothing to say, v is zero and the preview's own pixels stay (Chadebec et al. 2025,
"LBM: Latent Bridge Matching").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Latent = Float[Tensor, "b c h w"]
Picture = Float[Tensor, "b 3 H W"]

MASKS = 3
"""Masks among the hints: the editable area, the regions, and where these go."""
FAINT = 0.01
"""Change, of the way from black to white, at which half of it counts."""
_AROUND = 3
"""Radius in pixels of the surroundings whose mean decides."""


def hints(source: Latent, masks: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
    """What the model is told beside the preview: the source's latent, and of each mask the share that it covers."""
    return torch.cat([source, masks], dim=1)


def change(decode: Callable[[Latent], Picture], preview: Latent, v: Latent) -> Picture:
    """What v changes in the preview's pixels: decode(P - v) - decode(P); zero where v is, however lossy the coding."""
    return decode(preview - v) - decode(preview)


def distinct(change: Picture, faint: float = FAINT) -> Picture:
    """A change without what is faint, d m^2 / (m^2 + faint^2) where m is the mean size of d around a pixel.

    What is faint is wrong as often as right, and where the preview is right already it is all that there is.

    Args:
        change: of a picture.
        faint: in the picture's own units.
    """
    size = F.avg_pool2d(change.abs().mean(1, keepdim=True), 2 * _AROUND + 1, 1, _AROUND, count_include_pad=False)
    return change * size**2 / (size**2 + faint**2)
