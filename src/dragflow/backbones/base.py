"""What backbones on diffusers have beyond the protocol of the method: their parts, and gradients to their weights."""

from __future__ import annotations

from typing import Any, Protocol, cast

from jaxtyping import Float
from torch import Tensor

from dragflow.core.errors import CapabilityError
from dragflow.core.models import WeightsId
from dragflow.method.active import Active, CallRecord
from dragflow.method.backbone import Backbone, Conditioning, Image, KVControl, Latent


class DiffusersBackbone(Backbone, Protocol):
    """A backbone on a diffusers pipeline: LoRAs can be put on it and trained, adapters of diffusers read beside it."""

    @property
    def transformer(self) -> Any:
        """The diffusion transformer itself."""
        ...

    @property
    def pipeline(self) -> Any:
        """All parts together.

        Raises:
            CapabilityError: this backbone has a transformer only.
        """
        ...

    def flow(
        self,
        z: Latent,
        t: float | Float[Tensor, " b"],
        cond: Conditioning,
        *,
        kv: KVControl | None = None,
        active: Active | None = None,
        record: CallRecord | None = None,
    ) -> Latent:
        """`velocity` with gradients, for training; each latent of the batch may have a time of its own."""
        ...

    def decoded(self, z: Latent) -> Image:
        """`decode` with gradients, and with what is beyond [0, 1], for training; each of a batch is decoded."""
        ...

    def twin(self) -> DiffusersBackbone:
        """The same weights under the same lock in a transformer of its own, without a bridge.

        What is put on one of both, as a LoRA, is not on the other. Idle parts stay where they are.
        """
        ...

    def renamed(self, weights: WeightsId) -> DiffusersBackbone:
        """The same parts, whose weights are others now."""
        ...


def on_diffusers(backbone: Backbone, what: str) -> DiffusersBackbone:
    """The backbone with what it has beyond the protocol; `what` needs it, as in "a LoRA".

    Raises:
        CapabilityError: it is not one on diffusers.
    """
    needed = ("transformer", "pipeline", "flow", "decoded", "twin", "renamed")
    if not all(hasattr(type(backbone), name) for name in needed):
        raise CapabilityError(f"{what} needs a model on diffusers, and this one is of family {backbone.spec.family}")
    return cast("DiffusersBackbone", backbone)
