"""The procedural world: scenes of sprites, masks, and for every drag the true picture after it."""

from dragflow.world.atlas import Sprite, names, sprites
from dragflow.world.captions import Facts, caption, facts, vocabulary
from dragflow.world.cases import KINDS, Context, DragCase, drag_case
from dragflow.world.examples import EXAMPLES, Example
from dragflow.world.export import export_case, export_cases
from dragflow.world.motion import Motion, rotate, scale, stretch, translate
from dragflow.world.scenes import Scene, scene

__all__ = [
    "EXAMPLES",
    "KINDS",
    "Context",
    "DragCase",
    "Example",
    "Facts",
    "Motion",
    "Scene",
    "Sprite",
    "caption",
    "drag_case",
    "export_case",
    "export_cases",
    "facts",
    "names",
    "rotate",
    "scale",
    "scene",
    "sprites",
    "stretch",
    "translate",
    "vocabulary",
]
