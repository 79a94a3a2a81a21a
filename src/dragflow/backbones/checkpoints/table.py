"""Which networks there are, and by which tensors a file of each is known: names and shapes, one table for all of them.

A name may have alternatives, as in "img_in.weight|x_embedder.weight": of the original layout, and of diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["transformer", "text encoder", "autoencoder"]
Layout = Literal["original", "diffusers", "transformers", "llama.cpp", "OpenCLIP"]
Sizes = tuple[tuple[str, int, int], ...]
"""Name of a tensor, axis, and size along it."""

PREFIXES: Mapping[str, str] = {
    "model.diffusion_model.": "",
    "diffusion_model.": "",
    "first_stage_model.": "vae.",
    "vae.": "vae.",
    "text_encoders.clip_l.transformer.": "clip_l.",
    "text_encoders.clip_g.transformer.": "clip_g.",
    "text_encoders.t5xxl.transformer.": "t5xxl.",
    "text_encoders.qwen3_4b.transformer.": "qwen3.",
    "text_encoders.qwen3_8b.transformer.": "qwen3.",
    "text_encoders.qwen25_7b.transformer.": "qwen25.",
    "text_encoders.mistral3_24b.transformer.": "mistral.",
}
"""How tensors' names begin in ComfyUI's files, and the network that they belong to; "" is the transformer."""


@dataclass(frozen=True)
class Variant:
    """A variant of a network, known by what others do not have."""

    name: str
    sizes: Sizes = ()
    blocks: tuple[tuple[str, int], ...] = ()
    """Name before a block's number, and how many blocks there are."""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    """Classes of the pipelines of diffusers that have such a transformer, the usual one first; none: not supported."""
    needs: Mapping[str, str] | None = None
    """Part of a pipeline to the network that it is, where it is not the family's."""
    config: Mapping[str, object] = field(default_factory=dict[str, object])
    """What it says of the transformer's configuration."""
    published: tuple[str, ...] = ()
    """Hub ids of weights whose other parts it can have; none: all of its family."""


@dataclass(frozen=True)
class Network:
    """A network that a file may hold."""

    kind: Kind
    title: str
    signatures: Mapping[Layout, tuple[str, ...]]
    """Names of tensors of which a file in this layout has all."""
    variants: tuple[Variant, ...]
    """In the order in which they are tried; the first that fits is taken. One of a size that is not known counts as the
    last one whose names it has."""
    without: tuple[str, ...] = ()
    """Names of which it has none."""
    sizes: Sizes = ()
    """What must be so for it to be this network."""
    needs: Mapping[str, str] | None = None
    """Of a transformer: part of a pipeline to the name of the network."""
    supply: str = ""
    """Where it usually comes from."""
    shared: bool = False
    """Whether two models have networks of these tensors with other weights."""


_KONTEXT = "dev, or a fine-tune of it, or Kontext, which has the same tensors"
_IN = "img_in.weight|x_embedder.weight"
_DOUBLE, _SINGLE = "double_blocks.|transformer_blocks.", "single_blocks.|single_transformer_blocks."
_JOINT = "joint_blocks.|transformer_blocks."
_GUIDANCE1 = "guidance_in.in_layer.weight|time_text_embed.guidance_embedder.linear_1.weight"
_GUIDANCE2 = "guidance_in.in_layer.weight|time_guidance_embed.guidance_embedder.linear_1.weight"

