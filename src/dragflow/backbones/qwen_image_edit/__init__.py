"""Qwen-Image-Edit in diffusers layout: Qwen-Image, trained to look at a picture and to follow an instruction."""

from dragflow.backbones.family import Family, Published

FAMILY = Family(
    loader="dragflow.backbones.qwen_image_edit.load:LOADER",
    published=(Published("Qwen/Qwen-Image-Edit", licence="Apache-2.0", commercial=True, gated=False),),
    preset="instant",
    prompts="instructions",
)
