"""Families of models: what is known of each before one is loaded, and the module that loads it; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from dragflow.core.models import ModelOptions
from dragflow.core.plugins import Plugins

if TYPE_CHECKING:
    from dragflow.backbones.footprint import Footprint
    from dragflow.backbones.parts import Source
    from dragflow.method.backbone import Backbone

FAMILIES = Plugins(
    "pipeline",
    "dragflow.backbones",
    {
        "FluxPipeline": "dragflow.backbones.flux1:FAMILY",
        "FluxKontextPipeline": "dragflow.backbones.flux1_kontext:FAMILY",
    },
)
"""Class of a pipeline, as in `model_index.json`, to a `Family`."""


@dataclass(frozen=True)
class Published:
    """Weights on the hub."""

    name: str
    """Hub id."""
    licence: str
    """Name of the licence, as its owner spells it."""
    commercial: bool
    """Whether pictures may be made with it for money, without an agreement with its owner."""
    gated: bool
    """Whether the hub asks for an account that accepted the licence."""


@dataclass(frozen=True)
class Family:
    """Models that one module loads."""

    module: str
    """Name of the module, a `Loader`; it is imported when a model is loaded or counted."""
    published: tuple[Published, ...] = ()
    """Weights that are known, the usual ones first."""
    preset: str = "default"
    """The preset that serves these models best by themselves."""

    @property
    def loader(self) -> Loader:
        """The module that loads these models."""
        return cast("Loader", import_module(self.module))


class Loader(Protocol):
    """A module that loads one family of models."""

    def load(self, source: Source) -> Backbone:
        """Load a model from disk, quantised and on its device as the options say; ends with the gradient self-test."""
        ...

    def wrap(self, pipeline: Any, options: ModelOptions) -> Backbone:
        """A backbone on a loaded pipeline; only `checkpointing` and `offload` of the options count."""
        ...

    def footprint(self, model: str, folder: Path | None) -> Footprint:
        """How large a model is: the one in a folder, or published weights of this name; reads configurations only.

        Raises:
            UserError: a configuration is missing or damaged.
        """
        ...


def published() -> dict[str, str]:
    """Hub ids of weights that are known, each with its pipeline's class."""
    return {each.name: pipeline for pipeline in FAMILIES.names for each in FAMILIES.load(pipeline).published}
