"""`dragflow`: the commands, and errors as exit codes (2 for bad input, 130 for Ctrl-C)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dragflow.cli import bench, doctor, identity, task
from dragflow.cli.operations import ORDERED, OperationCommand

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

ImageArg = Annotated[Path, typer.Argument(help="The picture (PNG, JPEG, WebP, TIFF).", metavar="IMAGE")]
TaskOption = Annotated[Path | None, typer.Option("--task", help="Instruction file, or ReD Bench folder.")]
MaskOption = Annotated[
    list[str] | None,
    typer.Option("--mask", metavar="FILE", help="Begin an operation: white pixels are its region. Repeatable."),
]
BoxOption = Annotated[list[str] | None, typer.Option("--box", metavar="L,T,R,B", help="Begin an operation on a box.")]
PolygonOption = Annotated[
    list[str] | None, typer.Option("--polygon", metavar="X,Y;X,Y;X,Y", help="Begin an operation on a closed outline.")
]
AtOption = Annotated[
    list[str] | None,
    typer.Option("--at", metavar="X,Y", help="Of the mask take only the connected part at this point."),
]
ToOption = Annotated[list[str] | None, typer.Option("--to", metavar="X,Y", help="Where the region's centroid goes.")]
HandleOption = Annotated[
    list[str] | None,
    typer.Option("--handle", metavar="X,Y", help="The point that --to is meant for, instead of the centroid."),
]
AboutOption = Annotated[
    list[str] | None, typer.Option("--about", metavar="X,Y", help="Anchor of a rotation or a scaling.")
]
DegreesOption = Annotated[list[str] | None, typer.Option("--degrees", metavar="D", help="Turn, clockwise as seen.")]
ScaleOption = Annotated[list[str] | None, typer.Option("--scale", metavar="S or SX,SY", help="Scale about the anchor.")]
MatrixOption = Annotated[
    list[str] | None, typer.Option("--matrix", metavar="A,B,C,D,E,F", help="Any affine map, row by row.")
]
LabelOption = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="L", help="relocation (an object) or deformation (a part that stretches)."),
]
AreaOption = Annotated[
    Path | None, typer.Option("--area", metavar="FILE", help="Where the picture may change (white).")
]
ExtendAreaOption = Annotated[
    Path | None, typer.Option("--extend-area", metavar="FILE", help="Add this to the derived editable area.")
]
PromptOption = Annotated[str | None, typer.Option("--prompt", help="What the picture shows.")]
EditPromptOption = Annotated[str | None, typer.Option("--edit-prompt", help="What the edit does.")]


@app.command("edit", cls=OperationCommand)
def edit(
    ctx: typer.Context,
    image: ImageArg,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The result, a .png file. [default: IMAGE-edit.png, here]")
    ] = None,
    task: TaskOption = None,
    mask: MaskOption = None,
    box: BoxOption = None,
    polygon: PolygonOption = None,
    at: AtOption = None,
    to: ToOption = None,
    handle: HandleOption = None,
    about: AboutOption = None,
    degrees: DegreesOption = None,
    scale: ScaleOption = None,
    matrix: MatrixOption = None,
    label: LabelOption = None,
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
    identity: Annotated[
        str | None, typer.Option(metavar="NAME", help="Adapter that keeps the subject's identity: instantcharacter.")
    ] = None,
    identity_weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its checkpoint, .safetensors or .bin.")
    ] = None,
    identity_siglip: Annotated[
        str | None, typer.Option(help="Its SigLIP: hub id or folder. [default: so400m-patch14-384]")
    ] = None,
    identity_dinov2: Annotated[str | None, typer.Option(help="Its DINOv2: hub id or folder. [default: giant]")] = None,
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
    from dragflow.cli.operations import editable

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
            identity=identity,
            identity_weights=identity_weights,
            identity_siglip=identity_siglip,
            identity_dinov2=identity_dinov2,
            trace=trace,
            sidecar=sidecar,
            json_lines=json_,
        )
    )


@app.command("preview", cls=OperationCommand)
def preview(
    ctx: typer.Context,
    image: ImageArg,
    output: Annotated[Path, typer.Option("--output", "-o", help="The preview, a .png file.")],
    task: TaskOption = None,
    mask: MaskOption = None,
    box: BoxOption = None,
    polygon: PolygonOption = None,
    at: AtOption = None,
    to: ToOption = None,
    handle: HandleOption = None,
    about: AboutOption = None,
    degrees: DegreesOption = None,
    scale: ScaleOption = None,
    matrix: MatrixOption = None,
    label: LabelOption = None,
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
