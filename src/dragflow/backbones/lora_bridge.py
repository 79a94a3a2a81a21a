"""Bridges of any family: a LoRA in every block and a last projection of its own, over the model's unchanged weights.

Such a bridge sees the preview's latent alone, without hints, so that nothing of the model's input changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn

from dragflow.backbones.base import DiffusersBackbone
from dragflow.backbones.bridge import FORMAT, read_about, read_file
from dragflow.backbones.lora import grow_lora, lora_layout, trainable_lora
from dragflow.backbones.tensors import compare, shown
from dragflow.core.errors import CapabilityError, UserError
from dragflow.files.atomic import write_bytes
from dragflow.method.backbone import Latent

_KIND, _LORA = "kind", "lora"
"""The key of a file's metadata that tells this kind of bridge from the other, and its value."""
_ADAPTER = "bridge"
_LAST = "proj_out"
_PART = "transformer."
"""What names in a file begin with, as those of diffusers' LoRAs do."""


@dataclass(frozen=True, eq=False)
class LoraBridge:
    """A `Bridge` that a twin of the model is: whatever LoRAs are put on the model, the bridge is without them."""

    model: DiffusersBackbone

    @torch.no_grad()
    def __call__(self, preview: Latent, source: Latent, masks: Float[Tensor, "b 3 h w"]) -> Latent:
        """See `Bridge`; neither the source nor the masks are looked at."""
        return correction(self.model, preview).to(preview.dtype)


class Projection(nn.Linear):
    """A last projection in float32, whatever the model computes in."""

    def forward(self, input: Tensor) -> Tensor:
        """See `nn.Linear`."""
        return super().forward(input.float())


def correction(model: DiffusersBackbone, preview: Latent) -> Latent:
    """The preview's latent less that of the truth, as a bridge's model gives it; with gradients."""
    return model.flow(preview, 1.0, model.condition("", guidance=1.0))


@contextmanager
def trainable_bridge(
    backbone: DiffusersBackbone, *, rank: int, seed: int
) -> Iterator[tuple[DiffusersBackbone, dict[str, nn.Parameter]]]:
    """A bridge that changes nothing yet, to be trained: its model, and its weights by name, in float32.

    It is made on a twin, so the backbone itself stays as it is. The block holds the model's lock.

    Raises:
        CapabilityError: the transformer has no last projection.
    """
    model = backbone.twin()
    last, modules = _starting(model.transformer), layers(model.transformer)
    with trainable_lora(model, rank=rank, alpha=rank, modules=modules, seed=seed) as weights:
        model.transformer.proj_out = last
        yield model, weights | {f"{_LAST}.{name}": p for name, p in last.named_parameters()}


def write_lora_bridge(path: Path, model: DiffusersBackbone, fingerprint: str, facts: Mapping[str, str]) -> None:
    """Write a bridge that is being trained.

    Args:
        path: a .safetensors file.
        model: that of `trainable_bridge`.
        fingerprint: `transformer_fingerprint` of what it was trained on.
        facts: what else the file says.

    Raises:
        UserError: the file cannot be written.
    """
    tensors, _ = lora_layout(model)
    rank = next(x.shape[0] for name, x in tensors.items() if ".lora_A." in name)
    tensors |= {f"{_PART}{_LAST}.{n}": p.detach().cpu() for n, p in model.transformer.proj_out.named_parameters()}
    about = {"format": FORMAT, _KIND: _LORA, "rank": str(rank), "model": fingerprint}
    write_bytes(path, save({name: x.contiguous() for name, x in tensors.items()}, {**facts, **about}))


def is_lora_bridge(path: Path) -> bool:
    """Whether a file is a bridge of this kind.

    Raises:
        UserError: it cannot be read.
    """
    return _KIND in read_about(path)


def read_lora_bridge(path: Path, model: DiffusersBackbone, fingerprint: str) -> LoraBridge:
    """The bridge in a file, on a twin of the model; frozen.

    Args:
        path: the file.
        model: where it computes, without LoRAs.
        fingerprint: `transformer_fingerprint` of the model.

    Raises:
        UserError: no bridge of this kind, one of another format or of another model, or a damaged one.
        CapabilityError: the transformer has no last projection.
    """
    about, tensors = read_file(path)
    if (about.get("format"), about.get(_KIND)) != (FORMAT, _LORA):
        raise UserError(
            f"{path} is of format {shown(str(about.get('format')))}, kind {shown(str(about.get(_KIND)))}, this version "
            f"reads {FORMAT}, {_LORA}: train it again"
        )
    if about.get("model") != fingerprint:
        raise UserError(f"{path} is a bridge of another model: load the model that it was trained on")
    twin = model.twin()
    transformer, rank = twin.transformer, about.get("rank", "")
    last, names = _starting(transformer), layers(transformer)
    if not (rank.isdecimal() and int(rank)):
        raise UserError(f"{path} is a damaged bridge: its rank is {shown(rank)}; train it again")
    account = compare(
        {name: tuple(x.shape) for name, x in tensors.items()}, _needed(transformer, names, last, int(rank))
    )
    if str(account):
        raise UserError(f"{path} is a damaged bridge: {account}; train it again")
    if broken := next((name for name, x in tensors.items() if not x.isfinite().all()), None):
        raise UserError(f"{path} is a damaged bridge: not every value of {shown(broken)} is finite; train it again")
    grown = grow_lora(transformer, rank=int(rank), alpha=int(rank), modules=names, name=_ADAPTER)
    for name, weight in grown.items():
        weight.data = tensors[_PART + name.replace(f".{_ADAPTER}.", ".")].float().to(transformer.device)
    last.load_state_dict({name: tensors[f"{_PART}{_LAST}.{name}"] for name in last.state_dict()})
    transformer.proj_out = last
    transformer.requires_grad_(False).eval()
    return LoraBridge(twin)


def layers(transformer: Any) -> list[str]:
    """The layers that get factors: the projections in every block, but not those of norms, whose input is the time."""
    return [
        name
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) and any(part.isdecimal() for part in name.split(".")) and "norm" not in name
    ]


def _needed(transformer: Any, names: list[str], last: nn.Module, rank: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a file."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name in names:
        module = transformer.get_submodule(name)
        shapes[f"{_PART}{name}.lora_A.weight"] = (rank, module.in_features)
        shapes[f"{_PART}{name}.lora_B.weight"] = (module.out_features, rank)
    return shapes | {f"{_PART}{_LAST}.{name}": tuple(x.shape) for name, x in last.state_dict().items()}


def _starting(transformer: Any) -> Projection:
    """The last projection before any step: zero, so that the bridge gives the velocity zero.

    Raises:
        CapabilityError: the transformer ends in something else.
    """
    own = getattr(transformer, _LAST, None)
    if not isinstance(own, nn.Linear):
        raise CapabilityError(
            f"a bridge needs a transformer that ends in a projection `{_LAST}`, and this one, a "
            f"{type(transformer).__name__}, does not: use a model of another family"
        )
    last = Projection(own.in_features, own.out_features, bias=own.bias is not None, device=transformer.device)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return last
