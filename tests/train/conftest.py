"""A whole tiny model, to train adapters and bridges for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import TWO_HEADS, VAE

from dragflow.train import export, flow, state, vae


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole tiny model of real layout, as the training exports it."""
    out = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae, "evaluate", lambda *_: {})
        vae.train(VAE, state.Run(out, steps=2))
    flow.train(TWO_HEADS, state.Run(out, steps=2))
    folder = export.export(out, tmp_path_factory.mktemp("exported"), TWO_HEADS)
    # The last layer of so short a training gives next to nothing.
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    generator = torch.Generator().manual_seed(0)
    for name, x in tensors.items():
        if ".norm" in name or "norm_out" in name or "proj_out" in name:
            tensors[name] = x + 0.05 * torch.randn(x.shape, generator=generator).to(x)
    save_file(tensors, weights, metadata={"format": "pt"})
    return folder
