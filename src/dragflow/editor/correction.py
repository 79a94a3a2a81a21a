"""The pixel preview as a model's bridge corrects it: preview + decode(P - v) - decode(P) (`dragflow.ops.bridge`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dragflow.core.arrays import Pixels
from dragflow.core.config import EditConfig
from dragflow.core.errors import CapabilityError
from dragflow.core.task import DragTask
from dragflow.editor import frames
from dragflow.method.backbone import Backbone, Bridge, Latent
from dragflow.ops.bridge import change, distinct
from dragflow.ops.masks import coverage
from dragflow.pixels.preview import places


@dataclass(frozen=True, eq=False)
class Preview:
    """A pixel preview of what the model sees, and what its bridge changes in it."""

    task: DragTask
    """On what the model sees."""
    drawn: Pixels
    """(H, W, 3), with holes that are smooth where nothing is known: what a model is told."""
    config: EditConfig
    textured: Pixels | None = None
    """The same as people see it, with texture in its holes; None where it is not asked for."""
    change: Float[Tensor, "1 3 h w"] | None = None
    """At the model's working size; None where no bridge is asked."""

    @cached_property
    def pixels(self) -> Pixels:
        """The preview (H, W, 3) as a drag begins with it."""
        return self._with_change(self.drawn)

    def on(self, source: NDArray[frames.Levels]) -> NDArray[frames.Levels]:
        """The preview as a result, in as many bits a channel as the source (H, W, 3) has that is given."""
        drawn = self.drawn if self.textured is None else self.textured
        return self._with_change(frames.deepened(drawn, self.task.image, source))

    def _with_change(self, drawn: NDArray[frames.Levels]) -> NDArray[frames.Levels]:
        return drawn if self.change is None else frames.with_change(self.task, drawn, self.change, self.config)


@torch.no_grad()
def bridged(backbone: Backbone, preview: Preview, source: Latent) -> Preview:
    """A preview with what the model's bridge changes in it.

    Args:
        backbone: the model.
        preview: as it was drawn.
        source: latent of what the model sees.

    Raises:
        CapabilityError: the model has no bridge.
    """
    task, config = preview.task, preview.config
    bridge = bridge_of(backbone)
    z = backbone.encode(frames.as_seen(preview.drawn, backbone.spec, config.size.max_pixels))
    told = [coverage(torch.tensor(place).to(backbone.device), (z.shape[-2], z.shape[-1])) for place in places(task)]
    v = bridge(z, source, torch.stack(told)[None])
    return replace(preview, change=distinct(change(backbone.decode, z, v)))


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
