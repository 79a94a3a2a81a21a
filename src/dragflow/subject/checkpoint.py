"""Reading an adapter's checkpoint: every tensor is accounted for, no pickle runs code; InstantCharacter's modules."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from dragflow.core.errors import UserError
from dragflow.subject.instantcharacter.attention import SubjectAttention
from dragflow.subject.instantcharacter.projector import Projector, ProjectorSize

PROJECTOR, ATTENTIONS = "image_proj", "ip_adapter"
"""The checkpoint's two parts; in safetensors they are prefixes of the names."""


def load_modules(
    path: Path, blocks: int, heads: tuple[int, int], dtype: torch.dtype
) -> tuple[Projector, tuple[SubjectAttention, ...]]:
    """Projector, and one attention for each block of the model, on the CPU.

    Args:
        path: .safetensors, or a .bin that torch can read with `weights_only=True`.
        blocks: of the model.
        heads: of the model's attentions: their number, and the size of one.
        dtype: of the modules.

    Raises:
        UserError: an unreadable file; a tensor missing, surplus or misshapen; made for another model.
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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by their full names, as in "image_proj.norm.weight"; on the CPU.

    Raises:
        UserError: an unreadable file, a pickle of more than tensors, or no tensor in it.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        parts: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise UserError(
            f"subject weights {path} cannot be read as tensors alone ({_first_line(error)}): download them again"
        ) from error
    tensors: dict[str, Tensor] = {}
    for part, entries in parts.items() if isinstance(parts, dict) else ():
        for name, x in entries.items() if isinstance(entries, dict) else ((None, entries),):
            tensors[str(part) if name is None else f"{part}.{name}"] = x
    broken = [name for name, x in tensors.items() if not isinstance(x, Tensor)]
    if broken or not tensors:
        raise UserError(f"subject weights {path}: {(*broken, 'the file')[0]} holds no tensor: give the adapter's file")
    return tensors


def _projector_size(path: Path, tensors: dict[str, Tensor]) -> ProjectorSize:
    def shape(name: str, rank: int) -> tuple[int, ...]:
        full = f"{PROJECTOR}.{name}"
        if full not in tensors:
            raise UserError(f"subject weights {path} have no tensor {full}: give a checkpoint of InstantCharacter")
        if tensors[full].ndim != rank:
            raise UserError(f"subject weights {path}: {full} is {_shape(tensors[full])}: it must have {rank} axes")
        return tuple(tensors[full].shape)

    def count(of: str) -> int:
        start = f"{PROJECTOR}.{of}."
        return len({name.removeprefix(start).split(".")[0] for name in tensors if name.startswith(start)})

    _, tokens, width = shape("resampler.latents", 3)
    size = ProjectorSize(
        features=shape("proj.fc1.weight", 2)[1],
        blocks=count("cross_layer_blocks"),
        width=width,
        depth=count("resampler.layers"),
        tokens=tokens,
        out=shape("resampler.proj_out.weight", 2)[0],
        frequencies=shape("resampler.time_embedding.linear_1.weight", 2)[1],
    )
    for what, found in (("features", size.features), ("resampler", size.width)):
        if found == 0 or found % size.head:
            raise UserError(
                f"subject weights {path}: the width of the {what} is {found}: it must be a multiple of {size.head}, "
                "the size of an attention head"
            )
    return size


def matrix_shape(path: Path, tensors: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    """Rows and columns of the weights of one layer of an IP-adapter.

    Raises:
        UserError: there is no such matrix.
    """
    if name not in tensors or tensors[name].ndim != 2:
        raise UserError(
            f"subject weights {path} have no matrix {name}: give the checkpoint of an IP-adapter for FLUX.1, in "
            "XLabs' or InstantX's layout"
        )
    rows, columns = tensors[name].shape
    return rows, columns


def check_tensors(path: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Every tensor that is wanted is there, in its shape, and no other.

    Raises:
        UserError: naming the first that is missing, surplus or misshapen.
    """
    missing = [name for name in wanted if name not in tensors]
    surplus = [name for name in tensors if name not in wanted]
    wrong = [name for name in wanted if name in tensors and tuple(tensors[name].shape) != wanted[name]]
    problems = [f"no tensor {missing[0]} ({len(missing)} missing)"] if missing else []
    problems += [f"a tensor {surplus[0]} that has no place ({len(surplus)} surplus)"] if surplus else []
    problems += [
        f"{name} of shape {_shape(tensors[name])} instead of {wanted[name]} ({len(wrong)} misshapen)"
        for name in wrong[:1]
    ]
    if problems:
        raise UserError(
            f"subject weights {path} do not fit this model: {'; '.join(problems)}: give the checkpoint that was "
            "trained for this model"
        )


def _shape(x: Tensor) -> str:
    return str(tuple(x.shape))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