TRANSFORMERS: Mapping[str, Network] = {
    "flux1": Network(
        "transformer",
        "FLUX.1",
        {
            "original": (
                "double_blocks.0.img_attn.qkv.weight",
                "single_blocks.0.linear1.weight",
                "vector_in.in_layer.weight",
            ),
            "diffusers": (
                "transformer_blocks.0.attn.add_k_proj.weight",
                "single_transformer_blocks.0.proj_mlp.weight",
                "time_text_embed.text_embedder.linear_1.weight",
            ),
        },
        (
            Variant("Fill", ((_IN, 1, 384),), pipelines=("FluxFillPipeline",), config={"guidance_embeds": True}),
            Variant("Canny or Depth", ((_IN, 1, 128),)),
            Variant(
                _KONTEXT,
                ((_IN, 1, 64),),
                has=(_GUIDANCE1,),
                published=("black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-Krea-dev"),
                pipelines=("FluxPipeline", "FluxKontextPipeline"),
                config={"guidance_embeds": True},
            ),
            Variant(
                "schnell, or a fine-tune of it",
                ((_IN, 1, 64),),
                lacks=(_GUIDANCE1,),
                published=("black-forest-labs/FLUX.1-schnell",),
                pipelines=("FluxPipeline",),
                config={"guidance_embeds": False},
            ),
        ),
        without=("txt_in.individual_token_refiner.blocks.0.norm1.weight", "distilled_guidance_layer.in_proj.weight"),
        needs={"text_encoder": "clip-l", "text_encoder_2": "t5-xxl", "vae": "vae-16"},
        supply="black-forest-labs/FLUX.1-dev or FLUX.1-schnell (gated)",
    ),
    "flux2": Network(
        "transformer",
        "FLUX.2",
        {
            "original": ("double_stream_modulation_img.lin.weight", "single_blocks.0.linear1.weight"),
            "diffusers": (
                "double_stream_modulation_img.linear.weight",
                "single_transformer_blocks.0.attn.to_qkv_mlp_proj.weight",
            ),
        },
        (
            Variant(
                "dev, or a fine-tune of it",
                ((_IN, 0, 6144),),
                ((_DOUBLE, 8), (_SINGLE, 48)),
                has=(_GUIDANCE2,),
                pipelines=("Flux2Pipeline",),
            ),
            Variant(
                "klein 9B",
                ((_IN, 0, 4096),),
                ((_DOUBLE, 8), (_SINGLE, 24)),
                lacks=(_GUIDANCE2,),
                pipelines=("Flux2KleinPipeline",),
                needs={"text_encoder": "qwen3-8b", "vae": "vae-flux2"},
                published=("black-forest-labs/FLUX.2-klein-9B", "black-forest-labs/FLUX.2-klein-base-9B"),
            ),
            Variant(
                "klein 4B",
                ((_IN, 0, 3072),),
                ((_DOUBLE, 5), (_SINGLE, 20)),
                lacks=(_GUIDANCE2,),
                pipelines=("Flux2KleinPipeline",),
                needs={"text_encoder": "qwen3-4b", "vae": "vae-flux2"},
                published=("black-forest-labs/FLUX.2-klein-4B", "black-forest-labs/FLUX.2-klein-base-4B"),
            ),
        ),
        needs={"text_encoder": "mistral-24b", "vae": "vae-flux2"},
        supply="black-forest-labs/FLUX.2-klein-4B, or FLUX.2-dev (gated)",
    ),
    "sd3": Network(
        "transformer",
        "Stable Diffusion 3",
        {
            "original": ("joint_blocks.0.context_block.attn.qkv.weight", "x_embedder.proj.weight"),
            "diffusers": ("transformer_blocks.0.attn.add_q_proj.weight", "pos_embed.proj.weight"),
        },
        (
            Variant(
                "3.5 medium",
                blocks=((_JOINT, 24),),
                has=("joint_blocks.0.x_block.attn2.qkv.weight|transformer_blocks.0.attn2.to_q.weight",),
                pipelines=("StableDiffusion3Pipeline",),
            ),
            Variant("3.5 large", blocks=((_JOINT, 38),), pipelines=("StableDiffusion3Pipeline",)),
            Variant("3 medium", blocks=((_JOINT, 24),), pipelines=("StableDiffusion3Pipeline",)),
        ),
        needs={"text_encoder": "clip-l", "text_encoder_2": "clip-g", "text_encoder_3": "t5-xxl", "vae": "vae-16"},
        supply="stabilityai/stable-diffusion-3.5-medium (gated)",
    ),
    "z-image": Network(
        "transformer",
        "Z-Image",
        {
            "original": (
                "layers.0.attention.qkv.weight",
                "layers.0.adaLN_modulation.0.weight",
                "cap_embedder.1.weight",
            ),
            "diffusers": ("layers.0.attention.to_q.weight", "all_x_embedder.2-1.weight", "cap_embedder.1.weight"),
        },
        (
            Variant("Omni", has=("siglip_embedder.1.weight",)),
            Variant(
                "base or Turbo, which have the same tensors", blocks=(("layers.", 30),), pipelines=("ZImagePipeline",)
            ),
        ),
        needs={"text_encoder": "qwen3-4b", "vae": "vae-16"},
        supply="Tongyi-MAI/Z-Image-Turbo",
    ),
    "qwen-image": Network(
        "transformer",
        "Qwen-Image",
        {
            "diffusers": (
                "transformer_blocks.0.img_mod.1.weight",
                "transformer_blocks.0.attn.add_k_proj.weight",
                "txt_norm.weight",
            )
        },
        (
            Variant("Layered", has=("time_text_embed.addition_t_embedding.weight",)),
            Variant(
                "Qwen-Image or Qwen-Image-Edit, which have the same tensors",
                blocks=(("transformer_blocks.", 60),),
                pipelines=("QwenImagePipeline", "QwenImageEditPipeline", "QwenImageEditPlusPipeline"),
            ),
        ),
        needs={"text_encoder": "qwen2.5-vl-7b", "vae": "vae-qwen"},
        supply="Qwen/Qwen-Image",
    ),
}
"""Families, by the names that `BackboneSpec.family` has."""

