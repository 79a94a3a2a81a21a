"""What serves a model best, told by its files without loading it: its bridge, its preset."""

from __future__ import annotations

from pathlib import Path

from dragflow.backbones.hub import cached, folder_of
from dragflow.core.models import DUMMY, NANO, ModelOptions

BRIDGE = "bridge.safetensors"
"""Name of the bridge that comes with a model, in the model's folder."""
NANO_FOLDER = Path(__file__).parent / "nano"


def usual_preset(options: ModelOptions) -> str:
    """The preset that is used where none is named; the loaded model's `BackboneSpec.preset`.

    Raises:
        UserError: a folder that was named holds no model.
    """
    if options.name == NANO:
        folder = NANO_FOLDER
    elif options.name == DUMMY:
        folder = None
    else:
        folder = folder_of(options.name) or cached(options.name, options.revision)
    return "default" if bridge_file(options, folder) is None else "bridge"


def bridge_file(options: ModelOptions, folder: Path | None) -> Path | None:
    """The file of the bridge that is asked for, else of the one in the model's folder; None if there is none."""
    if options.bridge is not None:
        return Path(options.bridge)
    own = None if folder is None or options.gguf is not None else folder / BRIDGE  # it needs the folder's weights
    return own if own is not None and own.is_file() else None
