"""Loading Qwen-Image-Edit-2509 and later in diffusers layout."""

from __future__ import annotations

from dataclasses import replace

from dragflow.backbones.loader import PipelineLoader
from dragflow.backbones.qwen_image.layout import spec_of, stride_of
from dragflow.backbones.qwen_image_edit.load import LAYOUT as EDIT
from dragflow.backbones.qwen_image_edit_plus.model import QwenImageEditPlus

LAYOUT = replace(EDIT, pipeline="QwenImageEditPlusPipeline")
LOADER = PipelineLoader(LAYOUT, QwenImageEditPlus, spec_of, stride_of)
