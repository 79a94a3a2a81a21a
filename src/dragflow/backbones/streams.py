"""What flows from block to block of a transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor


class Stream(Protocol):
    """What flows from block to block."""

    @property
    def image(self) -> Float[Tensor, "b n d"]:
        """The image tokens alone, in row-major order on the token grid."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFirst:
    """A `Stream` whose image tokens come first."""

    grid: tuple[int, int]
    """Rows and columns of the image tokens."""
    tokens: Float[Tensor, "b n+r d"]
    """Of the image, and after them what else a family lets flow with them, as those of references."""

    @property
    def image_tokens(self) -> int:
        """How many tokens the image has."""
        return self.grid[0] * self.grid[1]

    @property
    def image(self) -> Float[Tensor, "b n d"]:
        """See `Stream.image`."""
        return self.tokens[:, : self.image_tokens]
