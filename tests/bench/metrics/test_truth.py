"""Measures against closed forms, planted motions and an independent implementation."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from dragflow.bench.metrics import truth as scores

RNG = np.random.default_rng(0)
EVERYWHERE = np.ones((96, 128), np.bool_)
BACKGROUND = np.full((96, 128, 3), 90, np.uint8)


def smooth() -> np.ndarray:
    return cv2.GaussianBlur(RNG.integers(0, 256, (96, 128, 3), dtype=np.uint8), (0, 0), 2)


def scene(matrix: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """An L with a gradient on grey, under a motion; picture and mask."""
    shape = np.zeros((96, 128), np.uint8)
    shape[30:60, 40:50] = 1
    shape[50:60, 40:75] = 1
    paint = np.stack([np.linspace(0, 255, 128)[None].repeat(96, 0)] * 3, -1).astype(np.uint8)
    matrix = np.array([[1.0, 0, 0], [0, 1, 0]]) if matrix is None else matrix
    mask = cv2.warpAffine(shape, matrix, (128, 96), flags=cv2.INTER_NEAREST) > 0
    moved = cv2.warpAffine(paint, matrix, (128, 96), borderMode=cv2.BORDER_REPLICATE)
    return np.where(mask[..., None], moved, BACKGROUND), mask


def test_psnr_of_a_constant_error_is_its_closed_form() -> None:
    image = np.full((96, 128, 3), 100, np.uint8)
    left = np.zeros_like(EVERYWHERE)
    left[:, :64] = True
    worse = image.copy()
    worse[:, :64] += 10
    assert scores.psnr(worse, image, left) == pytest.approx(20 * math.log10(25.5))
    assert scores.psnr(worse, image, EVERYWHERE) == pytest.approx(20 * math.log10(25.5) + 10 * math.log10(2))
    assert scores.psnr(worse, image, ~left) == pytest.approx(148.13, abs=0.01)
    assert math.isnan(scores.psnr(image, image, ~EVERYWHERE))


def test_ssim_equals_scikit_images() -> None:
    from skimage.metrics import structural_similarity

    image, other = smooth(), smooth()
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float64) for p in (image, other)]
    similar = structural_similarity(
        *grey, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    local = np.asarray(similar[1])
    inner = np.zeros_like(EVERYWHERE)
    inner[10:-10, 10:-10] = True
    assert scores.ssim(image, other, inner) == pytest.approx(float(local[inner].mean()), abs=1e-6)
    assert scores.ssim(image, image, inner) == pytest.approx(1.0)
    assert math.isnan(scores.ssim(image, image, ~EVERYWHERE))


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (7, 0), (-12, 5), (40, -20)])
def test_a_planted_shift_is_the_landing_error(dx: int, dy: int) -> None:
    truth, target = scene()
    image, _ = scene(np.array([[1.0, 0, dx], [0, 1, dy]]))
    assert scores.landing_error(image, truth, target) == pytest.approx(math.hypot(dx, dy))


@pytest.mark.parametrize("degrees", [0, 4, -17, 90, 150])
def test_a_planted_turn_is_the_angle_error(degrees: float) -> None:
    truth, target = scene()
    image, _ = scene(cv2.getRotationMatrix2D((55, 45), -degrees, 1))
    assert scores.angle_error(image, truth, target, (55, 45)) == pytest.approx(abs(degrees), abs=1)


@pytest.mark.parametrize("factor", [1.0, 0.7, 1.3])
def test_a_planted_scaling_is_the_ratio_error(factor: float) -> None:
    truth, target = scene()
    image, _ = scene(cv2.getRotationMatrix2D((55, 45), 0, factor))
    assert scores.ratio_error(image, truth, target, (55, 45)) == pytest.approx(abs(factor - 1), abs=0.02)
