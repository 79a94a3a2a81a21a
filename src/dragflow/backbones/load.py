"""From the files of a diffusers pipeline, or from a loaded one, to a backbone; a family adds its classes' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch

from dragflow.backbones.bridge import ModelBridge, read_bridge
from dragflow.backbones.checkpoints.names import Naming
from dragflow.backbones.checkpoints.network import entries_of, fitting
from dragflow.backbones.configs import (
    Config,
    check_config,
    check_tokenizer_config,
    defaults_of,
    read_config,
    settings_of,
)
from dragflow.backbones.devices import idle_device, pick_device, pick_dtype
from dragflow.backbones.family import FAMILIES, Family
from dragflow.backbones.fingerprint import transformer_fingerprint, weights_of, weights_of_parts
from dragflow.backbones.lora import add_loras, parse_lora
from dragflow.backbones.lora_bridge import is_lora_bridge, read_lora_bridge
from dragflow.backbones.parts import Source, class_of, load_part, part_of, read_autoencoder, read_encoder
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.quantise import load_transformer
from dragflow.backbones.round_trip import told_round_trip
from dragflow.backbones.swept import Swept, swept
from dragflow.backbones.tensors import reason, shown
from dragflow.backbones.usual import bridge_file
from dragflow.core.errors import CapabilityError, DragFlowError, UserError
from dragflow.core.models import ModelOptions, WeightsId
from dragflow.method.backbone import Backbone, Bridge

B = TypeVar("B", bound=PipelineBackbone)
_SCHEDULER = "scheduler"


@dataclass(frozen=True)
class Layout:
    """The classes of a family's pipeline, by the names that diffusers and transformers give them."""

    pipeline: str
    transformer: str
    text_encoders: Mapping[str, str]
    """Part to class, as in {"text_encoder": "CLIPTextModel"}."""
    tokenizers: Mapping[str, str]
    """Part to the text encoder that it is for."""
    check_configs: Callable[[str, Mapping[str, Config]], None]
    """Given the model's name and its networks' settings: raises a `UserError` where they do not fit each other."""
    autoencoders: tuple[str, ...] = ("AutoencoderKL", "AutoencoderTiny")
    """Classes that the `vae` may be of: those whose latents are what the family works on as they are."""
    text_limit: int | None = None
    """Most tokens that a tokenizer is ever asked for; None: as many as it says that it gives."""
    published: Callable[[str], Mapping[str, Config]] | None = None
    """Gives the configurations of published weights by their hub id, for files that come without."""
    further: Mapping[str, Callable[[Source], Any]] = field(default_factory=dict[str, Callable[[Source], Any]])
    """Parts that are read by a function, for want of one in the library that needs no further packages."""

    absent: tuple[str, ...] = ()
    """Parts that the pipeline can have, and that this model does without."""

    @property
    def networks(self) -> tuple[str, ...]:
        """Parts with weights."""
        return ("transformer", "vae", *self.text_encoders)

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders that a model must have."""
        return (*self.networks, *self.tokenizers, *self.further, _SCHEDULER)


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
    configs = _check_parts(source, layout)
    with part_of(options.name, "transformer"):
        cls, config = _diffusers(layout.transformer), configs["transformer"]
        transformer = load_transformer(cls, source, config, naming_of(layout), dtype)
    encoders = _encoders(source, layout, configs, idle_device(device, offload=options.offload), dtype)
    with part_of(options.name, "tokenizers or scheduler"):
        pipeline = _diffusers(layout.pipeline).from_pretrained(
            source.folder, transformer=transformer, **encoders, **dict.fromkeys((*layout.further, *layout.absent))
        )
    for part, read in layout.further.items():
        with part_of(options.name, part):
            setattr(pipeline, part, read(source))
    for part, encoder in layout.tokenizers.items():
        where, tokenizer = f"model {options.name}: its {part}", getattr(pipeline, part)
        check_tokenizer(where, tokenizer, encoders[encoder], layout.text_limit)
    file = bridge_file(options, source.folder)
    transformer.to(device)
    bridge = None if file is None else _bridge_of_folder(file, source, family(transformer, pipeline))  # without LoRAs
    add_loras(pipeline, loras)
    transformer.to(device)
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


def _check_parts(source: Source, layout: Layout) -> dict[str, Config]:
    """Check all configurations, before anything is built of them; gives those of the networks."""
    model, folder = source.options.name, source.folder
    in_file = "transformer" in source.checkpoints
    for part in layout.parts:
        if not (folder / part).is_dir() and not (part == "transformer" and in_file):
            raise UserError(f"model {model} has no {part}/: download or export the whole pipeline")
    if not in_file:
        name = class_of(folder / "transformer" / "config.json")
        if name != layout.transformer:
            raise UserError(f"model {model} has a {name} as its transformer: a {layout.transformer} is needed")
    settings: dict[str, Config] = {}
    configs = _configs(source, layout)
    for part, config in configs.items():
        cls = network_class(layout, part, config)
        check_config(f"model {model}: its {part}", config, defaults_of(cls))
        settings[part] = settings_of(cls, config)
    layout.check_configs(model, settings)
    for tokenizer in layout.tokenizers:
        check_tokenizer_config(f"model {model}: its {tokenizer}", folder / tokenizer)
    _check_scheduler(f"model {model}: its {_SCHEDULER}", folder / _SCHEDULER / "scheduler_config.json")
    return configs


def _configs(source: Source, layout: Layout) -> dict[str, Config]:
    """The configurations of a model's networks; a transformer in a file gets the one that it fits."""
    model, checkpoint = source.options.name, source.checkpoints.get("transformer")
    if checkpoint is None:
        return read_configs(layout, model, source.folder)
    where, own = f"model {model}", source.folder / "transformer" / "config.json"
    known = [read_config(f"{where}: its transformer", own)] if own.is_file() else []
    known = [config for config in known if config.get("_class_name") == layout.transformer]
    if layout.published is not None:
        family: Family = FAMILIES.load(layout.pipeline)
        known += [layout.published(each.name)["transformer"] for each in family.published]
    cls = _diffusers(layout.transformer)
    with part_of(model, "transformer"):
        config = fitting(cls, where, known, entries_of(checkpoint), naming_of(layout))
    return {"transformer": config, **read_configs(layout, model, source.folder, layout.networks[1:])}


