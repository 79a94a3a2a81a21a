"""A transformer's file of every family computes what its folder does, to the bit, in the layouts that are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from family_cases import FLUX2_DEV, FLUX2_KLEIN, QWEN_IMAGE, SD3, Z_IMAGE, FamilyCase
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_files import COMFY, flux2_original, prefixed, sd3_original, z_image_original
from small_flux import TIME

WEIGHTS = Path("transformer") / "diffusion_pytorch_model.safetensors"
FILES: dict[str, tuple[FamilyCase, Callable[[dict[str, Tensor]], dict[str, Tensor]]]] = {
    "flux2-dev, diffusers": (FLUX2_DEV, dict),
    "flux2-dev, original": (FLUX2_DEV, flux2_original),
    "flux2-klein, diffusers": (FLUX2_KLEIN, dict),
    "flux2-klein, original": (FLUX2_KLEIN, flux2_original),
    "qwen-image, diffusers": (QWEN_IMAGE, dict),
    "sd3, diffusers": (SD3, dict),
    "sd3, original": (SD3, sd3_original),
    "z-image, diffusers": (Z_IMAGE, dict),
    "z-image, original": (Z_IMAGE, z_image_original),
}


@pytest.mark.parametrize("prefix", ["", COMFY])
@pytest.mark.parametrize("name", FILES)
def test_a_transformers_file_is_its_folder_to_the_bit(name: str, prefix: str, tmp_path: Path) -> None:
    case, layout = FILES[name]
    folder = case.write(tmp_path / "folder")
    tensors = {key: x.to(torch.bfloat16) for key, x in load_file(folder / WEIGHTS).items()}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    save_file({key: x.contiguous() for key, x in prefixed(prefix, layout(tensors)).items()}, tmp_path / "a.safetensors")
    found = case.load(tmp_path / "a.safetensors", parts=str(folder), dtype="bfloat16")
    plain = case.load(folder, dtype="bfloat16")
    spec = plain.spec
    side = 2 * spec.pixel_multiple // spec.latent_stride
    z = torch.randn(1, spec.latent_channels, side, side, generator=torch.Generator().manual_seed(3))
    velocities = [model.velocity(z, TIME, model.condition("a cat", guidance=3.5)) for model in (found, plain)]
    assert torch.equal(*velocities)
    assert found.spec == plain.spec
    states = [model.transformer.state_dict() for model in (found, plain)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], x) for key, x in states[1].items())
