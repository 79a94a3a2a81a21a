"""`dragflow train`: what can be trained for a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from dragflow.cli.options import FLAT, ForceArg, ModelArgs, Output
from dragflow.cli.terminal import emit, say
from dragflow.core.errors import Cancelled, unused
from dragflow.core.fields import AtLeastOne
from dragflow.core.models import ModelOptions
from dragflow.train.config import LoraBridgeConfig

if TYPE_CHECKING:
    from dragflow.train.lora_bridge import Trained

app = App(name="train", help="Train a bridge, which corrects a model's previews in one call.")
_SCENES = 64


@app.command
def bridge(
    *,
    output: Annotated[Path, Output],
    training: Annotated[LoraBridgeConfig, FLAT] = LoraBridgeConfig(),
    pairs: Path | None = None,
    scenes: AtLeastOne | None = None,
    model: ModelArgs = ModelOptions(),
    resume: bool = False,
    force: ForceArg = False,
    json: bool = False,
) -> None:
    """Train a bridge of a model, for `dragflow edit --bridge`. Ctrl-C keeps what is done for --resume.

    Parameters
    ----------
    output
        The bridge, a .safetensors file.
    pairs
        Train on the pairs of previews and truths in this folder, which `python -m dragflow.train pairs` makes.
    scenes
        Train on so many scenes that are drawn meanwhile, four pairs each. [default: 64]
    resume
        Continue a training that was stopped.
    json
        Events as JSON lines on stdout.
    """
    if pairs is not None and scenes is not None:
        raise unused(["scenes"], "the pairs are those of `pairs`")
    from dragflow.cli.progress import shown
    from dragflow.files.outputs import named_files
    from dragflow.lora.files import check_output, partial

    check_output(output, resume=resume, force=force, inputs=named_files(model, pairs))
    with shown(json) as observer:
        from dragflow.backbones.registry import load_backbone
        from dragflow.train.lora_bridge import check_trainable, pairs_for, train_bridge

        check_trainable(model)
        pairs_for(training, pairs, scenes or _SCENES)
        try:
            trained = train_bridge(
                load_backbone(model),
                training,
                to=output,
                pairs=pairs,
                scenes=scenes or _SCENES,
                observer=observer,
                resume=resume,
                force=force,
            )
        except KeyboardInterrupt as interrupt:
            raise Cancelled(_what_is_left(output, partial(output))) from interrupt
    _report(output, training, model.model, trained, json)


def _what_is_left(output: Path, kept: Path) -> str:
    if kept.exists():
        return f"{kept} holds what is done: continue with --resume"
    return f"{output} is written, but was not measured" if output.exists() else ""


def _report(output: Path, training: LoraBridgeConfig, model: str | None, trained: Trained, json_lines: bool) -> None:
    if json_lines:
        emit({"event": "written", "output": str(output), "losses": trained.losses, "gains": trained.gains})
        return
    words = ["dragflow", "edit", "PICTURE", "--bridge", str(output)]
    words += [] if model is None else ["--model", model]
    gains = ", ".join(f"{name} {gain:+.2f} dB" for name, gain in trained.gains.items())
    say(
        f"{output}: {len(trained.losses)} steps. Nearer to the truth than the preview, in the mean of "
        f"{training.held_out} pairs of scenes with other things: {gains}. Use it with\n"
        f"{shlex.join(words)} --mask MASK --to X,Y"
    )
