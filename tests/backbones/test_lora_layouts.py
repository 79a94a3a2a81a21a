"""Namings of FLUX.1's LoRAs: each file is written here, at small width, and does what diffusers' own does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.lora import attach_loras
from dragflow.backbones.quiet import quiet_libraries
from dragflow.method.backbone import Backbone
from small_flux import TIME, latent, load

RANK, WIDTH = 4, 64
DOUBLES, SINGLES = 3, 6

BFL = {
    **{
        f"double_blocks.{i}.{name}": [f"transformer_blocks.{i}.{module}" for module in modules]
        for i in range(DOUBLES)
        for name, modules in {
            "img_attn.qkv": ["attn.to_q", "attn.to_k", "attn.to_v"],
            "txt_attn.qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
            "img_attn.proj": ["attn.to_out.0"],
            "txt_attn.proj": ["attn.to_add_out"],
            "img_mlp.0": ["ff.net.0.proj"],
            "img_mlp.2": ["ff.net.2"],
            "txt_mlp.0": ["ff_context.net.0.proj"],
            "txt_mlp.2": ["ff_context.net.2"],
            "img_mod.lin": ["norm1.linear"],
            "txt_mod.lin": ["norm1_context.linear"],
        }.items()
    },
    **{
        f"single_blocks.{i}.{name}": [f"single_transformer_blocks.{i}.{module}" for module in modules]
        for i in range(SINGLES)
        for name, modules in {
            "linear1": ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"],
            "linear2": ["proj_out"],
            "modulation.lin": ["norm.linear"],
        }.items()
    },
    "img_in": ["x_embedder"],
    "txt_in": ["context_embedder"],
    "time_in.in_layer": ["time_text_embed.timestep_embedder.linear_1"],
    "time_in.out_layer": ["time_text_embed.timestep_embedder.linear_2"],
    "vector_in.in_layer": ["time_text_embed.text_embedder.linear_1"],
    "vector_in.out_layer": ["time_text_embed.text_embedder.linear_2"],
    "guidance_in.in_layer": ["time_text_embed.guidance_embedder.linear_1"],
    "guidance_in.out_layer": ["time_text_embed.guidance_embedder.linear_2"],
    "final_layer.adaLN_modulation.1": ["norm_out.linear"],
    "final_layer.linear": ["proj_out"],
}
"""All linear layers of the small model as Black Forest Labs name them, and as diffusers does."""
XLABS = {
    "img_attn.qkv": "processor.qkv_lora1",
    "txt_attn.qkv": "processor.qkv_lora2",
    "img_attn.proj": "processor.proj_lora1",
    "txt_attn.proj": "processor.proj_lora2",
}

Pairs = dict[str, tuple[Tensor, Tensor]]
"""Both factors of layers."""


@pytest.fixture(scope="module")
def model(dummy_folder: Path) -> Flux1:
    return load(dummy_folder)


@pytest.fixture(scope="module")
def own(model: Flux1) -> Pairs:
    """A LoRA of all layers, in BFL's names."""
    draw, found = torch.Generator().manual_seed(1), Pairs()
    for name, modules in BFL.items():
        layers = [model.transformer.get_submodule(module) for module in modules]
        out = sum(layer.out_features for layer in layers)
        down = torch.randn(RANK, layers[0].in_features, generator=draw) / layers[0].in_features ** 0.5
        found[name] = down, 0.3 * torch.randn(out, RANK, generator=draw)
    return found


def diffusers_pairs(own: Pairs, model: Flux1) -> Pairs:
    """The same in the names of diffusers: stacked outputs apart, the halves of the last modulation swapped."""
    found = Pairs()
    for name, (down, up) in own.items():
        if "adaLN" in name:
            up = torch.cat(up.chunk(2)[::-1])
        sizes = [model.transformer.get_submodule(module).out_features for module in BFL[name]]
        found |= {module: (down, part) for module, part in zip(BFL[name], up.split(sizes), strict=True)}
    return found


