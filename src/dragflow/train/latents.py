"""A growing pool of encoded scenes: scene i is row i, so that any caption of it can be made again from its number."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dragflow.train import data, state

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny


@dataclass(frozen=True)
class Scaling:
    """What brings raw latents to zero mean and unit variance: (z - shift) * scale, as FLUX pipelines have it."""

    scale: float
    shift: float


@torch.no_grad()
def encode(vae: AutoencoderTiny, pictures: np.ndarray, device: str) -> Tensor:
    """Raw latents of uint8 pictures."""
    x = state.to_tensor(pictures).to(device)
    with state.mixed_precision(device):
        return vae.encoder(x).float()


def measure(vae: AutoencoderTiny, size: int, device: str, path: Path, scenes: int = 256) -> Scaling:
    """Measures the scaling on the first scenes, or reads it if that was done before."""
    if path.exists():
        return Scaling(**json.loads(path.read_text()))
    z = torch.cat([encode(vae, data.scene_picture(i, size)[None], device) for i in range(scenes)])
    found = Scaling(round(float(1 / z.std()), 6), round(float(z.mean()), 6))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(found)) + "\n")
    return found


class Pool:
    """Latents of scenes 0, 1, 2, ... in a file; it grows as training goes on and survives a restart."""

    def __init__(
        self, path: Path, vae: AutoencoderTiny, scaling: Scaling, size: int, capacity: int, device: str
    ) -> None:
        self.vae, self.scaling, self.size, self.device = vae, scaling, size, device
        shape = (16, size // 8, size // 8)
        self.row = int(np.prod(shape))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            self.count = path.stat().st_size // (2 * self.row)
        self.path, self.capacity, self.shape = path, capacity, shape

    def grow(self, count: int) -> None:
        """Encodes further scenes until there are `count` (or the capacity is reached)."""
        wanted = min(count, self.capacity)
        with self.path.open("r+b") as f:
            f.truncate(self.count * 2 * self.row)
            f.seek(0, 2)
            while self.count < wanted:
                numbers = range(self.count, min(self.count + 8, wanted))
                pictures = np.stack([data.scene_picture(i, self.size) for i in numbers])
                z = (encode(self.vae, pictures, self.device) - self.scaling.shift) * self.scaling.scale
                f.write(z.cpu().numpy().astype(np.float16).tobytes())
                self.count += len(numbers)

    def take(self, numbers: np.ndarray) -> Tensor:
        """Rows of the pool as float32 (b, 16, h, w)."""
        rows = np.memmap(self.path, np.float16, "r", shape=(self.count, *self.shape))
        return torch.from_numpy(rows[numbers].astype(np.float32))
