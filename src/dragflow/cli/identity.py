"""`dragflow identity`: learn a picture, so that edits keep what it shows."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from dragflow.cli.model import chosen_model
from dragflow.core.errors import Cancelled
from dragflow.lora.config import LoraConfig, check_config

app = typer.Typer(help="Learn a picture, so that edits keep what it shows.", no_args_is_help=True)

_USUAL = LoraConfig()


@app.callback()
def identity() -> None:
    """A group: its commands are named even while there is one."""


@app.command("train")
def train(
    image: Annotated[Path, typer.Argument(help="The picture.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The LoRA, a .safetensors file.")],
    prompt: Annotated[str, typer.Option(help="What the picture shows: give edits the same.")] = "",
    model: Annotated[str | None, typer.Option(help="As for `edit`. [default: $DRAGFLOW_MODEL, FLUX.1-dev]")] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of the model on the hub.")] = None,
    rank: Annotated[int, typer.Option(help="Width of the factors added to each weight.")] = _USUAL.rank,
    steps: Annotated[int, typer.Option(help="Steps of the training.")] = _USUAL.steps,
    rate: Annotated[float, typer.Option(help="Rate of AdamW.")] = _USUAL.rate,
    batch: Annotated[int, typer.Option(help="Times and noises of one step.")] = _USUAL.batch,
    max_pixels: Annotated[int, typer.Option(help="Scale a larger picture down to this.")] = _USUAL.max_pixels,
    seed: Annotated[int, typer.Option(help="Seed of weights, times and noise.")] = _USUAL.seed,
    device: Annotated[str | None, typer.Option(help="As torch names it.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of the model: float32, bfloat16 or float16.")] = None,
    quantize: Annotated[str | None, typer.Option(help="int8, fp8, layerwise-fp8 or gguf:FILE.")] = None,
    offload: Annotated[bool, typer.Option("--offload", help="Keep encoders in main memory while idle.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Events as JSON lines on stdout.")] = False,
) -> None:
    """Train a LoRA of one picture, for `dragflow edit --lora`. Ctrl-C keeps what is done for --resume."""
    from dragflow.cli.progress import shown
    from dragflow.io.images import load_image
    from dragflow.lora.files import check_output, partial

    config = LoraConfig(rank=rank, steps=steps, rate=rate, batch=batch, max_pixels=max_pixels, seed=seed)
    check_config(config)
    check_output(output, resume=resume, overwrite=overwrite, picture=image)
    picture = load_image(image)
    with shown(json_) as observer:
        from dragflow.backbones.registry import load_backbone
        from dragflow.lora.train import train_lora

        name = chosen_model(model)
        try:
            backbone = load_backbone(
                name, revision=revision, device=device, dtype=dtype, quantize=quantize, offload=offload
            )
            losses = train_lora(
                backbone, picture, prompt, config, to=output, observer=observer, resume=resume, overwrite=overwrite
            )
        except KeyboardInterrupt as interrupt:  # typer would end the program without a word
            kept = partial(output)
            raise Cancelled(f"{kept} holds what is done: go on with --resume" if kept.exists() else "") from interrupt
    _report(image, output, prompt, model, losses, json_)


def _report(
    image: Path, output: Path, prompt: str, model: str | None, losses: tuple[float, ...], json_lines: bool
) -> None:
    if json_lines:
        from dragflow.cli.progress import emit

        emit({"event": "written", "output": str(output), "losses": losses})
        return
    words = ["dragflow", "edit", str(image), "--lora", str(output)]
    words += [] if not prompt else ["--prompt", prompt]
    words += [] if model is None else ["--model", model]
    typer.echo(f"{output}: {len(losses)} steps. Use it with\n{shlex.join(words)} --mask MASK --to X,Y")
