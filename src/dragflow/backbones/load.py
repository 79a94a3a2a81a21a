"""From the files of a diffusers pipeline, or from a loaded one, to a backbone; a family adds its classes' names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

import torch

from dragflow.backbones.devices import idle_device, pick_device, pick_dtype
from dragflow.backbones.fingerprint import weights_of, weights_of_parts
from dragflow.backbones.lora import add_loras, parse_lora
from dragflow.backbones.parts import Source, class_of, load_part, part_of
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.quantise import load_transformer
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions, WeightsId
from dragflow.method.backbone import Backbone

B = TypeVar("B", bound=PipelineBackbone)


@dataclass(frozen=True)
class Layout:
    """The classes of a family's pipeline, by the names that diffusers and transformers give them."""

    pipeline: str
    transformer: str
    text_encoders: Mapping[str, str]
    """Part to class, as in {"text_encoder": "CLIPTextModel"}."""
    others: tuple[str, ...]
    """Parts without weights: tokenizers and scheduler."""

    @property
    def networks(self) -> tuple[str, ...]:
        """Parts with weights."""
        return ("transformer", "vae", *self.text_encoders)

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders that a model must have."""
        return (*self.networks, *self.others)


def load_pipeline(source: Source, layout: Layout, family: type[B]) -> B:
    """Load a pipeline, and make sure that gradients reach the latent.

    Raises:
        UserError: a part is missing or of another architecture; an unknown device or dtype.
        CapabilityError: the quantisation gives no gradients, or its library is missing.
    """
    options = source.options
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    loras = tuple(parse_lora(text) for text in options.lora)
    _check_parts(source, layout)
    with part_of(options.name, "transformer"):
        transformer = load_transformer(_diffusers(layout.transformer), source, dtype)
    encoders = _encoders(source, layout, idle_device(device, offload=options.offload), dtype)
    with part_of(options.name, "tokenizers or scheduler"):
        pipeline = _diffusers(layout.pipeline).from_pretrained(source.folder, transformer=transformer, **encoders)
    add_loras(pipeline, loras)
    transformer.to(device)
    return _tested(pipeline, options, weights_of(source, [lora.file for lora in loras], dtype), family)


def wrap_pipeline(pipeline: Any, options: ModelOptions, layout: Layout, family: type[B]) -> B:
    """A backbone on a loaded pipeline.

    Raises:
        CapabilityError: no gradient reaches the latent.
    """
    networks = [getattr(pipeline, name) for name in layout.networks]
    for network in networks[1:]:
        network.eval().requires_grad_(False)
    name = str(pipeline.config.get("_name_or_path") or type(pipeline).__name__)  # diffusers keeps a Path as one
    return _tested(pipeline, options, weights_of_parts(name, networks, pipeline.transformer.dtype), family)


def _tested(pipeline: Any, options: ModelOptions, weights: WeightsId, family: type[B]) -> B:
    transformer = pipeline.transformer
    transformer.eval().requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    on_accelerator = transformer.device.type != "cpu"
    backbone = family(
        transformer,
        pipeline,
        weights=weights,
        checkpointing=on_accelerator if options.checkpointing is None else options.checkpointing,
        offload=options.offload,
    )
    gradient_self_test(backbone)
    return backbone


def _check_parts(source: Source, layout: Layout) -> None:
    model = source.options.name
    for part in layout.parts:
        if not (source.folder / part).is_dir():
            raise UserError(f"model {model} has no {part}/: download or export the whole pipeline")
    name = class_of(source.folder / "transformer" / "config.json")
    if name != layout.transformer:
        raise UserError(f"model {model} has a {name} as its transformer: a {layout.transformer} is needed")


def _encoders(source: Source, layout: Layout, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Autoencoder and text encoders, by their names in the pipeline."""
    with part_of(source.options.name, "vae"):
        config = json.loads((source.folder / "vae" / "config.json").read_text(encoding="utf-8"))
        classes = {"vae": _diffusers(config["_class_name"])}
    classes |= {part: getattr(import_module("transformers"), name) for part, name in layout.text_encoders.items()}
    return {
        name: load_part(cls, str(source.folder), name, device, subfolder=name, dtype=dtype)
        for name, cls in classes.items()
    }


def _diffusers(name: str) -> Any:
    return getattr(import_module("diffusers"), name)


def gradient_self_test(backbone: Backbone) -> None:
    """One tiny features-and-backward: the gradient must be finite and not zero.

    Raises:
        CapabilityError: it is not; no drag could work on this model.
    """
    spec = backbone.spec
    side = 2 * spec.pixel_multiple // spec.latent_stride
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, spec.latent_channels, side, side, generator=generator).to(backbone.device).requires_grad_(True)
    features = backbone.features(z, 0.8, backbone.condition("", guidance=1.0), taps=spec.taps)
    try:
        (gradient,) = torch.autograd.grad(torch.stack([f.float().square().mean() for f in features]).sum(), z)
        size = float(gradient.abs().max())
    except RuntimeError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise CapabilityError(
            f"gradients do not reach the latent through this model (largest: {size}): use another quantisation "
            "(int8, fp8, layerwise-fp8, gguf:FILE), or none"
        )
