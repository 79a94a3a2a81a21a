"""The aliases that all floors share; frames are x to the right, y down, and sizes (h, w)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

Point = tuple[float, float]
"""(x, y) in pixels of the upright picture; the centre of the top left pixel is (0, 0)."""

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    """(H, W, 3), upright RGB."""
    Mask = NDArray[np.bool_]
    """(H, W)."""
    Map = NDArray[np.floating[Any]]
    """(H, W), or (H, W, C) with channels."""
else:  # names alone are no reason to import numpy
    Pixels = Mask = Map = Any
