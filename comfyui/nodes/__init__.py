"""The nodes by their names; torch and dragflow are imported when a node runs."""

from __future__ import annotations

from .area import EditableArea, ProtectedArea
from .canvas import DragCanvas
from .edit import Edit
from .intent import Intent
from .layers import Layers
from .loading import LoadModel
from .motions import AffineMotion, Deform, Move, Remove, Rotate, Scale, Swap
from .preview import Preview
from .regions import RegionFromBox, RegionFromMask, RegionFromPoint
from .saving import SaveEdit

CLASSES: dict[str, tuple[type, str]] = {
    "DragFlowLoadModel": (LoadModel, "Load Model (dragflow)"),
    "DragFlowRegionFromMask": (RegionFromMask, "Region from Mask (dragflow)"),
    "DragFlowRegionFromBox": (RegionFromBox, "Region from Box (dragflow)"),
    "DragFlowRegionFromPoint": (RegionFromPoint, "Region from Point (dragflow)"),
    "DragFlowMove": (Move, "Move (dragflow)"),
    "DragFlowDeform": (Deform, "Deform (dragflow)"),
    "DragFlowRotate": (Rotate, "Rotate (dragflow)"),
    "DragFlowScale": (Scale, "Scale (dragflow)"),
    "DragFlowAffine": (AffineMotion, "Affine (dragflow)"),
    "DragFlowRemove": (Remove, "Remove (dragflow)"),
    "DragFlowSwap": (Swap, "Swap (dragflow)"),
    "DragFlowCanvas": (DragCanvas, "Drag Canvas (dragflow)"),
    "DragFlowEditableArea": (EditableArea, "Editable Area (dragflow)"),
    "DragFlowProtectedArea": (ProtectedArea, "Protected Area (dragflow)"),
    "DragFlowPreview": (Preview, "Preview Drag (dragflow)"),
    "DragFlowIntent": (Intent, "Intent (dragflow)"),
    "DragFlowEdit": (Edit, "Edit (dragflow)"),
    "DragFlowLayers": (Layers, "Edit Area and Layers (dragflow)"),
    "DragFlowSaveEdit": (SaveEdit, "Save Edit (dragflow)"),
}
"""Name in workflows, which stays, to the class and its title."""
