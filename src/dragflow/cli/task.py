"""`dragflow task`: make, check, show and convert instruction files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from dragflow.cli.options import (
    AreaArgs,
    AreaOptions,
    ForceArg,
    ImageArg,
    OperationArgs,
    OperationOptions,
    Output,
    TaskOptions,
)
from dragflow.cli.terminal import console, say
from dragflow.core.motion import Motion, Remove, Rotate, Scale, Translate
from dragflow.core.task import DragTask
from dragflow.core.text import one_line

app = App(name="task", help="Make, check, show and convert instruction files.")

TaskArg = Annotated[Path, Parameter(name="TASK", help="Instruction file, or ReD Bench folder.")]
OfTask = Annotated[Path | None, Parameter(name="IMAGE", help="The picture; a ReD Bench folder has its own.")]


@app.command
def new(
    image: ImageArg,
    /,
    *,
    output: Annotated[Path, Output],
    operations: OperationArgs = OperationOptions(),
    area: AreaArgs = AreaOptions(),
    prompt: str | None = None,
    edit_prompt: str | None = None,
    force: ForceArg = False,
) -> None:
    """Write an instruction file from the same options that `dragflow edit` takes; masks are embedded.

    Parameters
    ----------
    output
        The instruction file, .json.
    prompt
        What the picture shows.
    edit_prompt
        What the edit does.
    """
    from dragflow.cli.operations import instruction
    from dragflow.files.instructions import save_instruction
    from dragflow.files.outputs import check_outputs, named_files
    from dragflow.files.pictures import load_image
    from dragflow.pixels.resolve import resolve

    made = instruction(operations, TaskOptions(None, prompt, edit_prompt), area)
    check_outputs(output, inputs=named_files(image, operations.mask, area, made), force=force)
    resolve(load_image(image).pixels, made)
    save_instruction(output, made)


@app.command
def check(
    task: TaskArg,
    image: OfTask = None,
    /,
) -> None:
    """Check an instruction against its picture; exit code 2 when a rule is broken."""
    _resolved(task, image)
    say(f"{task}: good")


@app.command
def show(
    task: TaskArg,
    image: OfTask = None,
    /,
) -> None:
    """Show the operations of an instruction as a table."""
    from rich.table import Table

    from dragflow.cli.settled import tell
    from dragflow.core.motion import apply
    from dragflow.files.instructions import load_instruction
    from dragflow.pixels.masks import format_point

    resolved = _resolved(task, image)
    table = Table("#", "motion", "label", "handle", "goes to", "region", title=f"{task}")
    for i, operation in enumerate(resolved.operations):
        end = apply(operation.matrix(), operation.handle)
        rounded = [(round(x, 1), round(y, 1)) for x, y in (operation.handle, end)]
        points = [format_point(point) for point in rounded]
        points = points if operation.lands else [points[0], ""]
        pixels = int(operation.mask.sum())
        table.add_row(str(i), _describe(operation.motion), operation.motion.label, *points, f"{pixels} px")
    console().print(table)
    tell(load_instruction(task), resolved.instruction)
    say(f"editable: {resolved.area.mean():.1%} of the picture")
    for name, text in (("source prompt", resolved.prompt), ("target prompt", resolved.target_prompt)):
        say(f"{name}: {one_line(text) or '(empty)'}")


@app.command
def convert(
    task: TaskArg,
    output: Annotated[Path, Parameter(name="OUTPUT")],
    /,
    *,
    image: Path | None = None,
    force: ForceArg = False,
) -> None:
    """Convert a ReD Bench folder to an instruction file, or the other way round.

    Parameters
    ----------
    output
        A .json file, or a new ReD Bench folder.
    image
        The picture; a ReD Bench folder has its own.
    """
    from dragflow.files.instructions import load_instruction, save_instruction
    from dragflow.files.outputs import check_outputs, named_files
    from dragflow.files.pictures import load_image
    from dragflow.files.red_bench import save_red_bench

    _resolved(task, image)
    asked = load_instruction(task)
    if output.suffix == ".json":
        check_outputs(output, inputs=named_files(task, image, asked), force=force)
        save_instruction(output, asked)
    else:
        save_red_bench(output, load_image(_picture(task, image)), asked)


@app.command
def schema() -> None:
    """Print the JSON schema of instruction files."""
    from dragflow.files.instructions import json_schema

    say(json_schema().rstrip())


def _picture(task: Path, image: Path | None) -> Path:
    from dragflow.core.errors import UserError
    from dragflow.files.red_bench import IMAGE
    from dragflow.files.texts import is_folder

    if is_folder(task):
        if image is not None:
            raise UserError(f"the picture {image} has no effect here: the ReD Bench folder {task} has its own")
        return task / IMAGE
    if image is not None:
        return image
    raise UserError(f"{task} is an instruction file: name its picture too")


def _resolved(task: Path, image: Path | None) -> DragTask:
    from dragflow.files.instructions import load_instruction
    from dragflow.files.pictures import load_image
    from dragflow.pixels.resolve import resolve

    return resolve(load_image(_picture(task, image)).pixels, load_instruction(task))


def _describe(motion: Motion) -> str:
    if isinstance(motion, Translate):
        return "translation"
    if isinstance(motion, Rotate):
        turn = "to a point" if motion.degrees is None else f"by {motion.degrees:g} degrees"
        return f"rotation {turn} about ({motion.about[0]:g}, {motion.about[1]:g})"
    if isinstance(motion, Scale):
        return f"scale {motion.factor} about ({motion.about[0]:g}, {motion.about[1]:g})"
    return "removal" if isinstance(motion, Remove) else "affine"
