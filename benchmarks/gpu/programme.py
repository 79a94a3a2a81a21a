"""What edits cost on a GPU: models of full size with random weights, stored in several ways, at several sizes.

    benchmarks/gpu/run.sh [--minutes 18] [--preset default] [--out FILE] [--small]

Writes one Markdown table, a row at a time, so that what was measured stays if a later row fails or time is up. Each row
is an edit and another of the same picture with another target, the second time that they are made. --small tries the
programme on small models, on the CPU if there is no GPU; there blocks are traced, but not compiled.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from edit_stages import FIRST, NEXT, Necessary, Work, matmul_peak, measured, total
from wordless import empty_parts, wordless

from dragflow import EditConfig, Editor, load_preset
from dragflow.backbones.devices import pick_device
from dragflow.backbones.flux1.load import LAYOUT as FLUX1
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.flux2_klein.load import LAYOUT as KLEIN
from dragflow.backbones.flux2_klein.model import Flux2Klein
from dragflow.backbones.quantise import quantised
from dragflow.backbones.quiet import silence_libraries
from dragflow.backbones.swap import blocks_of, move, swap_blocks
from dragflow.core.config import SizeConfig
from dragflow.method.kv import KVStore

MODELS: dict[str, tuple[Any, Any, str]] = {
    "FLUX.1": (FLUX1, Flux1, "black-forest-labs/FLUX.1-dev"),
    "FLUX.2 klein 4B": (KLEIN, Flux2Klein, "black-forest-labs/FLUX.2-klein-4B"),
}
STORED = {"bf16": None, "fp8": "fp8", "nf4": "nf4", "swap": None}
"""How weights are stored; `swap` keeps the blocks in main memory."""
SIZES = {"528x592": (528, 592), "1024x1024": (1024, 1024), "2048x2048, window": (2048, 2048)}
SMALL_SIZES = {"64x80": (64, 80), "96x96": (96, 96), "160x160, window": (160, 160)}
SMALL = {
    "transformer": {"num_layers": 1, "num_single_layers": 2, "num_attention_heads": 1},
    "vae": {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1},
}
AREA, AREA_OF_LARGE = 0.14, 0.03
_WARM = 512
"""Side of a picture from which on the first time does not count, in which kernels are chosen and compiled."""
HEAD = "| model | stored | picture | compiled | first edit, s | next edit, s | share of the peak | peak GiB |"


@dataclass(frozen=True)
class Row:
    """One measurement."""

    model: str
    stored: str
    size: str
    compiled: bool = False


def rows(sizes: list[str]) -> Iterator[Row]:
    """Those that tell most come first; the rows of one model in one form follow each other."""
    for model in MODELS:
        for size in sizes:
            yield Row(model, "bf16", size)
        for size in sizes[:2]:
            yield Row(model, "bf16", size, compiled=True)
        for stored in ("fp8", "nf4", "swap"):
            for size in sizes[:2]:
                yield Row(model, stored, size)


def main() -> None:
    """Measure row after row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=18, help="no row begins after that")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--out", type=Path, help="file of the table, beside stdout")
    parser.add_argument("--small", action="store_true", help="try it on small models")
    args = parser.parse_args()
    silence_libraries()
    device, end = pick_device(None), time.monotonic() + 60 * args.minutes
    if device.type == "cpu" and not args.small:
        sys.exit("there is no GPU: add --small to try the programme")
    speed = matmul_peak(device, torch.bfloat16, 0.2 if args.small else 1.0)
    lines = [_machine(device, speed, args), "", HEAD, "|---|---|---|---|---|---|---|---|"]
    sizes = SMALL_SIZES if args.small else SIZES
    made: tuple[Row, Any] | None = None
    for row in rows(list(sizes)):
        if time.monotonic() > end:
            lines.append(f"| {row.model} | {row.stored} | {row.size} | {_yes(row.compiled)} | time was up | | | |")
        else:
            if made is None or _form(made[0]) != _form(row):
                made = None
                _free()
                made = row, _attempt(lambda row=row: _load(row, device, args.small))
            config = load_preset(args.preset).with_(size=_seen(row.size, small=args.small))
            lines.append(_measured(row, made[1], Work(sizes[row.size], _area(row.size)), config, speed))
        _write(lines, args.out)


def _form(row: Row) -> tuple[str, str, bool]:
    return row.model, row.stored, row.compiled


def _machine(device: torch.device, speed: float, args: argparse.Namespace) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    size = "small models" if args.small else "full size"
    return (
        f"{name}, PyTorch {torch.__version__}; random weights, {size}, preset {args.preset}; products of bfloat16 "
        f"matrices reach {speed / 1e12:.3g} TFLOP/s"
    )


