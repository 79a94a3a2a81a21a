"""The aliases that all floors share, and arrays that stay as they are; x is to the right, y down, sizes are (h, w)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dragflow.core.fields import Coordinate, Edge

Point = tuple[Coordinate, Coordinate]
"""(x, y) in pixels of the upright picture; the centre of the top left pixel is (0, 0)."""
Window = tuple[Edge, Edge, Edge, Edge]
"""Left, top, right and bottom in pixels of the upright picture; the last two are just outside."""

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    """(H, W, 3), upright RGB."""
    DeepPixels = NDArray[np.uint16]
    """(H, W, 3 or 4), upright RGB or RGBA of 16 bits a channel."""
    Mask = NDArray[np.bool_]
    """(H, W)."""
    Map = NDArray[np.floating[Any]]
    """(H, W), or (H, W, C) with channels."""
else:  # numpy is not imported for names alone
    Pixels = DeepPixels = Mask = Map = Any


def own(holder: object) -> None:
    """Replace every array of a frozen dataclass by a copy that nobody can change.

    To be called at the end of `__init__`: what the caller does later to its buffers has no effect.
    """
    for name, value in tuple(vars(holder).items()):
        if hasattr(value, "__array__"):
            object.__setattr__(holder, name, _immutable(value))


def _immutable(value: Any) -> Any:
    """The array itself if its memory is that of a `bytes`, which cannot be made writable again; else such a copy.

    One that runs backwards through its memory, as a picture that was turned, is copied too: torch takes none.
    """
    import numpy as np

    array = np.asarray(value)
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, bytes) and min(array.strides, default=0) >= 0:
        return array
    if array.dtype.hasobject or not array.size:  # no bytes stand for these
        array = array.copy()
        array.setflags(write=False)
        return array
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
