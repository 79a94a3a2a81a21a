"""What a LoRA's file holds, which layers of a model it is for, and an account of what becomes of every tensor.

A tensor is applied, or it is left out by name, or the file is refused. Left out is what is of layers that only a larger
model of the family has, or of text encoders that this one lacks; other kinds, families and sizes are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dragflow.backbones.lora_kinds import Addition, Rows, addition, has_factors, kind_of, misshapen, plain, rank_of
from dragflow.backbones.lora_magnitude import Magnitude, magnitudes
from dragflow.backbones.lora_names import PARTS, TRANSFORMER, Layer, LayerNames, Stacked, split
from dragflow.backbones.lora_strength import Strength, read_strengths
from dragflow.backbones.tensors import Account, Entry, few, quantised, read_entries, reason, shown
from dragflow.core.errors import UserError

_OTHER_KINDS = {
    "an OFT": r"[._]b?oft_",
    "a GLoRA": r"\.(a1|a2|b1|b2|bm1|bm2)\.weight$",
    "an IA3": r"\.on_input$",
    "a LoCon with a middle factor, for convolutions": r"\.(lora_mid\.weight|hada_t[12]|lokr_t2)$",
}
"""What is called LoRA and is not read, by names that only they have."""
_CONTROL = r"(query|key)_norm\.scale|\.(re)?set_weight$|norm_(added_)?[qk]\.weight$|\.reshape_weight$"
"""What names of a control LoRA alone have: norms, and the widened layer's shape."""
_EMBEDDER = r"((all_)?x_embedder|img_in)\b"
"""The layer that takes the latent, which a control LoRA widens for its picture's."""
_READ = (
    "that of diffusers (transformer.…), peft (base_model.model.…), kohya (lora_unet_…), OneTrainer "
    "(lora_transformer_…), LyCORIS (lycoris_…), ComfyUI (diffusion_model.…) or XLabs (….processor.…)"
)


@dataclass(frozen=True)
class Group:
    """The tensors of one layer of a file."""

    name: str
    """Of the layer in the file."""
    tensors: dict[str, str] = field(default_factory=dict[str, str])
    """Their names, by their roles."""


@dataclass(frozen=True)
class Applied:
    """A layer of a file that a model has."""

    group: Group
    kind: str
    layer: Layer


@dataclass(frozen=True)
class Plan:
    """What becomes of a file."""

    path: Path
    applied: tuple[Applied, ...]
    left_out: tuple[str, ...]
    """Names of layers, or of tensors that are of none."""

    @property
    def modules(self) -> dict[str, list[str]]:
        """The layers that it is put on, by the part of the pipeline."""
        found: dict[str, list[str]] = {}
        for each in self.applied:
            found.setdefault(each.layer.part, []).extend(each.layer.modules)
        return found

    def __str__(self) -> str:
        """One line on what is left out; empty if nothing is."""
        if not self.left_out:
            return ""
        total = len(self.applied) + len(self.left_out)
        return f"LoRA {self.path}: {len(self.applied)} of {total} layers applied, left out: {few(self.left_out)}"


@dataclass(frozen=True)
class Effect:
    """What a LoRA does to one layer of a model."""

    part: str
    module: str
    addition: Addition
    magnitude: Magnitude | None


