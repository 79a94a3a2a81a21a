"""What a bridge's velocity changes in pixels, on decoders whose answer is known."""

from __future__ import annotations

import torch
from torch import Tensor

from dragflow.ops.bridge import change, distinct, hints


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


def test_half_of_a_change_counts_where_it_is_as_large_as_faint_and_nearly_all_or_none_beyond() -> None:
    large = torch.full((1, 3, 9, 9), 0.02)
    assert torch.allclose(distinct(large, 0.02), large / 2)
    assert torch.allclose(distinct(10 * large, 0.02), 10 * large * 100 / 101)
    assert torch.allclose(distinct(large / 10, 0.02), large / 10 / 101)


def test_what_is_around_a_pixel_decides() -> None:
    change = torch.zeros(1, 3, 21, 21)
    change[..., 10, 10] = 0.5
    alone, among = distinct(change, 0.02), distinct(torch.full_like(change, 0.5), 0.02)
    assert float(alone[0, 0, 10, 10]) < 0.6 * float(among[0, 0, 10, 10])
    assert (alone == 0).sum() == change.numel() - 3
