"""Whether gradients reach the latent through a model."""

from __future__ import annotations

import torch

from dragflow.backbones.tensors import reason
from dragflow.core.errors import CapabilityError, DragFlowError
from dragflow.method.backbone import Backbone


def gradient_self_test(backbone: Backbone) -> None:
    """One tiny features-and-backward: the gradient must be finite and not zero.

    Raises:
        CapabilityError: it is not; no drag could work on this model.
    """
    spec = backbone.spec
    side = 2 * spec.pixel_multiple // spec.latent_stride
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, spec.latent_channels, side, side, generator=generator).to(backbone.device).requires_grad_(True)
    try:
        features = backbone.features(z, 0.8, backbone.condition("", guidance=1.0), taps=spec.taps)
    except (DragFlowError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # parts that load, but whose settings contradict each other, fail in any way
        raise CapabilityError(
            f"this model cannot be run ({reason(error)}): its parts do not fit each other; download or export it again"
        ) from error
    try:
        (gradient,) = torch.autograd.grad(torch.stack([f.float().square().mean() for f in features]).sum(), z)
        size = float(gradient.abs().max())
    except RuntimeError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise CapabilityError(
            f"gradients do not reach the latent through this model (largest: {size}): use another quantisation "
            "(int8, fp8, layerwise-fp8, gguf:FILE), or none"
        )
