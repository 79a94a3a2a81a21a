"""dragflow: drag regions of a picture, and a diffusion transformer redraws it so that it is true.

Nothing heavy is imported before it is used: `import dragflow` costs milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from dragflow.core.config import EditConfig
from dragflow.core.errors import Cancelled, CapabilityError, DragFlowError, NumericalError, UserError
from dragflow.core.events import Event, Finished, Observer, Started, Stepped
from dragflow.core.result import EditResult, IdentityOptions
from dragflow.core.task import (
    Affine,
    Box,
    Instruction,
    MaskArray,
    MaskFile,
    Operation,
    Polygon,
    Rotate,
    Scale,
    Translate,
)

if TYPE_CHECKING:
    from dragflow.editor import Editor, Session, edit
    from dragflow.io.instruction import load_instruction, save_instruction
    from dragflow.io.presets import load_preset, override
    from dragflow.io.recipe import load_recipe, save_result

__version__ = version("dragflow")

_LAZY = {
    "Editor": "dragflow.editor",
    "Session": "dragflow.editor",
    "edit": "dragflow.editor",
    "load_instruction": "dragflow.io.instruction",
    "save_instruction": "dragflow.io.instruction",
    "load_preset": "dragflow.io.presets",
    "override": "dragflow.io.presets",
    "load_recipe": "dragflow.io.recipe",
    "save_result": "dragflow.io.recipe",
}

__all__ = [
    "Affine",
    "Box",
    "Cancelled",
    "CapabilityError",
    "DragFlowError",
    "EditConfig",
    "EditResult",
    "Editor",
    "Event",
    "Finished",
    "IdentityOptions",
    "Instruction",
    "MaskArray",
    "MaskFile",
    "NumericalError",
    "Observer",
    "Operation",
    "Polygon",
    "Rotate",
    "Scale",
    "Session",
    "Started",
    "Stepped",
    "Translate",
    "UserError",
    "edit",
    "load_instruction",
    "load_preset",
    "load_recipe",
    "override",
    "save_instruction",
    "save_result",
]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'dragflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
