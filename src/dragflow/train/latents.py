"""A growing pool of encoded scenes: scene i is row i, so that its number is enough to caption it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from dragflow.train import data, state, vae
from dragflow.train.vae import VaeConfig

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Scaling:
    """Brings raw latents to zero mean and unit variance: (z - shift) * scale, as in FLUX pipelines."""

    scale: float
    shift: float


@torch.no_grad()
def encode(coder: AutoencoderTiny, pictures: NDArray[np.uint8], device: str) -> Tensor:
    """Raw latents (b, c, H/8, W/8) of pictures (b, H, W, 3)."""
    x = state.to_tensor(pictures).to(device)
    with state.mixed_precision(device):
        return coder.encoder(x).float()


def measure(coder: AutoencoderTiny, size: int, device: str, path: Path, scenes: int = 256) -> Scaling:
    """The scaling measured on the first scenes, or read from `path` if an earlier call wrote it there."""
    if path.exists():
        return Scaling(**json.loads(path.read_text()))
    z = torch.cat([encode(coder, data.scene_picture(i, size)[None], device) for i in range(scenes)])
    scaling = Scaling(round(float(1 / z.std()), 6), round(float(z.mean()), 6))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(scaling)) + "\n")
    return scaling


@dataclass(frozen=True, eq=False)
class Coder:
    """A frozen autoencoder and the scaling of its latents."""

    vae: AutoencoderTiny
    scaling: Scaling
    device: str

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (b c h w) of pictures (b 3 H W) in [-1, 1]."""
        with state.mixed_precision(self.device):
            z = self.vae.encoder(pictures.contiguous(memory_format=torch.channels_last))
        return (z.float() - self.scaling.shift) * self.scaling.scale

    def decode(self, z: Tensor) -> Tensor:
        """Pictures (b 3 H W), in [-1, 1] or a little beyond, of latents (b c h w)."""
        raw = (z / self.scaling.scale + self.scaling.shift).contiguous(memory_format=torch.channels_last)
        return self.vae.decoder(raw).float()

    def decode_roughly(self, z: Tensor) -> Tensor:
        """The same to about one of 255 levels, and faster: enough to learn from, too little for a difference of two."""
        with state.mixed_precision(self.device):
            return self.decode(z)


def exported(folder: Path, config: VaeConfig, device: str) -> Coder:
    """The autoencoder of an exported model, frozen."""
    model = vae.build(config).requires_grad_(False)
    vae.begin_with(model, folder)
    nn.Module.to(model, device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    about = json.loads((folder / "vae" / "config.json").read_text())
    return Coder(model, Scaling(about["scaling_factor"], about["shift_factor"]), device)


class Pool:
    """Latents of scenes 0, 1, 2, ... in a file of float16; it grows during the training and survives a restart."""

    def __init__(
        self, path: Path, coder: AutoencoderTiny, scaling: Scaling, size: int, capacity: int, device: str
    ) -> None:
        self.coder, self.scaling, self.size, self.device = coder, scaling, size, device
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
                z = (encode(self.coder, pictures, self.device) - self.scaling.shift) * self.scaling.scale
                file.write(z.cpu().numpy().astype(np.float16).tobytes())
                self.count += len(numbers)

    def take(self, numbers: NDArray[np.int64]) -> Tensor:
        """Latents (b, 16, h, w) of these scenes."""
        rows = np.memmap(self.path, np.float16, "r", shape=(self.count, *self.shape))
        return torch.from_numpy(rows[numbers].astype(np.float32))
