"""dragflow: drag regions of a picture, and a diffusion transformer redraws it so that it is true.

Nothing heavy is imported before it is used: `import dragflow` costs milliseconds. What this module exports is public,
as are `dragflow.bench`, `dragflow.service` and the entry points; everything else is internal and may change.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from dragflow.core.config import EditConfig
from dragflow.core.errors import Cancelled, CapabilityError, DragFlowError, IntentError, NumericalError, UserError
from dragflow.core.events import Event, Finished, Observer, Started, Stepped
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.core.motion import Affine, Remove, Rotate, Scale, Translate
from dragflow.core.task import Box, Instruction, MaskArray, MaskFile, MaskImage, Operation, Polygon

if TYPE_CHECKING:
    from dragflow.editor.editor import Editor, edit
    from dragflow.editor.result import EditResult
    from dragflow.editor.session import Session
    from dragflow.files.instructions import load_instruction, save_instruction
    from dragflow.files.presets import load_preset, preset_names
    from dragflow.files.projects import Project
    from dragflow.files.recipes import load_recipe
    from dragflow.files.swaps import swap
    from dragflow.service.preview import preview

__version__ = version("dragflow")

_LAZY = {
    "Editor": "dragflow.editor.editor",
    "edit": "dragflow.editor.editor",
    "EditResult": "dragflow.editor.result",
    "Session": "dragflow.editor.session",
    "load_instruction": "dragflow.files.instructions",
    "save_instruction": "dragflow.files.instructions",
    "load_preset": "dragflow.files.presets",
    "preset_names": "dragflow.files.presets",
    "load_recipe": "dragflow.files.recipes",
    "Project": "dragflow.files.projects",
    "swap": "dragflow.files.swaps",
    "preview": "dragflow.service.preview",
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
    "Instruction",
    "IntentError",
    "MaskArray",
    "MaskFile",
    "MaskImage",
    "ModelOptions",
    "NumericalError",
    "Observer",
    "Operation",
    "Polygon",
    "Project",
    "Remove",
    "Rotate",
    "Scale",
    "Session",
    "Started",
    "Stepped",
    "SubjectOptions",
    "Translate",
    "UserError",
    "edit",
    "load_instruction",
    "load_preset",
    "load_recipe",
    "preset_names",
    "preview",
    "save_instruction",
    "swap",
]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'dragflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
