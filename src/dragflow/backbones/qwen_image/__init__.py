"""Qwen-Image in diffusers layout, and every fine-tune of it."""

from dragflow.backbones.family import Family, Published

FAMILY = Family(
    loader="dragflow.backbones.qwen_image.load:LOADER",
    published=tuple(
        Published(name, licence="Apache-2.0", commercial=True, gated=False)
        for name in ("Qwen/Qwen-Image", "Qwen/Qwen-Image-2512")
    ),
)
