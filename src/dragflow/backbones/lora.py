"""LoRAs on a diffusers transformer: attached from files with scales, made for training, and removed again."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dragflow.backbones.base import DiffusersBackbone, on_diffusers
from dragflow.backbones.family import FAMILIES
from dragflow.backbones.fingerprint import with_files
from dragflow.backbones.lora_files import Plan, effects, plan, read_lora
from dragflow.backbones.lora_magnitude import Rescaled
from dragflow.backbones.lora_names import PARTS
from dragflow.backbones.lora_strength import config_of
from dragflow.backbones.quiet import quiet_libraries
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import WeightsId
from dragflow.method.backbone import Backbone

_log = logging.getLogger(__name__)

_TRAINABLE = "trained"
"""Name of the adapter that is being trained."""


@dataclass(frozen=True)
class Lora:
    """A LoRA file and its scale."""

    file: Path
    scale: float

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that decide what it does."""
        config = config_of(self.file)
        return (self.file,) if config is None else (self.file, config)


def parse_lora(text: str) -> Lora:
    """A LoRA from FILE or FILE:SCALE; what names a file as it stands is that file, whatever colons it has.

    Raises:
        UserError: no such file, or a scale that is not finite.
    """
    name, _, scale = text.rpartition(":")
    try:
        lora = Lora(Path(name), float(scale)) if name and not Path(text).is_file() else Lora(Path(text), 1.0)
    except ValueError:
        lora = Lora(Path(text), 1.0)
    if not lora.file.is_file():
        raise UserError(
            f"LoRA {lora.file} does not exist: give a safetensors file, with an optional scale as in FILE:0.8"
        )
    if not math.isfinite(lora.scale):
        raise UserError(f"LoRA {text}: the scale must be a finite number")
    return lora


def add_loras(pipeline: Any, loras: Sequence[Lora]) -> None:
    """Add LoRAs to a pipeline, all active together; what is left out of them is logged.

    Raises:
        UserError: one does not fit the model.
    """
    from diffusers.utils import set_weights_and_activate_adapters

    kind = type(pipeline).__name__
    own = FAMILIES.load(kind).layers if kind in FAMILIES.names else {}
    names = [f"lora{i}" for i in range(len(loras))]
    with quiet_libraries():
        for name, lora in zip(names, loras, strict=True):
            what = plan(pipeline, own, lora.file, read_lora(lora.file))
            _put_on(pipeline, name, what)
            if left_out := str(what):
                _log.warning(left_out)
        for network in _with_loras(pipeline):
            set_weights_and_activate_adapters(network, names, [lora.scale for lora in loras])
            network.eval().requires_grad_(False)


def _put_on(pipeline: Any, name: str, what: Plan) -> None:
    """Put a LoRA into layers of peft, which add up with others, scale it, and can be removed."""
    from peft import LoraConfig, inject_adapter_in_model

    networks = {part: getattr(pipeline, part) for part in what.modules}
    dtypes = {part: network.dtype for part, network in networks.items()}
    for part, modules in what.modules.items():
        config = LoraConfig(r=1, lora_alpha=1, target_modules="|".join(map(re.escape, modules)))
        inject_adapter_in_model(config, networks[part], name, low_cpu_mem_usage=True)  # empty: it is filled below
        networks[part]._hf_peft_config_loaded = True  # diffusers asks it
    for effect in effects(pipeline, what):
        layer, added, dtype = networks[effect.part].get_submodule(effect.module), effect.addition, dtypes[effect.part]
        layer.lora_A[name], layer.lora_B[name] = added.down.to(dtype), added.up.to(dtype)
        layer.lora_alpha[name] = added.scale
        if effect.magnitude is not None:
            layer.lora_magnitude_vector[name], layer.lora_variant[name] = effect.magnitude, Rescaled()


def remove_loras(pipeline: Any) -> None:
    """Leave the networks of a pipeline as they were before LoRAs were put on."""
    from diffusers.utils import recurse_remove_peft_layers

    for network in _with_loras(pipeline):
        recurse_remove_peft_layers(network)
        del network.peft_config
        network._hf_peft_config_loaded = False


