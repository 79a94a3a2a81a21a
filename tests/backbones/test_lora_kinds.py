"""Kinds of LoRAs against their definitions: the dense weight is computed here and put into the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.lora import attach_loras
from dragflow.method.backbone import Backbone
from small_flux import TIME, error, latent, load

ALPHA = 3.0
EXACT = 1e-5
"""Largest relative error where the order of the sums differs alone, in float32."""

Tensors = dict[str, Tensor]
DRAW = torch.Generator()


@pytest.fixture(scope="module")
def model(dummy_folder: Path) -> Flux1:
    return load(dummy_folder)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=DRAW) / shape[-1] ** 0.5


def lora(out: int, inputs: int) -> tuple[Tensors, Tensor]:
    down, up = draw(4, inputs), draw(out, 4)
    return {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(ALPHA)}, ALPHA / 4 * up @ down


def loha(out: int, inputs: int) -> tuple[Tensors, Tensor]:
    a, b, c, d = draw(out, 3), draw(3, inputs), draw(out, 2), draw(2, inputs)
    tensors = {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d, "alpha": torch.tensor(ALPHA)}
    return tensors, ALPHA / 3 * (a @ b) * (c @ d)


def lokr(first: bool, second: bool) -> Callable[[int, int], tuple[Tensors, Tensor]]:
    """With factors that are whole, or products of two of rank 2."""

    def make(out: int, inputs: int) -> tuple[Tensors, Tensor]:
        shapes, tensors, factors = ((4, 8), (out // 4, inputs // 8)), Tensors(), list[Tensor]()
        for i, ((rows, columns), whole) in enumerate(zip(shapes, (first, second), strict=True), 1):
            if whole:
                tensors[f"lokr_w{i}"] = draw(rows, columns)
                factors.append(tensors[f"lokr_w{i}"])
            else:
                tensors |= {f"lokr_w{i}_a": draw(rows, 2), f"lokr_w{i}_b": draw(2, columns)}
                factors.append(tensors[f"lokr_w{i}_a"] @ tensors[f"lokr_w{i}_b"])
        tensors["alpha"] = torch.tensor(ALPHA)
        return tensors, torch.kron(*factors) * (1.0 if first and second else ALPHA / 2)

    return make


def difference(out: int, inputs: int) -> tuple[Tensors, Tensor]:
    diff = draw(out, inputs)
    return {"diff": diff}, diff


KINDS = {
    "lora": lora,
    "loha": loha,
    "lokr": lokr(True, True),
    "lokr, second of low rank": lokr(True, False),
    "lokr, first of low rank": lokr(False, True),
    "lokr, both of low rank": lokr(False, False),
    "difference": difference,
}
LAYERS = {
    "transformer.transformer_blocks.1.attn.to_k": ["transformer_blocks.1.attn.to_k"],
    "diffusion_model.transformer_blocks.1.ff.net.2": ["transformer_blocks.1.ff.net.2"],
    "lora_unet_double_blocks_2_img_attn_qkv": [f"transformer_blocks.2.attn.to_{x}" for x in "qkv"],
    "lycoris_single_transformer_blocks_3_proj_out": ["single_transformer_blocks.3.proj_out"],
    "diffusion_model.single_blocks.1.linear1": [
        *(f"single_transformer_blocks.1.attn.to_{x}" for x in "qkv"),
        "single_transformer_blocks.1.proj_mlp",
    ],
}
"""Layers as files name them, and the model's that share their output."""


def velocity(model: Backbone) -> Tensor:
    return model.velocity(latent(), TIME, model.condition("a cat", guidance=3.5))


def modules(model: Flux1, names: list[str]) -> list[Any]:
    return [model.transformer.get_submodule(name) for name in names]


