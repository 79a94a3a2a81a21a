"""LoRAs on every family: in the namings of all trainers, scaled, several at once, and part of the fingerprint."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from family_cases import FamilyCase
from safetensors.torch import save_file
from torch import Tensor, nn

from dragflow.backbones.family import FAMILIES
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.lora import Lora, attach_loras, parse_lora
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.registry import load_backbone
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.method.backbone import Backbone
from small_flux import GRID, TIME, error, write_lora

RANK = 2

Pairs = dict[str, tuple[Tensor, Tensor]]
"""Both factors of layers."""


def linear(backbone: PipelineBackbone) -> dict[str, Any]:
    return {name: x for name, x in backbone.transformer.named_modules() if isinstance(x, nn.Linear)}


@pytest.fixture(scope="module")
def pairs(backbone: PipelineBackbone) -> Pairs:
    """A LoRA of all linear layers of the transformer."""
    draw = torch.Generator().manual_seed(0)
    return {
        name: (
            torch.randn(RANK, layer.in_features, generator=draw) / layer.in_features**0.5,
            0.2 * torch.randn(layer.out_features, RANK, generator=draw),
        )
        for name, layer in linear(backbone).items()
    }


def named(pairs: Pairs, spell: Callable[[str], str], ends: tuple[str, str] = ("lora_A", "lora_B")) -> dict[str, Tensor]:
    """Tensors of a file."""
    return {
        f"{spell(name)}.{end}.weight": x.clone()
        for name, both in pairs.items()
        for end, x in zip(ends, both, strict=True)
    }


def velocity(backbone: Backbone) -> Tensor:
    cells = backbone.spec.pixel_multiple // backbone.spec.latent_stride
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(1, backbone.spec.latent_channels, cells * GRID[0], cells * GRID[1], generator=generator)
    return backbone.velocity(z, TIME, backbone.condition("a cat", guidance=1.0))


def velocity_with(backbone: PipelineBackbone, file: Path, tensors: dict[str, Tensor], strength: str = "") -> Tensor:
    save_file(tensors, file)
    with attach_loras(backbone, [f"{file}{strength}"]) as on:
        return velocity(on)


@pytest.fixture(scope="module")
def reference(backbone: PipelineBackbone, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """With that LoRA in the naming of diffusers."""
    file = tmp_path_factory.mktemp("reference") / "a.safetensors"
    return velocity_with(backbone, file, named(pairs, "transformer.{}".format))


def test_diffusers_and_peft_make_the_same_of_it(
    family: FamilyCase, folder: Path, pairs: Pairs, reference: Tensor, tmp_path: Path
) -> None:
    save_file(named(pairs, "transformer.{}".format), tmp_path / "a.safetensors")
    loaded: Any = family.load(folder)
    loaded.pipeline.load_lora_weights(str(tmp_path), weight_name="a.safetensors", adapter_name="a")
    loaded.transformer.eval()
    assert error(velocity(loaded), reference) < 1e-5  # tensors that are mapped from a file round otherwise


def underscored(prefix: str) -> Callable[[str], str]:
    return lambda name: prefix + name.replace(".", "_")


@pytest.mark.parametrize(
    "prefix", ["diffusion_model.", "base_model.model.", "", "lora_unet_", "lora_transformer_", "lycoris_"]
)
def test_every_naming_is_read(
    prefix: str,
    backbone: PipelineBackbone,
    pairs: Pairs,
    reference: Tensor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if prefix.endswith("_"):
        tensors = named(pairs, underscored(prefix), ("lora_down", "lora_up"))
        tensors |= {underscored(prefix)(f"{name}") + ".alpha": torch.tensor(float(RANK)) for name in pairs}
    else:
        tensors = named(pairs, lambda name: prefix + name)
    with caplog.at_level(logging.WARNING, logger="dragflow"):
        assert torch.equal(velocity_with(backbone, tmp_path / "a.safetensors", tensors), reference)
    assert "left out" not in caplog.text
    assert error(velocity(backbone), reference) > 1e-3


@pytest.mark.parametrize("prefix", ["diffusion_model.", "lora_unet_"])
def test_the_authors_names_are_read(prefix: str, backbone: PipelineBackbone, pairs: Pairs, tmp_path: Path) -> None:
    """All that the family's table says; `test_lora_tables.py` compares that with the conversions of diffusers."""
    own: Pairs = {}
    same: Pairs = {}
    numbers = range(max((int(part) for name in pairs for part in name.split(".") if part.isdecimal()), default=0) + 1)
    for pattern, stacked in FAMILIES.load(type(backbone.pipeline).__name__).layers.items():
        for i in numbers if "{}" in pattern else (0,):
            modules = [name.format(i) for name in stacked.layers]
            if not same.keys().isdisjoint(modules) or not pairs.keys() >= set(modules):
                continue  # of a larger model, or another name of the same layer
            down, ups = pairs[modules[0]][0], [pairs[name][1] for name in modules]
            same |= {name: (down, up) for name, up in zip(modules, ups, strict=True)}
            if stacked.swapped and len(ups[0]) == 2 * down.shape[1]:
                ups = ups[0].chunk(2)[::-1]
            own[pattern.format(i)] = down, torch.cat([*ups])
    if not own:
        pytest.skip("the authors' names are those of diffusers")
    spell = underscored(prefix) if prefix.endswith("_") else lambda name: prefix + name
    found = velocity_with(backbone, tmp_path / "own.safetensors", named(own, spell, ("lora_down", "lora_up")))
    assert torch.equal(found, velocity_with(backbone, tmp_path / "a.safetensors", named(same, "transformer.{}".format)))
    assert error(found, velocity(backbone)) > 1e-3


