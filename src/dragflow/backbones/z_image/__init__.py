"""Z-Image and Z-Image-Turbo in diffusers layout, and every fine-tune of them."""

from collections.abc import Mapping
from typing import Any

from dragflow.backbones.family import Family, Published
from dragflow.backbones.z_image.lora import LAYERS
from dragflow.backbones.z_image.names import NORMS

_TURBO_SHIFT = 3.0


def distilled(*, index: Mapping[str, Any], transformer: Mapping[str, Any], scheduler: Mapping[str, Any]) -> bool:
    """Whether it is made as Turbo is: only the shift of its times tells, which is 3, and greater in the base model."""
    return not scheduler.get("use_dynamic_shifting", False) and scheduler.get("shift", 1.0) <= _TURBO_SHIFT


FAMILY = Family(
    loader="dragflow.backbones.z_image.load:LOADER",
    published=(
        Published("Tongyi-MAI/Z-Image-Turbo", "Apache-2.0", commercial=True, gated=False, distilled=True),
        Published("Tongyi-MAI/Z-Image", "Apache-2.0", commercial=True, gated=False),
    ),
    distilled=distilled,
    layers=LAYERS,
    norms=NORMS,
    unused=("norm_final.weight",),
)
