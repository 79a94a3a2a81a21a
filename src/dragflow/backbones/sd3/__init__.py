"""Stable Diffusion 3 and 3.5 in diffusers layout (medium, large, large-turbo), and every fine-tune of them."""

from dragflow.backbones.family import Family, Published
from dragflow.backbones.sd3.lora import LAYERS
from dragflow.backbones.sd3.names import NORMS

# Commercial use is free up to a yearly revenue of a million dollars. Nothing in the files of large-turbo tells that it
# was distilled, so it is not told here, either.
FAMILY = Family(
    loader="dragflow.backbones.sd3.load:LOADER",
    published=tuple(
        Published(f"stabilityai/{name}", licence="Stability AI Community License", commercial=True, gated=True)
        for name in (
            "stable-diffusion-3.5-medium",
            "stable-diffusion-3.5-large",
            "stable-diffusion-3.5-large-turbo",
            "stable-diffusion-3-medium-diffusers",
        )
    ),
    layers=LAYERS,
    norms=NORMS,
)
