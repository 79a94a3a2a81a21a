"""What every training stage shares: averaged weights, one-file checkpoints, a JSONL log, the clock, sample sheets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

from dragflow.backbones.tensors import read_safetensors
from dragflow.core.errors import UserError


@dataclass(frozen=True)
class Run:
    """How long and where a stage trains: `steps` is the whole schedule, `minutes` and `until` limit this call."""

    out: Path
    steps: int
    minutes: float = float("inf")
    seed: int = 0
    device: str = "cpu"
    resume: bool = False
    save_every: float = 240.0
    """Seconds between checkpoints, each with a sample sheet."""
    until: int | None = None
    """Stop this call at that step of the schedule."""


@dataclass
class Clock:
    """Counts the seconds of this call and of all calls before it."""

    before: float = 0.0
    start: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def here(self) -> float:
        """Seconds of this call."""
        return time.monotonic() - self.start

    @property
    def total(self) -> float:
        """Seconds of training so far."""
        return self.before + self.here

    def due(self, seconds: float) -> bool:
        """Whether it is time to save again; restarts the count if so."""
        if time.monotonic() - self.saved < seconds:
            return False
        self.saved = time.monotonic()
        return True


def averaged(model: nn.Module, decay: float = 0.999) -> AveragedModel:
    """The exponential moving average of a model's parameters, with a shorter memory at the start."""

    def update(mean: PARAM_LIST, live: PARAM_LIST, count: Tensor | int) -> None:
        get_ema_multi_avg_fn(min(decay, (1 + int(count)) / (10 + int(count))))(mean, live, count)

    average = AveragedModel(model, multi_avg_fn=update)
    average.update_parameters(model)  # the first call copies: the weights before any step count, too
    return average


@torch.no_grad()
def swap(average: AveragedModel, model: nn.Module) -> None:
    """Exchanges live and averaged weights; call twice to restore."""
    for mean, live in zip(average.module.parameters(), model.parameters(), strict=True):
        kept = live.detach().clone()
        live.copy_(mean)
        mean.copy_(kept)


def save(
    path: Path,
    step: int,
    seconds: float,
    model: nn.Module,
    average: AveragedModel,
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    """Writes everything a resumed run needs as one safetensors file (to a temporary name, then renamed)."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for n, optimizer in enumerate(optimizers):
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{n}.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    # Several names may share one storage (a tied embedding), which the format refuses: clone.
    save_file(
        {k: v.detach().clone().contiguous() for k, v in tensors.items()},
        temporary,
        {"step": str(step), "seconds": str(seconds)},
    )
    temporary.replace(path)


def load(
    path: Path, model: nn.Module, average: AveragedModel, optimizers: Sequence[torch.optim.Optimizer]
) -> tuple[int, float]:
    """Restores what `save` wrote; returns the number of steps done and the seconds they took."""
    meta, tensors = _read(path)
    _fill(model, _below("model.", tensors), path)
    average.load_state_dict(_below("average.", tensors))
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, n, i, key = name.split(".")
            states[int(n)].setdefault(int(i), {})[key] = value
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(meta["step"]), float(meta["seconds"])


def load_average(path: Path, model: nn.Module) -> int:
    """Puts the averaged weights of a checkpoint into a model; returns the number of steps behind them."""
    meta, tensors = _read(path)
    _fill(model, _below("average.module.", tensors), path)
    return int(meta["step"])


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; train this stage first: there is nothing to resume.")
    meta, tensors = read_safetensors(path)
    if "average.n_averaged" not in tensors:
        raise UserError(f"{path} is a checkpoint of an older version, which cannot be read: train this stage again")
    return meta, tensors


def _fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"{path} is the checkpoint of a model in another layout, or of other sizes") from error


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def log(path: Path, **values: float) -> None:
    """Appends one line to a JSONL log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as f:
        f.write(json.dumps({k: round(v, 5) for k, v in values.items()}) + "\n")


def generators(seed: int, step: int, device: str) -> tuple[np.random.Generator, torch.Generator]:
    """The random numbers of one step: a function of seed and step alone, so that a resumed run repeats them."""
    rng = np.random.default_rng([seed, step])
    return rng, torch.Generator(device).manual_seed(int(rng.integers(2**63)))


def fit(
    run: Run,
    folder: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    factor: Callable[[int], float],
    decay: float,
    step_once: Callable[[int], float],
    report: Callable[[Path], dict[str, float]],
) -> None:
    """Trains until the schedule or the time ends, and leaves the averaged weights in the model.

    `factor` of a step is what the optimizers' rates are multiplied by; `step_once` makes one step and gives its loss;
    `report` draws a sheet of samples and gives further measures.
    """
    path, every = folder / "state.safetensors", 25
    average, clock, step, losses = averaged(model, decay), Clock(), 0, []
    if run.resume:
        step, clock.before = load(path, model, average, optimizers)
    rates = [_scheduled(optimizer, factor, step) for optimizer in optimizers]
    last = run.steps if run.until is None else min(run.until, run.steps)
    while step < last and clock.here < 60 * run.minutes:
        losses.append(step_once(step))
        step += 1
        average.update_parameters(model)
        for rate_of in rates:
            rate_of.step()
        if step % every == 0 or step == run.steps:
            log(folder / "log.jsonl", step=step, seconds=clock.total, loss=float(np.mean(losses)))
            losses.clear()
        if clock.due(run.save_every):
            save(path, step, clock.total, model, average, optimizers)
            swap(average, model)
            log(folder / "log.jsonl", step=step, seconds=clock.total, **report(folder / f"sheet-{step:06d}.png"))
            swap(average, model)
    save(path, step, clock.total, model, average, optimizers)
    swap(average, model)
    log(folder / "log.jsonl", step=step, seconds=clock.total, **report(folder / "sheet.png"))


def _scheduled(optimizer: torch.optim.Optimizer, factor: Callable[[int], float], done: int) -> LambdaLR:
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return LambdaLR(optimizer, factor, last_epoch=done - 1)


def mixed_precision(device: str) -> torch.autocast:
    """bfloat16 for matrix products, but on processors that only emulate it (nine times slower than float32) nothing."""
    kind = torch.device(device).type
    able = torch.cpu.get_capabilities()
    native = kind != "cpu" or any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.autocast(kind, torch.bfloat16, enabled=native)


def rate(step: int, steps: int, warmup: int, cooldown: float) -> float:
    """Factor on the learning rate: linear warm-up, constant, cosine to zero over the last share `cooldown` of steps."""
    up = min(1.0, (step + 1) / warmup)
    left = (steps - step) / max(1.0, cooldown * steps)
    return up * (0.5 - 0.5 * float(np.cos(np.pi * min(1.0, max(0.0, left)))))


def sheet(path: Path, rows: Sequence[Tensor]) -> None:
    """Writes rows of pictures (each b c h w in [-1, 1]) as one PNG."""
    lines = [np.concatenate(list(to_pixels(row)), 1) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(lines, 0)).save(path)


def to_pixels(x: Tensor) -> np.ndarray:
    """Turns b c h w in [-1, 1] into uint8 b h w c."""
    return ((x.detach().float().cpu().clamp(-1, 1) + 1) * 127.5 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Turns uint8 b h w c into b c h w in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(a: Tensor, b: Tensor) -> float:
    """Mean PSNR in dB over a batch of pictures in [-1, 1]."""
    error = (a.clamp(-1, 1) - b.clamp(-1, 1)).pow(2).flatten(1).mean(1) / 4
    return float((-10 * error.clamp_min(1e-10).log10()).mean())
