"""What flows from block to block of a transformer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragflow.method.active import KeysValues, TokenKind

Order = tuple[TokenKind, ...]
"""The kinds of tokens that an attention has, in its order."""
TEXT_FIRST: Order = ("text", "image", "after")
TEXT_LAST: Order = ("image", "after", "text")
NO_TEXT: Order = ("image", "after")
IMAGE: Order = ("image",)


class Attend(Protocol):
    """What becomes of an attention's keys and values; called twice it does the same."""

    def __call__(self, name: str, order: Order, keys_values: KeysValues) -> KeysValues: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFirst:
    """Tokens of the image, before all others but the text's, in row-major order on the token grid."""

    least_text: ClassVar[int] = 0
    """Text tokens without which the library's blocks do not run."""

    grid: tuple[int, int]
    """Rows and columns of the image's tokens."""
    tokens: Float[Tensor, "b n+r d"]
    """Of the image, and after them what else a family lets flow with them, as those of references."""
    text: Float[Tensor, "b m d"]
    """Of the text, where they are not among `tokens`."""
    inside: Int[Tensor, " n"] | None = None
    """Which of the image's tokens these are; None: all."""
    attend: Attend | None = None
    """What becomes of the attentions' keys and values."""

    @property
    def image_tokens(self) -> int:
        """How many tokens of the image flow."""
        return self.grid[0] * self.grid[1] if self.inside is None else len(self.inside)

    @property
    def image(self) -> Float[Tensor, "b n d"]:
        """The image tokens alone."""
        return self.tokens[:, : self.image_tokens]

    def only(self, tokens: Int[Tensor, " k"], text: slice) -> Self:
        """Some of `tokens` and of the text; a family narrows whatever else it has of each token."""
        return replace(self, tokens=self.tokens[:, tokens], text=self.text[:, text])

    def on_grid(self, image: Float[Tensor, "b n d"]) -> Float[Tensor, "b h*w d"]:
        """What was computed of the image's tokens at their places on the grid; zeros elsewhere."""
        if self.inside is None:
            return image
        whole = image.new_zeros(image.shape[0], self.grid[0] * self.grid[1], image.shape[2])
        return whole.index_copy(1, self.inside, image)


def text_first(
    rotary: tuple[Tensor, Tensor], count: int, tokens: Int[Tensor, " k"], text: slice
) -> tuple[Tensor, Tensor]:
    """Rotary embeddings of so many text tokens, then of all others, narrowed as `ImageFirst.only` narrows these."""
    kept = torch.cat([torch.arange(count, device=tokens.device)[text], tokens + count])
    return rotary[0][kept], rotary[1][kept]