def naming_of(layout: Layout) -> Naming:
    """What the authors of a family's models call the tensors of the transformer."""
    if layout.pipeline not in FAMILIES.names:
        return Naming()
    family: Family = FAMILIES.load(layout.pipeline)
    return Naming(family.layers, family.norms)


def read_configs(layout: Layout, model: str, folder: Path, parts: Sequence[str] = ()) -> dict[str, Config]:
    """The configurations of these networks of a model, or of all of them, by the part's name.

    Raises:
        UserError: one is missing or damaged.
    """
    parts = parts or layout.networks
    return {part: read_config(f"model {model}: its {part}", folder / part / "config.json") for part in parts}


def network_class(layout: Layout, part: str, config: Config) -> Any:
    """The class of a part's network; that of the autoencoder is named in its configuration.

    Raises:
        UserError: that names none of the family's autoencoders.
    """
    if part in layout.text_encoders:
        return getattr(import_module("transformers"), layout.text_encoders[part])
    name = layout.transformer if part == "transformer" else str(config.get("_class_name"))
    if part == "vae" and name not in layout.autoencoders:
        needed = " or ".join(layout.autoencoders)
        raise UserError(f"the vae of the model is a {shown(name)}: {needed} is needed; use the vae that belongs to it")
    return _diffusers(name)


def _check_scheduler(where: str, path: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    defaults = defaults_of(FlowMatchEulerDiscreteScheduler)
    config = read_config(where, path)
    name = str(config.get("_class_name"))
    if not name.startswith("FlowMatch"):
        raise UserError(f"{where} is a {shown(name)}: a FlowMatchEulerDiscreteScheduler is needed")
    check_config(where, config, defaults, {})
    first, last, shift = ({**defaults, **config}[key] for key in ("base_image_seq_len", "max_image_seq_len", "shift"))
    if first >= last:
        raise UserError(
            f"{where} has base_image_seq_len {first}: it must be less than max_image_seq_len, which is {last}"
        )
    if shift <= 0:
        raise UserError(f"{where} has shift {shift}: it must be greater than 0")


def check_tokenizer(where: str, tokenizer: Any, encoder: Any, limit: int | None = None) -> None:
    """Check that a tokenizer came from files, and gives nothing but tokens and lengths that its encoder has.

    Args:
        where: begins the sentence.
        tokenizer: as it was loaded.
        encoder: the network that it is for.
        limit: most tokens that it is ever asked for; None: as many as it says that it gives.

    Raises:
        UserError: it does not; without files the library makes an empty one, in silence.
    """
    folder = Path(tokenizer.name_or_path)
    files = sorted(set(tokenizer.vocab_files_names.values()))
    if not any((folder / name).is_file() for name in files):
        raise UserError(f"{where}/ has no vocabulary ({' or '.join(files)}): download or export the model again")
    text = encoder.config.get_text_config()
    known, length = text.vocab_size, tokenizer.model_max_length
    if len(tokenizer) > known:
        raise UserError(
            f"{where} has {len(tokenizer)} tokens, and its encoder {known}: use the tokenizer that belongs to it"
        )
    most = getattr(text, "max_position_embeddings", None)
    asked = length if limit is None or not isinstance(length, int) else min(length, limit)
    if not isinstance(asked, int) or asked < 1 or (most is not None and asked > most):
        raise UserError(
            f"{where} has model_max_length {shown(repr(length))}: it must be a whole number from 1"
            + (f" to {most}, which its encoder takes" if most else "")
        )


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
    try:
        features = backbone.features(z, 0.8, backbone.condition("", guidance=1.0), taps=spec.taps)
    except (DragFlowError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # parts that load, but whose settings contradict each other, fail in any way
        raise CapabilityError(
            f"this model cannot be run ({reason(error)}): its parts do not fit each other; download or export it again"
        ) from error
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
