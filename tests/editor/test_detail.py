"""Giving back what encoding lost: exactly where the model kept the preview, not where it redrew it."""

from __future__ import annotations

import torch

from dragflow.editor.frames import as_size, with_detail

GENERATOR = torch.Generator().manual_seed(0)
PREVIEW = torch.rand(1, 3, 64, 64, generator=GENERATOR) * 0.6 + 0.2
ROUND_TRIP = torch.nn.functional.avg_pool2d(PREVIEW, 5, 1, 2)  # an autoencoder that blurs


def test_an_edit_that_changed_nothing_is_the_preview() -> None:
    assert torch.allclose(with_detail(ROUND_TRIP, ROUND_TRIP, PREVIEW), PREVIEW, atol=1e-6)


def test_what_the_model_redrew_is_the_models() -> None:
    redrawn = ROUND_TRIP.clone()
    redrawn[..., :32] = 1 - redrawn[..., :32] + 0.3
    result = with_detail(redrawn.clamp(0, 1), ROUND_TRIP, PREVIEW)
    assert torch.allclose(result[..., :28], redrawn.clamp(0, 1)[..., :28], atol=0.02)
    assert torch.allclose(result[..., 36:], PREVIEW[..., 36:], atol=1e-6)


def test_a_slight_change_of_light_keeps_the_detail() -> None:
    result = with_detail(ROUND_TRIP + 0.02, ROUND_TRIP, PREVIEW)
    assert float((result - PREVIEW - 0.02).abs().mean()) < 0.01


def test_detail_comes_back_at_the_size_of_the_preview() -> None:
    large = torch.rand(1, 3, 128, 192, generator=GENERATOR)
    small = as_size(large, (64, 96))
    assert torch.allclose(with_detail(small, small, large), large, atol=1e-6)