def read_lora(path: Path) -> dict[str, Entry]:
    """All tensors of a LoRA's file, by its header alone.

    Raises:
        UserError: it is not safetensors, is damaged, quantised, or of a kind that is not read.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"LoRA {path} is not a .safetensors file, and nothing else is read: save it as safetensors")
    try:
        entries = read_entries([path])
    except Exception as error:
        raise UserError(f"LoRA {path} cannot be read ({reason(error)}): save or download it again") from error
    for kind, pattern in _OTHER_KINDS.items():
        if found := next((name for name in entries if re.search(pattern, name)), None):
            raise UserError(
                f"LoRA {path} is {kind} (it has {shown(found)} of shape {shown(str(entries[found].shape))}), "
                "which is not read: use a LoRA, DoRA, LoHa or LoKr"
            )
    if found := next((name for name in entries if re.search(_CONTROL, name)), None):
        raise _control_error(path, entries, next((name for name in entries if re.search(_EMBEDDER, name)), found))
    factors = {name: entry for name, entry in entries.items() if not name.endswith(".alpha")}
    if how := quantised(factors):
        raise UserError(f"LoRA {path} is quantised as {how}: use one in bfloat16, float16 or float32")
    return entries


def plan(pipeline: Any, own: Mapping[str, Stacked], path: Path, entries: Mapping[str, Entry]) -> Plan:
    """What becomes of every tensor of a file on a pipeline.

    Args:
        pipeline: of diffusers.
        own: what the authors of the model call the layers of its transformer.
        path: the file.
        entries: its tensors.

    Raises:
        UserError: it is of another family, size or naming, or a layer of it is incomplete.
    """
    networks = _networks(pipeline)
    names = LayerNames(networks, own, (name for name, _ in pipeline.transformer.named_modules() if name))
    groups, left = _grouped(entries)
    found = {group.name: names.find(group.name) for group in groups}
    lost = [group for group in groups if found[group.name] is None]
    foreign = [group for group in lost if has_factors(group.tensors) and names.is_foreign(group.name)]
    if foreign or not any(found.values()):
        mixed = any(layer is not None and layer.part == TRANSFORMER for layer in found.values())
        raise _foreign_error(path, entries, foreign[:1], mixed=mixed)
    applied: list[Applied] = []
    taken: set[tuple[str, str]] = set()
    for group in groups:
        layer = found[group.name]
        places = set() if layer is None else {(layer.part, module) for module in layer.modules}
        if layer is None or places & taken:  # the same layer under another name
            left.append(group.name)
        else:
            taken |= places
            applied.append(Applied(group, _kind(path, group), layer))
    _check_known(path, entries, applied, left)
    _check_shapes(path, entries, applied, networks)
    if not any(each.layer.part == TRANSFORMER for each in applied):
        raise UserError(f"LoRA {path} holds nothing for the transformer of this model: use one for this model")
    return Plan(path, tuple(applied), tuple(left))


def _kind(path: Path, group: Group) -> str:
    if kind := kind_of(set(group.tensors)):
        return kind
    raise UserError(
        f"LoRA {path} is damaged: all that it has of {shown(group.name)} is "
        f"{few(group.tensors.values())}, which is not a whole LoRA, LoHa or LoKr; save or download it again"
    )


def _check_shapes(
    path: Path, entries: Mapping[str, Entry], applied: list[Applied], networks: Mapping[str, Mapping[str, Any]]
) -> None:
    wrong: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
    for each in applied:
        modules = [networks[each.layer.part][module] for module in each.layer.modules]
        shapes = {role: entries[name].shape for role, name in each.group.tensors.items()}
        out = sum(module.out_features for module in modules)
        inputs = modules[0].in_features
        if _is_widened(each.layer.modules[0], shapes.get("down", ()), inputs):
            raise _control_error(path, entries, each.group.tensors["down"])
        faults = misshapen(each.kind, shapes, out, inputs)
        wrong += [(each.group.tensors[role], held, needed) for role, held, needed in faults]
    if wrong:
        account = Account(misshapen=tuple(wrong))
        raise UserError(f"LoRA {path} does not fit this model: {account}; use one for this model")


def _is_widened(module: str, down: tuple[int, ...], inputs: int) -> bool:
    """Whether a factor is of the layer that takes the latent, with room for further pictures of its size beside it."""
    return bool(re.match(_EMBEDDER, module)) and len(down) > 1 and down[1] > inputs and down[1] % inputs == 0


def _control_error(path: Path, entries: Mapping[str, Entry], name: str) -> UserError:
    return UserError(
        f"LoRA {path} is a control LoRA (it has {shown(name)} of shape {shown(str(entries[name].shape))}): its model "
        "is given a further picture beside the latent, such as the edges or the depth of what it draws, and an edit "
        "has none; use a LoRA without one"
    )


def _check_known(path: Path, entries: Mapping[str, Entry], applied: list[Applied], left: list[str]) -> None:
    """Refuse what is not known of a layer that is applied, since that may change what the rest of it does.

    Raises:
        UserError: there is such a tensor.
    """
    layers = {each.group.name for each in applied}
    for name in left:
        stems = accumulate(name.split(".")[:-1], "{}.{}".format)
        if name in entries and split(name) is None and not layers.isdisjoint(stems):
            raise UserError(
                f"LoRA {path} has {shown(name)} of shape {shown(str(entries[name].shape))} for a layer whose other "
                "tensors are known, and what this one does is not: use a LoRA, DoRA, LoHa or LoKr"
            )


def _networks(pipeline: Any) -> dict[str, dict[str, Any]]:
    """Linear layers of the parts that LoRAs are put on."""
    parts = {part: getattr(pipeline, part, None) for part in PARTS}
    return {part: _linear_layers(network) for part, network in parts.items() if isinstance(network, nn.Module)}


def _linear_layers(network: nn.Module) -> dict[str, Any]:
    """The linear layers of a network by name, also where adapters of peft are around them already."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found: dict[str, Any] = {}
    inside: tuple[str, ...] = ()
    for name, module in network.named_modules():
        if name.startswith(inside) and inside:
            continue
        if isinstance(module, BaseTunerLayer):
            inside = (f"{name}.",)
            module = module.get_base_layer()
        if isinstance(module, nn.Linear):
            found[name] = module
    return found


