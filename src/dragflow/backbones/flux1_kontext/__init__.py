"""FLUX.1 Kontext in diffusers layout: FLUX.1, trained to look at a picture and to follow an instruction."""

from dragflow.backbones.family import Family, Published
from dragflow.backbones.flux1 import distilled
from dragflow.backbones.flux1.lora import LAYERS
from dragflow.backbones.flux1.names import NORMS

FAMILY = Family(
    loader="dragflow.backbones.flux1_kontext.load:LOADER",
    published=(
        Published(
            "black-forest-labs/FLUX.1-Kontext-dev",
            licence="FLUX.1 [dev] Non-Commercial License",
            commercial=False,
            gated=True,
        ),
    ),
    preset="instant",
    distilled=distilled,
    prompts="instructions",
    layers=LAYERS,
    norms=NORMS,
)
