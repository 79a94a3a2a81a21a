"""What a bridge's velocity changes in pixels, on decoders whose answer is known."""

from __future__ import annotations

import torch
from torch import Tensor

from dragflow.ops.bridge import change, hints


def enlarged(z: Tensor) -> Tensor:
    """A linear decoder."""
    return z[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3)


def test_nothing_changes_where_the_velocity_is_zero_however_lossy_the_decoder() -> None:
    z = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    v = torch.zeros_like(z)
    v[..., 2:] = 1.0
    changed = change(lambda x: enlarged(x).round().sin(), z, v)
    assert (changed[..., :16] == 0).all()
    assert changed[..., 16:].abs().max() > 0.5


def test_a_linear_decoder_takes_away_what_the_velocity_says() -> None:
    z, v = torch.randn(2, 1, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(change(enlarged, z, v), -enlarged(v), atol=1e-6)


def test_hints_are_the_source_and_then_the_masks() -> None:
    source, masks = torch.ones(2, 4, 3, 5), torch.zeros(2, 3, 3, 5)
    told = hints(source, masks)
    assert told.shape == (2, 7, 3, 5)
    assert (told[:, :4] == 1).all()
    assert (told[:, 4:] == 0).all()
