"""What a model's file looks like that is not supported, by tensors that it has."""

from __future__ import annotations

from dragflow.backbones.checkpoints.table import KL, Sizes

_ATTN2 = "transformer_blocks.0.attn2.to_k.weight"
_UNET = f"input_blocks.1.1.{_ATTN2}|down_blocks.0.attentions.0.{_ATTN2}"

LOOKALIKES: tuple[tuple[str, tuple[str, ...], Sizes], ...] = (
    ("Stable Diffusion 1", (_UNET,), ((_UNET, 1, 768),)),
    ("Stable Diffusion 2", (_UNET,), ((_UNET, 1, 1024),)),
    ("Stable Diffusion XL", (f"input_blocks.4.1.{_ATTN2}|down_blocks.1.attentions.0.{_ATTN2}",), ()),
    ("a UNet of Stable Diffusion", ("input_blocks.0.0.weight|down_blocks.0.resnets.0.time_emb_proj.weight",), ()),
    ("Chroma", ("distilled_guidance_layer.in_proj.weight",), ()),
    (
        "HunyuanVideo",
        (
            "txt_in.individual_token_refiner.blocks.0.norm1.weight|context_embedder.token_refiner.refiner_blocks.0.norm1.weight",
        ),
        (),
    ),
    ("Wan", ("blocks.0.cross_attn.norm_k.weight|blocks.0.attn2.norm_k.weight",), ()),
    ("AuraFlow", ("double_layers.0.attn.w1q.weight|joint_transformer_blocks.0.attn.add_k_proj.weight",), ()),
    ("LTX-Video", ("patchify_proj.weight",), ()),
    ("Mochi", ("blocks.0.attn.qkv_x.weight",), ()),
    ("HiDream", ("double_stream_blocks.0.block.adaLN_modulation.1.bias",), ()),
    ("Sana", ("blocks.0.cross_attn.q_linear.weight",), ()),
    ("Cosmos", ("net.x_embedder.proj.1.weight",), ()),
    ("Lumina 2", ("layers.0.adaLN_modulation.1.weight", "cap_embedder.0.weight"), ()),
    ("Stable Cascade", ("clip_txt_mapper.weight|clip_mapper.weight",), ()),
    ("UMT5, the text encoder of Wan", ("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight",), ()),
    ("an autoencoder of Stable Diffusion 1 or XL", KL["original"], (("decoder.conv_in.weight", 1, 4),)),
    ("an autoencoder of Stable Diffusion 1 or XL", KL["diffusers"], (("decoder.conv_in.weight", 1, 4),)),
    (
        "a ControlNet",
        ("controlnet_x_embedder.weight|controlnet_blocks.0.weight|control_model.time_embed.0.weight",),
        (),
    ),
    ("a ControlNet", ("controlnet_cond_embedding.conv_in.weight|control_all_x_embedder.2-1.weight",), ()),
    ("FLUX.1 Redux", ("redux_up.weight",), ()),
    ("a vision encoder", ("vision_model.encoder.layers.0.mlp.fc1.weight",), ()),
    ("Gemma", ("model.layers.0.pre_feedforward_layernorm.weight",), ()),
    ("a language model for llama.cpp", ("blk.0.attn_q.weight",), ()),
)
"""What a file looks like that is none of these, tried in this order: its name, tensors that it has, and their sizes."""

LORA = r"lora[._](A|B|up|down|mid)\b|\.lora\.|[._](lokr|hada)_|\.b?oft_|dora_scale|lora_magnitude_vector"
"""What the name of a tensor of a LoRA has, of whatever kind."""
