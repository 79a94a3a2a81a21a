"""Which weights a model has: digests over samples of files and of tensors, without reading all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dragflow.backbones.hub import files_of
from dragflow.backbones.parts import Source
from dragflow.core.models import IN_MEMORY, ModelOptions, WeightsId

_SAMPLE = 1 << 16
"""Bytes read at the head and at the tail of a file."""
_SUFFIXES = (".json", ".safetensors", ".txt", ".model")
_VALUES = 64
"""Values read of a tensor."""
_ROWS = 8
"""Rows read of a tensor of a file, and values of each, or a few more."""


def weights_of(source: Source, loras: Iterable[Path], dtype: torch.dtype) -> WeightsId:
    """Which weights a loaded model has; what says only where and how it runs is left out."""
    options = replace(
        source.options,
        model=source.options.name,
        revision=source.revision,
        dtype=dtype_name(dtype),
        device=None,
        memory=None,
        offload=False,
        swap=False,
        tiles=False,
        checkpointing=None,
        subject=None,
        fingerprint=None,
        unswept=False,
    )
    return WeightsId(options, with_files(fingerprint_of_files(source), loras))


def fingerprint_of_files(source: Source) -> str:
    """The fingerprint of a model's own files, whatever LoRAs and bridge are put on it."""
    return with_files(fingerprint(source.folder, source.replaced), source.files)


def weights_of_parts(name: str, networks: Iterable[nn.Module], dtype: torch.dtype) -> WeightsId:
    """Which weights networks have that no loader of ours read."""
    return WeightsId(ModelOptions(name, dtype=dtype_name(dtype)), IN_MEMORY + with_networks("", networks))


def dtype_name(dtype: torch.dtype) -> Any:
    """A dtype as options name it."""
    return str(dtype).removeprefix("torch.")


def fingerprint(folder: Path, without_weights: Sequence[str] = ()) -> str:
    """Sixteen hex digits over size, head and tail of every file of a model, without reading all of it.

    What else is in the folder, as another variant that diffusers downloaded, makes no difference.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in files_of(folder, without_weights) if p.suffix in _SUFFIXES):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(_sample(path))
    return digest.hexdigest()[:16]


def with_files(weights: str, files: Iterable[Path]) -> str:
    """The fingerprint of weights together with further files; without any the same as before."""
    for path in files:
        weights = hashlib.sha256(weights.encode() + _sample(path)).hexdigest()[:16]
    return weights


def with_networks(weights: str, networks: Iterable[nn.Module]) -> str:
    """The fingerprint of weights together with loaded networks: names, shapes and some values of all their tensors."""
    digest = hashlib.sha256(weights.encode())
    for network in networks:
        for name, x in network.state_dict().items():
            values = x.flatten()[:: max(1, x.numel() // _VALUES)].float().cpu().numpy()
            digest.update(f"{name} {tuple(x.shape)}".encode() + values.tobytes())
    return digest.hexdigest()[:16]


def transformer_fingerprint(source: Path | nn.Module) -> str:
    """The fingerprint of a transformer's own weights, whatever float type and quantisation it is loaded in.

    Args:
        source: a model's folder, or a transformer that is neither quantised nor has a LoRA on it.
    """
    if isinstance(source, Path):
        lines = list(_lines_of_folder(source))
    else:
        lines = [_line(name, tuple(x.shape), x.__getitem__) for name, x in source.state_dict().items()]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _lines_of_folder(model: Path) -> Iterator[str]:
    for path in files_of(model):
        if path.parent == model / "transformer" and path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a dict)
                    part = file.get_slice(name)
                    yield _line(name, tuple(part.get_shape()), part.__getitem__)


def _line(name: str, shape: tuple[int, ...], rows: Callable[[slice], Tensor]) -> str:
    """A tensor's name, shape, and a digest over some values of some rows, as coarse as the coarsest type of weights.

    Only these rows are read: of a large model all of it would take minutes.
    """
    step = max(1, shape[0] // _ROWS) if shape else 1
    digest = hashlib.sha256()
    for first in range(0, shape[0] if shape else 0, step):
        row = rows(slice(first, first + 1)).flatten()
        digest.update(row[:: max(1, row.numel() // _ROWS)].to(torch.bfloat16).float().cpu().numpy().tobytes())
    return f"{name} {shape} {digest.hexdigest()}"


def file_fingerprint(path: Path) -> str:
    """Sixteen hex digits over size, head and tail of one file."""
    return hashlib.sha256(_sample(path)).hexdigest()[:16]


def _sample(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
        file.seek(max(0, size - _SAMPLE))
        return size.to_bytes(8, "big") + head + file.read()
