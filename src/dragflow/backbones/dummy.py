"""A FLUX.1 pipeline of real layout with small random weights: everything runs on it, nothing is drawn well by it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from dragflow.files.cache import cache_folder

_VERSION = 1
"""Part of the cache's folder name; raise it when what is written below changes."""


def dummy_place() -> Path:
    """Where the dummy is in the user's cache, once it was written."""
    return cache_folder(f"dummy-{_VERSION}")


def dummy_folder() -> Path:
    """The dummy in the user's cache, written at the first call."""
    folder = dummy_place()
    root = folder.parent
    if not folder.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=root, prefix="dummy."))
        write_dummy(building)
        try:
            building.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(building)
    return folder


def write_dummy(
    folder: Path,
    *,
    doubles: int = 3,
    singles: int = 6,
    heads: int = 2,
    head_dim: int = 32,
    guidance: bool = True,
    shifted: bool = True,
    pipeline: Literal["FluxPipeline", "FluxKontextPipeline", "FluxFillPipeline"] = "FluxPipeline",
    seed: int = 0,
) -> Path:
    """Save a whole pipeline in diffusers layout, about 3 MB; the same arguments give the same weights."""
    import diffusers
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

    fills = pipeline == "FluxFillPipeline"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = FluxTransformer2DModel(
            in_channels=384 if fills else 64,
            out_channels=64 if fills else None,
            num_layers=doubles,
            num_single_layers=singles,
            attention_head_dim=head_dim,
            num_attention_heads=heads,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            guidance_embeds=guidance,
            axes_dims_rope=(head_dim // 4, 3 * head_dim // 8, 3 * head_dim // 8),
        )
        vae = small_vae()
        clip, clip_tokenizer = small_clip()
        t5, t5_tokenizer = small_t5()
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=3.0 if shifted else 1.0,
        use_dynamic_shifting=shifted,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
    getattr(diffusers, pipeline)(
        scheduler=scheduler,
        vae=vae,
        text_encoder=clip,
        tokenizer=clip_tokenizer,
        text_encoder_2=t5,
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def _alphabet() -> list[str]:
    return [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]


def small_vae(shift: float = 0.1159, scale: float = 0.3611) -> Any:
    """A random `AutoencoderKL` of FLUX.1's stages, a few channels wide.

    Args:
        shift: its shift_factor.
        scale: its scaling_factor.
    """
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        block_out_channels=(8, 16, 16, 16),  # pyright: ignore[reportArgumentType]
        latent_channels=16,
        norm_num_groups=4,
        layers_per_block=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=shift,
        scaling_factor=scale,
    )


def small_clip() -> tuple[Any, Any]:
    """A random CLIP of width 32, and its tokenizer of letters and digits."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    pieces = ["<|startoftext|>", "<|endoftext|>", *_alphabet(), *(f"{letter}</w>" for letter in _alphabet())]
    tokenizer = CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return CLIPTextModel(config), tokenizer


def small_t5(width: int = 32) -> tuple[Any, Any]:
    """A random T5 of this width, and its tokenizer of letters and digits."""
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in _alphabet())]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=64)
    config = T5Config(vocab_size=len(pieces), d_model=width, d_kv=16, d_ff=64, num_layers=1, num_heads=2)
    return T5EncoderModel(config), tokenizer
