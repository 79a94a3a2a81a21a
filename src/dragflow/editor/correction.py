"""The pixel preview as a model's bridge corrects it: preview + decode(P - v) - decode(P) (`dragflow.ops.bridge`)."""

from __future__ import annotations

import torch

from dragflow.core.arrays import Pixels
from dragflow.core.config import EditConfig
from dragflow.core.errors import CapabilityError
from dragflow.core.task import DragTask
from dragflow.editor import frames
from dragflow.method.backbone import Backbone, Bridge, Latent
from dragflow.ops.bridge import change, distinct
from dragflow.ops.masks import coverage
from dragflow.pixels.preview import places


@torch.no_grad()
def corrected(backbone: Backbone, task: DragTask, source: Latent, preview: Pixels, config: EditConfig) -> Pixels:
    """A preview (H, W, 3) with what the model's bridge changes in it.

    Args:
        backbone: the model.
        task: on what the model sees.
        source: latent of the same.
        preview: of the same.
        config: the size at which the model works, and how far changes fade at the rim of the area.

    Raises:
        CapabilityError: the model has no bridge.
    """
    bridge = bridge_of(backbone)
    z = backbone.encode(frames.as_seen(preview, backbone.spec, config.size.max_pixels))
    told = [coverage(torch.tensor(place).to(backbone.device), (z.shape[-2], z.shape[-1])) for place in places(task)]
    v = bridge(z, source, torch.stack(told)[None])
    return frames.with_change(task, preview, distinct(change(backbone.decode, z, v)), config)


def bridge_of(backbone: Backbone) -> Bridge:
    """The bridge of a model.

    Raises:
        CapabilityError: it has none.
    """
    if backbone.bridge is None:
        raise CapabilityError(
            f"start.mode is bridge, and model {backbone.weights.options.name} has no bridge: give `bridge` a file that "
            "was trained for it, or choose another preset"
        )
    return backbone.bridge
