"""FLUX.2 dev in diffusers layout, and fine-tunes of it."""

from dragflow.backbones.family import Family, Published
from dragflow.backbones.flux1.names import NORMS
from dragflow.backbones.flux2 import NON_COMMERCIAL
from dragflow.backbones.flux2.lora import LAYERS

# It was trained to look at pictures and to follow an instruction, as klein was.
FAMILY = Family(
    loader="dragflow.backbones.flux2_dev.load:LOADER",
    published=(Published("black-forest-labs/FLUX.2-dev", licence=NON_COMMERCIAL, commercial=False, gated=True),),
    preset="instant",
    prompts="instructions",
    layers=LAYERS,
    norms=NORMS,
)