@contextmanager
def weights(layers: list[Any], whole: Tensor) -> Iterator[None]:
    """The layers with other weights, which are one matrix together."""
    kept = [layer.weight.data for layer in layers]
    for layer, part in zip(layers, whole.split([layer.out_features for layer in layers]), strict=True):
        layer.weight.data = part
    try:
        yield
    finally:
        for layer, data in zip(layers, kept, strict=True):
            layer.weight.data = data


def write(file: Path, layer: str, tensors: Tensors) -> str:
    save_file({f"{layer}.{end}": x.contiguous() for end, x in tensors.items()}, file)
    return str(file)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_that_with_the_dense_weight(kind: str, layer: str, model: Flux1, tmp_path: Path) -> None:
    DRAW.manual_seed(0)
    layers = modules(model, LAYERS[layer])
    own = torch.cat([each.weight.data for each in layers])
    tensors, delta = KINDS[kind](*own.shape)
    before = velocity(model)
    for strength in (1.0, -0.5):
        with attach_loras(model, [f"{write(tmp_path / 'a.safetensors', layer, tensors)}:{strength}"]) as on:
            found = velocity(on)
        with weights(layers, own + strength * delta):
            assert error(found, velocity(model)) < EXACT
        assert error(found, before) > 1e-4
    assert torch.equal(velocity(model), before)


def rescaled(own: Tensor, delta: Tensor, lengths: Tensor) -> Tensor:
    """DoRA by its definition; `lengths` are of shape (out, 1) or (1, in)."""
    merged = own + delta
    return lengths * merged / merged.norm(dim=1 if lengths.shape[0] > 1 else 0, keepdim=True)


def magnitude(own: Tensor, form: str) -> Tensor:
    """Lengths that differ from those of the weight by up to a fifth."""
    lengths = own.norm(dim=0, keepdim=True) if form == "of columns" else own.norm(dim=1, keepdim=True)
    return lengths * (1 + 0.2 * torch.rand(lengths.shape, generator=DRAW))


@pytest.mark.parametrize(
    ("kind", "layer", "form"),
    [
        *product(("lora", "lokr, second of low rank"), list(LAYERS)[::2], ("of rows", "of columns")),
        ("loha", "lora_unet_double_blocks_2_img_attn_qkv", "of rows"),
        ("lora", "transformer.transformer_blocks.1.attn.to_k", "peft"),
    ],
)
def test_dora_rescales_the_weight(kind: str, layer: str, form: str, model: Flux1, tmp_path: Path) -> None:
    """On top of any kind; a strength scales the whole change, so that none is left at 0."""
    DRAW.manual_seed(1)
    layers = modules(model, LAYERS[layer])
    own = torch.cat([each.weight.data for each in layers])
    tensors, delta = KINDS[kind](*own.shape)
    lengths = magnitude(own, form)
    tensors["lora_magnitude_vector" if form == "peft" else "dora_scale"] = lengths[:, 0] if form == "peft" else lengths
    file, changed = write(tmp_path / "a.safetensors", layer, tensors), rescaled(own, delta, lengths) - own
    for strength in (1.0, 0.3, 0.0):
        with attach_loras(model, [f"{file}:{strength}"]) as on:
            found = velocity(on)
        with weights(layers, own + strength * changed):
            assert error(found, velocity(model)) < EXACT


def test_peft_makes_the_same_of_a_dora(dummy_folder: Path, model: Flux1, tmp_path: Path) -> None:
    from diffusers import FluxPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    DRAW.manual_seed(2)
    pipeline: Any = FluxPipeline.from_pretrained(dummy_folder)
    pipeline.transformer.add_adapter(
        LoraConfig(r=3, lora_alpha=2, use_dora=True, target_modules=["to_k", "proj_mlp"], init_lora_weights=False)
    )
    pipeline.transformer.eval()
    for name, weight in pipeline.transformer.named_parameters():
        if "magnitude" in name:
            weight.data *= 1 + 0.2 * torch.rand(weight.shape, generator=DRAW)
    theirs: Any = get_peft_model_state_dict(pipeline.transformer)
    tensors = {f"transformer.{name}": x.contiguous() for name, x in theirs.items()}
    alphas = {f"{name.split('.lora_A')[0]}.alpha": torch.tensor(2.0) for name in tensors if ".lora_A" in name}
    save_file(tensors | alphas, tmp_path / "a.safetensors")
    with attach_loras(model, [str(tmp_path / "a.safetensors")]) as on:
        assert error(velocity(on), velocity(Flux1(pipeline.transformer, pipeline))) < EXACT


