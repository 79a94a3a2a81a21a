"""Names of models' authors: a network from its file is the one that diffusers reads, to the bit; nothing is unread."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dragflow.backbones.checkpoints.autoencoder import naming_of
from dragflow.backbones.checkpoints.names import Naming, plan
from dragflow.backbones.checkpoints.network import Checkpoint, opened, read_diffusers, shapes_of
from dragflow.backbones.checkpoints.recognise import recognise
from dragflow.backbones.flux1 import FAMILY
from model_files import COMFY, autoencoder_original, flux1_original, prefixed, wan_original


def read(file: Path, network: Any, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The tensors of a network of this one's configuration, from a file."""
    (part,) = recognise(file).parts
    is_vae = part.kind == "autoencoder"
    naming = naming_of(network.state_dict()) if is_vae else Naming(FAMILY.layers, FAMILY.norms)
    with opened(Checkpoint(file, part)) as contents:
        return read_diffusers(type(network), network.config, contents, naming, dtype).state_dict()


@pytest.fixture(scope="module")
def transformer(dummy_folder: Path) -> Any:
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel.from_pretrained(dummy_folder, subfolder="transformer")


@pytest.fixture(scope="module")
def vae(dummy_folder: Path) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(dummy_folder, subfolder="vae")


@pytest.mark.parametrize("prefix", ["", COMFY])
@pytest.mark.parametrize("original", [True, False], ids=["original", "diffusers"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_transformer_is_the_same_to_the_bit(
    dtype: torch.dtype, original: bool, prefix: str, transformer: Any, tmp_path: Path
) -> None:
    theirs = {name: x.to(dtype) for name, x in transformer.state_dict().items()}
    save_file(prefixed(prefix, flux1_original(theirs) if original else theirs), tmp_path / "a.safetensors")
    found = read(tmp_path / "a.safetensors", transformer, dtype)
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[name], x) for name, x in theirs.items())


@pytest.mark.parametrize("original", [True, False], ids=["original", "diffusers"])
def test_an_autoencoder_is_the_same_to_the_bit(original: bool, vae: Any, tmp_path: Path) -> None:
    theirs = vae.state_dict()
    save_file(autoencoder_original(theirs) if original else theirs, tmp_path / "a.safetensors")
    found = read(tmp_path / "a.safetensors", vae)
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[name], x) for name, x in theirs.items())


def test_diffusers_own_conversion_agrees(vae: Any) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    theirs = vae.state_dict()
    found = convert_ldm_vae_checkpoint(autoencoder_original(theirs), vae.config)
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[name], x) for name, x in theirs.items())


def test_diffusers_own_conversion_of_wans_autoencoder_agrees(tmp_path: Path) -> None:
    """At the published depth, which that conversion relies on."""
    from diffusers import AutoencoderKLQwenImage
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    network = AutoencoderKLQwenImage(base_dim=4)
    theirs = network.state_dict()
    original = wan_original(theirs)
    assert not original.keys() & {name for name in theirs if not re.search(r"resample|time_conv", name)}
    found = convert_wan_vae_to_diffusers(dict(original))
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[name], x) for name, x in theirs.items())
    save_file(original, tmp_path / "a.safetensors")
    ours = read(tmp_path / "a.safetensors", network)
    assert all(torch.equal(ours[name], x) for name, x in theirs.items())


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"img_in.weight": None}, r"tensor x_embedder\.weight is missing \(one of 1\)"),
        ({"double_blocks.1.txt_attn.qkv.weight": None}, r"transformer_blocks\.1\.attn\.add_q_proj\.weight is missing"),
        ({"extra.weight": (2, 2)}, r"tensor extra\.weight is unexpected \(one of 1\)"),
        ({"double_blocks.9.img_mlp.0.bias": (2,)}, r"tensor double_blocks\.9\.img_mlp\.0\.bias is unexpected"),
        ({"x_embedder.weight": (64, 64)}, r"tensor img_in\.weight is unexpected|x_embedder\.weight is unexpected"),
        (
            {"single_blocks.2.linear1.weight": (100, 64)},
            r"linear1\.weight has shape \(100, 64\) instead of \(448, 64\)",
        ),
        ({"logit_scale": ()}, None),
        (
            {
                "single_blocks.0.norm.query_norm.scale": None,
                "single_blocks.0.norm.query_norm.weight": (32,),
            },
            None,
        ),
    ],
)
def test_every_tensor_is_accounted_for(change: dict[str, Any], rule: str | None, transformer: Any) -> None:
    needed = shapes_of(transformer)
    held: dict[str, Any] = {name: tuple(x.shape) for name, x in flux1_original(transformer.state_dict()).items()}
    held = {name: shape for name, shape in (held | change).items() if shape is not None}
    naming = Naming(FAMILY.layers, FAMILY.norms)
    if rule is None:
        assert plan(held, needed, naming).keys() == needed.keys()
        return
    with pytest.raises(ValueError, match=rule):
        plan(held, needed, naming)


def test_the_authors_names_are_as_many_as_diffusers_reads(transformer: Any, dummy_folder: Path) -> None:
    tensors = load_file(dummy_folder / "transformer" / "diffusion_pytorch_model.safetensors")
    assert sum(x.numel() for x in flux1_original(tensors).values()) == sum(x.numel() for x in tensors.values())


@pytest.mark.parametrize("counted", [True, False])
def test_an_autoencoder_of_flux2_is_the_same_with_its_count_of_batches_and_without(
    counted: bool, tmp_path: Path
) -> None:
    from diffusers import AutoencoderKLFlux2

    network = AutoencoderKLFlux2(block_out_channels=(8, 16, 16, 16), layers_per_block=1, norm_num_groups=4)
    theirs = network.state_dict()
    kept = {name: x for name, x in theirs.items() if counted or name != "bn.num_batches_tracked"}
    save_file(autoencoder_original(kept), tmp_path / "a.safetensors")
    found = read(tmp_path / "a.safetensors", network)
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[name], x) for name, x in theirs.items())
