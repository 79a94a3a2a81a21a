"""`dragflow`: the commands, and errors as exit codes (2 for bad input, 130 for Ctrl-C)."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from dragflow.cli import bench, lora, model, project, task, train
from dragflow.cli.batch import batch
from dragflow.cli.doctor import doctor
from dragflow.cli.operations import ordered_options
from dragflow.cli.options import (
    ASKING,
    AreaArgs,
    AreaOptions,
    ChoiceArgs,
    ChoiceOptions,
    ConfigArgs,
    ConfigOptions,
    ForceArg,
    ImageArg,
    ModelArgs,
    OperationArgs,
    OperationOptions,
    Output,
    TaskArgs,
    TaskOptions,
    shown_default,
)
from dragflow.cli.serve import serve
from dragflow.cli.spelling import spelled
from dragflow.cli.studio import studio
from dragflow.cli.terminal import complain, console, say, show_log
from dragflow.core.errors import Cancelled, DragFlowError, UserError
from dragflow.core.models import ModelOptions
from dragflow.intent.options import ProviderOptions

ProviderArgs = Annotated[ProviderOptions, Parameter(name="provider"), ASKING]

app = App(
    name="dragflow",
    help="""Drag regions of a picture; a diffusion transformer redraws it so that it is true.

    With -v (--verbose) a command also says on stderr what its models tell of themselves.""",
    default_parameter=Parameter(negative=(), allow_repeating=True, show_default=shown_default),
    version=lambda: __import__("dragflow").__version__,
)
for _group in (task.app, project.app, bench.app, lora.app, train.app, model.app):
    app.command(_group)
app.command(batch)
app.command(doctor)
app.command(serve)
app.command(studio)

_SHORT = {"--subject": "--subject.adapter", "--provider": "--provider.name"}
"""Options that name a thing, and what the thing's name is called among its options."""
_VERBOSE = ("-v", "--verbose")
"""Taken anywhere on the line, by every command; no option can have one of them as its value."""
_MAY_BE_EMPTY = ("--prompt", "--edit-prompt")


@app.command
def edit(
    image: ImageArg,
    /,
    *,
    operations: OperationArgs = OperationOptions(),
    task: TaskArgs = TaskOptions(),
    area: AreaArgs = AreaOptions(),
    output: Annotated[Path | None, Output] = None,
    recipe: Annotated[Path | None, Parameter(name="--from")] = None,
    trust: bool = False,
    config: ConfigArgs = ConfigOptions(),
    model: ModelArgs = ModelOptions(),
    intent: bool = False,
    provider: ProviderArgs = ProviderOptions(),
    choice: ChoiceArgs = ChoiceOptions(),
    trace: Path | None = None,
    sidecar: Path | None = None,
    cache: Path | None = None,
    force: ForceArg = False,
    json: bool = False,
) -> None:
    """Edit a picture.

    Each --mask (or --box, --polygon) begins an operation; the --to, --about, --degrees, --scale after it are its own.

    Parameters
    ----------
    output
        The result; its ending names the format: .png, .tif, .webp, .avif or .jpg. [default: IMAGE-edit.png, here]
    recipe
        Repeat the edit that made this result. Asks before it loads a model or a file that only the result names.
    trust
        Load what the result of --from names without asking.
    intent
        Ask a provider what the drag means, choose, then edit.
    trace
        Write masks, losses and an animation to this folder.
    sidecar
        Write recipe and timings as JSON to this file.
    cache
        Keep inverted pictures in this folder, at most 16 GiB, for further edits of the same picture.
    json
        Events as JSON lines on stdout.
    """
    from dragflow.cli.edit import EditRequest, Outputs, run_edit
    from dragflow.cli.intent import intent_plan, refuse_without_intent

    if not intent:
        refuse_without_intent(provider, choice)
    planned = intent_plan(provider, choice) if intent else None
    outputs = Outputs(output, sidecar, trace, cache, force)
    run_edit(EditRequest(image, operations, task, area, recipe, trust, config, model, planned, outputs, json))


@app.command
def preview(
    image: ImageArg,
    /,
    *,
    output: Annotated[Path, Output],
    operations: OperationArgs = OperationOptions(),
    task: TaskArgs = TaskOptions(),
    area: AreaArgs = AreaOptions(),
    preset: str = "default",
    plain: bool = False,
    force: ForceArg = False,
) -> None:
    """Draw what an edit is going to do, without a model: moved regions, outlines, arrows, anchors, editable area.

    Parameters
    ----------
    output
        The preview; its ending names the format, as that of a result does.
    preset
        Preset whose area settings apply.
    plain
        Without outlines, arrows and anchors.
    """
    from dragflow.cli.edit import run_preview

    run_preview(image, output, operations, task, area, preset=preset, plain=plain, force=force)


