"""Where regions go: each node adds an operation to those before it, and all of them happen together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .plans import INSTRUCTION, REGION, Plan, Point, Region, RegionStep, SwapStep

if TYPE_CHECKING:
    from .plans import Motion

_LABELS: dict[str, Any] = {"auto": None, "whole object": "relocation", "attached part": "deformation", "copy": "copy"}
_ORDERS: dict[str, bool | None] = {"auto": None, "in front": False, "behind what is there": True}
_FAR = 16384.0


def _number(
    default: float = 0.0, low: float = -_FAR, step: float = 1.0, tooltip: str = ""
) -> tuple[str, dict[str, Any]]:
    said = {"tooltip": tooltip} if tooltip else {}
    return "FLOAT", {"default": default, "min": low, "max": _FAR, "step": step, "round": 0.001, **said}


_TOGETHER = {"instruction": (INSTRUCTION, {"tooltip": "Operations that happen together with this one."})}
_CUT = {
    "cut": (
        ["snap", "soft", "hard"],
        {"tooltip": "snap: the rim is moved to the object's edge. soft, hard: as masked."},
    )
}
_ORDER = {
    "order": (list(_ORDERS), {"tooltip": "Whether it passes behind what is where it goes."}),
    "front": (REGION, {"tooltip": "What stays in front of it; `order` is then not used."}),
}


class _Motion:
    """What the nodes of motions share; a node says its own widgets and makes its motion."""

    CATEGORY = "dragflow/motion"
    FUNCTION = "add"
    RETURN_TYPES = (INSTRUCTION,)
    RETURN_NAMES = ("instruction",)
    WIDGETS: ClassVar[dict[str, Any]] = {}
    LABELLED = True
    """Whether a person says if the region is an object or a part."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        label = {
            "label": (
                list(_LABELS),
                {
                    "tooltip": "whole object: leaves a hole behind. attached part: what it belongs to stretches along. "
                    "copy: stays where it is, too."
                },
            )
        }
        return {
            "required": {"region": (REGION,), **cls.WIDGETS},
            "optional": {**_TOGETHER, **(label if cls.LABELLED else {}), **_CUT, **_ORDER},
        }

    def add(
        self,
        region: Region,
        instruction: Plan | None = None,
        label: str = "auto",
        cut: str = "snap",
        order: str = "auto",
        front: Region | None = None,
        **widgets: Any,
    ) -> tuple[Plan]:
        meant = _LABELS[label] if self.LABELLED else "deformation"
        step = RegionStep(
            region,
            lambda middle: self.motion(middle, meant, **widgets),
            cut,
            _ORDERS[order] if front is None else front,
        )
        return ((instruction or Plan()).then(step),)

    def motion(
        self, middle: Point, label: Literal["relocation", "deformation", "copy"] | None, **widgets: Any
    ) -> Motion:
        """The motion of a region whose middle is known."""
        raise NotImplementedError


class Move(_Motion):
    """Carry a region."""

    DESCRIPTION = "Move the region by x, y pixels, or its middle to the point x, y."
    WIDGETS: ClassVar[dict[str, Any]] = {"mode": (["by", "to"],), "x": _number(), "y": _number(tooltip="Down.")}

    def motion(self, middle: Point, label: Any, *, mode: str, x: float, y: float) -> Motion:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See `_Motion`."""
        from dragflow import Translate

        return Translate((middle[0] + x, middle[1] + y) if mode == "by" else (x, y), label)


class Deform(Move):
    """Carry a part, so that what it belongs to stretches along."""

    DESCRIPTION = "Pull a part of something: what it belongs to stretches along."
    LABELLED = False


_ABOUT = {
    "about": (["middle", "point"], {"tooltip": "What stays where it is: the region's middle, or the point below."}),
    "about_x": _number(),
    "about_y": _number(),
}


class Rotate(_Motion):
    """Turn a region."""

    DESCRIPTION = "Turn the region, clockwise for positive degrees."
    WIDGETS: ClassVar[dict[str, Any]] = {"degrees": _number(step=0.1), **_ABOUT}

    def motion(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, middle: Point, label: Any, *, degrees: float, about: str, about_x: float, about_y: float
    ) -> Motion:
        """See `_Motion`."""
        from dragflow import Rotate

        return Rotate(middle if about == "middle" else (about_x, about_y), degrees=degrees, label=label)


class Scale(_Motion):
    """Make a region larger or smaller."""

    DESCRIPTION = "Scale the region along x and y."
    WIDGETS: ClassVar[dict[str, Any]] = {
        "factor_x": _number(1.0, 0.01, 0.01),
        "factor_y": _number(1.0, 0.01, 0.01),
        **_ABOUT,
    }

    def motion(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, middle: Point, label: Any, *, factor_x: float, factor_y: float, about: str, about_x: float, about_y: float
    ) -> Motion:
        """See `_Motion`."""
        from dragflow import Scale

        return Scale(middle if about == "middle" else (about_x, about_y), (factor_x, factor_y), label)


class AffineMotion(_Motion):
    """Move a region by any affine map."""

    DESCRIPTION = "x' = a x + b y + c, y' = d x + e y + f, in pixels of the picture."
    WIDGETS: ClassVar[dict[str, Any]] = {name: _number(float(name in "ae"), step=0.01) for name in "abcdef"}

    def motion(self, middle: Point, label: Any, **rows: float) -> Motion:
        """See `_Motion`."""
        from dragflow import Affine

        a, b, c, d, e, f = (rows[name] for name in "abcdef")
        return Affine(((a, b, c), (d, e, f)), label)


class Remove:
    """Take a region out of the picture."""

    CATEGORY = "dragflow/motion"
    FUNCTION = "add"
    RETURN_TYPES = (INSTRUCTION,)
    RETURN_NAMES = ("instruction",)
    DESCRIPTION = "Take the region and its shadow out of the picture, and fill the hole."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"region": (REGION,)}, "optional": {**_TOGETHER, **_CUT}}

    def add(self, region: Region, instruction: Plan | None = None, cut: str = "snap") -> tuple[Plan]:
        from dragflow import Remove

        return ((instruction or Plan()).then(RegionStep(region, lambda _: Remove(), cut, None)),)


class Swap:
    """Let two regions change places."""

    CATEGORY = "dragflow/motion"
    FUNCTION = "add"
    RETURN_TYPES = (INSTRUCTION,)
    RETURN_NAMES = ("instruction",)
    DESCRIPTION = "The two regions change places, middle to middle."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        required = {"first": (REGION,), "second": (REGION,)}
        return {"required": required, "optional": {**_TOGETHER, **_CUT, **_ORDER}}

    def add(
        self,
        first: Region,
        second: Region,
        instruction: Plan | None = None,
        cut: str = "snap",
        order: str = "auto",
        front: Region | None = None,
    ) -> tuple[Plan]:
        step = SwapStep(first, second, cut, _ORDERS[order] if front is None else front)
        return ((instruction or Plan()).then(step),)
