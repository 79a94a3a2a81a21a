"""Correlation of two maps, as scipy's signal module has it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from dragflow.pixels.correlation import correlate


@pytest.mark.parametrize("sizes", [((40, 31), (40, 31)), ((64, 48), (9, 17)), ((5, 7), (12, 3))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_scipys_to_the_bit(sizes: tuple[tuple[int, int], tuple[int, int]], dtype: type[np.floating]) -> None:
    from scipy.signal import correlate as scipys

    rng = np.random.default_rng(0)
    values, pattern = (rng.random(size).astype(dtype) for size in sizes)
    ours = correlate(values, pattern)
    assert ours.dtype == dtype
    assert np.array_equal(ours, scipys(values, pattern, method="fft"))


def test_no_preview_waits_for_scipys_signal_module() -> None:
    code = """
import sys, numpy
from dragflow import Box, Instruction, Operation, Translate
from dragflow.pixels.resolve import resolve
from dragflow.pixels.preview import draw_preview
picture = numpy.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
draw_preview(resolve(picture, Instruction((Operation(Box(8, 8, 24, 24), Translate((40, 40))),))), texture=True)
assert "scipy.signal" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