def _load(row: Row, device: torch.device, small: bool) -> Any:
    """A model with random weights, as the row says."""
    layout, family, name = MODELS[row.model]
    transformer, vae = empty_parts(layout, name, SMALL if small else None)
    for network in (transformer, vae):
        _fill(network.to_empty(device="cpu" if row.stored == "swap" else device))
    quantised(transformer, STORED[row.stored], torch.bfloat16)
    if row.stored == "swap":
        swap_blocks(transformer, device)
    move(transformer, device)
    move(vae, device)
    model = wordless(family, transformer.eval().requires_grad_(False), vae.eval().requires_grad_(False))
    model.checkpointing = True
    if row.compiled:
        _compile(model, "eager" if small else "inductor")
    return model


def _compile(model: Any, backend: str) -> None:
    """Compile every block, and make sure that what is seen in it is the same.

    Raises:
        RuntimeError: it is not: hooks that live for one call may be missed by code that was compiled in another.
    """
    plain = [_seen_in(model, seed) for seed in (0, 1)]
    for block in blocks_of(model.transformer):
        block.compile(backend=backend)
    for seed, expected in enumerate(plain):
        seen = _seen_in(model, seed)
        if seen.shape != expected.shape or (seen - expected).norm() > 0.05 * expected.norm():
            raise RuntimeError("features, or keys and values, of compiled blocks are not theirs")


@torch.no_grad()
def _seen_in(model: Any, seed: int) -> Tensor:
    """Features of a latent of noise, and keys and values that are recorded on the way."""
    spec, store = model.spec, KVStore(frozenset(model.spec.kv_blocks), model.device)
    z = torch.randn(1, spec.latent_channels, 8, 8, generator=torch.Generator().manual_seed(seed)).to(model.device)
    cond = model.condition("", guidance=1.0)
    model.velocity(z, 0.5, cond)  # without a record: code that is compiled here has none
    taken = [*model.features(z, 0.5, cond, taps=spec.taps, kv=store.recorder(0.5)), *store.times[0.5].values()]
    return torch.cat([each.flatten().float() for each in taken])


@torch.no_grad()
def _fill(network: nn.Module) -> None:
    for name, x in (*network.named_parameters(), *network.named_buffers()):
        if name.endswith("running_var"):
            x.fill_(1)
        elif x.ndim > 1:
            x.normal_(0, 0.02)
        else:  # biases, and scales of norms
            x.fill_(1 if name.endswith("weight") else 0)


def _measured(row: Row, model: Any, work: Work, config: EditConfig, speed: float) -> str:
    head = f"| {row.model} | {row.stored} | {row.size} | {_yes(row.compiled)} |"
    if isinstance(model, str):
        return f"{head} {model} | | | |"
    editor = Editor(model)
    times = 1 if work.size[0] < _WARM else 2
    made = _attempt(lambda: [measured(editor, work, config) for _ in range(times)][-1])
    if isinstance(made, str):
        return f"{head} {made} | | | |"
    first, further = total(made[FIRST]), total(made[NEXT])
    share = "-" if row.size.endswith("window") else f"{_share(model, work, made[FIRST], config, speed):.0%}"
    memory = max(first.memory, further.memory) / 1024
    return f"{head} {first.seconds:.2f} | {further.seconds:.2f} | {share} | {memory:.1f} |"


def _share(model: Any, work: Work, stages: Any, config: EditConfig, speed: float) -> float:
    """What the inversion, whose calls compute all tokens, reaches of the device's peak."""
    stage = stages["invert"]
    return Necessary.of(model, work, config).stage("invert", stage.calls) / stage.seconds / speed


def _attempt(work: Any) -> Any:
    """What some work gives, or why it failed, in a few words."""
    try:
        return work()
    except Exception as error:  # a row that fails is told, and the next one is measured
        return f"failed: {type(error).__name__}: {' '.join(str(error).split())[:80]}".replace("|", "/")


def _seen(size: str, *, small: bool) -> SizeConfig:
    windowed = size.endswith("window")
    most = (9216 if small else 1024 * 1024) if windowed else 64_000_000
    return SizeConfig(max_pixels=most, window="auto" if windowed else "whole")


def _area(size: str) -> float:
    return AREA_OF_LARGE if size.endswith("window") else AREA


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _free() -> None:
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _write(lines: list[str], out: Path | None) -> None:
    print(lines[-1] if len(lines) > 5 else "\n".join(lines), flush=True)
    if out is not None:
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
