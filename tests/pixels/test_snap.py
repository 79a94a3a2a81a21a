"""Snapping: a careless region becomes its object, any other stays as it was painted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.core.arrays import Mask
from dragflow.core.errors import UserError
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, MaskArray, Operation, ResolvedOperation
from dragflow.pixels import masks
from dragflow.pixels.attachment import attachment
from dragflow.pixels.resolve import _better, resolve  # pyright: ignore[reportPrivateUsage]
from dragflow.pixels.snap import snapped

SIZE = 256
PLAIN = np.random.default_rng(3).normal(0, 4, (SIZE, SIZE, 3))


def ellipse(x: int, y: int, axes: tuple[int, int]) -> Mask:
    return cv2.ellipse(np.zeros((SIZE, SIZE), np.uint8), (x, y), axes, 20, 0, 360, 1, -1) > 0


def picture(*things: Mask, scale: float = 1.0) -> NDArray[np.uint8]:
    """A red thing, a blue one, on green, a little noisy."""
    image = np.full((SIZE, SIZE, 3), (70.0, 140.0, 80.0))
    for thing, colour in zip(things, ((190, 60, 50), (50, 70, 190)), strict=False):
        image[thing] = colour
    soft = cv2.GaussianBlur(np.clip(image + PLAIN, 0, 255).astype(np.uint8), (0, 0), 0.7)
    return np.asarray(cv2.resize(soft, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)


THING = ellipse(120, 130, (50, 30))
PICTURE = picture(THING)
SMALL = MaskArray(ellipse(120, 130, (44, 24)))


@pytest.mark.parametrize(
    "painted",
    [
        ellipse(120, 130, (56, 36)),
        ellipse(120, 130, (44, 24)),
        ellipse(125, 126, (50, 30)),
        ellipse(118, 132, (55, 26)),
    ],
    ids=["too large", "too small", "shifted", "misshapen"],
)
def test_a_careless_region_becomes_its_object(painted: Mask) -> None:
    fitted = snapped(PICTURE, painted)
    assert (fitted ^ THING).sum() < 0.2 * (painted ^ THING).sum()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"protect": SMALL}, "is protected, so it cannot leave its place"),
        ({"editable": SMALL, "editable_mode": "subtract"}, "taken from the editable area.*take less from it"),
    ],
)
def test_a_region_that_may_not_change_does_not_leave_by_what_snapping_adds(more: dict[str, Any], said: str) -> None:
    move = Operation(SMALL, Translate((200, 130), "relocation"))
    assert (resolve(PICTURE, Instruction(move)).operations[0].mask & ~SMALL.array).any()
    with pytest.raises(UserError, match=said):
        resolve(PICTURE, Instruction(move, **more))


def test_the_same_at_four_times_the_size() -> None:
    def large(mask: Mask) -> Mask:
        return cv2.resize(mask.astype(np.float32), None, fx=4, fy=4) > 0.5

    painted = large(ellipse(125, 126, (50, 30)))
    fitted = snapped(picture(THING, scale=4), painted)
    assert (fitted ^ large(THING)).sum() < 0.2 * (painted ^ large(THING)).sum()


@pytest.mark.parametrize("off", [0, 1])
def test_a_careful_region_stays_as_it_was_painted(off: int) -> None:
    painted = masks.dilate(THING, off)
    assert snapped(PICTURE, painted) is painted


@pytest.mark.parametrize("at", [(120, 130), (100, 120), (200, 40)])
def test_where_there_is_no_edge_nothing_changes(at: tuple[int, int]) -> None:
    handle = ellipse(*at, (9, 9))
    assert snapped(PICTURE, handle) is handle


def test_a_handle_beside_an_edge_does_not_become_a_part_of_the_object() -> None:
    handle = ellipse(160, 140, (12, 12))  # half of its rim is inside of the thing, far from its edge
    assert snapped(PICTURE, handle) is handle


def test_the_parts_of_an_object_that_have_other_colours_are_found_too() -> None:
    image, painted = picture(THING), ellipse(120, 130, (43, 23))
    image[THING & ellipse(120, 108, (60, 14))] = (225, 200, 60)
    assert (snapped(image, painted) ^ THING).sum() < 0.2 * (painted ^ THING).sum()


def test_a_part_that_is_painted_exactly_up_to_a_cut_does_not_become_the_whole() -> None:
    part = THING & (np.arange(SIZE) < 100)
    assert snapped(PICTURE, part) is part


def test_a_region_of_an_object_painted_a_little_off_is_not_taken_for_a_part() -> None:
    """Where the shifted rim cuts into the object there is a joint, as of a part; it is the object's all the same."""
    painted = ellipse(123, 132, (50, 30))
    assert attachment(PICTURE, painted).joint is not None
    made = resolve(PICTURE, Instruction(Operation(MaskArray(painted), Translate((150, 100)))))
    assert made.operations[0].motion.label == "relocation"
    assert (made.operations[0].mask ^ THING).sum() < 0.2 * (painted ^ THING).sum()


