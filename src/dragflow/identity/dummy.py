"""InstantCharacter of real layout with small random weights, for the dummy model: everything runs, nothing is kept."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from dragflow.identity.attention import IdentityAttention
from dragflow.identity.projector import Projector, ProjectorSize


def write_character(path: Path, *, heads: int = 2, blocks: int = 9, seed: int = 0) -> Path:
    """Save an adapter for a model of so many heads of 32 as the published checkpoint is laid out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projector = Projector(ProjectorSize(features=64, blocks=2, width=64, depth=2, tokens=8, out=48, frequencies=32))
        nn.init.normal_(projector.resampler.latents)
        attentions = nn.ModuleList(IdentityAttention(32 * heads, 32, 48) for _ in range(blocks))
    parts = {"image_proj": projector.state_dict(), "ip_adapter": attentions.state_dict()}
    if path.suffix == ".bin":
        torch.save(parts, path)
    else:
        save_file({f"{part}.{key}": x for part, tensors in parts.items() for key, x in tensors.items()}, path)
    return path


def write_encoders(folder: Path) -> None:
    """Save a whole SigLIP and a DINOv2, just deep enough."""
    from transformers import SiglipConfig, SiglipModel

    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = text | {"num_hidden_layers": 26, "image_size": 28, "patch_size": 14}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        SiglipModel(SiglipConfig(text_config=text | {"vocab_size": 64}, vision_config=vision)).save_pretrained(
            folder / "siglip"
        )
    write_dinov2(folder / "dinov2")


def write_dinov2(folder: Path, *, width: int = 32, layers: int = 29, patch: int = 14) -> None:
    """Save a DINOv2, by default just deep enough."""
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        mlp_ratio=1,
        image_size=3 * patch,
        patch_size=patch,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        Dinov2Model(config).save_pretrained(folder)
