"""Small random models of FLUX.2, in the real classes and layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dragflow.backbones.flux2.layout import flat, image_ids, in_rows, text_ids
from small_flux import GRID, TIME
from small_mistral3 import mistral3, mistral3_tokenizer
from small_qwen3 import qwen3_config, qwen3_tokenizer


def write_flux2(folder: Path, *, distilled: bool = True, doubles: int = 3, singles: int = 6, seed: int = 0) -> Path:
    """Save a whole pipeline of klein, about 3 MB; the same arguments give the same weights."""
    import diffusers
    from transformers import Qwen3ForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = _networks(doubles, singles, guidance=False)
        tokenizer = qwen3_tokenizer()
        encoder = Qwen3ForCausalLM(qwen3_config(tokenizer, layers=28))
    diffusers.Flux2KleinPipeline(
        **networks, text_encoder=encoder, tokenizer=tokenizer, is_distilled=distilled
    ).save_pretrained(folder)
    return folder


def write_flux2_dev(folder: Path, *, guidance: bool = True, doubles: int = 3, singles: int = 6, seed: int = 0) -> Path:
    """Save a whole pipeline of dev, about 3 MB; the same arguments give the same weights."""
    import diffusers
    from transformers import PixtralImageProcessorPil

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = _networks(doubles, singles, guidance=guidance)
        tokenizer = mistral3_tokenizer()
        encoder = mistral3(tokenizer, layers=32)
    pipeline: Any = diffusers.Flux2Pipeline
    pipeline(**networks, text_encoder=encoder, tokenizer=None).save_pretrained(folder)
    # What `PixtralProcessor` saves, which cannot be made without torchvision.
    tokenizer.save_pretrained(folder / "tokenizer")
    PixtralImageProcessorPil().save_pretrained(folder / "tokenizer")
    index = folder / "model_index.json"
    entries = json.loads(index.read_text()) | {"tokenizer": ["transformers", "PixtralProcessor"]}
    index.write_text(json.dumps(entries))
    return folder


def _networks(doubles: int, singles: int, *, guidance: bool) -> dict[str, Any]:
    """What both have alike: transformer, autoencoder and scheduler."""
    import diffusers

    transformer = diffusers.Flux2Transformer2DModel(
        in_channels=16,
        num_layers=doubles,
        num_single_layers=singles,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=3 * 32,
        axes_dims_rope=(8, 8, 8, 8),
        guidance_embeds=guidance,
    )
    vae = diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 16, 16, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4
    )
    moments: Any = vae.bn
    moments.running_mean.normal_(0, 0.3)
    moments.running_var.uniform_(0.5, 2)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    return {"transformer": transformer, "vae": vae, "scheduler": scheduler}


def dev_pipeline(folder: Path) -> Any:
    """The library's own pipeline of a folder of dev, with the processor that it would have with torchvision."""
    import diffusers
    from transformers import AutoTokenizer, PixtralImageProcessorPil, ProcessorMixin

    pipe = diffusers.Flux2Pipeline.from_pretrained(folder, tokenizer=None)
    processor: Any = object.__new__(ProcessorMixin)  # `PixtralProcessor` itself cannot even be imported
    processor.image_processor = PixtralImageProcessorPil.from_pretrained(folder / "tokenizer")
    processor.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    processor.image_token, processor.chat_template = "[IMG]", processor.tokenizer.chat_template
    pipe.tokenizer = processor
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def diffusers_velocity(transformer: Any, z: Tensor, cond: Any) -> Tensor:
    """What diffusers' own forward pass of a transformer gives, without references."""
    out = transformer(
        hidden_states=flat(z),
        encoder_hidden_states=cond.text.tokens,
        timestep=torch.full((1,), TIME),
        guidance=None if cond.guidance is None else torch.full((1,), cond.guidance),
        img_ids=image_ids(*GRID, z.device),
        txt_ids=text_ids(cond.text.tokens.shape[1], z.device),
        return_dict=False,
    )[0]
    return in_rows(out, *GRID)