def test_what_belongs_to_another_operation_is_barred() -> None:
    other = ellipse(190, 130, (25, 25))
    image = picture(ellipse(120, 130, (50, 30)) & ~other, other)
    fitted = snapped(image, ellipse(120, 130, (44, 24)), other)
    assert not (fitted & other).any()
    assert fitted.sum() > ellipse(120, 130, (44, 24)).sum()


def test_the_same_region_is_snapped_to_the_same_pixels() -> None:
    painted = ellipse(125, 126, (50, 30))
    assert np.array_equal(snapped(PICTURE, painted), snapped(PICTURE, painted))


@pytest.mark.parametrize("box", [Box(0, 0, 0, 0), Box(0, 0, 255, 1), Box(0, 0, 254, 255), Box(3, 5, 4, 250)])
def test_regions_of_extreme_shapes_are_no_trouble(box: Box) -> None:
    painted = masks.rasterise(box, (SIZE, SIZE))
    assert snapped(PICTURE, painted).any()


def test_the_settled_instruction_asks_for_what_was_made_and_guesses_nothing() -> None:
    painted = ellipse(125, 126, (50, 30))
    made = resolve(PICTURE, Instruction(Operation(MaskArray(painted), Translate((150, 100)))))
    (operation,) = made.instruction.operations
    assert operation.cut == "soft"
    assert operation.handle == masks.centroid(painted)
    again = resolve(PICTURE, made.instruction)
    assert np.array_equal(again.operations[0].mask, made.operations[0].mask)
    assert again.operations[0].matrix() == made.operations[0].matrix()
    assert (again.operations[0].mask ^ THING).sum() < 0.1 * (painted ^ THING).sum()


@pytest.mark.parametrize("cut", ["hard", "soft"])
def test_without_snapping_the_region_is_what_was_painted(cut: str) -> None:
    painted = ellipse(125, 126, (50, 30))
    asked = Operation(MaskArray(painted), Translate((150, 100)), cut=cut)  # pyright: ignore[reportArgumentType]
    made = resolve(PICTURE, Instruction(asked))
    assert np.array_equal(made.operations[0].mask, painted)
    assert made.instruction.operations[0].region is asked.region


@pytest.mark.parametrize("side", [4, 6, 10, 20])
def test_in_noise_a_region_does_not_shrink_to_a_few_pixels(side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    region = np.zeros((60, 80), np.bool_)
    region[20 : 20 + side, 10 : 10 + side] = True
    assert snapped(noise, region).sum() >= 0.2 * region.sum()


def test_a_handle_inside_of_something_becomes_no_other_part_and_only_an_object_that_is_much_of_it() -> None:
    ys, xs = np.mgrid[:60, :80]
    disc, near, far = (np.hypot(xs - x, ys - 30) <= 12 for x in (30, 34, 48))
    handle = ResolvedOperation(disc, Translate((50, 30), label="deformation"), (30.0, 30.0))
    part = replace(handle, mask=near, joint=near & (xs > 40))
    thing, other = (replace(handle, mask=mask, motion=Translate((50, 30), label="relocation")) for mask in (near, far))
    assert _better(handle, part) is handle
    assert _better(handle, thing) is thing
    assert _better(handle, other) is handle
    assert _better(thing, part) is part
