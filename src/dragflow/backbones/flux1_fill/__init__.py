"""FLUX.1 Fill in diffusers layout: FLUX.1, trained to draw what a mask says into a picture that it is told."""

from dragflow.backbones.family import Family, Published
from dragflow.backbones.flux1 import distilled
from dragflow.backbones.flux1.lora import LAYERS
from dragflow.backbones.flux1.names import NORMS

FAMILY = Family(
    loader="dragflow.backbones.flux1_fill.load:LOADER",
    published=(
        Published(
            "black-forest-labs/FLUX.1-Fill-dev",
            licence="FLUX.1 [dev] Non-Commercial License",
            commercial=False,
            gated=True,
        ),
    ),
    preset="fill",
    distilled=distilled,
    layers=LAYERS,
    norms=NORMS,
)
