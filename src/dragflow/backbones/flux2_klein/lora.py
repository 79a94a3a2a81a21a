"""What the authors of FLUX.2 call the layers of its transformer; LoRAs and files of models have these names."""

from __future__ import annotations

from dragflow.backbones.lora_names import Stacked

_DOUBLE, _SINGLE = "transformer_blocks.{}.", "single_transformer_blocks.{}."

LAYERS = {
    "double_blocks.{}.img_attn.qkv": Stacked(tuple(f"{_DOUBLE}attn.to_{each}" for each in "qkv")),
    "double_blocks.{}.txt_attn.qkv": Stacked(tuple(f"{_DOUBLE}attn.add_{each}_proj" for each in "qkv")),
    **{
        f"double_blocks.{{}}.{name}": Stacked.of(f"{_DOUBLE}{layer}")
        for name, layer in {
            "img_attn.proj": "attn.to_out.0",
            "txt_attn.proj": "attn.to_add_out",
            "img_mlp.0": "ff.linear_in",
            "img_mlp.2": "ff.linear_out",
            "txt_mlp.0": "ff_context.linear_in",
            "txt_mlp.2": "ff_context.linear_out",
        }.items()
    },
    "single_blocks.{}.linear1": Stacked.of(f"{_SINGLE}attn.to_qkv_mlp_proj"),
    "single_blocks.{}.linear2": Stacked.of(f"{_SINGLE}attn.to_out"),
    **{
        f"{name}_in.{layer}_layer": Stacked.of(f"time_guidance_embed.{embedder}_embedder.linear_{number}")
        for name, embedder in {"time": "timestep", "guidance": "guidance"}.items()
        for number, layer in enumerate(("in", "out"), 1)
    },
    **{
        f"{name}.lin": Stacked.of(f"{name}.linear")
        for name in ("double_stream_modulation_img", "double_stream_modulation_txt", "single_stream_modulation")
    },
    "img_in": Stacked.of("x_embedder"),
    "txt_in": Stacked.of("context_embedder"),
    "final_layer.linear": Stacked.of("proj_out"),
    "final_layer.adaLN_modulation.1": Stacked.of("norm_out.linear", swapped=True),
}
"""The authors' name of a layer to those of diffusers."""
