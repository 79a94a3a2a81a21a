"""What the authors of FLUX.1, and XLabs, call the layers of its transformer; their LoRAs have these names."""

from __future__ import annotations

from collections.abc import Iterator

from dragflow.backbones.lora_names import Stacked

_DOUBLE, _SINGLE = "transformer_blocks.{}.", "single_transformer_blocks.{}."


def _attention(name: str, qkv: tuple[str, str, str], out: str) -> Iterator[tuple[str, Stacked]]:
    stacked = Stacked(tuple(f"{_DOUBLE}attn.{each}" for each in qkv))
    yield f"double_blocks.{{}}.{name}_attn.qkv", stacked
    yield f"double_blocks.{{}}.{name}_attn.proj", Stacked.of(f"{_DOUBLE}attn.{out}")
    number = 1 if name == "img" else 2
    yield f"double_blocks.{{}}.processor.qkv_lora{number}", stacked
    yield f"double_blocks.{{}}.processor.proj_lora{number}", Stacked.of(f"{_DOUBLE}attn.{out}")


_QKV = tuple(f"{_SINGLE}attn.to_{each}" for each in "qkv")
LAYERS = {
    **dict(_attention("img", ("to_q", "to_k", "to_v"), "to_out.0")),
    **dict(_attention("txt", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out")),
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
    "single_blocks.{}.processor.qkv_lora": Stacked(_QKV),
    "single_blocks.{}.processor.proj_lora": Stacked.of(f"{_SINGLE}proj_out"),
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
