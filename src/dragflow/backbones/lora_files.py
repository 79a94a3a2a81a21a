"""What a LoRA's file holds, which of it is read, and an account of what became of every layer.

diffusers knows many namings, and drops without an error what its conversions or the model have no place for. So its own
conversion is tried with numbers in place of the tensors: they tell which layer of the file becomes which of the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dragflow.backbones.tensors import Account, Entries, Entry, few, quantised, read_entries, reason, shown
from dragflow.core.errors import UserError

_OTHER_KINDS = {
    "a DoRA": r"\.dora_scale$|lora_magnitude_vector",
    "a LoKr": r"[._]lokr_",
    "a LoHa": r"[._]hada_",
    "an OFT": r"\.b?oft_",
    "a LoCon with a middle factor": r"\.lora_mid",
    "a control LoRA, which changes norms,": r"(query|key)_norm\.scale$|norm_(added_)?[qk]\.weight$",
    "a set of differences of whole weights": r"\.diff(_b)?$",
}
"""What is called LoRA beside pairs of low-rank factors, by names that only they have."""
_READ = "diffusers' (transformer.…), kohya's (lora_unet_…) and XLabs' (….processor.…)"
_COMFY = ("diffusion_model.",)
_FACTOR = re.compile(r"\.(?:lora[._]|down\.|up\.|alpha$)")
"""Where a tensor's name goes beyond that of its layer."""
_FIRST = re.compile(r"\.lora_A\.|[._]down\.")
"""In the names of factors that take a layer's input."""


@dataclass(frozen=True)
class Target:
    """A layer of a pipeline that a tensor of a LoRA belongs to."""

    part: str
    """As the pipeline calls it, "transformer"."""
    module: str


def read_lora(path: Path) -> dict[str, Entry]:
    """All tensors of a LoRA's file, by its header alone.

    Raises:
        UserError: it is not safetensors, is damaged, or of another kind than pairs of low-rank factors.
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
                f"LoRA {path} is {kind} (it has {shown(found)}), and what is read is pairs of low-rank factors: use a "
                "plain LoRA"
            )
    factors = {name: entry for name, entry in entries.items() if not name.endswith(".alpha")}
    if how := quantised(factors):
        raise UserError(f"LoRA {path} is quantised as {how}: use one in bfloat16, float16 or float32")
    return entries


def trace(pipeline: Any, path: Path, entries: Entries) -> dict[str, set[Target]]:
    """Which layers of a pipeline the layers of a file belong to, by diffusers' own conversion; some to none.

    Raises:
        UserError: the names are of a naming that is not read, or the sizes are those of another model.
    """
    numbered = dict(enumerate(entries, 1))
    try:
        converted, _ = pipeline.lora_state_dict(_stand_ins(numbered, entries), return_alphas=True)
    except Exception as error:  # diffusers' conversions fail in any way
        listed = [name for name in entries if name in str(error)]
        why = f"nothing is known of {few(listed)}" if len(listed) > 1 else reason(error)
        raise UserError(f"LoRA {path} does not fit this model ({why}): use one for this model") from error
    targets: dict[str, set[Target]] = {_layer(name): set() for name in entries}
    wrong: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
    for name, x in converted.items():
        target = _target(name)
        if target is None:
            continue
        sources = [numbered[int(i)] for i in x.unique().tolist() if i]
        for source in sources:
            targets[_layer(source)].add(target)
        module = _module(pipeline, target)
        if isinstance(module, nn.Linear):
            first = bool(_FIRST.search(name))
            size, needed = (x.shape[1], module.in_features) if first else (x.shape[0], module.out_features)
            wrong += [(sources[0], (size,), (needed,))] if size != needed and sources else []
    if wrong:
        account = Account(misshapen=tuple(wrong))
        raise UserError(f"LoRA {path} was made for another model: of its factors, {account}; use one for this model")
    if not any(targets.values()):
        naming = "ComfyUI's" if next(iter(entries)).startswith(_COMFY) else "unknown"
        raise UserError(
            f"LoRA {path} holds nothing for this model: the naming of its tensors is {naming}, as in "
            f"{shown(next(iter(entries)))}; what is read is {_READ}"
        )
    return targets


def _stand_ins(numbered: Mapping[int, str], entries: Entries) -> dict[str, Tensor]:
    """For each tensor one of rank 1 that is full of its number; scales are 1."""
    found: dict[str, Tensor] = {}
    for i, name in numbered.items():
        shape = entries[name].shape
        if len(shape) == 2:
            shape = (1, shape[1]) if _FIRST.search(name) else (shape[0], 1)
        found[name] = torch.full(shape, 1.0 if name.endswith(".alpha") else float(i), dtype=torch.float64)
    return found


def _layer(name: str) -> str:
    return _FACTOR.split(name)[0]


def _target(name: str) -> Target | None:
    part, _, rest = name.partition(".")
    return Target(part, _layer(rest)) if part in ("transformer", "text_encoder") else None


def _module(pipeline: Any, target: Target) -> nn.Module | None:
    modules = dict(getattr(pipeline, target.part).named_modules())
    found = modules.get(target.module, modules.get(target.module.removeprefix("text_model.")))
    return getattr(found, "base_layer", found)


def check_applied(pipeline: Any, path: Path, targets: Mapping[str, set[Target]], adapter: str) -> str | None:
    """What was left out of a LoRA that is on a pipeline: one line, or None.

    Raises:
        UserError: nothing of it reached the transformer.
    """
    on = {
        Target(part, name)
        for part in ("transformer", "text_encoder")
        for name, module in getattr(pipeline, part).named_modules()
        if adapter in getattr(module, "lora_A", ())
    }
    on |= {Target(x.part, f"text_model.{x.module}") for x in on if x.part == "text_encoder"}
    if not any(target.part == "transformer" for target in on):
        raise UserError(f"LoRA {path} holds nothing for the transformer of this model: use one for this model")
    left = [layer for layer, found in targets.items() if not found or not found <= on]
    if not left:
        return None
    return f"LoRA {path}: {len(targets) - len(left)} of {len(targets)} layers applied, left out: {few(left)}"