def named(pairs: Pairs, spell: Callable[[str], str], ends: tuple[str, str] = ("lora_A", "lora_B")) -> dict[str, Tensor]:
    """Tensors of a file: both factors of each layer."""
    return {
        f"{spell(name)}.{end}.weight": x.clone()
        for name, both in pairs.items()
        for end, x in zip(ends, both, strict=True)
    }


DOWN_UP = ("lora_down", "lora_up")


def alphas(pairs: Pairs, spell: Callable[[str], str], alpha: float) -> dict[str, Tensor]:
    return {f"{spell(name)}.alpha": torch.tensor(alpha) for name in pairs}


def velocity(model: Backbone) -> Tensor:
    return model.velocity(latent(), TIME, model.condition("a cat", guidance=3.5))


def with_file(model: Flux1, file: Path, tensors: dict[str, Tensor], strength: str = "") -> Tensor:
    """The velocity with a LoRA, all of which is applied."""
    save_file(tensors, file)
    with attach_loras(model, [f"{file}{strength}"]) as on:
        return velocity(on)


def by_diffusers(folder: Path, file: Path) -> Tensor:
    """The velocity with a LoRA that diffusers itself has loaded."""
    from diffusers import FluxPipeline

    pipeline: Any = FluxPipeline.from_pretrained(folder)
    with quiet_libraries():
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="a")
    pipeline.transformer.eval()
    return velocity(Flux1(pipeline.transformer, pipeline))


def kohya(name: str) -> str:
    return "lora_unet_" + name.replace(".", "_")


def onetrainer(name: str) -> str:
    return "lora_transformer_" + name.replace(".", "_")


