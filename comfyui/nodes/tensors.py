"""ComfyUI's tensors to arrays and back.

An IMAGE is (B, H, W, C), floats of 0 to 1, C being 3, or 4 with alpha, 1 where it is opaque. A MASK is (B, H, W), 1
where it is masked: "Load Image" gives 1 minus the alpha of a PNG, so that what was painted in the MaskEditor, which
makes the file transparent there, is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Picture = NDArray[np.uint8]
    """(H, W, 3 or 4)."""
    Mask = NDArray[np.bool_]
    """(H, W)."""


def pictures(image: Tensor) -> list[Picture]:
    """The pictures of an IMAGE; one channel is grey."""
    import numpy as np

    values = np.asarray(image.detach().cpu().float())
    eight = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return list(np.repeat(eight, 3, axis=-1) if eight.shape[-1] == 1 else eight)


def image(pictures: Sequence[Picture]) -> Tensor:
    """An IMAGE of pictures of one size and number of channels."""
    import numpy as np
    import torch

    return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255)


def masks(mask: Tensor, threshold: float) -> list[Mask]:
    """What is masked at a threshold or above, in each MASK."""
    import numpy as np

    values = np.asarray(mask.detach().cpu().float())
    return list((values if values.ndim == 3 else values[None]) >= threshold)


def mask(masks: Sequence[Any]) -> Tensor:
    """A MASK that is 1 where arrays (H, W) are True."""
    import numpy as np
    import torch

    return torch.from_numpy(np.stack(masks).astype(np.float32))
