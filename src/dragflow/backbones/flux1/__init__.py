"""FLUX.1 in diffusers layout: dev, schnell, and every fine-tune of them."""

from dragflow.backbones.family import Family, Published
from dragflow.backbones.flux1.lora import LAYERS
from dragflow.core.models import FLUX1_DEV

_DEV = "FLUX.1 [dev] Non-Commercial License"
FAMILY = Family(
    module="dragflow.backbones.flux1.load",
    published=(
        Published(FLUX1_DEV, licence=_DEV, commercial=False, gated=True),
        Published("black-forest-labs/FLUX.1-Krea-dev", licence=_DEV, commercial=False, gated=True),
        Published("black-forest-labs/FLUX.1-schnell", licence="Apache-2.0", commercial=True, gated=True),
    ),
    layers=LAYERS,
)