@pytest.fixture(scope="module")
def reference(model: Flux1, own: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """With that LoRA in the naming of diffusers."""
    file = tmp_path_factory.mktemp("reference") / "a.safetensors"
    return with_file(model, file, named(diffusers_pairs(own, model), "transformer.{}".format))


def test_diffusers_loads_the_same(
    dummy_folder: Path, own: Pairs, model: Flux1, reference: Tensor, tmp_path: Path
) -> None:
    save_file(named(diffusers_pairs(own, model), "transformer.{}".format), tmp_path / "a.safetensors")
    # Its tensors are mapped from the file: their alignment changes rounding.
    assert torch.allclose(by_diffusers(dummy_folder, tmp_path / "a.safetensors"), reference, rtol=0, atol=1e-5)
    assert not torch.allclose(velocity(model), reference, rtol=0.05)


LAYOUTS: dict[str, Callable[[Pairs, Pairs], dict[str, Tensor]]] = {
    "peft": lambda _, pairs: named(pairs, "base_model.model.{}".format),
    "peft, of an adapter": lambda _, pairs: named(
        pairs, "base_model.model.{}".format, ("lora_A.default", "lora_B.default")
    ),
    "bare": lambda _, pairs: named(pairs, str),
    "ai-toolkit": lambda _, pairs: named(pairs, "diffusion_model.{}".format),
    "diffusers, down and up": lambda _, pairs: named(pairs, "transformer.{}".format, DOWN_UP),
    "diffusers, old": lambda _, pairs: named(pairs, "transformer.{}".format, ("lora.down", "lora.up")),
    "onetrainer": lambda _, pairs: named(pairs, onetrainer, DOWN_UP) | alphas(pairs, onetrainer, RANK),
    "lycoris": lambda _, pairs: named(pairs, lambda x: onetrainer(x).replace("lora_transformer", "lycoris"), DOWN_UP),
    "kohya": lambda own, _: named(own, kohya, DOWN_UP) | alphas(own, kohya, RANK),
    "comfyui": lambda own, _: named(own, "diffusion_model.{}".format),
    "comfyui, down and up": lambda own, _: (
        named(own, "diffusion_model.{}".format, DOWN_UP) | alphas(own, "diffusion_model.{}".format, RANK)
    ),
    "comfyui, a whole model's": lambda own, _: named(own, "model.diffusion_model.{}".format),
    "bfl": lambda own, _: named(own, str),
    "fal": lambda own, _: named(own, "base_model.model.{}".format),
    "kohya and diffusers": lambda own, pairs: (
        named({"img_in": own["img_in"]}, kohya, DOWN_UP)
        | named({name: both for name, both in pairs.items() if name != "x_embedder"}, "transformer.{}".format)
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_naming_is_read(
    layout: str, own: Pairs, model: Flux1, reference: Tensor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = LAYOUTS[layout](own, diffusers_pairs(own, model))
    with caplog.at_level(logging.WARNING, logger="dragflow"):
        assert torch.equal(with_file(model, tmp_path / "a.safetensors", tensors), reference)
    assert "left out" not in caplog.text


def test_xlabs_names_the_attentions_alone(own: Pairs, model: Flux1, tmp_path: Path) -> None:
    some = {name: both for name, both in own.items() if "_attn." in name}
    spelled = {x: x for x in some}
    for end, theirs in XLABS.items():
        spelled |= {x: x.replace(end, theirs) for x in some if x.endswith(end)}
    single = {f"single_blocks.{i}.processor.proj_lora": own[f"single_blocks.{i}.linear2"] for i in range(SINGLES)}
    single_qkv = {
        f"single_blocks.{i}.processor.qkv_lora": (down, up[: 3 * WIDTH])
        for i in range(SINGLES)
        for down, up in [own[f"single_blocks.{i}.linear1"]]
    }
    xlabs = named(some, spelled.__getitem__, ("down", "up")) | named(single | single_qkv, str, ("down", "up"))
    pairs = diffusers_pairs(own, model)
    same = {
        name: both
        for name, both in pairs.items()
        if ".attn." in name or (name.startswith("single") and name.endswith("proj_out"))
    }
    found = with_file(model, tmp_path / "x.safetensors", xlabs)
    assert torch.equal(found, with_file(model, tmp_path / "d.safetensors", named(same, "transformer.{}".format)))


@pytest.mark.parametrize("layout", ["kohya", "onetrainer", "diffusers", "metadata", "peft"])
def test_alpha_over_rank_scales(layout: str, own: Pairs, model: Flux1, tmp_path: Path) -> None:
    """As a strength of 3 / 4 of the file without alpha."""
    pairs, file, spell = diffusers_pairs(own, model), tmp_path / "adapter_model.safetensors", "transformer.{}".format
    plain = with_file(model, tmp_path / "plain.safetensors", named(pairs, spell), ":0.75")
    if layout == "metadata":
        said = {"transformer.r": RANK, "transformer.lora_alpha": 3, "transformer.alpha_pattern": {"^to_k": 8}}
        save_file(named(pairs, spell), file, {"lora_adapter_metadata": json.dumps(said)})
    elif layout == "peft":
        (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 3}))
        save_file(named(pairs, "base_model.model.{}".format), file)
    elif layout == "kohya":
        save_file(named(own, kohya, DOWN_UP) | alphas(own, kohya, 3), file)
    elif layout == "onetrainer":
        save_file(named(pairs, onetrainer, DOWN_UP) | alphas(pairs, onetrainer, 3), file)
    else:
        save_file(named(pairs, spell) | alphas(pairs, spell, 3), file)
    with attach_loras(model, [str(file)]) as on:
        assert torch.equal(velocity(on), plain)


def test_alphas_of_single_layers_are_read(model: Flux1, own: Pairs, tmp_path: Path) -> None:
    """By the end of a name, by a whole name, and divided by the root of the rank."""
    pairs, file, spell = diffusers_pairs(own, model), tmp_path / "a.safetensors", "transformer.{}".format
    said = {"r": RANK, "lora_alpha": 2, "use_rslora": True, "alpha_pattern": {"to_k": 6, "^proj_out": 8}}
    scales = {name: (6 if name.endswith(".to_k") else 8 if name == "proj_out" else 2) / RANK**0.5 for name in pairs}
    save_file(named(pairs, spell), file, {"lora_adapter_metadata": json.dumps({spell(x): y for x, y in said.items()})})
    with attach_loras(model, [str(file)]) as on:
        found = velocity(on)
    same = named(pairs, spell) | {f"{spell(name)}.alpha": torch.tensor(RANK * scale) for name, scale in scales.items()}
    assert torch.equal(with_file(model, tmp_path / "b.safetensors", same), found)


def test_ranks_may_differ_by_layer(dummy_folder: Path, model: Flux1, tmp_path: Path) -> None:
    draw, pairs = torch.Generator().manual_seed(2), Pairs()
    for rank, name in enumerate(
        ("transformer_blocks.0.attn.to_q", "proj_out", "single_transformer_blocks.1.proj_out"), 1
    ):
        layer: Any = model.transformer.get_submodule(name)
        sizes = ((rank, layer.in_features), (layer.out_features, rank))
        pairs[name] = torch.randn(sizes[0], generator=draw), torch.randn(sizes[1], generator=draw)
    tensors = named(pairs, "transformer.{}".format)
    found = with_file(model, tmp_path / "a.safetensors", tensors)
    assert torch.allclose(by_diffusers(dummy_folder, tmp_path / "a.safetensors"), found, rtol=0, atol=1e-4)


CLIP = {
    "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": "text_encoder.encoder.layers.0.self_attn.q_proj",
    "lora_te1_text_model_encoder_layers_0_mlp_fc1": "text_encoder.encoder.layers.0.mlp.fc1",
    "lora_te_text_model_encoder_layers_0_mlp_fc2": "text_encoder.encoder.layers.0.mlp.fc2",
    "text_encoder.text_model.encoder.layers.0.self_attn.v_proj": "text_encoder.encoder.layers.0.self_attn.v_proj",
    "text_encoders.clip_l.transformer.text_model.encoder.layers.0.self_attn.k_proj": (
        "text_encoder.encoder.layers.0.self_attn.k_proj"
    ),
    "lora_te2_encoder_block_0_layer_0_SelfAttention_q": "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q",
    "lora_te3_encoder_block_0_layer_1_DenseReluDense_wi": ("text_encoder_2.encoder.block.0.layer.1.DenseReluDense.wi"),
    "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.v": (
        "text_encoder_2.encoder.block.0.layer.0.SelfAttention.v"
    ),
}
"""Layers of both text encoders, in the namings of files, and where they are."""


@pytest.mark.parametrize("name", CLIP)
def test_text_encoders_are_reached(name: str, model: Flux1, tmp_path: Path) -> None:
    """Weights of the encoder change as the factors say: the prompt is encoded as with the sum put in."""
    part, _, module = CLIP[name].partition(".")
    layer: Any = getattr(model.pipeline, part).get_submodule(module)
    draw = torch.Generator().manual_seed(3)
    down = torch.randn(RANK, layer.in_features, generator=draw)
    up = torch.randn(layer.out_features, RANK, generator=draw)
    own = {"transformer_blocks.0.attn.to_q": (torch.zeros(RANK, WIDTH), torch.zeros(WIDTH, RANK))}
    tensors = named(own, "transformer.{}".format) | named({name: (down, up)}, str, DOWN_UP)
    save_file({**tensors, f"{name}.alpha": torch.tensor(2.0)}, tmp_path / "a.safetensors")
    before = model._encode_prompt("a cat")
    with attach_loras(model, [f"{tmp_path / 'a.safetensors'}:0.5"]) as on:
        assert isinstance(on, Flux1)
        found = on._encode_prompt("a cat")
    kept = layer.weight.data
    layer.weight.data = kept + 0.5 * 2 / RANK * up @ down
    needed = model._encode_prompt("a cat")
    layer.weight.data = kept
    after = model._encode_prompt("a cat")
    for x, y, plain, again in (
        (found.tokens, needed.tokens, before.tokens, after.tokens),
        (found.pooled, needed.pooled, before.pooled, after.pooled),
    ):
        assert torch.allclose(x, y, rtol=1e-4, atol=1e-4)
        assert torch.equal(plain, again)
    assert not torch.equal(found.tokens, before.tokens) or not torch.equal(found.pooled, before.pooled)
