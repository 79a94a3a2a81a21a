"""InstantCharacter's modules from its checkpoint, whose tensors' shapes tell their sizes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dragflow.subject.checkpoint import ATTENTIONS, PROJECTOR, check_tensors, layer_count, read_tensors
from dragflow.subject.instantcharacter.attention import SubjectAttention
from dragflow.subject.instantcharacter.projector import Projector, ProjectorSize
from dragflow.subject.resampler import check_heads, resampler_size

_WANTED = "a checkpoint of InstantCharacter"


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
    resampler = resampler_size(path, tensors, f"{PROJECTOR}.resampler", _WANTED)
    size = ProjectorSize(**vars(resampler), blocks=layer_count(tensors, f"{PROJECTOR}.cross_layer_blocks"))
    check_heads(path, "features", size.features, size.head, _WANTED)
    return size