@app.command
def export(
    image: ImageArg,
    /,
    *,
    output: Annotated[Path, Output],
    operations: OperationArgs = OperationOptions(),
    task: TaskArgs = TaskOptions(),
    area: AreaArgs = AreaOptions(),
    what: Literal["layers", "red_bench", "all"] | None = None,
    names: tuple[str, ...] = (),
    result: Path | None = None,
    preset: str = "default",
    force: ForceArg = False,
) -> None:
    """Write an edit for other programs, without a model: layers, masks, an OpenRaster file, a ReD Bench folder.

    Parameters
    ----------
    output
        A .zip, or an .ora, which Krita and GIMP open in layers.
    what
        What the zip holds. [default: all]
    names
        Name of a region, in the order of the operations. Repeatable.
    result
        A result of this edit, which goes along.
    preset
        Preset whose area settings apply.
    """
    from dragflow.cli.export import run_export

    run_export(image, output, operations, task, area, what, names=names, result=result, preset=preset, force=force)


@app.command
def intent(
    image: ImageArg,
    /,
    *,
    operations: OperationArgs = OperationOptions(),
    task: TaskArgs = TaskOptions(),
    area: AreaArgs = AreaOptions(),
    output: Annotated[Path | None, Output] = None,
    provider: ProviderArgs = ProviderOptions(),
    choice: ChoiceArgs = ChoiceOptions(),
    overlay: Path | None = None,
    force: ForceArg = False,
    json: bool = False,
) -> None:
    """Guess what a drag means: labels and prompts to choose from, and the instruction of the one that is chosen.

    Parameters
    ----------
    output
        The instruction of the chosen guess, a .json file.
    overlay
        Where the drag is drawn. [default: IMAGE-intent.png, here]
    json
        The guesses as one JSON object on stdout.
    """
    from dragflow.cli.intent import intent_plan, run_intent

    planned = intent_plan(provider, choice)
    run_intent(image, operations, task, area, planned, output=output, drawn=overlay, force=force, as_json=json)


@app.command
def presets(name: str | None = None, /) -> None:
    """List the presets, or show one.

    Parameters
    ----------
    name
        Show every setting of this preset.
    """
    from rich.table import Table

    from dragflow.files.presets import describe_preset, dump_config, load_preset, preset_names

    if name is not None:
        say(dump_config(load_preset(name)))
        return
    table = Table("preset", "what it is", "hash")
    for preset in preset_names():
        table.add_row(preset, describe_preset(preset), load_preset(preset).hash)
    console().print(table)


def main(argv: Sequence[str] | None = None) -> Any:
    """Run the command line; bad input exits with 2 and one clear sentence, Ctrl-C and SIGTERM with 130."""
    given = sys.argv[1:] if argv is None else argv
    show_log(verbose=any(arg in _VERBOSE for arg in given))
    args = written_out(given)
    try:
        _refuse_empty(args)
        command, bound, _ = app.parse_args(args, exit_on_error=False, print_error=False)
        for name, value in bound.arguments.items():
            if isinstance(value, OperationOptions):
                bound.arguments[name] = replace(value, ordered=ordered_options(args))
        with _terminable():
            code = command(*bound.args, **bound.kwargs)
        sys.exit(code)
    except (KeyboardInterrupt, Cancelled) as stopped:
        _end(130, f"cancelled: {str(stopped) or 'nothing was written'}")
    except CycloptsError as error:
        _end(2, f"error: {_reason(error)}")
    except DragFlowError as error:
        _end(2, f"error: {spelled(str(error))}")
    except OSError as error:
        if error.filename is None or not error.strerror:
            raise
        _end(2, f"error: {UserError(f'{error.filename}: {error.strerror.lower()}')}")


def _refuse_empty(args: Sequence[str]) -> None:
    for before, arg in pairwise(["", *args]):
        name, equals, value = arg.partition("=") if arg.startswith("--") else (before, "=", arg)
        if equals and not value and name not in _MAY_BE_EMPTY:
            what = name if name.startswith("-") else "an argument"
            raise UserError(f"{what} is empty, as a shell variable is that is not set: give a value, or leave it out")


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, so that nothing half-written is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


def written_out(argv: Sequence[str]) -> list[str]:
    """Arguments as the parser takes them: short names in full, without -v."""
    return [_long(arg) for arg in argv if arg not in _VERBOSE]


def _long(arg: str) -> str:
    name, equals, value = arg.partition("=")
    return _SHORT.get(name, name) + equals + value


def _reason(error: CycloptsError) -> str:
    """What is wrong with a command line; of a value out of range, the rule in our words."""
    from pydantic import ValidationError

    from dragflow.core.checked import sentences

    argument = error.argument
    if isinstance(error.__cause__, ValidationError) and argument is not None:
        return "; ".join(sentences(error.__cause__, None, lambda _: argument.name))
    return str(error)


def _end(code: int, text: str) -> None:
    complain(re.sub(r"\s*\n\s*", " ", text))
    sys.exit(code)
