"""Adapters in their real layouts with small random weights, for the dummy model: everything runs, nothing is learnt."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dragflow.subject.instantcharacter.attention import SubjectAttention
from dragflow.subject.instantcharacter.projector import Projector, ProjectorSize
from dragflow.subject.ip_adapter import instantx, sd3
from dragflow.subject.resampler import ResamplerSize


def write_instantcharacter(path: Path, *, heads: int = 2, blocks: int = 9, tokens: int = 8, seed: int = 0) -> Path:
    """Save an adapter in InstantCharacter's layout, for a model with so many heads of size 32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = ProjectorSize(features=64, blocks=2, width=64, depth=2, tokens=tokens, out=48, frequencies=32)
        projector = Projector(size)
        nn.init.normal_(projector.resampler.latents)
        attentions = nn.ModuleList(SubjectAttention(32 * heads, 32, 48) for _ in range(blocks))
    return _save(path, {"image_proj": projector.state_dict(), "ip_adapter": attentions.state_dict()})


def write_ip_adapter(
    path: Path,
    *,
    inner: int = 64,
    doubles: int = 3,
    width: int = 32,
    embedding: int = 24,
    tokens: int = 4,
    seed: int = 0,
) -> Path:
    """Save an IP-adapter in XLabs' layout, under XLabs' names (.safetensors) or diffusers' (.bin).

    Args:
        path: of the file.
        inner: width of the model's attentions.
        doubles: double blocks of the model.
        width: of the model's text, which is that of a subject token.
        embedding: width of CLIP's embedding.
        tokens: how many; diffusers supports 4, and 16 of width 4096.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projection = nn.ModuleDict({"proj": nn.Linear(embedding, width * tokens), "norm": nn.LayerNorm(width)})
        token_kv = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(width, inner) for name in ("to_k_ip", "to_v_ip")}) for _ in range(doubles)
        )
    parts = {"image_proj": projection.state_dict(), "ip_adapter": token_kv.state_dict()}
    if path.suffix == ".bin":
        return _save(path, parts)
    xlabs_names = {"to_k_ip": "ip_adapter_double_stream_k_proj", "to_v_ip": "ip_adapter_double_stream_v_proj"}
    tensors = {f"ip_adapter_proj_model.{name}": x for name, x in parts["image_proj"].items()}
    for name, x in parts["ip_adapter"].items():
        block, layer, parameter = name.split(".")
        tensors[f"double_blocks.{block}.processor.{xlabs_names[layer]}.{parameter}"] = x
    save_file(tensors, path)
    return path


def write_instantx(
    path: Path,
    *,
    inner: int = 64,
    blocks: int = 9,
    width: int = 32,
    embedding: int = 32,
    tokens: int = 8,
    seed: int = 0,
) -> Path:
    """Save an IP-adapter in InstantX's layout.

    Args:
        path: of the file.
        inner: width of the model's attentions.
        blocks: of the model.
        width: of a subject token.
        embedding: width of SigLIP's embedding.
        tokens: how many.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = instantx.build(embedding, 2 * embedding, width, tokens, heads=(inner // 32, 32), blocks=blocks)
    return _save(path, {name: part.state_dict() for name, part in parts.items()})


def write_sd3_ip_adapter(
    path: Path, *, heads: int = 2, blocks: int = 7, embedding: int = 32, tokens: int = 8, seed: int = 0
) -> Path:
    """Save an IP-adapter in InstantX's layout for Stable Diffusion 3.5.

    Args:
        path: of the file.
        heads: of the model's attentions, each of size 32.
        blocks: of the model.
        embedding: width of SigLIP's patches.
        tokens: how many.
        seed: of the weights.
    """
    size = ResamplerSize(features=embedding, width=128, depth=4, tokens=tokens, out=32 * heads, frequencies=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = sd3.build(size, (heads, 32), blocks)
        for name, x in parts.named_parameters():
            if x.ndim == 1 or "latents" in name:  # norms begin at one, latents at zero
                nn.init.normal_(x, mean=float(x.detach().mean().round()), std=0.3)
    return _save(path, {name: part.state_dict() for name, part in parts.items()})


def write_clip(folder: Path, *, embedding: int = 24, side: int = 28) -> None:
    """Save a whole CLIP, text and vision."""
    from transformers import CLIPConfig, CLIPModel

    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = text | {"image_size": side, "patch_size": 14, "projection_dim": embedding}
    config = CLIPConfig(text_config=text | {"vocab_size": 64}, vision_config=vision, projection_dim=embedding)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(folder)


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


def _save(path: Path, parts: dict[str, dict[str, Tensor]]) -> Path:
    if path.suffix == ".bin":
        torch.save(parts, path)
    else:
        save_file({f"{part}.{name}": x for part, tensors in parts.items() for name, x in tensors.items()}, path)
    return path
