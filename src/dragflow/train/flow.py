"""The flow model: a transformer and its text encoders, trained together on latents of scenes.

Rectified flow as in FLUX and Stable Diffusion 3: z_t = (1 - t) z_0 + t eps, the model predicts v = eps - z_0, t drawn
logit-normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dragflow import world
from dragflow.core.errors import UserError
from dragflow.train import state, text, vae
from dragflow.train.latents import Pool, Scaling, measure
from dragflow.train.layouts import BASE_SHIFT, LAYOUTS, Sizes, layout_of
from dragflow.train.state import Run
from dragflow.train.text import T5_LENGTH, Tokenizers

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FlowConfig(Sizes):
    """Sizes and rates of the flow model's training."""

    size: int = 256
    batch: int = 12
    rate: float = 1e-3
    """Rate of AdamW."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """What trains the weight matrices of the blocks; AdamW always trains the rest. Muon needs fewer steps, but it
    computes in bfloat16: that takes nine tenths of a step on a processor that only emulates it."""
    matrix_rate: float = 2e-3
    """Rate of Muon."""
    text_share: float = 0.1
    """Share of the rate that the text encoders get; at the full rate their outputs for all captions become equal."""
    noisy: float = 0.15
    """Share of times from the noisiest twentieth, where the model learns to follow captions."""
    warmup: int = 100
    cooldown: float = 0.2
    first: int = 1024
    """Scenes in the pool at the start."""
    fresh: int = 4
    """Scenes added to the pool at every step."""
    capacity: int = 200_000
    decay: float = 0.999
    empty: float = 0.1
    """Share of empty captions."""
    unknown: float = 0.02
    """Share of words replaced by one the vocabulary lacks."""
    compile: bool = True


class FlowModel(nn.Module):
    """Transformer and text encoders as one module."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.layout = LAYOUTS[config.layout]
        self.transformer: Any = self.layout.transformer(config)
        self.text: Any = self.layout.encoders(config.text)
        for name, module in self.transformer.named_modules():
            # As in DiT: modulations and the last layer start at zero, so every block starts as the identity; so does
            # what the pooled text adds to the time.
            if isinstance(module, nn.Linear) and (
                name in ("proj_out", "time_text_embed.text_embedder.linear_2") or ".norm" in name or "norm_out" in name
            ):
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)

    def begin_with(self, folder: Path) -> None:
        """Load the weights of an exported folder; of one in the other layout its T5 encoder and what is alike.

        Raises:
            UserError: it was made with other sizes or another vocabulary.
        """
        other = LAYOUTS[layout_of(folder)]
        parts = {"transformer": self.transformer, **self.text.parts}
        if other.pipeline != self.layout.pipeline:
            self.layout.inherit(self.transformer, _tensors(folder / "transformer"))
            parts = {other.t5: self.text.t5}
        for name, part in parts.items():
            tensors = _tensors(folder / name)
            # Tied embeddings are stored once, under the one name or the other.
            missing, unexpected = part.load_state_dict(tensors, strict=False)
            if unexpected or not tensors or any("embed_tokens" not in key for key in missing):
                raise UserError(f"{folder / name} does not fit this model: start from one of the same sizes")

    def forward(self, z: Tensor, t: Tensor, clip_ids: Tensor, t5_ids: Tensor) -> Tensor:
        """Velocity (b c h w) at latents z (b c h w) and times t (b) for token ids of both kinds of encoders."""
        return self.layout.velocity(self.transformer, z, t, *self.text(clip_ids, t5_ids))


def _tensors(folder: Path) -> dict[str, Tensor]:
    return {k: v for file in folder.glob("*.safetensors") for k, v in load_file(file).items()}


def exported(folder: Path, config: FlowConfig) -> FlowModel:
    """An exported model, to measure it or to train something on it.

    Raises:
        UserError: it was made in another layout, with other sizes or another vocabulary.
    """
    if layout_of(folder) != config.layout:
        raise UserError(f"{folder} does not fit this model: choose a folder in layout {config.layout}")
    model = FlowModel(config)
    model.begin_with(folder)
    return model


def compile_blocks(transformer: Any) -> None:
    """Compile every block of a transformer for the one size that it is trained on."""
    for block in (*transformer.transformer_blocks, *getattr(transformer, "single_transformer_blocks", ())):
        block.compile(dynamic=False)


def times(batch: int, noisy: float, generator: torch.Generator, device: str) -> Tensor:
    """Times (batch): logit-normal and spread evenly, one in ten uniform, the share `noisy` in the noisiest twentieth.

    A thousand noisy latents still show their mean colour at t = 0.95. Only closer to 1 does the text decide anything
    that the picture does not, and without these times the model does not learn to follow it.
    """
    places = torch.arange(batch, device=device) / batch + torch.rand(1, generator=generator, device=device)
    t = torch.sigmoid(0.7 + 1.2 * torch.special.ndtri((places % 1).clamp(1e-4, 1 - 1e-4)))
    uniform = torch.rand(batch, generator=generator, device=device)
    choice = torch.rand(batch, generator=generator, device=device)
    return torch.where(choice < 0.1, uniform, torch.where(choice < 0.1 + noisy, 1 - 0.05 * uniform, t))


def captions(config: FlowConfig, rng: np.random.Generator, numbers: NDArray[np.int64]) -> list[str]:
    """One paraphrased caption per scene, some empty, some with unknown words."""
    out: list[str] = []
    for number in numbers:
        words = world.caption(world.facts(world.scene(int(number), config.size)), rng).split(" ")
        kept = ["something" if rng.uniform() < config.unknown else word for word in words]
        out.append("" if rng.uniform() < config.empty else " ".join(kept))
    return out


