"""Correlation of two maps under every shift."""

from __future__ import annotations

import numpy as np
from scipy import fft

from dragflow.core.arrays import Map


def correlate(values: Map, pattern: Map) -> Map:
    """Sums of values (h, w) times a pattern (h', w') at every shift at which they overlap: (h + h' - 1, w + w' - 1).

    It is `scipy.signal.correlate` to the bit, whose module takes half a second to load, a quarter of a whole preview.
    """
    shape = [a + b - 1 for a, b in zip(values.shape, pattern.shape, strict=True)]
    padded = [fft.next_fast_len(side, real=True) for side in shape]
    product = np.asarray(fft.rfftn(values, padded)) * np.asarray(fft.rfftn(pattern[::-1, ::-1], padded))
    return np.asarray(fft.irfftn(product, padded))[: shape[0], : shape[1]]