_CLIP: Mapping[Layout, tuple[str, ...]] = {
    "transformers": (
        "text_model.encoder.layers.0.mlp.fc1.weight|encoder.layers.0.mlp.fc1.weight",
        "text_model.embeddings.token_embedding.weight|embeddings.token_embedding.weight",
    ),
    "OpenCLIP": ("transformer.resblocks.0.attn.in_proj_weight", "token_embedding.weight"),
}
_TOKEN = "text_model.embeddings.token_embedding.weight|embeddings.token_embedding.weight|token_embedding.weight"
_T5 = "shared.weight|token_embd.weight"
_WORDS = (
    "embed_tokens.weight|model.embed_tokens.weight|language_model.model.embed_tokens.weight"
    "|model.language_model.embed_tokens.weight"
)
_LLM: Mapping[Layout, tuple[str, ...]] = {
    "transformers": (
        "layers.0.self_attn.q_proj.weight|model.layers.0.self_attn.q_proj.weight"
        "|language_model.model.layers.0.self_attn.q_proj.weight|model.language_model.layers.0.self_attn.q_proj.weight",
    )
}
_Q_NORM = "layers.0.self_attn.q_norm.weight|model.layers.0.self_attn.q_norm.weight"
_VISION = "visual.blocks.0.attn.qkv.weight|model.visual.blocks.0.attn.qkv.weight"
KL: Mapping[Layout, tuple[str, ...]] = {
    "original": ("decoder.up.0.block.0.conv1.weight", "decoder.conv_in.weight"),
    "diffusers": (
        "decoder.up_blocks.0.resnets.0.conv1.weight",
        "decoder.conv_in.weight",
        "decoder.conv_norm_out.weight",
    ),
}

