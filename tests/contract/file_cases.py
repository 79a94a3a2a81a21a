"""Every family's model as files that lie apart: what other programs call its tensors, and what they leave out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from family_cases import (
    FLUX1,
    FLUX1_FILL,
    FLUX1_KONTEXT,
    FLUX2_DEV,
    FLUX2_KLEIN,
    FLUX2_KLEIN_BASE,
    QWEN_IMAGE,
    QWEN_IMAGE_EDIT,
    QWEN_IMAGE_EDIT_PLUS,
    SD3,
    Z_IMAGE,
    FamilyCase,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from dragflow.backbones.pipeline import PipelineBackbone
from model_files import (
    COMFY,
    autoencoder_original,
    flux1_original,
    flux2_original,
    mistral_of_comfyui,
    packed_nf4,
    prefixed,
    scaled_fp8,
    sd3_original,
    wan_original,
    with_text_model,
    z_image_original,
)
from small_flux import TIME
from small_sd3 import write_sd3

Tensors = dict[str, Tensor]
Writer = Callable[[Tensors], Tensors]


@dataclass(frozen=True)
class FileCase:
    """A family whose model is in files."""

    case: FamilyCase
    transformer: Writer
    """Its tensors as the model's authors name them; those of diffusers' layout are the input."""
    encoders: Mapping[str, tuple[str, Writer]]
    """Part to what ComfyUI calls it in a checkpoint of everything, and its tensors as in ComfyUI's files."""
    autoencoder: Writer
    prepare: Callable[[Path], None] = field(default=lambda folder: None)
    """What must be so in a folder for files without it to be the same."""

    def write(self, folder: Path) -> Path:
        """A small model in diffusers layout, with weights in bfloat16, as published ones are."""
        self.case.write(folder)
        self.prepare(folder)
        for file in folder.rglob("*.safetensors"):
            tensors = {name: x.bfloat16() if x.is_floating_point() else x for name, x in load_file(file).items()}
            save_file(tensors, file, {"format": "pt"})
        return folder

    def parts(self) -> dict[str, tuple[str, Writer]]:
        """Every network but the transformer: its prefix in a checkpoint of everything, and its writer."""
        encoders = {part: (f"text_encoders.{name}.transformer.", as_) for part, (name, as_) in self.encoders.items()}
        return {**encoders, "vae": ("first_stage_model.", self.autoencoder)}


def weights(folder: Path, part: str) -> Path:
    """The file of a network's weights in a folder of diffusers layout."""
    (file,) = (folder / part).glob("*.safetensors")
    return file


def shell(folder: Path, to: Path) -> Path:
    """A model's folder without any weights."""
    return Path(shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.safetensors")))


def save(tensors: Mapping[str, Tensor], file: Path) -> Path:
    file.parent.mkdir(exist_ok=True)
    save_file({name: x.contiguous() for name, x in tensors.items()}, file, {"format": "pt"})
    return file


def split_files(case: FileCase, folder: Path, to: Path, stored: str = "bf16") -> tuple[Path, list[Path]]:
    """The transformer's file, and those of every other network.

    Args:
        case: the family.
        folder: its model in diffusers layout, whose text encoders become what the files stand for.
        to: where files are written.
        stored: what text encoders are stored in: "bf16", "fp8" or "scaled fp8".
    """
    files: list[Path] = []
    for part, (_, as_written) in case.parts().items():
        tensors = load_file(weights(folder, part))
        if stored != "bf16" and part != "vae":
            tensors, exact = few_bits(tensors, stored)
            save(exact, weights(folder, part))
        files.append(save(as_written(tensors), to / f"{part}.safetensors"))
    return save(case.transformer(load_file(weights(folder, "transformer"))), to / "model.safetensors"), files


def few_bits(tensors: Tensors, stored: str) -> tuple[Tensors, Tensors]:
    """A network in 8 or 4 bits, and what that stands for."""
    if stored == "fp8":
        found = {name: x.to(torch.float8_e4m3fn) for name, x in tensors.items()}
        return found, {name: x.bfloat16() for name, x in found.items()}
    plain = {name: x.float() for name, x in tensors.items()}
    return packed_nf4(plain, 32) if stored == "nf4" else scaled_fp8(plain, "scale_weight", "tensor")


def whole_file(case: FileCase, folder: Path, to: Path) -> Path:
    """A checkpoint of everything, as ComfyUI saves it."""
    whole = prefixed(COMFY, case.transformer(load_file(weights(folder, "transformer"))))
    for part, (prefix, as_written) in case.parts().items():
        whole |= prefixed(prefix, as_written(load_file(weights(folder, part))))
    return save(whole, to)


def same(one: PipelineBackbone, other: PipelineBackbone) -> bool:
    """Whether prompts, latents, pictures and velocities are equal to the bit."""
    side = 2 * one.spec.pixel_multiple
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(3))
    pairs = [
        [velocity(model) for model in (one, other)],
        [model.encode(image) for model in (one, other)],
        [model.decode(latent(model)) for model in (one, other)],
    ]
    return one.spec == other.spec and all(torch.equal(*pair) for pair in pairs)


