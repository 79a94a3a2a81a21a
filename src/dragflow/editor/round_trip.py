"""A pixel preview as the model sees it, encoded and decoded once for all edits that draw the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dragflow.method.backbone import Backbone, Image, Latent


@dataclass(frozen=True, eq=False)
class RoundTrip:
    """A picture at the model's working size, and what encoding makes of it."""

    backbone: Backbone
    image: Image

    @cached_property
    def latent(self) -> Latent:
        """The picture encoded."""
        return self.backbone.encode(self.image)

    @cached_property
    def decoded(self) -> Image:
        """And decoded again, without the detail that is lost by that."""
        return self.backbone.decode(self.latent)
