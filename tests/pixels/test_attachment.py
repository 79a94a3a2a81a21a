"""Whole objects and parts, told apart by their rim."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.core.motion import Affine, Motion, Rotate, Scale, Translate
from dragflow.core.task import Box, Instruction, MaskArray, Operation
from dragflow.files.masks import load_mask
from dragflow.files.pictures import load_image
from dragflow.pixels.attachment import attachment
from dragflow.pixels.masks import dilate
from dragflow.pixels.resolve import resolve

Array = NDArray[Any]
SIZE = (200, 240)
ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
BALL = np.hypot(xs - 120, ys - 100) <= 30
ARM = (np.abs(ys - 100) <= 8) & (xs >= 90) & (xs <= 170)
"""Sticks out of the body, and is painted from where it leaves that."""
BODY = np.hypot(xs - 60, ys - 100) <= 40


def painted(*shapes: Array, seed: int = 0) -> Array:
    """Red shapes on a green ground, with a little grain."""
    image = np.full((*SIZE, 3), (60, 120, 60), np.float32)
    for shape in shapes:
        image[shape] = (200, 60, 50)
    return np.clip(image + np.random.default_rng(seed).normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def test_a_region_along_an_edge_is_a_whole_object() -> None:
    assert attachment(painted(BALL), BALL).label == "relocation"


@pytest.mark.parametrize("pixels", [-6, -3, 3, 6])
def test_also_if_it_was_painted_too_small_or_too_large(pixels: int) -> None:
    careless = dilate(BALL, pixels) if pixels > 0 else ~dilate(~BALL, -pixels)
    assert attachment(painted(BALL), careless).label == "relocation"


def test_also_if_it_was_painted_all_around_in_a_wide_curve() -> None:
    assert attachment(painted(BALL), dilate(BALL, 20)).label == "relocation"


def test_a_wide_curve_that_cuts_through_something_is_about_a_part() -> None:
    assert attachment(painted(BODY, ARM), dilate(ARM & ~BODY, 12)).label == "deformation"


def test_the_ball_of_the_examples_is_a_whole_object() -> None:
    images = Path(__file__).parents[2] / "docs/images"
    assert attachment(load_image(images / "scene.png").pixels, load_mask(images / "ball.png")).label == "relocation"


def test_a_region_inside_of_something_is_a_part_joined_all_around() -> None:
    found = attachment(painted(dilate(BALL, 50)), BALL)
    assert (found.label, found.joint) == ("deformation", None)


def test_a_part_has_its_joint_where_its_rim_has_no_edge() -> None:
    found = attachment(painted(BODY, ARM), ARM & ~BODY)
    assert found.label == "deformation"
    assert found.joint is not None
    ys, xs = np.nonzero(found.joint)
    assert xs.max() < 110
    assert np.ptp(ys) >= 10


def test_a_head_on_a_neck_is_a_part_however_long_the_rest_of_its_rim_is() -> None:
    antlers = (np.abs(np.abs(xs - 120) - 15) <= 3) & (ys > 30) & (ys < 80)
    head = antlers | BALL
    neck = (np.abs(xs - 120) <= 10) & (ys > 125)
    found = attachment(painted(head, neck), head)
    assert found.label == "deformation"
    assert found.joint is not None
    joint_ys, joint_xs = np.nonzero(found.joint)
    assert joint_ys.min() > 115
    assert np.abs(joint_xs - 120).max() <= 16


def test_texture_is_not_an_edge() -> None:
    rng = np.random.default_rng(2)
    coarse = rng.integers(40, 216, (SIZE[0] // 4, SIZE[1] // 4), dtype=np.uint8)
    fur = np.asarray(cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    assert attachment(np.repeat(fur[..., None], 3, axis=2), BALL).label == "deformation"


def test_where_there_is_nothing_to_see_a_region_leaves_its_place() -> None:
    assert attachment(np.full((*SIZE, 3), 90, np.uint8), BALL).label == "relocation"


def test_a_large_picture_is_judged_like_a_small_one() -> None:
    image, mask = painted(BODY, ARM), (ARM & ~BODY).astype(np.uint8)
    large = np.asarray(cv2.resize(image, (960, 800), interpolation=cv2.INTER_CUBIC), np.uint8)
    region = cv2.resize(mask, (960, 800), interpolation=cv2.INTER_NEAREST) > 0
    found = attachment(large, region)
    assert found.label == "deformation"
    assert found.joint is not None
    assert found.joint.shape == (800, 960)


def settled(motion: Motion, region: Array = BALL) -> str | None:
    image = painted(dilate(BALL, 50))
    return resolve(image, Instruction(Operation(MaskArray(region), motion))).instruction.operations[0].motion.label


@pytest.mark.parametrize(
    "motion",
    [Translate((130, 100)), Rotate((120, 100), degrees=30), Scale((120, 100), 1.3), Affine(((1, 0.1, 0), (0, 1, 0)))],
)
def test_every_motion_gets_a_label_and_keeps_its_own(motion: Motion) -> None:
    assert settled(motion) == "deformation"
    assert settled(replace(motion, label="relocation")) == "relocation"


@pytest.mark.parametrize("motion", [Rotate((120, 100), degrees=120), Affine(((-1, 0, 240), (0, 1, 0)))])
def test_nothing_is_guessed_to_stretch_along_with_a_large_turn_or_a_mirror_image(motion: Motion) -> None:
    assert settled(motion) == "relocation"


def test_the_area_of_a_deformation_has_room_to_stretch_and_a_given_one_does_not_grow() -> None:
    image = painted(dilate(BALL, 50))
    motion = Translate((140, 100), "deformation")
    wide = resolve(image, Instruction(Operation(MaskArray(BALL), motion))).area
    whole = Operation(MaskArray(BALL), Translate((140, 100), "relocation"), cut="hard")
    tight = resolve(image, Instruction(whole)).area
    assert np.array_equal(wide, dilate(tight, 10))
    box = Box(80, 60, 180, 140)
    assert resolve(image, Instruction(Operation(MaskArray(BALL), motion), editable=box)).area.sum() == 101 * 81
    added = Instruction(Operation(MaskArray(BALL), motion), editable=box, editable_mode="extend")
    assert np.array_equal(
        resolve(image, added).area, tight | resolve(image, replace(added, editable_mode="replace")).area
    )
