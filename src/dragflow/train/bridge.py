"""The bridge: a copy of the model learns what the pixel preview lacks, in one call (`dragflow.ops.bridge`).

All its weights are trained. What is minimised is the error, region by region, in latents and in pixels, over a power
of the preview's own: in a plain sum over all pictures those whose preview is right already would count nothing, and
what moves would pale in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dragflow.backbones.bridge import bridge_of, read_bridge, write_bridge
from dragflow.ops.bridge import FAINT, MASKS, change, distinct, hints
from dragflow.train import flow, latents, state, text
from dragflow.train.drags import Pair
from dragflow.train.flow import FlowConfig, FlowModel, compile_blocks
from dragflow.train.latents import Coder
from dragflow.train.pairs import Pairs
from dragflow.train.state import Run
from dragflow.train.text import Tokenizers

_PATCH = 4
"""Latent cells of a token."""


class Autoencoder(Protocol):
    """What turns pictures (b 3 H W), of [-1, 1], into latents (b c h w) and back."""

    @property
    def device(self) -> str:
        """Where latents live."""
        ...

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents of pictures; no gradient."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Pictures of latents."""
        ...

    def decode_roughly(self, z: Tensor) -> Tensor:
        """The same with gradients, and perhaps less exactly."""
        ...


@dataclass(frozen=True)
class BridgeConfig:
    """Rates and weights of a bridge's training."""

    flow: FlowConfig = field(default_factory=lambda: FlowConfig(batch=16))
    """Of the model it is for; batch and size of the pictures."""
    rate: float = 6e-4
    warmup: int = 30
    cooldown: float = 0.6
    decay: float = 0.999
    noise: float = 0.02
    """Standard deviation of what is added to the preview's latent, so that no picture is seen twice."""
    size: int = 160
    """Of the crops around the areas that are trained on: elsewhere there is nothing to learn, and attention is of
    relative places, so that what is learnt holds for larger pictures."""
    mixed: float = 0.5
    """Share of pairs whose colour channels are swapped."""
    target: float = 0.5
    """Weight of where the regions go; that of the whole area is 1."""
    vacated: float = 0.5
    """Weight of what they leave."""
    outside: float = 0.02
    """Weight of the latent outside of the area, in proportion to the same."""
    pixels: float = 3.0
    """Weight of the decoded error; that of the error in latents is 1."""
    power: float = 0.5
    """Of the preview's own error, to which errors are in proportion. 0: a plain sum, in which the few pictures with a
    wrong preview outweigh all others; 1: decibels, but then most of what counts is what nothing can know, and the
    bridge hardly dares to say anything."""
    crop: int = 12
    """Latent cells on each side of the part that is decoded."""
    floor: float = 3e-3
    """Mean square error in pixels, of [-1, 1], that no preview is held to be better than: about 31 dB. What is wrong
    with those is mostly what nothing can know, as the sampling of edges, and would be most of the gradient."""
    latent_floor: float = 0.03
    """The same in latents of variance 1."""
    rescan: int = 100
    """Steps after which pairs that were added are taken in."""
    held_out: int = 32
    """Pairs on which the gain is measured."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs as tensors: pictures (b 3 H W) in [-1, 1], masks (b 3 H W) in [0, 1], latents (b c h w)."""

    preview: Tensor
    truth: Tensor
    masks: Tensor
    z: Tensor
    """Of the preview."""
    true: Tensor
    """Of the truth."""
    hints: Tensor

    @property
    def cell(self) -> int:
        """Pixels on each side of a latent cell."""
        return self.preview.shape[-1] // self.z.shape[-1]

    @property
    def regions(self) -> dict[str, Tensor]:
        """Where (b 1 H W) the error counts."""
        area, left, target = self.masks[:, :1], self.masks[:, 1:2], self.masks[:, 2:]
        return {"area": area, "target": area * target, "vacated": area * left * (1 - target)}


class BridgeModel(nn.Module):
    """What is trained, with the embedded empty caption, which is all that it is ever told."""

    pooled: Tensor
    sequence: Tensor

    def __init__(self, base: FlowModel) -> None:
        """Begin with a model's weights, and with the velocity zero."""
        super().__init__()
        self.layout = base.layout
        channels: int = base.transformer.config["in_channels"]
        self.transformer: Any = bridge_of(base.transformer, channels + _PATCH * MASKS)
        with torch.no_grad():
            pooled, sequence = base.text(*Tokenizers(text.clip_tokenizer(), text.t5_tokenizer())([""]))
        self.register_buffer("pooled", pooled)
        self.register_buffer("sequence", sequence)

    def forward(self, z: Tensor, hints: Tensor) -> Tensor:
        """Velocity (b c h w) for latents of previews (b c h w) and hints (b k h w)."""
        b = len(z)
        t = torch.ones(b, device=z.device)
        told = torch.cat([z, hints], dim=1)
        pooled, sequence = self.pooled.expand(b, -1), self.sequence.expand(b, -1, -1)
        return self.layout.velocity(self.transformer, told, t, pooled, sequence).float()


