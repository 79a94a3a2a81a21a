"""Arguments and options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

ImageArg = Annotated[Path, typer.Argument(help="The picture (PNG, JPEG, WebP, TIFF).", metavar="IMAGE")]
TaskOption = Annotated[Path | None, typer.Option("--task", help="Instruction file, or ReD Bench folder.")]
AreaOption = Annotated[
    Path | None, typer.Option("--area", metavar="FILE", help="Where the picture may change (white).")
]
ExtendAreaOption = Annotated[
    Path | None, typer.Option("--extend-area", metavar="FILE", help="Add this to the derived editable area.")
]
PromptOption = Annotated[str | None, typer.Option("--prompt", help="What the picture shows.")]
EditPromptOption = Annotated[str | None, typer.Option("--edit-prompt", help="What the edit does.")]

# What the edit is meant to be.
ProviderOption = Annotated[
    str | None,
    typer.Option(
        "--provider", metavar="NAME", help="Who guesses: rules, file, openai, local. [default: $DRAGFLOW_INTENT, rules]"
    ),
]
BaseUrlOption = Annotated[str | None, typer.Option("--base-url", metavar="URL", help="Address of the service.")]
AnswersOption = Annotated[
    Path | None, typer.Option("--answers", metavar="FILE", help="Answers of the provider file, as JSON.")
]
CandidatesOption = Annotated[int, typer.Option("--candidates", metavar="N", help="How many guesses a model gives.")]
PickOption = Annotated[int | None, typer.Option("--pick", metavar="N", help="Take guess N, counted from 1.")]
AutoOption = Annotated[bool, typer.Option("--auto", help="Take the first guess without asking.")]
AnchorOption = Annotated[
    str | None, typer.Option("--anchor", metavar="X,Y", help="Anchor of a guessed rotation, instead of its own.")
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="S", help="Seconds to wait for an answer. [default: the provider's own]"),
]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Ask anew, and keep no answer.")]
NoUploadOption = Annotated[
    bool, typer.Option("--no-upload", help="Refuse a provider that sends the picture off this machine.")
]


def _operations(
    *,
    mask: Annotated[
        list[str] | None,
        typer.Option("--mask", metavar="FILE", help="Begin an operation: white pixels are its region. Repeatable."),
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option("--box", metavar="L,T,R,B", help="Begin an operation on a box.")
    ] = None,
    polygon: Annotated[
        list[str] | None,
        typer.Option("--polygon", metavar="X,Y;X,Y;X,Y", help="Begin an operation on a closed outline."),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="X,Y", help="Of the mask take only the connected part at this point."),
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="X,Y", help="Where the region's centroid goes.")
    ] = None,
    handle: Annotated[
        list[str] | None,
        typer.Option("--handle", metavar="X,Y", help="The point that --to is meant for, instead of the centroid."),
    ] = None,
    about: Annotated[
        list[str] | None, typer.Option("--about", metavar="X,Y", help="Anchor of a rotation or a scaling.")
    ] = None,
    degrees: Annotated[
        list[str] | None, typer.Option("--degrees", metavar="D", help="Turn, clockwise as seen.")
    ] = None,
    scale: Annotated[
        list[str] | None, typer.Option("--scale", metavar="S or SX,SY", help="Scale about the anchor.")
    ] = None,
    matrix: Annotated[
        list[str] | None, typer.Option("--matrix", metavar="A,B,C,D,E,F", help="Any affine map, row by row.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="L", help="relocation (an object) or deformation (a part that stretches)."),
    ] = None,
) -> None:
    """The options that describe operations; a signature, never called."""


def takes_operations(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that describe operations, before its option `area`.

    Their values are not passed on: `OperationCommand` notes them in the order in which they were typed.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    added = inspect.signature(_operations, eval_str=True).parameters

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(**{name: value for name, value in given.items() if name not in added})

    parameters: list[inspect.Parameter] = []
    for parameter in own:
        if parameter.name == "area":
            parameters += added.values()
        parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