OTHERS: Mapping[str, Network] = {
    "clip-g": Network(
        "text encoder",
        "CLIP-G",
        _CLIP,
        (Variant("CLIP-G", ((_TOKEN, 1, 1280),)),),
        sizes=((_TOKEN, 1, 1280),),
        supply="clip_g.safetensors, as in Comfy-Org/stable-diffusion-3.5-fp8",
    ),
    "clip-l": Network(
        "text encoder",
        "CLIP-L",
        _CLIP,
        (Variant("CLIP-L", ((_TOKEN, 1, 768),)),),
        without=("text_model.encoder.layers.12.mlp.fc1.weight|encoder.layers.12.mlp.fc1.weight",),
        supply="clip_l.safetensors, as in comfyanonymous/flux_text_encoders",
    ),
    "t5-xxl": Network(
        "text encoder",
        "T5",
        {
            "transformers": ("encoder.block.0.layer.0.SelfAttention.q.weight", "encoder.final_layer_norm.weight"),
            "llama.cpp": ("enc.blk.0.attn_q.weight", "enc.output_norm.weight"),
        },
        (Variant("v1.1 XXL", ((_T5, 1, 4096),)),),
        without=("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight",),
        supply="t5xxl_fp16.safetensors, as in comfyanonymous/flux_text_encoders",
    ),
    "qwen2.5-vl-7b": Network(
        "text encoder",
        "Qwen2.5-VL",
        {
            "transformers": (
                *_LLM["transformers"],
                _VISION,
                "model.layers.0.self_attn.q_proj.bias"
                "|language_model.model.layers.0.self_attn.q_proj.bias|model.language_model.layers.0.self_attn.q_proj.bias",
            )
        },
        (Variant("7B", ((_WORDS, 1, 3584),)), Variant("3B", ((_WORDS, 1, 2048),))),
        supply="qwen_2.5_vl_7b.safetensors, as in Comfy-Org/Qwen-Image_ComfyUI",
    ),
    "qwen3-8b": Network(
        "text encoder",
        "Qwen3",
        _LLM,
        (Variant("8B", ((_WORDS, 1, 4096),)),),
        without=(_VISION,),
        sizes=((_Q_NORM, 0, 128), (_WORDS, 1, 4096)),
        supply="the text_encoder folder of black-forest-labs/FLUX.2-klein-9B",
    ),
    "qwen3-4b": Network(
        "text encoder",
        "Qwen3",
        {"transformers": (*_LLM["transformers"], _Q_NORM)},
        (Variant("4B", ((_WORDS, 1, 2560),)),),
        without=(_VISION,),
        supply="qwen_3_4b.safetensors, as in Comfy-Org/z_image_turbo",
    ),
    "mistral-24b": Network(
        "text encoder",
        "Mistral",
        _LLM,
        (Variant("Small 3, 24B", ((_WORDS, 1, 5120),)),),
        without=(
            _VISION,
            _Q_NORM,
            "model.layers.0.self_attn.q_proj.bias",
            "model.layers.0.pre_feedforward_layernorm.weight",
        ),
        supply="mistral_3_small_flux2_bf16.safetensors, as in Comfy-Org/flux2-dev",
    ),
    "vae-flux2": Network(
        "autoencoder",
        "autoencoder of FLUX.2",
        {layout: (*marks, "bn.running_mean") for layout, marks in KL.items()},
        (Variant("32 channels", (("decoder.conv_in.weight", 1, 32),)),),
        supply="flux2-vae.safetensors, as in Comfy-Org/flux2-dev",
    ),
    "vae-16": Network(
        "autoencoder",
        "autoencoder of FLUX.1 or SD3, which have the same tensors",
        KL,
        (Variant("16 channels"),),
        without=("bn.running_mean",),
        sizes=(("decoder.conv_in.weight", 1, 16),),
        supply="ae.safetensors, as in Comfy-Org/z_image_turbo (FLUX.1's)",
        shared=True,
    ),
    "vae-qwen": Network(
        "autoencoder",
        "autoencoder of Qwen-Image or Wan 2.1, which have the same tensors",
        {
            "original": ("encoder.downsamples.0.residual.0.gamma", "decoder.middle.0.residual.0.gamma", "conv2.weight"),
            "diffusers": (
                "encoder.down_blocks.0.norm1.gamma",
                "decoder.mid_block.resnets.0.norm1.gamma",
                "post_quant_conv.weight",
            ),
        },
        (Variant("16 channels", (("conv2.weight|post_quant_conv.weight", 0, 16),)),),
        supply="qwen_image_vae.safetensors, as in Comfy-Org/Qwen-Image_ComfyUI",
        shared=True,
    ),
}
"""Text encoders and autoencoders."""

NETWORKS: Mapping[str, Network] = {**TRANSFORMERS, **OTHERS}
