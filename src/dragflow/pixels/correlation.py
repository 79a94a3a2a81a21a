"""Correlation of two maps under every shift, by one Fourier transform each."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Map = NDArray[np.floating[Any]]


def correlate(a: Map, b: Map) -> Map:
    """Sum over p of a(p) b(p + shift), for maps (H, W): (2 H - 1, 2 W - 1) values, shift (0, 0) at (H - 1, W - 1)."""
    h, w = a.shape
    size = [scipy.fft.next_fast_len(2 * n - 1, real=True) for n in (h, w)]
    first, second = (np.asarray(scipy.fft.rfft2(x.astype(np.float32), size)) for x in (a, b))
    lags = np.asarray(scipy.fft.irfft2(first.conj() * second, size))
    return np.roll(lags, (h - 1, w - 1), (0, 1))[: 2 * h - 1, : 2 * w - 1]
