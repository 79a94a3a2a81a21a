"""FLUX.2 klein in diffusers layout: 4B and 9B, distilled to a few steps and as base models, and fine-tunes of them."""

from collections.abc import Mapping
from typing import Any

from dragflow.backbones.family import Family, Published
from dragflow.backbones.flux1.names import NORMS
from dragflow.backbones.flux2 import NON_COMMERCIAL
from dragflow.backbones.flux2.lora import LAYERS


def distilled(*, index: Mapping[str, Any], transformer: Mapping[str, Any], scheduler: Mapping[str, Any]) -> bool:
    """Whether it is one of the distilled models, which its index says."""
    return bool(index.get("is_distilled", False))


# They were trained to look at pictures and to follow an instruction, and the distilled ones in four steps: an inversion
# of so few is none, and an edit without one is what they are made for.
FAMILY = Family(
    loader="dragflow.backbones.flux2_klein.load:LOADER",
    published=(
        Published("black-forest-labs/FLUX.2-klein-4B", "Apache-2.0", commercial=True, gated=False, distilled=True),
        Published("black-forest-labs/FLUX.2-klein-base-4B", licence="Apache-2.0", commercial=True, gated=False),
        Published("black-forest-labs/FLUX.2-klein-9B", NON_COMMERCIAL, commercial=False, gated=True, distilled=True),
        Published("black-forest-labs/FLUX.2-klein-base-9B", licence=NON_COMMERCIAL, commercial=False, gated=True),
    ),
    preset="instant",
    distilled=distilled,
    prompts="instructions",
    layers=LAYERS,
    norms=NORMS,  # called as in FLUX.1
)
