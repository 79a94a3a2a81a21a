"""A growing pool of encoded scenes: scene i is row i, so that its number is enough to caption it again."""

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
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Scaling:
    """Brings raw latents to zero mean and unit variance: (z - shift) * scale, as in FLUX pipelines."""

    scale: float
    shift: float


@torch.no_grad()
def encode(vae: AutoencoderTiny, pictures: NDArray[np.uint8], device: str) -> Tensor:
    """Raw latents (b, c, H/8, W/8) of pictures (b, H, W, 3)."""
    x = state.to_tensor(pictures).to(device)
    with state.mixed_precision(device):
        return vae.encoder(x).float()


def measure(vae: AutoencoderTiny, size: int, device: str, path: Path, scenes: int = 256) -> Scaling:
    """The scaling measured on the first scenes, or read from `path` if an earlier call wrote it there."""
    if path.exists():
        return Scaling(**json.loads(path.read_text()))
    z = torch.cat([encode(vae, data.scene_picture(i, size)[None], device) for i in range(scenes)])
    scaling = Scaling(round(float(1 / z.std()), 6), round(float(z.mean()), 6))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(scaling)) + "\n")
    return scaling


class Pool:
    """Latents of scenes 0, 1, 2, ... in a file of float16; it grows during the training and survives a restart."""

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
        """Encode further scenes until there are `count` (or the capacity is reached)."""
        wanted = min(count, self.capacity)
        with self.path.open("r+b") as file:
            file.truncate(self.count * 2 * self.row)  # a run that was killed may have left half a row
            file.seek(0, 2)
            while self.count < wanted:
                numbers = range(self.count, min(self.count + 8, wanted))
                pictures = np.stack([data.scene_picture(i, self.size) for i in numbers])
                z = (encode(self.vae, pictures, self.device) - self.scaling.shift) * self.scaling.scale
                file.write(z.cpu().numpy().astype(np.float16).tobytes())
                self.count += len(numbers)

    def take(self, numbers: NDArray[np.int64]) -> Tensor:
        """Latents (b, 16, h, w) of these scenes."""
        rows = np.memmap(self.path, np.float16, "r", shape=(self.count, *self.shape))
        return torch.from_numpy(rows[numbers].astype(np.float32))