def _grouped(entries: Mapping[str, Entry]) -> tuple[list[Group], list[str]]:
    """Tensors by their layers, and the names of those that are of none."""
    groups: dict[str, Group] = {}
    loose: list[str] = []
    for name in entries:
        parsed = split(name)
        if parsed is None:
            loose.append(name)
        elif parsed.role in (group := groups.setdefault(parsed.layer, Group(parsed.layer))).tensors:
            loose.append(name)  # the same tensor with another ending
        else:
            group.tensors[parsed.role] = name
    return list(groups.values()), loose


def _foreign_error(path: Path, entries: Mapping[str, Entry], foreign: list[Group], *, mixed: bool) -> UserError:
    name = next(iter(foreign[0].tensors.values())) if foreign else next(iter(entries))
    what = "is for several families of models" if mixed else "holds nothing for this model"
    return UserError(
        f"LoRA {path} {what}: tensor {shown(name)} of shape {shown(str(entries[name].shape))} belongs to no layer of "
        f"this one; use a LoRA for this model, in a naming that is read: {_READ}"
    )


def effects(pipeline: Any, plan: Plan) -> Iterator[Effect]:
    """What the layers of a file do to those of a pipeline, on the devices of these.

    Raises:
        UserError: a value is not finite, or the file's configuration is damaged.
    """
    strengths, networks = read_strengths(plan.path), _networks(pipeline)
    with safe_open(plan.path, "pt") as file:
        for each in plan.applied:
            modules = [networks[each.layer.part][name] for name in each.layer.modules]
            tensors: dict[str, Tensor] = {}
            for role, name in each.group.tensors.items():
                # a copy, since what is mapped from the file is not aligned, which changes rounding
                x = file.get_tensor(name).to(modules[0].weight.device, torch.float32, copy=True)
                if not x.isfinite().all():
                    raise UserError(
                        f"LoRA {plan.path} is damaged: not every value of {shown(name)} is finite; download it again"
                    )
                tensors[role] = x.reshape(plain(tuple(x.shape)))
            yield from _effects_of_layer(each, modules, tensors, strengths.get(each.layer.part, Strength()))


def _effects_of_layer(
    each: Applied, modules: list[Any], tensors: dict[str, Tensor], strength: Strength
) -> list[Effect]:
    rank = rank_of({role: tuple(x.shape) for role, x in tensors.items()})
    if "alpha" in tensors:
        scale = float(tensors["alpha"].flatten()[0]) / rank if rank else 1.0
    else:
        scale = strength.scale(each.layer.modules[0], rank)
    sizes, inputs = [module.out_features for module in modules], modules[0].in_features
    rows = _rows(sizes, swapped=each.layer.swapped and sum(sizes) == 2 * inputs)
    additions = [addition(each.kind, tensors, part, inputs, scale) for part in rows]
    lengths: list[Magnitude | None] = [None] * len(modules)
    if "magnitude" in tensors:
        lengths[:] = magnitudes(tensors["magnitude"], modules, additions, rows)
    return [
        Effect(each.layer.part, module, added, length)
        for module, added, length in zip(each.layer.modules, additions, lengths, strict=True)
    ]


def _rows(sizes: list[int], *, swapped: bool) -> list[Rows]:
    """Which rows of a layer of a file are those of each of the model's."""

    def part(start: int, stop: int) -> Rows:
        if swapped:
            return lambda x: torch.cat([x[(start + stop) // 2 : stop], x[start : (start + stop) // 2]])
        return lambda x: x[start:stop].clone()

    stops = list(accumulate(sizes))
    return [part(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]
