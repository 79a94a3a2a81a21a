"""From the files of a diffusers pipeline, or from a loaded one, to a backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from dragflow.backbones.bridge import ModelBridge, read_bridge
from dragflow.backbones.configs import Config
from dragflow.backbones.devices import idle_device, pick_device, pick_dtype
from dragflow.backbones.fingerprint import transformer_fingerprint, weights_of, weights_of_parts
from dragflow.backbones.lora import add_loras, parse_lora
from dragflow.backbones.lora_bridge import is_lora_bridge, read_lora_bridge
from dragflow.backbones.part_checks import check_parts, check_tokenizer
from dragflow.backbones.parts import Source, load_part, part_of, read_autoencoder, read_encoder
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.pipeline_layout import Layout, library_class, naming_of, network_class
from dragflow.backbones.quantise import load_transformer
from dragflow.backbones.round_trip import told_round_trip
from dragflow.backbones.self_test import gradient_self_test
from dragflow.backbones.swap import move, swap_blocks
from dragflow.backbones.swept import Swept, swept
from dragflow.backbones.usual import bridge_file
from dragflow.backbones.vae import tile
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, WeightsId
from dragflow.method.backbone import Bridge

B = TypeVar("B", bound=PipelineBackbone)


def load_pipeline(source: Source, layout: Layout, family: type[B]) -> B:
    """Load a pipeline, make sure that gradients reach the latent, and measure a distilled model's round trip.

    Raises:
        UserError: a part is missing or of another architecture; an unknown device or dtype.
        CapabilityError: the quantisation gives no gradients, or its library is missing.
    """
    options = source.options
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    loras = tuple(parse_lora(text) for text in options.lora)
    configs = check_parts(source, layout)
    with part_of(options.name, "transformer"):
        cls, config = library_class(layout.transformer), configs["transformer"]
        transformer = load_transformer(cls, source, config, naming_of(layout), dtype)
    encoders = _encoders(source, layout, configs, idle_device(device, offload=options.offload), dtype)
    with part_of(options.name, "tokenizers or scheduler"):
        pipeline = library_class(layout.pipeline).from_pretrained(
            source.folder, transformer=transformer, **encoders, **dict.fromkeys((*layout.further, *layout.absent))
        )
    for part, read in layout.further.items():
        with part_of(options.name, part):
            setattr(pipeline, part, read(source))
    for part, encoder in layout.tokenizers.items():
        where, tokenizer = f"model {options.name}: its {part}", getattr(pipeline, part)
        check_tokenizer(where, tokenizer, encoders[encoder], layout.text_limit)
    file = bridge_file(options, source.folder)
    if options.swap and device.type != "cpu":
        swap_blocks(transformer, device)
    move(transformer, device)
    bridge = None if file is None else _bridge_of_folder(file, source, family(transformer, pipeline))  # without LoRAs
    add_loras(pipeline, loras)
    move(transformer, device)
    further = [*(file for lora in loras for file in lora.files), *([] if file is None else [file])]
    return _tested(pipeline, options, weights_of(source, further, dtype), family, bridge, swept(source))


def _bridge_of_folder(file: Path, source: Source, model: PipelineBackbone) -> Bridge:
    """The bridge in a file, made of the model's own weights, whatever was done to those that are dragged with.

    Raises:
        UserError: no bridge of this model, or the model's own weights are not there.
    """
    if source.files:
        raise UserError(f"`bridge` {file} needs the weights that it was trained on, in their folder: leave it out")

    def own() -> Any:
        if source.options.quantize is None and model.dtype == torch.float32:
            return model.transformer
        cls, cpu = type(model.transformer), torch.device("cpu")
        return load_part(cls, str(source.folder), "transformer", cpu, subfolder="transformer")

    return _bridge(file, model, own, source.folder)


def _bridge(
    file: Path, model: PipelineBackbone, own: Callable[[], Any], fingerprinted: Path | torch.nn.Module
) -> Bridge:
    """The bridge in a file, of either kind.

    Args:
        file: the bridge.
        model: where it computes, without LoRAs.
        own: gives the model's transformer in float32.
        fingerprinted: the model's folder, or its transformer.
    """
    if is_lora_bridge(file):
        bridge = read_lora_bridge(file, model, transformer_fingerprint(fingerprinted))
    else:
        bridge = ModelBridge(type(model)(read_bridge(file, own()).to(model.device, model.dtype), model.pipeline))
    bridge.model.condition("", guidance=1.0)  # its prompt, encoded before LoRAs are put on the text encoders
    return bridge


def wrap_pipeline(pipeline: Any, options: ModelOptions, layout: Layout, family: type[B]) -> B:
    """A backbone on a loaded pipeline.

    Raises:
        CapabilityError: no gradient reaches the latent.
    """
    networks = [getattr(pipeline, name) for name in layout.networks]
    for network in networks[1:]:
        network.eval().requires_grad_(False)
    name = str(pipeline.config.get("_name_or_path") or type(pipeline).__name__)  # diffusers keeps a Path as one
    weights, bridge = weights_of_parts(name, networks, pipeline.transformer.dtype), None
    if options.bridge is not None:
        own = pipeline.transformer
        bridge = _bridge(Path(options.bridge), family(own, pipeline), lambda: own, own)
    return _tested(pipeline, options, weights, family, bridge)


def _tested(
    pipeline: Any,
    options: ModelOptions,
    weights: WeightsId,
    family: type[B],
    bridge: Bridge | None = None,
    chosen: Swept | None = None,
) -> B:
    transformer = pipeline.transformer
    transformer.eval().requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    if options.tiles:
        tile(pipeline.vae)
    on_accelerator = transformer.device.type != "cpu"
    backbone = family(
        transformer,
        pipeline,
        weights=weights,
        checkpointing=on_accelerator if options.checkpointing is None else options.checkpointing,
        offload=options.offload,
        bridge=bridge,
        chosen=chosen,
    )
    gradient_self_test(backbone)
    if backbone.spec.distilled:
        backbone.spec = replace(backbone.spec, round_trip=told_round_trip(backbone))
    return backbone


def _encoders(
    source: Source, layout: Layout, configs: Mapping[str, Config], device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Autoencoder and text encoders, by their names in the pipeline."""
    found: dict[str, Any] = {}
    for part in ("vae", *layout.text_encoders):
        cls, config = network_class(layout, part, configs[part]), configs[part]
        if part in source.checkpoints:
            read = read_autoencoder if part == "vae" else read_encoder
            network = read(cls, source.options.name, part, source.checkpoints[part], config, dtype)
            found[part] = network.to(device).eval().requires_grad_(False)
        else:
            found[part] = load_part(cls, str(source.folder), part, device, subfolder=part, dtype=dtype)
    return found
