"""Files of models as other programs write them: public naming of tensors, headers without weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dragflow.backbones.configs import empty_network
from dragflow.backbones.tensors import Entry

COMFY = "model.diffusion_model."
"""What the names of a transformer begin with in ComfyUI's files."""


def entries_of(network: nn.Module, dtype: str = "BF16") -> dict[str, Entry]:
    """The header that a file of this network has."""
    return {name: Entry(tuple(x.shape), dtype) for name, x in network.state_dict().items()}


def full_size(cls: Any, config: Mapping[str, Any]) -> dict[str, Entry]:
    """The header of a file of a network of this configuration, of which nothing is made."""
    return entries_of(empty_network(cls, config))


def prefixed(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: x for name, x in tensors.items()}


def write_raw(path: Path, header: Any, data: bytes = b"") -> Path:
    """A safetensors file with this header, whatever that says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


_FLUX1_RENAMED = {
    "x_embedder.": "img_in.",
    "context_embedder.": "txt_in.",
    "time_text_embed.timestep_embedder.linear_1.": "time_in.in_layer.",
    "time_text_embed.timestep_embedder.linear_2.": "time_in.out_layer.",
    "time_text_embed.text_embedder.linear_1.": "vector_in.in_layer.",
    "time_text_embed.text_embedder.linear_2.": "vector_in.out_layer.",
    "time_text_embed.guidance_embedder.linear_1.": "guidance_in.in_layer.",
    "time_text_embed.guidance_embedder.linear_2.": "guidance_in.out_layer.",
    "proj_out.": "final_layer.linear.",
    "norm1.linear.": "img_mod.lin.",
    "norm1_context.linear.": "txt_mod.lin.",
    "attn.norm_q.weight": "img_attn.norm.query_norm.scale",
    "attn.norm_k.weight": "img_attn.norm.key_norm.scale",
    "attn.norm_added_q.weight": "txt_attn.norm.query_norm.scale",
    "attn.norm_added_k.weight": "txt_attn.norm.key_norm.scale",
    "attn.to_out.0.": "img_attn.proj.",
    "attn.to_add_out.": "txt_attn.proj.",
    "ff.net.0.proj.": "img_mlp.0.",
    "ff.net.2.": "img_mlp.2.",
    "ff_context.net.0.proj.": "txt_mlp.0.",
    "ff_context.net.2.": "txt_mlp.2.",
}
_FLUX1_SINGLE = {
    "norm.linear.": "modulation.lin.",
    "attn.norm_q.weight": "norm.query_norm.scale",
    "attn.norm_k.weight": "norm.key_norm.scale",
    "proj_out.": "linear2.",
}
_FLUX1_JOINED = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
}


def flux1_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a FLUX.1 transformer of diffusers as its authors name them."""
    found: dict[str, Tensor] = {}
    for name, x in tensors.items():
        match = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.*)", name)
        if match is None:
            if name.startswith("norm_out."):
                scale, shift = x.chunk(2)
                found[name.replace("norm_out.linear", "final_layer.adaLN_modulation.1")] = torch.cat([shift, scale])
            else:
                found[_renamed(name, _FLUX1_RENAMED)] = x
            continue
        block = f"{'single' if match[1] else 'double'}_blocks.{match[2]}."
        joined = ("linear1",) if match[1] else ("img_attn.qkv", "txt_attn.qkv")
        layer, _, kind = match[3].rpartition(".")
        whole = next((each for each in joined if layer in _FLUX1_JOINED[each]), None)
        if whole is None:
            found[block + _renamed(match[3], _FLUX1_SINGLE if match[1] else _FLUX1_RENAMED)] = x
        elif layer == _FLUX1_JOINED[whole][0]:
            place = name.removesuffix(f"{layer}.{kind}")
            found[f"{block}{whole}.{kind}"] = torch.cat(
                [tensors[f"{place}{each}.{kind}"] for each in _FLUX1_JOINED[whole]]
            )
    return found


