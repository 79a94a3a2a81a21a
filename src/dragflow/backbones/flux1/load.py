"""Loading FLUX.1 pipelines in diffusers layout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.load import (
    Source,
    gradient_self_test,
    load_part,
    load_transformer,
    part_of,
    pick_device,
    pick_dtype,
    weights_of,
    weights_of_parts,
)
from dragflow.backbones.lora import add_loras, parse_lora
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, WeightsId

if TYPE_CHECKING:
    from diffusers import FluxPipeline

_PARTS = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")


def load(source: Source) -> Flux1:
    """Load a FLUX.1 pipeline, and make sure that gradients reach the latent.

    Raises:
        UserError: a part is missing or of another architecture; an unknown device or dtype.
        CapabilityError: the quantisation gives no gradients, or its library is missing.
    """
    options = source.options
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    loras = tuple(parse_lora(text) for text in options.lora)
    _check_parts(source)
    from diffusers import FluxPipeline, FluxTransformer2DModel

    with part_of(options.name, "transformer"):
        transformer = load_transformer(FluxTransformer2DModel, source, dtype)
    encoders = _encoders(source, torch.device("cpu") if options.offload else device, dtype)
    with part_of(options.name, "tokenizers or scheduler"):
        pipeline = FluxPipeline.from_pretrained(source.folder, transformer=transformer, **encoders)
    add_loras(pipeline, loras)
    transformer.to(device)
    return _tested(pipeline, options, weights_of(source, [lora.file for lora in loras], dtype))


def wrap(pipeline: FluxPipeline, options: ModelOptions) -> Flux1:
    """A backbone on a loaded pipeline.

    Raises:
        CapabilityError: no gradient reaches the latent.
    """
    networks: list[Any] = [pipeline.transformer, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2]
    for network in networks[1:]:
        network.eval().requires_grad_(False)
    name = pipeline.config.get("_name_or_path") or type(pipeline).__name__
    return _tested(pipeline, options, weights_of_parts(name, networks, pipeline.transformer.dtype))


def _tested(pipeline: FluxPipeline, options: ModelOptions, weights: WeightsId) -> Flux1:
    transformer: Any = pipeline.transformer
    transformer.eval().requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    on_accelerator = transformer.device.type != "cpu"
    backbone = Flux1(
        transformer,
        pipeline,
        weights=weights,
        checkpointing=on_accelerator if options.checkpointing is None else options.checkpointing,
        offload=options.offload,
    )
    gradient_self_test(backbone)
    return backbone


def _check_parts(source: Source) -> None:
    model = source.options.name
    for part in _PARTS:
        if not (source.folder / part).is_dir():
            raise UserError(f"model {model} has no {part}/: download or export the whole pipeline")
    config = source.folder / "transformer" / "config.json"
    try:
        name = json.loads(config.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config} is missing or damaged: download or export the model again") from error
    if name != "FluxTransformer2DModel":
        raise UserError(f"model {model} has a {name} as its transformer: a FluxTransformer2DModel is needed")


def _encoders(source: Source, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Autoencoder and text encoders, by their names in the pipeline."""
    import diffusers
    from transformers import CLIPTextModel, T5EncoderModel

    with part_of(source.options.name, "vae"):
        config = json.loads((source.folder / "vae" / "config.json").read_text(encoding="utf-8"))
        autoencoder = getattr(diffusers, config["_class_name"])
    classes = {"vae": autoencoder, "text_encoder": CLIPTextModel, "text_encoder_2": T5EncoderModel}
    return {
        name: load_part(cls, str(source.folder), name, device, subfolder=name, dtype=dtype)
        for name, cls in classes.items()
    }
