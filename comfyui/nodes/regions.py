"""What is dragged: a region from a mask, a box or a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import tensors
from .plans import REGION, BoxRegion, MaskRegion

if TYPE_CHECKING:
    from torch import Tensor

_INVERT = {"auto": None, "no": False, "yes": True}
_LARGEST = 16384


class RegionFromMask:
    """A region that is masked, as by the MaskEditor or a SAM node."""

    CATEGORY = "dragflow"
    FUNCTION = "make"
    RETURN_TYPES = (REGION,)
    RETURN_NAMES = ("region",)
    DESCRIPTION = "What is masked is the region: paint it in the MaskEditor, or connect the mask of a SAM node."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "mask": ("MASK", {"tooltip": "One mask for all pictures, or one for each picture of a batch."}),
            },
            "optional": {
                "invert": (
                    list(_INVERT),
                    {
                        "tooltip": "yes: the region is what is not masked, as for a cut-out, whose mask is 1 where it "
                        "is transparent. no: it is what is masked, also if that is most of the picture. auto: what is "
                        "masked, unless it looks inverted."
                    },
                ),
                "threshold": ("FLOAT", {"default": 0.5, "min": 0.01, "max": 1.0, "step": 0.01}),
                "index": (
                    "INT",
                    {"default": -1, "min": -1, "max": 4096, "tooltip": "One of several masks, as of SAM; -1 for all."},
                ),
            },
        }

    def make(self, mask: Tensor, invert: str = "auto", threshold: float = 0.5, index: int = -1) -> tuple[MaskRegion]:
        from dragflow import UserError

        found = tensors.masks(mask, threshold)
        if index >= len(found):
            raise UserError(f"index {index} is beyond the masks: there are {len(found)}, the first is 0")
        chosen = found if index < 0 else [found[index]]
        return (MaskRegion(tuple(chosen), _INVERT[invert]),)


class RegionFromBox:
    """A region that is a box."""

    CATEGORY = "dragflow"
    FUNCTION = "make"
    RETURN_TYPES = (REGION,)
    RETURN_NAMES = ("region",)
    DESCRIPTION = "The pixels of a box, whose top left one is at x, y."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        corner = {"default": 0, "min": 0, "max": _LARGEST}
        side = {"default": 128, "min": 1, "max": _LARGEST}
        return {
            "required": {"x": ("INT", corner), "y": ("INT", corner), "width": ("INT", side), "height": ("INT", side)}
        }

    def make(self, x: int, y: int, width: int, height: int) -> tuple[BoxRegion]:
        return (BoxRegion(x, y, width, height),)


class RegionFromPoint:
    """The thing under a point, found by SAM 2.1 where its weights are, else by colours and edges."""

    CATEGORY = "dragflow"
    FUNCTION = "find"
    RETURN_TYPES = (REGION, "MASK")
    RETURN_NAMES = ("region", "mask")
    DESCRIPTION = (
        "The thing under a point: found by SAM 2.1 where its weights are in the hub's cache, else by colours and edges."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        place = {"default": 0, "min": 0, "max": _LARGEST}
        return {"required": {"image": ("IMAGE",), "x": ("INT", place), "y": ("INT", place)}}

    def find(self, image: Tensor, x: int, y: int) -> tuple[MaskRegion, Tensor]:
        from .library import canvas, source

        found = [canvas().select(source(picture), [(x, y)]) for picture in tensors.pictures(image)]
        return MaskRegion(tuple(found), False), tensors.mask(found)