def _with_loras(pipeline: Any) -> list[Any]:
    networks = [getattr(pipeline, part, None) for part in PARTS]
    return [network for network in networks if getattr(network, "peft_config", None)]


@contextmanager
def attach_loras(backbone: Backbone, loras: Sequence[str]) -> Iterator[DiffusersBackbone]:
    """Add LoRAs (FILE or FILE:SCALE) to a loaded model, without loading it again.

    Yields the backbone to use: its `weights` name the LoRAs. The model itself is shared, so the backbone passed in has
    them too until the block is left; then it is as it was. The block holds the model's lock, so edits in other threads
    wait.

    Raises:
        UserError: no such file, or one that does not fit the model.
        CapabilityError: another family, or a model that has LoRAs on it already.
    """
    with backbone.lock:
        bare = without_loras(backbone)
        parsed = [parse_lora(text) for text in loras]
        try:
            add_loras(bare.pipeline, parsed)
            weights = bare.weights
            options = replace(weights.options, lora=(*weights.options.lora, *loras))
            digest = with_files(weights.fingerprint, [file for lora in parsed for file in lora.files])
            yield bare.renamed(WeightsId(options, digest))
        finally:
            remove_loras(bare.pipeline)


def without_loras(backbone: Backbone) -> DiffusersBackbone:
    """The backbone, if LoRAs can be put on it.

    Raises:
        CapabilityError: another family, or a model that has LoRAs on it already.
    """
    bare = on_diffusers(backbone, "a LoRA")
    if getattr(bare.transformer, "peft_config", None):
        raise CapabilityError("this model has LoRAs on it already: load it without any")
    return bare


@contextmanager
def trainable_lora(
    backbone: DiffusersBackbone, *, rank: int, alpha: float, modules: Sequence[str], seed: int
) -> Iterator[dict[str, nn.Parameter]]:
    """Add a LoRA without effect, to be trained, to a model that has none; afterwards the model is as it was.

    The block holds the model's lock.

    Yields its weights by name, in float32 regardless of the model's own type. The first factor is drawn uniform within
    1 / sqrt(inputs) from the seed, the second is zero.

    Raises:
        UserError: no module of the transformer has such a name.
    """
    transformer = backbone.transformer
    with backbone.lock:
        try:
            weights = grow_lora(transformer, rank=rank, alpha=alpha, modules=modules, name=_TRAINABLE)
            draw = torch.Generator().manual_seed(seed)
            for name, weight in sorted(weights.items()):
                first = torch.empty(weight.shape).uniform_(-1, 1, generator=draw) / weight.shape[1] ** 0.5
                weight.data = (first if ".lora_A." in name else torch.zeros(weight.shape)).to(transformer.device)
                weight.requires_grad_(True)
            yield weights
        finally:
            transformer.unload_lora()


def grow_lora(
    transformer: Any, *, rank: int, alpha: float, modules: Sequence[str], name: str
) -> dict[str, nn.Parameter]:
    """Add a LoRA of this name to a transformer; gives its weights by name, whose values are still to be set.

    Raises:
        UserError: no module of the transformer has such a name.
    """
    from peft import LoraConfig

    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(modules))  # pyright: ignore[reportArgumentType]
    try:
        with torch.random.fork_rng(devices=[]):
            transformer.add_adapter(config, name)
    except ValueError as error:
        raise UserError(f"modules {', '.join(modules)}: {error}") from error
    return {full: p for full, p in transformer.named_parameters() if f".{name}." in full}


def lora_layout(backbone: DiffusersBackbone) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of the LoRA that is being trained, as `load_lora_weights` of diffusers wants them."""
    from peft.utils import get_peft_model_state_dict

    transformer: Any = backbone.transformer
    layers = get_peft_model_state_dict(transformer, adapter_name=_TRAINABLE)
    config = transformer.peft_config[_TRAINABLE].to_dict()
    plain = {f"transformer.{k}": sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    tensors = {f"transformer.{name}": layer.detach().cpu().contiguous() for name, layer in sorted(layers.items())}
    return tensors, {"format": "pt", "lora_adapter_metadata": json.dumps(plain, sort_keys=True)}
