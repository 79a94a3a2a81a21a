"""Loading Qwen-Image-Edit-2509 and later in diffusers layout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dragflow.backbones.load import load_pipeline, wrap_pipeline
from dragflow.backbones.parts import Source
from dragflow.backbones.qwen_image.load import footprint
from dragflow.backbones.qwen_image_edit.load import LAYOUT as EDIT
from dragflow.backbones.qwen_image_edit_plus.model import QwenImageEditPlus
from dragflow.core.models import ModelOptions

__all__ = ["LAYOUT", "footprint", "load", "wrap"]

LAYOUT = replace(EDIT, pipeline="QwenImageEditPlusPipeline")


def load(source: Source) -> QwenImageEditPlus:
    """See `Loader.load`."""
    return load_pipeline(source, LAYOUT, QwenImageEditPlus)


def wrap(pipeline: Any, options: ModelOptions) -> QwenImageEditPlus:
    """See `Loader.wrap`."""
    return wrap_pipeline(pipeline, options, LAYOUT, QwenImageEditPlus)
