"""What the authors of Stable Diffusion 3 call the layers of its transformer; kohya's LoRAs of it have these names."""

from __future__ import annotations

from dragflow.backbones.lora_names import Stacked

_OWN, _BLOCK = "joint_blocks.{}.", "transformer_blocks.{}."


def _attention(name: str, qkv: tuple[str, str, str], out: str) -> dict[str, Stacked]:
    return {
        f"{_OWN}{name}.qkv": Stacked(tuple(f"{_BLOCK}{each}" for each in qkv)),
        f"{_OWN}{name}.proj": Stacked.of(f"{_BLOCK}{out}"),
    }


LAYERS = {
    **_attention("x_block.attn", ("attn.to_q", "attn.to_k", "attn.to_v"), "attn.to_out.0"),
    **_attention("x_block.attn2", ("attn2.to_q", "attn2.to_k", "attn2.to_v"), "attn2.to_out.0"),
    **_attention("context_block.attn", ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), "attn.to_add_out"),
    **{
        f"{_OWN}{name}": Stacked.of(f"{_BLOCK}{layer}")
        for name, layer in {
            "x_block.mlp.fc1": "ff.net.0.proj",
            "x_block.mlp.fc2": "ff.net.2",
            "context_block.mlp.fc1": "ff_context.net.0.proj",
            "context_block.mlp.fc2": "ff_context.net.2",
            "x_block.adaLN_modulation.1": "norm1.linear",
        }.items()
    },
    # That of the last block has shift and scale alone, since its text goes no further.
    f"{_OWN}context_block.adaLN_modulation.1": Stacked.of(f"{_BLOCK}norm1_context.linear", swapped=True),
    "context_embedder": Stacked.of("context_embedder"),
    **{
        f"{name}_embedder.mlp.{2 * i}": Stacked.of(f"time_text_embed.{embedder}_embedder.linear_{i + 1}")
        for name, embedder in {"t": "timestep", "y": "text"}.items()
        for i in (0, 1)
    },
    "final_layer.linear": Stacked.of("proj_out"),
    "final_layer.adaLN_modulation.1": Stacked.of("norm_out.linear", swapped=True),
}
"""The authors' name of a layer to those of diffusers."""
