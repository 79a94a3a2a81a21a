"""A digest that tells one set of weights from another without reading all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_SAMPLE = 1 << 16
_VALUES = 64


def fingerprint(folder: Path) -> str:
    """Sixteen hex digits over size, head and tail of every configuration and weight file."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".txt", ".model")):
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


def file_fingerprint(path: Path) -> str:
    """Sixteen hex digits over size, head and tail of one file."""
    return hashlib.sha256(_sample(path)).hexdigest()[:16]


def _sample(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
        file.seek(max(0, size - _SAMPLE))
        return size.to_bytes(8, "big") + head + file.read()