def velocity(model: PipelineBackbone) -> Tensor:
    """What a model gives for a prompt."""
    return model.velocity(latent(model), TIME, model.condition("a cat", guidance=3.5))


def latent(model: PipelineBackbone) -> Tensor:
    """Noise of 2 x 2 tokens."""
    side = 2 * model.spec.pixel_multiple // model.spec.latent_stride
    return torch.randn(1, model.spec.latent_channels, side, side, generator=torch.Generator().manual_seed(3))


def without(layer: str) -> Writer:
    """Leaves the tensors of a layer out."""
    return lambda tensors: {name: x for name, x in tensors.items() if not name.startswith(f"{layer}.")}


def _plain_projection(folder: Path) -> None:
    """ComfyUI's CLIP-L comes without its projection, which changes nothing then."""
    file = weights(folder, "text_encoder")
    tensors = load_file(file)
    tensors["text_projection.weight"] = torch.eye(*tensors["text_projection.weight"].shape)
    save_file(tensors, file, {"format": "pt"})


_FLUX1 = FileCase(
    FLUX1,
    flux1_original,
    {"text_encoder": ("clip_l", with_text_model), "text_encoder_2": ("t5xxl", dict)},
    autoencoder_original,
)
_FLUX2 = FileCase(FLUX2_KLEIN, flux2_original, {"text_encoder": ("qwen3_4b", without("lm_head"))}, autoencoder_original)
_QWEN = FileCase(QWEN_IMAGE, dict, {"text_encoder": ("qwen25_7b", dict)}, wan_original)
FILES: Mapping[str, FileCase] = {
    "flux1": _FLUX1,
    "flux2-klein": _FLUX2,
    "sd3": FileCase(
        replace(SD3, write=lambda folder: write_sd3(folder, wide=True)),
        sd3_original,
        {
            "text_encoder": ("clip_l", without("text_projection")),
            "text_encoder_2": ("clip_g", dict),
            "text_encoder_3": ("t5xxl", dict),
        },
        autoencoder_original,
        _plain_projection,
    ),
    "z-image": FileCase(
        Z_IMAGE,
        z_image_original,
        {"text_encoder": ("qwen3_4b", lambda tensors: prefixed("model.", tensors))},
        autoencoder_original,
    ),
    "qwen-image": _QWEN,
    "flux1-kontext": replace(_FLUX1, case=FLUX1_KONTEXT),
    "flux1-fill": replace(_FLUX1, case=FLUX1_FILL),
    "flux2-dev": FileCase(
        FLUX2_DEV, flux2_original, {"text_encoder": ("mistral3_24b", mistral_of_comfyui)}, autoencoder_original
    ),
    "flux2-klein-base": replace(_FLUX2, case=FLUX2_KLEIN_BASE),
    "qwen-image-edit": replace(_QWEN, case=QWEN_IMAGE_EDIT),
    "qwen-image-edit-plus": replace(_QWEN, case=QWEN_IMAGE_EDIT_PLUS),
}
"""Add a family here, and it is loaded from files."""