@pytest.mark.parametrize("kind", ["LoKr", "LoHa"])
def test_peft_makes_the_same_of_its_own_kinds(kind: str, dummy_folder: Path, model: Flux1, tmp_path: Path) -> None:
    import peft
    from diffusers import FluxPipeline
    from peft.utils import get_peft_model_state_dict

    pipeline: Any = FluxPipeline.from_pretrained(dummy_folder)
    torch.manual_seed(0)
    config = getattr(peft, f"{kind}Config")(r=4, alpha=3, target_modules=["to_k", "proj_mlp"], init_weights=False)
    peft.inject_adapter_in_model(config, pipeline.transformer, "default")
    pipeline.transformer.eval()
    theirs: Any = get_peft_model_state_dict(pipeline.transformer, adapter_name="default")
    file = tmp_path / "adapter_model.safetensors"
    save_file({f"base_model.model.{name.removesuffix('.default')}": x.contiguous() for name, x in theirs.items()}, file)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"alpha": config.alpha, "r": config.r}))
    with attach_loras(model, [str(file)]) as on:
        assert error(velocity(on), velocity(Flux1(pipeline.transformer, pipeline))) < EXACT


def test_biases_are_scaled_by_the_strength(model: Flux1, tmp_path: Path) -> None:
    """One of the second factor also by alpha / rank, as in peft; a difference is a difference."""
    DRAW.manual_seed(3)
    layer = "transformer_blocks.1.attn.to_k"
    (own,) = modules(model, [layer])
    out = own.out_features
    up_bias, diff_b = draw(out), draw(out)
    tensors, delta = lora(*own.weight.shape)
    kron, kron_delta = lokr(True, True)(*own.weight.shape)
    x = draw(5, own.in_features)
    plain = own(x)
    cases: list[tuple[Tensors, Tensor]] = [
        (tensors | {"lora_up.bias": up_bias}, x @ delta.T + ALPHA / 4 * up_bias),
        (tensors | {"lora_up.bias": up_bias, "diff_b": diff_b}, x @ delta.T + ALPHA / 4 * up_bias + diff_b),
        (kron | {"diff_b": diff_b}, x @ kron_delta.T + diff_b),
        ({"diff_b": diff_b}, diff_b.expand(5, -1)),
    ]
    for given, added in cases:
        with attach_loras(model, [f"{write(tmp_path / 'a.safetensors', layer, given)}:0.5"]) as on:
            assert torch.allclose(on.transformer.get_submodule(layer)(x), plain + 0.5 * added, atol=1e-5)


def test_kinds_add_up_on_one_layer(model: Flux1, tmp_path: Path) -> None:
    DRAW.manual_seed(4)
    layer = "transformer_blocks.1.attn.to_k"
    (own,) = modules(model, [layer])
    weight, files, total = own.weight.data, list[str](), own.weight.data
    for i, kind in enumerate(KINDS):
        tensors, delta = KINDS[kind](*weight.shape)
        if i % 2:
            lengths = magnitude(weight, "of columns" if i % 3 else "of rows")
            tensors["dora_scale"], delta = lengths, rescaled(weight, delta, lengths) - weight
        files.append(f"{write(tmp_path / f'{i}.safetensors', layer, tensors)}:0.5")
        total = total + 0.5 * delta
    with attach_loras(model, files) as on:
        found = velocity(on)
    with weights([own], total):
        assert error(found, velocity(model)) < EXACT
