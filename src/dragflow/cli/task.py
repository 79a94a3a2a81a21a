"""`dragflow task`: make, check, show and convert instruction files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragflow.cli.operations import ORDERED, OperationCommand
from dragflow.cli.options import AreaOption, EditPromptOption, ExtendAreaOption, PromptOption, takes_operations
from dragflow.core.task import DragTask, Motion, Rotate, Scale, Translate

app = typer.Typer(help="Make, check, show and convert instruction files.", no_args_is_help=True)

ImageArg = Annotated[Path, typer.Argument(help="The picture.", metavar="IMAGE")]
TaskArg = Annotated[Path, typer.Argument(help="Instruction file, or ReD Bench folder.", metavar="TASK")]


@app.command("new", cls=OperationCommand)
@takes_operations
def new(
    ctx: typer.Context,
    image: ImageArg,
    output: Annotated[Path, typer.Option("--output", "-o", help="The instruction file, .json.")],
    area: AreaOption = None,
    extend_area: ExtendAreaOption = None,
    prompt: PromptOption = None,
    edit_prompt: EditPromptOption = None,
) -> None:
    """Write an instruction file from the same options that `dragflow edit` takes; masks are embedded."""
    from dragflow.cli.operations import editable, instruction
    from dragflow.io.files import check_writable
    from dragflow.io.images import load_image
    from dragflow.io.instruction import save_instruction
    from dragflow.io.resolve import resolve

    check_writable(output, inputs=[image])
    made = instruction(None, ctx.meta[ORDERED], prompt, edit_prompt, editable(area, extend_area))
    resolve(load_image(image).pixels, made)
    save_instruction(output, made)


@app.command("check")
def check(
    task: TaskArg,
    image: Annotated[Path | None, typer.Argument(help="The picture; a ReD Bench folder has its own.")] = None,
) -> None:
    """Check an instruction against its picture; exit code 2 when a rule is broken."""
    _resolved(task, image)
    typer.echo(f"{task}: good")


@app.command("show")
def show(
    task: TaskArg,
    image: Annotated[Path | None, typer.Argument(help="The picture; a ReD Bench folder has its own.")] = None,
) -> None:
    """Show the operations of an instruction as a table."""
    from rich.console import Console
    from rich.table import Table

    from dragflow.core.motion import apply
    from dragflow.io.masks import format_point
    from dragflow.io.resolve import full_matrix

    resolved = _resolved(task, image)
    table = Table("#", "motion", "handle", "goes to", "region", title=f"{task}")
    for i, operation in enumerate(resolved.operations):
        end = apply(full_matrix(operation), operation.handle)
        rounded = [(round(x, 1), round(y, 1)) for x, y in (operation.handle, end)]
        pixels = int(operation.mask.sum())
        table.add_row(str(i), _describe(operation.motion), *(format_point(point) for point in rounded), f"{pixels} px")
    console = Console()
    console.print(table)
    console.print(f"editable: {resolved.area.mean():.1%} of the picture", highlight=False)
    for name, text in (("source prompt", resolved.prompt), ("target prompt", resolved.target_prompt)):
        console.print(f"{name}: {text or '(empty)'}", highlight=False, markup=False)


@app.command("convert")
def convert(
    task: TaskArg,
    output: Annotated[Path, typer.Argument(help="A .json file, or a new ReD Bench folder.", metavar="OUTPUT")],
    image: Annotated[Path | None, typer.Option(help="The picture; a ReD Bench folder has its own.")] = None,
) -> None:
    """Convert a ReD Bench folder to an instruction file, or the other way round."""
    from dragflow.io.files import check_writable
    from dragflow.io.images import load_image
    from dragflow.io.instruction import load_instruction, save_instruction
    from dragflow.io.redbench import save_red_bench

    _resolved(task, image)
    if output.suffix == ".json":
        check_writable(output, inputs=[task])
        save_instruction(output, load_instruction(task))
    else:
        save_red_bench(output, load_image(_picture(task, image)), load_instruction(task))


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of instruction files."""
    from dragflow.io.instruction import json_schema

    typer.echo(json_schema(), nl=False)


def _picture(task: Path, image: Path | None) -> Path:
    from dragflow.core.errors import UserError
    from dragflow.io.redbench import IMAGE

    if image is not None:
        return image
    if task.is_dir():
        return task / IMAGE
    raise UserError(f"{task} is an instruction file: name its picture too")


def _resolved(task: Path, image: Path | None) -> DragTask:
    from dragflow.io.images import load_image
    from dragflow.io.instruction import load_instruction
    from dragflow.io.resolve import resolve

    return resolve(load_image(_picture(task, image)).pixels, load_instruction(task))


def _describe(motion: Motion) -> str:
    if isinstance(motion, Translate):
        return motion.label
    if isinstance(motion, Rotate):
        turn = "to a point" if motion.degrees is None else f"by {motion.degrees:g} degrees"
        return f"rotation {turn} about ({motion.about[0]:g}, {motion.about[1]:g})"
    if isinstance(motion, Scale):
        return f"scale {motion.factor} about ({motion.about[0]:g}, {motion.about[1]:g})"
    return "affine"