def _renamed(name: str, names: Mapping[str, str]) -> str:
    return next((name.replace(old, new, 1) for old, new in names.items() if name.startswith(old)), name)


def first(names: Iterable[str], end: str) -> str:
    """The first name with this end."""
    return next(name for name in names if name.endswith(end))


def autoencoder_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an autoencoder of diffusers as the authors of latent diffusion name them."""
    stages = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("decoder.up_blocks."))
    found: dict[str, Tensor] = {}
    for name, x in tensors.items():
        new = re.sub(r"up_blocks\.(\d+)", lambda match: f"up.{stages - 1 - int(match[1])}", name)
        for old, theirs in (
            (r"down_blocks\.(\d+)", r"down.\1"),
            (r"mid_block\.resnets\.0", "mid.block_1"),
            (r"mid_block\.resnets\.1", "mid.block_2"),
            (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
            (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
            (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
            (r"resnets", "block"),
            (r"downsamplers\.0", "downsample"),
            (r"upsamplers\.0", "upsample"),
            (r"conv_shortcut", "nin_shortcut"),
            (r"conv_norm_out", "norm_out"),
        ):
            new = re.sub(old, theirs, new)
        found[new] = x[:, :, None, None] if ".attn_1." in new and x.ndim == 2 else x
    return found


def with_text_model(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a CLIP as older libraries, and ComfyUI, name them."""
    return {name if name.startswith("text_model.") else f"text_model.{name}": x for name, x in tensors.items()}