def optimizers(config: FlowConfig, model: FlowModel) -> list[torch.optim.Optimizer]:
    """The configured one for the matrices inside the blocks, AdamW for everything else (all, if that is configured)."""
    blocks = ("transformer.transformer_blocks.", "transformer.single_transformer_blocks.")
    named = list(model.named_parameters())
    muon = config.optimizer == "muon"
    matrices = [p for n, p in named if muon and n.startswith(blocks) and p.ndim == 2 and ".norm" not in n]
    inside = {id(p) for p in matrices}
    groups = [
        {"params": [p for n, p in named if id(p) not in inside and not n.startswith("text.")], "lr": config.rate},
        {"params": [p for n, p in named if n.startswith("text.")], "lr": config.text_share * config.rate},
    ]
    adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    if not muon:
        return [adam]
    return [torch.optim.Muon(matrices, lr=config.matrix_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"), adam]


def train(config: FlowConfig, run: Run, start: Path | None = None) -> FlowModel:
    """Train on the latents of the autoencoder in out/vae and return the model with averaged weights.

    With `start`, the training begins with the autoencoder and the weights of this exported folder.
    """
    torch.manual_seed(run.seed)
    coder = vae.trained(config.vae, run.out, start).requires_grad_(False)
    nn.Module.to(coder, run.device)
    folder = run.out / "flow"
    scaling = measure(coder, config.size, run.device, folder / "latents.json")
    pool = Pool(folder / "latents.f16", coder, scaling, config.size, config.capacity, run.device)
    model = FlowModel(config).to(run.device)
    if start is not None:
        model.begin_with(start)
    opts = optimizers(config, model)
    if config.compile:
        compile_blocks(model.transformer)
    tokenizers = Tokenizers(text.clip_tokenizer(), text.t5_tokenizer())

    def report(picture: Path) -> dict[str, float]:
        samples(config, model, coder, scaling, tokenizers, run.device, picture)
        return {"scenes": pool.count}

    def step_once(step: int) -> float:
        pool.grow(config.first + config.fresh * step)
        return _step(config, run, model, opts, pool, tokenizers, step)

    def factor(step: int) -> float:
        return state.rate(step, run.steps, config.warmup, config.cooldown)

    state.fit(run, folder, model, opts, factor, config.decay, step_once, report)
    return model


def _step(
    config: FlowConfig,
    run: Run,
    model: FlowModel,
    opts: list[torch.optim.Optimizer],
    pool: Pool,
    tokenizers: Tokenizers,
    step: int,
) -> float:
    rng, generator = state.generators(run.seed, step, run.device)
    # After a restart the pool may hold more than this step is meant to see: the bound makes a resumed run the same.
    numbers = rng.integers(0, min(config.first + config.fresh * step, config.capacity), config.batch)
    z = pool.take(numbers).to(run.device)
    # Now and then a longer sequence, so that the model works with captions padded to any length.
    length = T5_LENGTH if rng.uniform() < 0.96 else 4 * T5_LENGTH
    clip_ids, t5_ids = (i.to(run.device) for i in tokenizers(captions(config, rng, numbers), length))
    t = times(config.batch, config.noisy, generator, run.device)
    noise = torch.randn(z.shape, generator=generator, device=run.device)
    mix = t.view(-1, 1, 1, 1)
    with state.mixed_precision(run.device):
        v = model((1 - mix) * z + mix * noise, t, clip_ids, t5_ids)
    loss = (v.float() - (noise - z)).pow(2).mean()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for opt in opts:
        opt.step()
        opt.zero_grad(set_to_none=True)
    return float(loss.detach())


@torch.no_grad()
def sample(model: FlowModel, noise: Tensor, ids: tuple[Tensor, Tensor], steps: int = 20) -> Tensor:
    """Latents from noise (both b c h w) by Euler steps on FLUX's shifted grid for 256 tokens."""
    line = torch.linspace(1, 0, steps + 1)
    shifted = line * np.exp(BASE_SHIFT) / (1 + line * (np.exp(BASE_SHIFT) - 1))
    z = noise
    for a, b in pairwise(shifted):
        with state.mixed_precision(str(noise.device)):
            v = model(z, torch.full((z.shape[0],), float(a), device=z.device), *ids)
        z = z + float(b - a) * v.float()
    return z


@torch.no_grad()
def samples(
    config: FlowConfig,
    model: FlowModel,
    coder: AutoencoderTiny,
    scaling: Scaling,
    tokenizers: Tokenizers,
    device: str,
    path: Path,
    count: int = 8,
) -> None:
    """Draw a sheet of pictures for captions of scenes outside the training range, with the true scenes above them."""
    scenes = [world.scene(2**41 + i, config.size) for i in range(count)]
    ids = tokenizers([world.caption(world.facts(scene)) for scene in scenes])
    clip_ids, t5_ids = (i.to(device) for i in ids)
    generator = torch.Generator(device).manual_seed(0)
    noise = torch.randn(count, 16, config.size // 8, config.size // 8, generator=generator, device=device)
    z = sample(model, noise, (clip_ids, t5_ids))
    pictures = coder.decoder(z / scaling.scale + scaling.shift)
    truth = state.to_tensor(np.stack([scene.render() for scene in scenes])).to(device)
    state.sheet(path, [truth, pictures])
