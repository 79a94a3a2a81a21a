"""`dragflow export`: an edit as files for other programs."""

from __future__ import annotations

from pathlib import Path

from dragflow.cli.operations import instruction
from dragflow.cli.options import AreaOptions, OperationOptions, TaskOptions
from dragflow.cli.settled import tell
from dragflow.core.errors import UserError
from dragflow.files.atomic import write_bytes
from dragflow.files.exports import What, export, load_result
from dragflow.files.outputs import check_outputs, named_files
from dragflow.files.pictures import load_image
from dragflow.files.presets import load_preset


def run_export(
    image: Path,
    output: Path,
    operations: OperationOptions,
    task: TaskOptions,
    area: AreaOptions,
    what: What | None,
    *,
    names: tuple[str, ...],
    result: Path | None,
    preset: str,
    force: bool,
) -> None:
    """Write what an edit consists of.

    Raises:
        UserError: anything that breaks a rule.
    """
    kind = _kind(output, what)
    asked = instruction(operations, task, area)
    inputs = named_files(image, operations.mask, task.task, area, preset, result, asked)
    check_outputs(output, inputs=inputs, force=force)
    made = None if result is None else load_result(result)
    taken = export(load_image(image), asked, names, made, margin=load_preset(preset).area.margin)
    write_bytes(output, taken.encoded(kind))
    tell(asked, taken.task.instruction)


def _kind(output: Path, what: What | None) -> What:
    """What goes into a file of this name."""
    suffix = output.suffix.lower()
    if suffix not in (".zip", ".ora"):
        raise UserError(f"output {output} is not named .zip or .ora: a zip holds files, an .ora is one of layers")
    if suffix == ".ora" and what is not None:
        raise UserError("`what` says what is in a zip: leave it out, or name the output .zip")
    return "openraster" if suffix == ".ora" else what or "all"
