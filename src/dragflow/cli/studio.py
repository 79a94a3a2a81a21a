"""`dragflow studio`: the page on which a person drags."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from dragflow.cli.options import ModelArgs
from dragflow.cli.serve import ProviderArgs, ServerArgs, ServerOptions, served
from dragflow.cli.terminal import say
from dragflow.core.extras import extra
from dragflow.core.models import ModelOptions
from dragflow.intent.options import ProviderOptions

if TYPE_CHECKING:
    from fastapi import FastAPI


def studio(
    *,
    server: ServerArgs = ServerOptions(),
    model: ModelArgs = ModelOptions(),
    provider: ProviderArgs = ProviderOptions(),
    browser: Annotated[bool, Parameter(negative="--no-browser", help="Open the page in the browser.")] = True,
) -> int:
    """Open the studio: a page on this machine on which pictures are dragged by hand."""
    with extra("studio", "dragflow studio"):
        from dragflow.studio.page import mount_studio
    from dragflow.backbones.catalogue import on_this_machine
    from dragflow.http.settings import public_name

    def listens(at: str) -> None:
        say(f"the studio is at {at} (Ctrl-C ends it)")
        if browser:
            webbrowser.open(at)

    def mounted(app: FastAPI, models: Sequence[ModelOptions]) -> FastAPI:
        return mount_studio(app, [public_name(one) for one in models])

    return served(server, model, provider, listens, mounted, more=on_this_machine)
