"""`dragflow lora`: learn a picture, so that edits keep what it shows."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from dragflow.cli.options import FLAT, ForceArg, ModelArgs, Output
from dragflow.cli.terminal import emit, say
from dragflow.core.errors import Cancelled
from dragflow.core.models import ModelOptions
from dragflow.lora.config import LoraConfig

app = App(name="lora", help="Learn a picture, so that edits keep what it shows.")


@app.command
def train(
    image: Annotated[Path, Parameter(name="IMAGE")],
    /,
    *,
    output: Annotated[Path, Output],
    prompt: str = "",
    training: Annotated[LoraConfig, FLAT] = LoraConfig(),
    model: ModelArgs = ModelOptions(),
    resume: bool = False,
    force: ForceArg = False,
    json: bool = False,
) -> None:
    """Train a LoRA of one picture, for `dragflow edit --lora`. Ctrl-C keeps what is done for --resume.

    Parameters
    ----------
    image
        The picture.
    output
        The LoRA, a .safetensors file.
    prompt
        What the picture shows: give edits the same.
    resume
        Continue a training that was stopped.
    json
        Events as JSON lines on stdout.
    """
    from dragflow.cli.progress import shown
    from dragflow.files.outputs import named_files
    from dragflow.files.pictures import load_image
    from dragflow.lora.files import check_output, partial

    check_output(output, resume=resume, force=force, inputs=named_files(image, model))
    picture = load_image(image)
    with shown(json) as observer:
        from dragflow.backbones.registry import load_backbone
        from dragflow.lora.train import train_lora

        try:
            losses = train_lora(
                load_backbone(model),
                picture,
                prompt,
                training,
                to=output,
                observer=observer,
                resume=resume,
                force=force,
            )
        except KeyboardInterrupt as interrupt:
            kept = partial(output)
            raise Cancelled(
                f"{kept} holds what is done: continue with --resume" if kept.exists() else ""
            ) from interrupt
    _report(image, output, prompt, model.model, losses, json)


def _report(
    image: Path, output: Path, prompt: str, model: str | None, losses: tuple[float, ...], json_lines: bool
) -> None:
    if json_lines:
        emit({"event": "written", "output": str(output), "losses": losses})
        return
    words = ["dragflow", "edit", str(image), "--lora", str(output)]
    words += [] if not prompt else ["--prompt", prompt]
    words += [] if model is None else ["--model", model]
    say(f"{output}: {len(losses)} steps. Use it with\n{shlex.join(words)} --mask MASK --to X,Y")
