"""What the authors of FLUX.2 call the layers of its transformer; LoRAs and files of models have these names."""

from __future__ import annotations

from dragflow.backbones.flux1.lora import ATTENTIONS
from dragflow.backbones.lora_names import Stacked

_DOUBLE, _SINGLE = "transformer_blocks.{}.", "single_transformer_blocks.{}."
_TIME = "time_guidance_embed."

LAYERS = {
    **ATTENTIONS,
    **{
        f"double_blocks.{{}}.{stream}_mlp.{number}": Stacked.of(f"{_DOUBLE}{ff}.linear_{end}")
        for stream, ff in {"img": "ff", "txt": "ff_context"}.items()
        for number, end in {0: "in", 2: "out"}.items()
    },
    "single_blocks.{}.linear1": Stacked.of(f"{_SINGLE}attn.to_qkv_mlp_proj"),
    "single_blocks.{}.linear2": Stacked.of(f"{_SINGLE}attn.to_out"),
    "double_stream_modulation_img.lin": Stacked.of("double_stream_modulation_img.linear"),
    "double_stream_modulation_txt.lin": Stacked.of("double_stream_modulation_txt.linear"),
    "single_stream_modulation.lin": Stacked.of("single_stream_modulation.linear"),
    "time_in.in_layer": Stacked.of(f"{_TIME}timestep_embedder.linear_1"),
    "time_in.out_layer": Stacked.of(f"{_TIME}timestep_embedder.linear_2"),
    "guidance_in.in_layer": Stacked.of(f"{_TIME}guidance_embedder.linear_1"),
    "guidance_in.out_layer": Stacked.of(f"{_TIME}guidance_embedder.linear_2"),
    "img_in": Stacked.of("x_embedder"),
    "txt_in": Stacked.of("context_embedder"),
    "final_layer.linear": Stacked.of("proj_out"),
    "final_layer.adaLN_modulation.1": Stacked.of("norm_out.linear", swapped=True),
}
"""The authors' name of a layer to those of diffusers."""