def scaled_fp8(tensors: Mapping[str, Tensor], name: str, blocks: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Matrices of layers in fp8 with scales of this name, and what they stand for.

    Args:
        tensors: of a network.
        name: last part of the name of a scale.
        blocks: what has a scale: a "tensor", a "row", a "block" of 64 x 64.
    """
    stored, exact = dict[str, Tensor](), dict[str, Tensor]()
    for key, x in tensors.items():
        if x.ndim != 2 or not key.endswith(".weight") or "shared" in key or "embed" in key:
            stored[key] = exact[key] = x.contiguous()
            continue
        rows, columns = {"tensor": x.shape, "row": (1, x.shape[1]), "block": (64, 64)}[blocks]
        grid = (-(-x.shape[0] // rows), -(-x.shape[1] // columns))
        scale = torch.empty(grid)
        for i in range(grid[0]):
            for j in range(grid[1]):
                part = x[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
                scale[i, j] = part.abs().max() / 448
        spread = scale.repeat_interleave(rows, 0)[: x.shape[0]].repeat_interleave(columns, 1)[:, : x.shape[1]]
        stored[key] = (x / spread).clamp(-448, 448).to(torch.float8_e4m3fn)
        stored[key.removesuffix("weight") + name] = scale.reshape(()) if blocks == "tensor" else scale
        exact[key] = stored[key].float() * spread
    return stored, exact


_NF4 = torch.tensor(
    [-1.0, -0.696, -0.525, -0.395, -0.284, -0.185, -0.091, 0.0, 0.08, 0.161, 0.246, 0.338, 0.441, 0.563, 0.723, 1.0]
)


def packed_nf4(tensors: Mapping[str, Tensor], size: int = 64) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Matrices of layers as bitsandbytes packs them, and what they stand for."""
    stored, exact = dict[str, Tensor](), dict[str, Tensor]()
    for key, x in tensors.items():
        if x.ndim != 2 or not key.endswith(".weight"):
            stored[key] = exact[key] = x.contiguous()
            continue
        blocks = x.reshape(-1, size)
        absmax = blocks.abs().amax(1)
        codes = torch.searchsorted((_NF4[1:] + _NF4[:-1]) / 2, blocks / absmax[:, None])
        state = {"quant_type": "nf4", "blocksize": size, "shape": list(x.shape), "dtype": "float32"}
        flat = codes.flatten()
        stored[key] = (flat[::2] << 4 | flat[1::2]).to(torch.uint8)[:, None]
        stored[f"{key}.absmax"], stored[f"{key}.quant_map"] = absmax, _NF4.clone()
        stored[f"{key}.quant_state.bitsandbytes__nf4"] = torch.tensor(
            list(json.dumps(state).encode()), dtype=torch.uint8
        )
        exact[key] = (_NF4[codes] * absmax[:, None]).reshape(x.shape)
    return stored, exact


def z_image_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a Z-Image transformer of diffusers as its authors name them, with a norm that is never used."""
    found: dict[str, Tensor] = {"norm_final.weight": tensors["layers.0.attention_norm1.weight"].clone()}
    for name, x in tensors.items():
        if name.endswith(("attention.to_k.weight", "attention.to_v.weight")):
            continue
        if name.endswith("attention.to_q.weight"):
            x = torch.cat([tensors[name.replace("to_q", f"to_{each}")] for each in "qkv"])
        new = re.sub(r"^all_(x_embedder|final_layer)\.2-1\.", r"\1.", name)
        new = new.replace("attention.to_q.", "attention.qkv.").replace("attention.to_out.0.", "attention.out.")
        found[re.sub(r"attention\.norm_([qk])\.", r"attention.\1_norm.", new)] = x
    return found


_FLUX2_RENAMED = {
    "ff.linear_in.": "img_mlp.0.",
    "ff.linear_out.": "img_mlp.2.",
    "ff_context.linear_in.": "txt_mlp.0.",
    "ff_context.linear_out.": "txt_mlp.2.",
    "time_guidance_embed.timestep_embedder.linear_1.": "time_in.in_layer.",
    "time_guidance_embed.timestep_embedder.linear_2.": "time_in.out_layer.",
    "time_guidance_embed.guidance_embedder.linear_1.": "guidance_in.in_layer.",
    "time_guidance_embed.guidance_embedder.linear_2.": "guidance_in.out_layer.",
    "double_stream_modulation_img.linear.": "double_stream_modulation_img.lin.",
    "double_stream_modulation_txt.linear.": "double_stream_modulation_txt.lin.",
    "single_stream_modulation.linear.": "single_stream_modulation.lin.",
    "attn.to_qkv_mlp_proj.": "linear1.",
    "attn.to_out.weight": "linear2.weight",
}


def flux2_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a FLUX.2 transformer of diffusers as its authors name them: much as those of FLUX.1."""
    renamed = {}
    for name, x in tensors.items():
        match = re.fullmatch(r"((?:single_)?transformer_blocks\.\d+\.)?(.*)", name)
        assert match is not None
        renamed[(match[1] or "") + _renamed(match[2], _FLUX2_RENAMED)] = x
    return flux1_original(renamed)


_SD3_RENAMED = {
    "pos_embed.proj.": "x_embedder.proj.",
    "pos_embed.pos_embed": "pos_embed",
    "time_text_embed.timestep_embedder.linear_1.": "t_embedder.mlp.0.",
    "time_text_embed.timestep_embedder.linear_2.": "t_embedder.mlp.2.",
    "time_text_embed.text_embedder.linear_1.": "y_embedder.mlp.0.",
    "time_text_embed.text_embedder.linear_2.": "y_embedder.mlp.2.",
    "norm_out.linear.": "final_layer.adaLN_modulation.1.",
    "proj_out.": "final_layer.linear.",
    "norm1.linear.": "x_block.adaLN_modulation.1.",
    "norm1_context.linear.": "context_block.adaLN_modulation.1.",
    "attn.norm_added_q.": "context_block.attn.ln_q.",
    "attn.norm_added_k.": "context_block.attn.ln_k.",
    "attn.norm_q.": "x_block.attn.ln_q.",
    "attn.norm_k.": "x_block.attn.ln_k.",
    "attn2.norm_q.": "x_block.attn2.ln_q.",
    "attn2.norm_k.": "x_block.attn2.ln_k.",
    "attn.to_out.0.": "x_block.attn.proj.",
    "attn2.to_out.0.": "x_block.attn2.proj.",
    "attn.to_add_out.": "context_block.attn.proj.",
    "ff.net.0.proj.": "x_block.mlp.fc1.",
    "ff.net.2.": "x_block.mlp.fc2.",
    "ff_context.net.0.proj.": "context_block.mlp.fc1.",
    "ff_context.net.2.": "context_block.mlp.fc2.",
}
_SD3_JOINED = {
    "attn.to_q": ("x_block.attn.qkv", ("attn.to_k", "attn.to_v")),
    "attn2.to_q": ("x_block.attn2.qkv", ("attn2.to_k", "attn2.to_v")),
    "attn.add_q_proj": ("context_block.attn.qkv", ("attn.add_k_proj", "attn.add_v_proj")),
}


def sd3_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a Stable Diffusion 3 transformer of diffusers as its authors name them."""
    found: dict[str, Tensor] = {}
    last = max(int(name.split(".")[1]) for name in tensors if name.startswith("transformer_blocks."))
    rest = {layer for _, layers in _SD3_JOINED.values() for layer in layers}
    for name, x in tensors.items():
        match = re.fullmatch(r"(transformer_blocks\.(\d+)\.)?(.*)\.(\w+)", name)
        assert match is not None
        layer, place = match[3], match[1] or ""
        block = f"joint_blocks.{match[2]}." if match[1] else ""
        if layer in rest:
            continue
        if layer in _SD3_JOINED:
            whole, others = _SD3_JOINED[layer]
            found[f"{block}{whole}.{match[4]}"] = torch.cat(
                [x, *(tensors[f"{place}{each}.{match[4]}"] for each in others)]
            )
            continue
        if layer == "norm_out.linear" or (layer == "norm1_context.linear" and int(match[2]) == last):
            scale, shift = x.chunk(2)
            x = torch.cat([shift, scale])
        found[block + _renamed(f"{layer}.{match[4]}", _SD3_RENAMED)] = x
    return found


def wan_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of Qwen-Image's autoencoder of diffusers as the authors of Wan name them."""
    stage = 1 + len({name.split(".")[4] for name in tensors if name.startswith("decoder.up_blocks.0.resnets.")})
    inside = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"}
    inside["conv_shortcut"] = "shortcut"
    outside = {"conv_in": "conv1", "norm_out": "head.0", "conv_out": "head.2"}
    found: dict[str, Tensor] = {}
    for name, x in tensors.items():
        words = name.split(".")
        if words[0] in ("quant_conv", "post_quant_conv"):
            found[f"{'conv1' if words[0] == 'quant_conv' else 'conv2'}.{words[1]}"] = x
            continue
        half, kind, *rest = words
        if kind in outside:
            place = outside[kind]
        elif kind == "mid_block":
            place = f"middle.{1 if rest[0] == 'attentions' else 2 * int(rest[1])}"
            rest = rest[2:]
        elif kind == "down_blocks":
            place, rest = f"downsamples.{rest[0]}", rest[1:]
        else:
            number = int(rest[2]) if rest[1] == "resnets" else stage - 1
            place, rest = f"upsamples.{stage * int(rest[0]) + number}", rest[3:]
        found[".".join([half, place, *(inside.get(word, word) for word in rest)])] = x
    return found


def mistral_of_comfyui(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ComfyUI's file of a Mistral 3 has: 30 layers without the norm after them, vision tower and tokenizer."""
    pruned = {name.removeprefix("language_model."): x for name, x in held.items()}
    gone = r"model\.layers\.(3\d)\.|model\.norm\.|lm_head\."
    pruned = {name: x for name, x in pruned.items() if not re.match(gone, name)}
    return pruned | {"tekken_model": torch.arange(9, dtype=torch.uint8)}
