"""Qwen-Image-Edit-2509 and later in diffusers layout: Qwen-Image-Edit for several pictures."""

from dragflow.backbones.family import Family, Published

FAMILY = Family(
    loader="dragflow.backbones.qwen_image_edit_plus.load:LOADER",
    published=tuple(
        Published(name, licence="Apache-2.0", commercial=True, gated=False)
        for name in ("Qwen/Qwen-Image-Edit-2511", "Qwen/Qwen-Image-Edit-2509")
    ),
    preset="instant",
    prompts="instructions",
)
