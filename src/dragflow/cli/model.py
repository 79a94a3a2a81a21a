"""Which model and which identity adapter the command line uses."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import Annotated

import typer

from dragflow.core.errors import UserError
from dragflow.core.result import IdentityOptions

DEFAULT_MODEL = "black-forest-labs/FLUX.1-dev"

IdentityOption = Annotated[
    str | None,
    typer.Option(
        "--identity",
        metavar="NAME",
        help="Adapter that keeps the subject's identity: instantcharacter, ip-adapter, or nano.",
    ),
]
WeightsOption = Annotated[
    str | None, typer.Option("--identity-weights", metavar="FILE", help="Its checkpoint, .safetensors or .bin.")
]
SiglipOption = Annotated[
    str | None,
    typer.Option(
        "--identity-siglip",
        help="SigLIP of instantcharacter or ip-adapter: hub id or folder. [default: so400m-patch14-384]",
    ),
]
Dinov2Option = Annotated[
    str | None, typer.Option("--identity-dinov2", help="instantcharacter's DINOv2: hub id or folder. [default: giant]")
]
ClipOption = Annotated[
    str | None,
    typer.Option("--identity-clip", help="CLIP of ip-adapter: hub id or folder. [default: vit-large-patch14]"),
]


@dataclass(frozen=True)
class GivenIdentity:
    """The --identity options of a command."""

    adapter: str | None
    weights: str | None
    siglip: str | None
    dinov2: str | None
    clip: str | None

    @property
    def parts(self) -> dict[str, str]:
        """All that were given but the adapter's name, by the field of `IdentityOptions`."""
        return {name: part for name, part in asdict(self).items() if part is not None and name != "adapter"}


def chosen_model(given: str | None) -> str:
    """The model that was named, else that of $DRAGFLOW_MODEL, else FLUX.1-dev."""
    return given or os.environ.get("DRAGFLOW_MODEL") or DEFAULT_MODEL


def chosen_identity(given: GivenIdentity, recorded: IdentityOptions | None = None) -> IdentityOptions | None:
    """The identity adapter that was named, or that of a recipe with what was named in place of its parts.

    Raises:
        UserError: an adapter without weights, or parts without an adapter or of another; an unknown one, no such file.
    """
    adapter, parts = given.adapter, given.parts
    if recorded is None and adapter is None:
        if parts:
            raise UserError(f"--identity-{next(iter(parts))} is for an adapter: name it with --identity")
        return None
    from dragflow.identity.registry import check_options, encoders_of, is_bundled

    if recorded is None and given.weights is None and not is_bundled(str(adapter)):
        raise UserError(f"--identity {adapter} needs its checkpoint: name it with --identity-weights FILE")
    options = replace(recorded or IdentityOptions(str(adapter)), **parts)
    check_options(options)
    known = ("weights", *encoders_of(options.adapter))
    if surplus := [name for name in parts if name not in known]:
        raise UserError(
            f"--identity-{surplus[0]} is not for {options.adapter}: it has "
            + ", ".join(f"--identity-{name}" for name in known)
        )
    return options
