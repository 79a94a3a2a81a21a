"""`dragflow`: the commands, and errors as exit codes (2 for bad input, 130 for Ctrl-C)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dragflow.cli import bench, doctor, identity, task
from dragflow.cli.model import (
    ClipOption,
    Dinov2Option,
    GivenIdentity,
    IdentityOption,
    SiglipOption,
    WeightsOption,
)
from dragflow.cli.operations import ORDERED, OperationCommand
from dragflow.cli.options import (
    AnchorOption,
    AnswersOption,
    AreaOption,
    AutoOption,
    BaseUrlOption,
    CandidatesOption,
    EditPromptOption,
    ExtendAreaOption,
    ImageArg,
    NoCacheOption,
    NoUploadOption,
    PickOption,
    PromptOption,
    ProviderOption,
    TaskOption,
    TimeoutOption,
    takes_operations,
)

app = typer.Typer(
    name="dragflow",
    help="Drag regions of a picture; a diffusion transformer redraws it so that it is true.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(task.app, name="task")
app.add_typer(bench.app, name="bench")
app.add_typer(identity.app, name="identity")
app.command("doctor")(doctor.doctor)


@app.command("edit", cls=OperationCommand)
@takes_operations
def edit(
    ctx: typer.Context,
    image: ImageArg,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The result, a .png file. [default: IMAGE-edit.png, here]")
    ] = None,
    task: TaskOption = None,
    area: AreaOption = None,
    extend_area: ExtendAreaOption = None,
    prompt: PromptOption = None,
    edit_prompt: EditPromptOption = None,
    recipe: Annotated[
        Path | None, typer.Option("--from", metavar="RESULT", help="Repeat the edit that made this result.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Hub id or folder of a FLUX.1 pipeline, or `nano`. [default: $DRAGFLOW_MODEL, FLUX.1-dev]"),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of the model on the hub.")] = None,
    preset: Annotated[str | None, typer.Option(help="Preset name, or a .toml file. [default: default]")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting. Repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all fresh noise.")] = None,
    device: Annotated[str | None, typer.Option(help="As torch names it.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    quantize: Annotated[str | None, typer.Option(help="int8, fp8, layerwise-fp8 or gguf:FILE.")] = None,
    offload: Annotated[bool, typer.Option("--offload", help="Keep encoders in main memory while idle.")] = False,
    lora: Annotated[list[str] | None, typer.Option(metavar="FILE[:SCALE]", help="A LoRA. Repeatable.")] = None,
    identity: IdentityOption = None,
    identity_weights: WeightsOption = None,
    identity_siglip: SiglipOption = None,
    identity_dinov2: Dinov2Option = None,
    identity_clip: ClipOption = None,
    intent: Annotated[
        bool, typer.Option("--intent", help="Ask a provider what the drag means, choose, then edit.")
    ] = False,
    provider: ProviderOption = None,
    intent_model: Annotated[str | None, typer.Option(metavar="ID", help="Model of the provider.")] = None,
    base_url: BaseUrlOption = None,
    answers: AnswersOption = None,
    pick: PickOption = None,
    auto: AutoOption = False,
    anchor: AnchorOption = None,
    timeout: TimeoutOption = None,
    no_cache: NoCacheOption = False,
    no_upload: NoUploadOption = False,
    trace: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write masks, losses and an animation there.")
    ] = None,
    sidecar: Annotated[Path | None, typer.Option(metavar="FILE", help="Write recipe and timings as JSON.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Events as JSON lines on stdout.")] = False,
) -> None:
    """Edit a picture.

    Each --mask (or --box, --polygon) begins an operation; the --to, --about, --degrees, --scale after it are its own.
    """
    from dragflow.cli.edit import EditRequest, run_edit
    from dragflow.cli.intent import make_asking, unused
    from dragflow.cli.operations import editable
    from dragflow.intent.base import ProviderOptions

    asking = make_asking(
        provider=provider,
        options=ProviderOptions(base_url=base_url, model=intent_model, file=answers, timeout=timeout),
        pick=pick,
        auto=auto,
        anchor=anchor,
        cache=not no_cache,
        upload=not no_upload,
    )
    run_edit(
        EditRequest(
            image=image,
            output=output,
            task=task,
            ordered=ctx.meta[ORDERED],
            editable=editable(area, extend_area),
            prompt=prompt,
            edit_prompt=edit_prompt,
            recipe=recipe,
            model=model,
            revision=revision,
            preset=preset,
            settings=set_ or [],
            seed=seed,
            device=device,
            dtype=dtype,
            quantize=quantize,
            offload=offload,
            lora=tuple(lora or ()),
            identity=GivenIdentity(identity, identity_weights, identity_siglip, identity_dinov2, identity_clip),
            asking=asking if intent else unused(asking),
            trace=trace,
            sidecar=sidecar,
            json_lines=json_,
        )
    )


@app.command("preview", cls=OperationCommand)
@takes_operations
def preview(
    ctx: typer.Context,
    image: ImageArg,
    output: Annotated[Path, typer.Option("--output", "-o", help="The preview, a .png file.")],
    task: TaskOption = None,
    area: AreaOption = None,
    extend_area: ExtendAreaOption = None,
    preset: Annotated[str, typer.Option(help="Preset whose area settings apply.")] = "default",
    plain: Annotated[bool, typer.Option("--plain", help="The ghost alone, nothing drawn on it.")] = False,
) -> None:
    """Draw what an edit is going to do, without a model: ghost, outlines, arrows, anchors, editable area."""
    from dragflow.cli.edit import run_preview
    from dragflow.cli.operations import editable, instruction

    made = instruction(task, ctx.meta[ORDERED], None, None, editable(area, extend_area))
    run_preview(image, output, made, preset=preset, plain=plain)


@app.command("intent", cls=OperationCommand)
@takes_operations
def intent(
    ctx: typer.Context,
    image: ImageArg,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The instruction of the chosen guess, a .json file.")
    ] = None,
    task: TaskOption = None,
    area: AreaOption = None,
    extend_area: ExtendAreaOption = None,
    prompt: PromptOption = None,
    edit_prompt: EditPromptOption = None,
    provider: ProviderOption = None,
    base_url: BaseUrlOption = None,
    model: Annotated[str | None, typer.Option(help="Model of the provider: an id, or a folder.")] = None,
    answers: AnswersOption = None,
    candidates: CandidatesOption = 10,
    timeout: TimeoutOption = None,
    retries: Annotated[int, typer.Option(metavar="N", help="Tries again after a call that failed.")] = 2,
    max_image_side: Annotated[
        int, typer.Option(metavar="PX", help="Longer side of the pictures that are shown.")
    ] = 1024,
    device: Annotated[str | None, typer.Option(help="Of a model here, as torch names it.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of a model here: float32, bfloat16 or float16.")] = None,
    four_bit: Annotated[bool, typer.Option("--four-bit", help="Load a model here in 4 bits.")] = False,
    pick: PickOption = None,
    auto: AutoOption = False,
    anchor: AnchorOption = None,
    no_cache: NoCacheOption = False,
    no_upload: NoUploadOption = False,
    overlay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the drag is drawn. [default: IMAGE-intent.png, here]")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="The guesses as one JSON object on stdout.")] = False,
) -> None:
    """Guess what a drag means: labels and prompts to choose from, and the instruction of the one that is chosen."""
    from dragflow.cli.intent import make_asking, run_intent
    from dragflow.cli.operations import editable, instruction
    from dragflow.intent.base import ProviderOptions

    asking = make_asking(
        provider=provider,
        options=ProviderOptions(
            base_url=base_url,
            model=model,
            timeout=timeout,
            retries=retries,
            max_image_side=max_image_side,
            device=device,
            dtype=dtype,
            four_bit=four_bit,
            file=answers,
        ),
        pick=pick,
        auto=auto,
        anchor=anchor,
        cache=not no_cache,
        upload=not no_upload,
        count=candidates,
    )
    made = instruction(task, ctx.meta[ORDERED], prompt, edit_prompt, editable(area, extend_area))
    inputs = [path for path in (image, task, answers) if path is not None]
    run_intent(image, made, asking, inputs=inputs, output=output, drawn=overlay, as_json=json_)


@app.command("presets")
def presets(
    name: Annotated[str | None, typer.Argument(help="Show every setting of this preset.")] = None,
) -> None:
    """List the presets, or show one."""
    from rich.console import Console
    from rich.table import Table

    from dragflow.io.presets import describe_preset, dump_config, load_preset, preset_names

    if name is not None:
        typer.echo(dump_config(load_preset(name)))
        return
    table = Table("preset", "what it is", "hash")
    for preset in preset_names():
        table.add_row(preset, describe_preset(preset), load_preset(preset).hash)
    Console().print(table)


def main(argv: list[str] | None = None) -> Any:
    """Run the command line; bad input exits with 2 and one clear sentence, Ctrl-C with 130."""
    from dragflow.core.errors import Cancelled, DragFlowError

    try:
        return app(args=argv, prog_name="dragflow")
    except (KeyboardInterrupt, Cancelled) as stopped:
        typer.echo(f"cancelled: {str(stopped) or 'nothing was written'}", err=True)
        sys.exit(130)
    except DragFlowError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
