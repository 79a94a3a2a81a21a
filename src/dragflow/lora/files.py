"""The two files of a LoRA's training: the LoRA itself, and next to it the checkpoint of an unfinished training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from dragflow.backbones.tensors import read_safetensors
from dragflow.core.errors import UserError
from dragflow.core.models import WeightsId
from dragflow.files.atomic import write_bytes
from dragflow.files.outputs import check_outputs
from dragflow.lora.config import LoraConfig

if TYPE_CHECKING:
    from torch import Tensor

_CHECKPOINT = "dragflow.lora-checkpoint"


@dataclass(frozen=True)
class Origin:
    """What a LoRA is made from; the same origin gives the same weights on the same machine."""

    weights: WeightsId
    picture: str
    """`SourceImage.sha256`."""
    prompt: str
    config: LoraConfig

    def facts(self) -> dict[str, str]:
        """Everything that determines the weights, by the names that people know."""
        options = self.weights.options
        chosen = {"model": self.weights.fingerprint, "dtype": options.dtype, "quantize": options.quantize}
        chosen |= {"picture": self.picture, "prompt": self.prompt}
        return {name: json.dumps(value) for name, value in (chosen | asdict(self.config)).items()}


def partial(to: Path) -> Path:
    """The path of the checkpoint while the training of this LoRA is not finished."""
    return to.with_name(f"{to.name}.partial")


def check_output(to: Path, *, resume: bool, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse the name of a LoRA before any work is done for it.

    Raises:
        UserError: the name is not .safetensors, not writable or exists already; there is nothing to resume, or
            something that is not resumed.
    """
    if to.suffix != ".safetensors":
        raise UserError(f"output {to} must be a .safetensors file: name it so")
    if resume and force:
        raise UserError("`resume` continues a training and `force` starts a new one: give one of them")
    check_outputs(to, partial(to), inputs=inputs, force=True)
    begun = partial(to).exists()
    if resume and not begun:
        raise UserError(f"there is nothing to resume: {partial(to)} does not exist; leave out `resume` to start")
    if begun and not (resume or force):
        raise UserError(
            f"{partial(to)} holds an unfinished training: continue it with `resume`, or start again with `force`"
        )
    check_outputs(to, inputs=inputs, force=resume or force)


def write_lora(to: Path, origin: Origin, tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a finished LoRA, with what it was made from as metadata, and remove the checkpoint."""
    from safetensors.torch import save

    facts = {f"dragflow.{name}": value for name, value in origin.facts().items() if name not in ("picture", "prompt")}
    facts |= {"dragflow.version": version("dragflow"), "dragflow.model": origin.weights.options.name}
    facts |= {"dragflow.fingerprint": origin.weights.fingerprint}
    facts |= {"dragflow.picture": origin.picture, "dragflow.prompt": origin.prompt}
    write_bytes(to, save(tensors, {**facts, **metadata}))
    drop_checkpoint(to)


def write_checkpoint(to: Path, facts: Mapping[str, str], tensors: dict[str, Tensor]) -> None:
    """Write the checkpoint of the LoRA `to`, with what determines its weights."""
    from safetensors.torch import save

    write_bytes(partial(to), save(tensors, {_CHECKPOINT: json.dumps(facts)}))


def drop_checkpoint(to: Path) -> None:
    """Remove the checkpoint of the LoRA `to`, if there is one."""
    partial(to).unlink(missing_ok=True)


def read_checkpoint(to: Path, facts: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of the checkpoint of the LoRA `to`, whose weights these facts determine.

    Raises:
        UserError: it is damaged, or of a training from something else.
    """
    from safetensors import SafetensorError

    path = partial(to)
    try:
        metadata, tensors = read_safetensors(path)
        made: dict[str, str] = json.loads(metadata[_CHECKPOINT])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not a checkpoint of a LoRA, or is damaged: start a new one with `force`") from error
    changed = [f"{name} {made.get(name)} instead of {now}" for name, now in facts.items() if made.get(name) != now]
    if changed:
        raise UserError(
            f"{path} belongs to another training ({'; '.join(changed)}): resume with what it was started with, or "
            "start a new one with `force`"
        )
    return tensors
