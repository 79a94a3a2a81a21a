"""The libraries that compute: a result, and an inversion that is kept, depend on their versions."""

from __future__ import annotations

import platform
from importlib.metadata import version

PACKAGES = ("dragflow", "torch", "diffusers", "transformers", "numpy", "opencv-python-headless")
"""Libraries that compute: their versions are part of a recipe."""


def versions() -> dict[str, str]:
    """Versions of Python, of dragflow, and of the libraries that compute."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
