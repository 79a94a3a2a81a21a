"""FLUX.1 in diffusers layout: dev, schnell, and every fine-tune of them."""

from collections.abc import Mapping
from typing import Any

from dragflow.backbones.family import Family, Published
from dragflow.backbones.flux1.lora import LAYERS
from dragflow.backbones.flux1.names import NORMS
from dragflow.core.models import FLUX1_DEV


def distilled(*, index: Mapping[str, Any], transformer: Mapping[str, Any], scheduler: Mapping[str, Any]) -> bool:
    """Whether it is made as schnell is: it takes no guidance, and its times are not shifted."""
    shifted = scheduler.get("use_dynamic_shifting", False) or scheduler.get("shift", 1.0) != 1
    return not transformer.get("guidance_embeds", False) and not shifted


_DEV = "FLUX.1 [dev] Non-Commercial License"
FAMILY = Family(
    loader="dragflow.backbones.flux1.load:LOADER",
    published=(
        Published(FLUX1_DEV, licence=_DEV, commercial=False, gated=True),
        Published("black-forest-labs/FLUX.1-Krea-dev", licence=_DEV, commercial=False, gated=True),
        Published("black-forest-labs/FLUX.1-schnell", "Apache-2.0", commercial=True, gated=True, distilled=True),
    ),
    distilled=distilled,
    layers=LAYERS,
    norms=NORMS,
)
