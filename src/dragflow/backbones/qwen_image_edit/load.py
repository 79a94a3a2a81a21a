"""Loading Qwen-Image-Edit pipelines in diffusers layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dragflow.backbones.configs import read_config
from dragflow.backbones.loader import PipelineLoader
from dragflow.backbones.parts import Source
from dragflow.backbones.qwen_image.layout import spec_of, stride_of
from dragflow.backbones.qwen_image.load import LAYOUT as QWEN_IMAGE
from dragflow.backbones.qwen_image_edit.model import AREA, QwenImageEdit
from dragflow.core.errors import UserError


@dataclass(frozen=True)
class Processor:
    """What is used of a `Qwen2VLProcessor`: the library makes none without torchvision, which reads its videos."""

    image_processor: Any


def read_processor(source: Source) -> Processor:
    """What makes patches of pictures, checked against the network that takes these.

    Raises:
        UserError: it makes others than the text encoder takes, or pictures of absurd sizes.
    """
    from transformers import Qwen2VLImageProcessorPil

    where, folder = f"model {source.options.name}: its processor", source.folder
    processor = Qwen2VLImageProcessorPil.from_pretrained(folder / "processor")
    vision = read_config(where, folder / "text_encoder" / "config.json").get("vision_config") or {}
    rules = {
        "patch_size": vision.get("patch_size", 14),
        "temporal_patch_size": vision.get("temporal_patch_size", 2),
        "merge_size": vision.get("spatial_merge_size", 2),
    }
    for key, value in rules.items():
        if getattr(processor, key) != value:
            raise UserError(
                f"{where} has {key} {getattr(processor, key)}: it must be {value}, as in the vision_config of the text "
                "encoder; download or export the model again"
            )
    smallest, largest = processor.size["shortest_edge"], processor.size["longest_edge"]
    if not 0 < smallest <= largest or smallest > AREA:
        raise UserError(
            f"{where} makes pictures of {smallest} to {largest} pixels: the least must be from 1 to {AREA}, and not "
            "more than the most; download or export the model again"
        )
    return Processor(processor)


LAYOUT = replace(QWEN_IMAGE, pipeline="QwenImageEditPipeline", further={"processor": read_processor})
LOADER = PipelineLoader(LAYOUT, QwenImageEdit, spec_of, stride_of)
