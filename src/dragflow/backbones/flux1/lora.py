"""What the authors of FLUX.1, and XLabs, call the layers of its transformer; their LoRAs have these names."""

from __future__ import annotations

from dragflow.backbones.lora_names import Stacked

_DOUBLE, _SINGLE = "transformer_blocks.{}.", "single_transformer_blocks.{}."


_IMAGE, _TEXT = ("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj")
ATTENTIONS = {
    "double_blocks.{}.img_attn.qkv": Stacked(tuple(f"{_DOUBLE}attn.{each}" for each in _IMAGE)),
    "double_blocks.{}.txt_attn.qkv": Stacked(tuple(f"{_DOUBLE}attn.{each}" for each in _TEXT)),
    "double_blocks.{}.img_attn.proj": Stacked.of(f"{_DOUBLE}attn.to_out.0"),
    "double_blocks.{}.txt_attn.proj": Stacked.of(f"{_DOUBLE}attn.to_add_out"),
}
"""Of blocks with two streams, which later models of the same authors have, too."""
_QKV = tuple(f"{_SINGLE}attn.to_{each}" for each in "qkv")
_XLABS = {
    "double_blocks.{}.processor.qkv_lora1": ATTENTIONS["double_blocks.{}.img_attn.qkv"],
    "double_blocks.{}.processor.qkv_lora2": ATTENTIONS["double_blocks.{}.txt_attn.qkv"],
    "double_blocks.{}.processor.proj_lora1": ATTENTIONS["double_blocks.{}.img_attn.proj"],
    "double_blocks.{}.processor.proj_lora2": ATTENTIONS["double_blocks.{}.txt_attn.proj"],
    "single_blocks.{}.processor.qkv_lora": Stacked(_QKV),
    "single_blocks.{}.processor.proj_lora": Stacked.of(f"{_SINGLE}proj_out"),
}
LAYERS = {
    **ATTENTIONS,
    **_XLABS,
    **{
        f"double_blocks.{{}}.{name}": Stacked.of(f"{_DOUBLE}{layer}")
        for name, layer in {
            "img_mlp.0": "ff.net.0.proj",
            "img_mlp.2": "ff.net.2",
            "txt_mlp.0": "ff_context.net.0.proj",
            "txt_mlp.2": "ff_context.net.2",
            "img_mod.lin": "norm1.linear",
            "txt_mod.lin": "norm1_context.linear",
        }.items()
    },
    "single_blocks.{}.linear1": Stacked((*_QKV, f"{_SINGLE}proj_mlp")),
    "single_blocks.{}.linear2": Stacked.of(f"{_SINGLE}proj_out"),
    "single_blocks.{}.modulation.lin": Stacked.of(f"{_SINGLE}norm.linear"),
    **{
        f"{name}_in.{layer}_layer": Stacked.of(f"time_text_embed.{embedder}_embedder.linear_{number}")
        for name, embedder in {"time": "timestep", "vector": "text", "guidance": "guidance"}.items()
        for number, layer in enumerate(("in", "out"), 1)
    },
    "img_in": Stacked.of("x_embedder"),
    "txt_in": Stacked.of("context_embedder"),
    "final_layer.linear": Stacked.of("proj_out"),
    "final_layer.adaLN_modulation.1": Stacked.of("norm_out.linear", swapped=True),
}
"""The authors' name of a layer, or XLabs' of its LoRA, to those of diffusers."""
