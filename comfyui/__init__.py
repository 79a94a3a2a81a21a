"""dragflow as nodes of ComfyUI, which loads this folder from its `custom_nodes`; thin over the library `dragflow`."""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec
from typing import Any

WEB_DIRECTORY = "./web"
NODE_CLASS_MAPPINGS: dict[str, Any] = {}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {}

if find_spec("dragflow") is None:
    WEB_DIRECTORY = None
    logging.getLogger(__name__).error(
        "The nodes of dragflow are missing: its library is not installed in the Python that runs ComfyUI. "
        'Run `"%s" -m pip install dragflow` (Python 3.11 or later) and start ComfyUI again.',
        sys.executable,
    )
else:
    from .nodes import CLASSES
    from .nodes.routes import add_routes

    NODE_CLASS_MAPPINGS = {name: cls for name, (cls, _) in CLASSES.items()}
    NODE_DISPLAY_NAME_MAPPINGS = {name: title for name, (_, title) in CLASSES.items()}
    add_routes()

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
