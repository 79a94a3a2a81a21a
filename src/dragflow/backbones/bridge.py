"""Bridges: a model's own transformer with room for hints, kept as 8-bit differences from the model.

The layout is that of FLUX.1 Fill: further channels beside the latent's, which the first projection alone sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dragflow.backbones.fingerprint import with_networks
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.tensors import compare, read_safetensors
from dragflow.core.errors import UserError
from dragflow.files.atomic import write_bytes
from dragflow.method.backbone import Latent
from dragflow.ops.bridge import MASKS, hints

FORMAT = "1"
_FIRST, _LAST = "x_embedder.weight", "proj_out."
_CHANNELS = "hints"
_LEVELS = 127


@dataclass(frozen=True, eq=False)
class ModelBridge:
    """A `Bridge` that a model of the same family is."""

    model: PipelineBackbone
    """On the bridge's transformer."""

    @torch.no_grad()
    def __call__(self, preview: Latent, source: Latent, masks: Float[Tensor, "b 3 h w"]) -> Latent:
        """See `Bridge`."""
        told = torch.cat([preview, hints(source, masks)], dim=1)
        return self.model.velocity(told, 1.0, self.model.condition("", guidance=1.0)).to(preview.dtype)


def bridge_of(transformer: Any, channels: int) -> Any:
    """A copy of a FLUX transformer that takes further channels beside the latent's, which it does not see yet.

    Its last projection is zero, so that it gives the velocity zero.

    Args:
        transformer: a `FluxTransformer2DModel`.
        channels: further channels of a token.
    """
    return _with_weights(transformer, channels, _start(transformer.state_dict(), channels))


def write_bridge(path: Path, bridge: Any, transformer: Any) -> None:
    """Write a bridge of a transformer as one safetensors file: a byte for each weight, a scale for each row.

    Raises:
        UserError: the file cannot be written.
    """
    channels = bridge.config.in_channels - transformer.config.in_channels
    start, tensors = _start(transformer.state_dict(), channels), dict[str, Tensor]()
    for name, weight in bridge.state_dict().items():
        difference = (weight.float() - start[name].float()).cpu()
        if difference.ndim == 2:
            scale = difference.abs().amax(1, keepdim=True).clamp_min(1e-12) / _LEVELS
            tensors[name] = (difference / scale).round().to(torch.int8)
            tensors[f"{name}.scale"] = scale
        else:
            tensors[name] = difference
    about = {"format": FORMAT, _CHANNELS: str(channels), "model": _fingerprint(transformer)}
    write_bytes(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}, about))


def read_bridge(path: Path, transformer: Any) -> Any:
    """The bridge in a file, for the transformer that it was made of; frozen.

    Raises:
        UserError: no bridge, one of another format, one of another transformer, or a damaged one.
    """
    about, tensors = read_file(path)
    if about.get("format") != FORMAT:
        raise UserError(f"{path} is of format {about.get('format')}, this version reads {FORMAT}: export it again")
    if about.get("model") != _fingerprint(transformer):
        raise UserError(f"{path} is a bridge of another model: load the model that it was trained on")
    channels = 4 * (transformer.out_channels // 4 + MASKS)
    if about.get(_CHANNELS) != str(channels):
        raise UserError(f"{path} has {about.get(_CHANNELS)} channels of hints, {channels} are needed: export it again")
    start = _start(transformer.state_dict(), channels)
    account = compare({name: tuple(x.shape) for name, x in tensors.items()}, _needed(start))
    if str(account):
        raise UserError(f"{path} is a damaged bridge: {account}; export it again")
    weights = {name: _added(name, weight, tensors) for name, weight in start.items()}
    return _with_weights(transformer, channels, weights).requires_grad_(False).eval()


def _with_weights(transformer: Any, channels: int, weights: Mapping[str, Tensor]) -> Any:
    """A transformer of the same configuration, but for its further channels, with these weights."""
    config = {name: value for name, value in transformer.config.items() if not name.startswith("_")}
    config |= {"in_channels": transformer.config.in_channels + channels, "out_channels": transformer.out_channels}
    with torch.device("meta"):  # drawing weights at random, to be replaced, would take seconds
        made: Any = type(transformer)(**config)
    made.load_state_dict(weights, assign=True)
    return made


def _needed(start: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a file."""
    shapes = {name: tuple(x.shape) for name, x in start.items()}
    return shapes | {f"{name}.scale": (shape[0], 1) for name, shape in shapes.items() if len(shape) == 2}


def _start(weights: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    start = {name: torch.zeros_like(w) if name.startswith(_LAST) else w.clone() for name, w in weights.items()}
    start[_FIRST] = nn.functional.pad(weights[_FIRST], (0, channels))
    return start


def _added(name: str, start: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    difference = tensors[name].float()
    if f"{name}.scale" in tensors:
        difference = difference * tensors[f"{name}.scale"]
    return (start.float() + difference.to(start.device)).to(start.dtype)


def read_file(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a bridge's file.

    Raises:
        UserError: it is missing, or damaged.
    """
    with _readable(path):
        return read_safetensors(path)


def read_about(path: Path) -> dict[str, str]:
    """The metadata alone.

    Raises:
        UserError: the file is missing, or damaged.
    """
    with _readable(path), safe_open(path, "pt") as file:
        return file.metadata() or {}


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the library's own errors share no class
        raise UserError(f"{path} cannot be read as a bridge: name a file that a bridge's training wrote") from error


def _fingerprint(transformer: Any) -> str:
    return with_networks("", [transformer])
