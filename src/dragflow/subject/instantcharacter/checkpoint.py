"""InstantCharacter's modules from its checkpoint, whose tensors' shapes tell their sizes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dragflow.core.errors import UserError
from dragflow.subject.checkpoint import ATTENTIONS, PROJECTOR, check_tensors, read_tensors
from dragflow.subject.instantcharacter.attention import SubjectAttention
from dragflow.subject.instantcharacter.projector import Projector, ProjectorSize


def load_modules(
    path: Path, blocks: int, heads: tuple[int, int], dtype: torch.dtype
) -> tuple[Projector, tuple[SubjectAttention, ...]]:
    """Projector, and one attention for each block of the model, on the CPU.

    Args:
        path: of the checkpoint; see `read_tensors`.
        blocks: number of blocks of the model.
        heads: of the model's attentions: their number, and the size of one.
        dtype: of the modules.

    Raises:
        UserError: the file is unreadable, or was made for another model.
    """
    tensors = read_tensors(path)
    size = _projector_size(path, tensors)
    with torch.device("meta"):
        projector = Projector(size)
        attentions = tuple(SubjectAttention(heads[0] * heads[1], heads[1], size.out) for _ in range(blocks))
    whole = nn.ModuleDict({PROJECTOR: projector, ATTENTIONS: nn.ModuleList(attentions)})
    check_tensors(path, tensors, {name: tuple(x.shape) for name, x in whole.state_dict().items()})
    whole.load_state_dict({name: x.to(dtype) for name, x in tensors.items()}, assign=True)
    whole.eval().requires_grad_(False)
    return projector, attentions


def _projector_size(path: Path, tensors: dict[str, Tensor]) -> ProjectorSize:
    def shape(name: str, axes: int) -> tuple[int, ...]:
        name = f"{PROJECTOR}.{name}"
        if name not in tensors:
            problem = f"tensor {name} is missing"
        elif tensors[name].ndim != axes:
            problem = f"tensor {name} has shape {tuple(tensors[name].shape)} instead of one with {axes} axes"
        else:
            return tuple(tensors[name].shape)
        raise UserError(f"`subject.weights` {path}: {problem}; give a checkpoint of InstantCharacter")

    def layers(part: str) -> int:
        prefix = f"{PROJECTOR}.{part}."
        return len({name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)})

    _, tokens, width = shape("resampler.latents", 3)
    size = ProjectorSize(
        features=shape("proj.fc1.weight", 2)[1],
        blocks=layers("cross_layer_blocks"),
        width=width,
        depth=layers("resampler.layers"),
        tokens=tokens,
        out=shape("resampler.proj_out.weight", 2)[0],
        frequencies=shape("resampler.time_embedding.linear_1.weight", 2)[1],
    )
    for part, channels in (("features", size.features), ("resampler", size.width)):
        if channels == 0 or channels % size.head:
            raise UserError(
                f"`subject.weights` {path}: the width of the {part} is {channels}, which is not a multiple of "
                f"{size.head}, the size of an attention head; give a checkpoint of InstantCharacter"
            )
    return size