def batch_of(pair: Pair, coder: Autoencoder) -> Batch:
    """Pairs, arrays (b, H, W, 3), as the model takes them."""
    source, preview, truth = (state.to_tensor(x).to(coder.device) for x in (pair.source, pair.preview, pair.truth))
    masks = (state.to_tensor(pair.masks).to(coder.device) + 1) / 2
    z, true, known = coder.encode(torch.cat([preview, truth, source])).chunk(3)
    return Batch(preview, truth, masks, z, true, hints(known, F.avg_pool2d(masks, masks.shape[-1] // z.shape[-1])))


def augmented(pair: Pair, rng: np.random.Generator, size: int, mixed: float) -> Pair:
    """Pairs, arrays (b, H, W, 3), each cropped to a square of `size` around its area, mirrored, its colours swapped."""
    parts: list[list[np.ndarray]] = [[], [], [], []]
    for i in range(len(pair.source)):
        area = pair.masks[i, ..., 0] > 0
        y, x = (_edge(rng, np.asarray(area.any(axis)), size) for axis in (1, 0))
        step = -1 if rng.uniform() < 0.5 else 1
        order = rng.permutation(3) if rng.uniform() < mixed else np.arange(3)
        for part, name in zip(parts, ("source", "preview", "truth", "masks"), strict=True):
            seen = getattr(pair, name)[i, y : y + size, x : x + size][:, ::step]
            part.append(seen if name == "masks" else seen[..., order])
    return Pair(*(np.stack(part) for part in parts))


def _edge(rng: np.random.Generator, within: NDArray[np.bool_], size: int) -> int:
    """Where a crop of `size` begins, at random so that all of an area is in it, or it is full of the area."""
    found = np.flatnonzero(within)
    first, last = sorted((int(found[-1]) + 1 - size, int(found[0])))
    most = len(within) - size
    return int(rng.integers(min(max(first, 0), most), min(max(last, 0), most) + 1))


def objective(config: BridgeConfig, batch: Batch, v: Tensor, coder: Autoencoder, rng: np.random.Generator) -> Tensor:
    """What is minimised for velocities (b c h w): errors in proportion to the preview's own, in latents and pixels."""
    pixels = batch.cell
    weights = {"area": 1.0, "target": config.target, "vacated": config.vacated}
    cells = {name: F.avg_pool2d(where, pixels) for name, where in batch.regions.items()}
    own = batch.z - batch.true
    loss = proportion(v - own, own, cells, weights, config.latent_floor, config.power)
    outside = {"outside": 1 - cells["area"]}
    weighed = {"outside": config.outside}
    loss = loss + proportion(v - own, own, outside, weighed, config.latent_floor, config.power)
    if config.pixels == 0:
        return loss
    corners = [_corner(area, config.crop, rng) for area in cells["area"]]

    def cut(x: Tensor, cell: int) -> Tensor:
        side = config.crop * cell
        return torch.stack(
            [y[:, r * cell :][:, :side, c * cell :][..., :side] for y, (r, c) in zip(x, corners, strict=True)]
        )

    # The decoder sees less at the rim of the crop than it would see of the whole: what it gives there does not count.
    inner = F.pad(torch.ones(2 * (pixels * (config.crop - 2),), device=v.device), (pixels,) * 4)
    changed = change(coder.decode_roughly, cut(batch.z, 1), cut(v, 1))
    error = cut(batch.preview - batch.truth, pixels)
    regions = {name: cut(where, pixels) * inner for name, where in batch.regions.items()}
    return loss + config.pixels * proportion(error + changed, error, regions, weights, config.floor, config.power)


def proportion(
    error: Tensor,
    own: Tensor,
    regions: Mapping[str, Tensor],
    weights: Mapping[str, float],
    floor: float,
    power: float = 1.0,
) -> Tensor:
    """Weighted mean over regions (b 1 h w) of errors' squares (b c h w), each over a power of the preview's own."""
    total = error.new_zeros(())
    for name, where in regions.items():
        size = where.sum((1, 2, 3)).clamp_min(1)
        mine, preview = ((x.pow(2).mean(1, keepdim=True) * where).sum((1, 2, 3)) / size for x in (error, own))
        total = total + weights[name] * (mine / (preview + floor) ** power).mean()
    return total


def _corner(area: Tensor, crop: int, rng: np.random.Generator) -> tuple[int, int]:
    """The first row and column of a crop around a cell of an area (1 h w) chosen at random."""
    cells = torch.nonzero(area[0] > 0).cpu().numpy()
    row, column = cells[int(rng.integers(len(cells)))] if len(cells) else (0, 0)
    h, w = area.shape[-2:]
    return max(0, min(int(row) - crop // 2, h - crop)), max(0, min(int(column) - crop // 2, w - crop))


@torch.no_grad()
def bridged(model: BridgeModel, coder: Coder, batch: Batch) -> Tensor:
    """The pictures (b 3 H W) in [-1, 1] that one call gives; outside of the area the preview's own."""
    with state.mixed_precision(coder.device):
        v = model(batch.z, batch.hints)
    return changed_by(v, coder, batch)


def changed_by(v: Tensor, coder: Autoencoder, batch: Batch) -> Tensor:
    """Previews (b 3 H W), in [-1, 1], with what velocities (b c h w) change in their areas."""
    said = distinct(change(coder.decode, batch.z, v), 2 * FAINT)  # of pictures in [-1, 1]
    return (batch.preview + batch.regions["area"] * said).clamp(-1, 1)


def gains(batch: Batch, pictures: Tensor) -> dict[str, list[float]]:
    """By how many dB pictures (b 3 H W) are nearer to the truth than previews, by region; of those that have it."""
    found: dict[str, list[float]] = {}
    for name, where in batch.regions.items():
        mine, own = (
            ((x - batch.truth).pow(2).mean(1, keepdim=True) * where).sum((1, 2, 3)).clamp_min(1e-6)
            for x in (pictures, batch.preview)
        )
        found[name] = (10 * (own / mine).log10())[where.sum((1, 2, 3)) > 0].tolist()
    return found


def train(
    config: BridgeConfig, run: Run, start: Path, folder: Path, held_out: Path, begun: Path | None = None
) -> BridgeModel:
    """Train a bridge for the exported model in the folder `start`; checkpoints go to out/bridge.

    Args:
        config: rates and weights.
        run: how long, and where.
        start: the model.
        folder: pairs to train on; what is added to it meanwhile is taken in.
        held_out: pairs to measure the gain on.
        begun: an exported bridge to begin with, so that this run continues an earlier one whose checkpoint is gone.
    """
    torch.manual_seed(run.seed)
    coder = latents.exported(start, config.flow.vae, run.device)
    model = BridgeModel(flow.exported(start, config.flow)) if begun is None else exported(begun, start, config.flow)
    model.to(run.device).requires_grad_(True).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    if config.flow.compile:
        compile_blocks(model.transformer)
    pairs, test = Pairs(folder), Pairs(held_out)
    held = test.take(range(min(config.held_out, len(test))))

    def step_once(step: int) -> float:
        if step % config.rescan == 0:
            pairs.refresh()
        rng, generator = state.generators(run.seed, step, run.device)
        drawn = pairs.take(rng.integers(len(pairs), size=config.flow.batch))
        batch = batch_of(augmented(drawn, rng, config.size, config.mixed), coder)
        noise = torch.randn(batch.z.shape, generator=generator, device=run.device)
        with state.mixed_precision(run.device):
            v = model(batch.z + config.noise * noise, batch.hints)
        loss = objective(config, batch, v, coder, rng)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def factor(step: int) -> float:
        return state.rate(step, run.steps, config.warmup, config.cooldown)

    def report(picture: Path) -> dict[str, float]:
        return {"pairs": len(pairs), **_report(config, model, coder, held, picture)}

    state.fit(run, run.out / "bridge", model, [optimizer], factor, config.decay, step_once, report)
    return model


def _report(config: BridgeConfig, model: BridgeModel, coder: Coder, held: Pair, picture: Path) -> dict[str, float]:
    """Mean gains in dB on held-out pairs, and a sheet of previews, of what the bridge makes of them, and of truths."""
    size, found, rows = config.flow.size, dict[str, list[float]](), list[list[Tensor]]()
    for first in range(0, len(held.source), 8):
        batch = batch_of(held.map(lambda x, first=first: x[first : first + 8, :size, :size]), coder)
        pictures = bridged(model, coder, batch)
        rows.append([batch.preview, pictures, batch.truth])
        for name, values in gains(batch, pictures).items():
            found.setdefault(name, []).extend(values)
    state.sheet(picture, rows[0])
    return {f"{name}_db": float(np.mean(values)) for name, values in found.items() if values}


def export(source: Path, start: Path, to: Path, config: FlowConfig | None = None) -> Path:
    """Write the averaged weights of source/bridge, trained for the exported model in `start`, as one file."""
    base = flow.exported(start, config or FlowConfig())
    model = BridgeModel(base)
    state.load_average(source / "bridge" / "state.safetensors", model)
    write_bridge(to, model.transformer, base.transformer)
    return to


def exported(file: Path, start: Path, config: FlowConfig | None = None) -> BridgeModel:
    """The bridge that `export` wrote, on the exported model in the folder `start`."""
    base = flow.exported(start, config or FlowConfig())
    model = BridgeModel(base)
    model.transformer = read_bridge(file, base.transformer)
    return model