def test_a_dora_and_a_kronecker_product_are_their_definitions(backbone: PipelineBackbone, tmp_path: Path) -> None:
    name, layer = next((name, x) for name, x in linear(backbone).items() if name.endswith("to_k"))
    draw, own = torch.Generator().manual_seed(1), layer.weight.data
    down, up = (0.1 * torch.randn(shape, generator=draw) for shape in ((RANK, own.shape[1]), (own.shape[0], RANK)))
    first, second = (0.1 * torch.randn(n // d, m // d, generator=draw) for n, m, d in ((4, 4, 1), (*own.shape, 4)))
    lengths = 1.1 * own.norm(dim=1, keepdim=True)
    merged = own + up @ down
    spelled = underscored("lora_unet_")(name)
    cases = {
        "dora": (
            {"lora_down.weight": down, "lora_up.weight": up, "dora_scale": lengths},
            lengths * merged / merged.norm(dim=1, keepdim=True),
        ),
        "lokr": ({"lokr_w1": first, "lokr_w2": second}, own + torch.kron(first, second)),
    }
    before = velocity(backbone)
    for kind, (tensors, dense) in cases.items():
        file = tmp_path / f"{kind}.safetensors"
        found = velocity_with(backbone, file, {f"{spelled}.{end}": x for end, x in tensors.items()})
        layer.weight.data = dense
        needed = velocity(backbone)
        layer.weight.data = own
        assert error(found, needed) < 1e-5
        assert error(found, before) > 1e-5
    assert torch.equal(velocity(backbone), before)


@pytest.mark.parametrize("change", [{"width": 96}, {"foreign": True}])
def test_what_is_of_another_model_is_refused_by_its_first_tensor(
    change: dict[str, Any], backbone: PipelineBackbone, pairs: Pairs, tmp_path: Path
) -> None:
    name, (down, up) = next(iter(pairs.items()))
    tensors = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    if "width" in change:
        wide = torch.ones(RANK, down.shape[1] + 1)
        tensors[f"{name}.lora_A.weight"], words = wide, f"{name}.lora_A.weight has shape {tuple(wide.shape)}"
    else:
        foreign = "down_blocks.0.attentions.0.proj_in.lora_A.weight"
        tensors[foreign] = torch.ones(RANK, 8)
        words = f"tensor {foreign} of shape (2, 8) belongs to no layer"
    before = velocity(backbone)
    with pytest.raises(UserError) as raised:
        velocity_with(backbone, tmp_path / "a.safetensors", tensors)
    assert words in str(raised.value)
    assert torch.equal(velocity(backbone), before)


def test_a_lora_acts_in_proportion_to_its_scale(family: FamilyCase, folder: Path, pairs: Pairs, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    some = {name: both for name, both in pairs.items() if name.endswith("to_k")}
    save_file(named(some, "transformer.{}".format), file)
    plain, off, half, on, twice = (
        family.load(folder, lora=lora)
        for lora in ((), (f"{file}:0",), (f"{file}:0.5",), (str(file),), (f"{file}:0.5", f"{file}:0.5"))
    )
    base = velocity(plain)
    assert torch.equal(velocity(off), base)
    assert 0 < (velocity(half) - base).norm() < (velocity(on) - base).norm()
    assert error(velocity(twice), velocity(on)) < 1e-5
    assert on.weights.fingerprint != plain.weights.fingerprint
    with attach_loras(plain, (str(file),)) as attached:
        assert torch.equal(velocity(attached), velocity(on))
        assert attached.weights == on.weights
    assert torch.equal(velocity(plain), base)


def test_several_loras_add_up_each_at_its_rank_and_scale(dummy_folder: Path, tmp_path: Path) -> None:
    """The layer's output is W x + 0.5 B1 A1 x - 2 B2 A2 x."""
    from safetensors.torch import load_file

    files = [
        write_lora(dummy_folder, tmp_path / f"{rank}.safetensors", rank, seed) for seed, rank in enumerate((2, 5), 1)
    ]
    names = "transformer.transformer_blocks.1.attn.to_k.lora_{}.weight"
    (a1, b1), (a2, b2) = ([load_file(file)[names.format(part)] for part in "AB"] for file in files)
    assert (a1.shape[0], a2.shape[0]) == (2, 5)
    plain = load_backbone(ModelOptions.of(dummy_folder, device="cpu"))
    both = load_backbone(ModelOptions.of(dummy_folder, device="cpu", lora=(f"{files[0]}:0.5", f"{files[1]}:-2")))
    assert isinstance(plain, Flux1)
    assert isinstance(both, Flux1)
    x = torch.randn(7, a1.shape[1], generator=torch.Generator().manual_seed(0))
    before, after = (
        backbone.transformer.get_submodule("transformer_blocks.1.attn.to_k")(x) for backbone in (plain, both)
    )
    assert torch.allclose(after, before + 0.5 * x @ a1.T @ b1.T - 2 * x @ a2.T @ b2.T, atol=1e-5)


def test_a_name_may_hold_colons(dummy_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "at 12:30"
    folder.mkdir()
    file = write_lora(dummy_folder, folder / "a:b:2.safetensors", 2, 1)
    assert parse_lora(str(file)) == Lora(file, 1.0)
    assert parse_lora(f"{file}:0.25") == Lora(file, 0.25)
    assert load_backbone(ModelOptions.of(dummy_folder, device="cpu", lora=(f"{file}:0.25",))).weights.options.lora == (
        f"{file}:0.25",
    )
    bare = file.rename(folder / "style:2")
    assert parse_lora(str(bare)) == Lora(bare, 1.0)
    assert parse_lora(f"{bare}:3") == Lora(bare, 3.0)
    for scale in ("nan", "inf"):
        with pytest.raises(UserError, match="finite"):
            parse_lora(f"{bare}:{scale}")


def test_attached_loras_are_those_that_a_load_gives(dummy_folder: Path, tmp_path: Path) -> None:
    files = [write_lora(dummy_folder, tmp_path / f"{seed}.safetensors", 2, seed) for seed in (1, 2)]
    loras = (f"{files[0]}:0.5", str(files[1]))
    plain, loaded = (
        load_backbone(ModelOptions.of(dummy_folder, device="cpu")),
        load_backbone(ModelOptions.of(dummy_folder, lora=loras)),
    )
    z = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0))

    def velocity(backbone: Backbone) -> torch.Tensor:
        return backbone.velocity(z, 0.8, backbone.condition("a", guidance=1.0))

    before, weights = velocity(plain), plain.weights
    with attach_loras(plain, loras) as on:
        assert torch.equal(velocity(on), velocity(loaded))
        assert on.weights == loaded.weights
    assert torch.equal(velocity(plain), before)
    assert plain.weights == weights != loaded.weights
    with (
        pytest.raises(UserError, match=r"none\.safetensors"),
        attach_loras(plain, [str(tmp_path / "none.safetensors")]),
    ):
        pass
    (tmp_path / "bad.safetensors").write_bytes(b"")
    with (
        pytest.raises(UserError, match=r"bad\.safetensors"),
        attach_loras(plain, [*loras, str(tmp_path / "bad.safetensors")]),
    ):
        pass
    assert torch.equal(velocity(plain), before)
