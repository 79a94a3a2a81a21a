"""What a page draws a drag from, drawn on the server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dragflow.core.motion import IDENTITY, Label, Translate, apply
from dragflow.core.task import DragTask, Instruction, MaskArray, Operation
from dragflow.pixels.ghost import draw, ghost_of, mesh_around, moved_vertices, shadow_motion
from dragflow.pixels.layers import coarse_layers
from dragflow.pixels.resolve import resolve

ys, xs = np.mgrid[:100, :140]
BALL = np.hypot(xs - 50, ys - 50) <= 16


def task(label: Label) -> DragTask:
    image = np.random.default_rng(0).normal((70, 120, 90), 3, (100, 140, 3))
    image[BALL] = (200, 60, 50)
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return resolve(pixels, Instruction(Operation(MaskArray(BALL), Translate((80, 50), label=label), cut="soft")))


@pytest.mark.parametrize("label", ["relocation", "deformation"])
def test_a_region_that_stays_leaves_the_picture_as_it_is(label: Label) -> None:
    asked = task(label)
    shown = draw(asked.image, ghost_of(asked), [IDENTITY]).astype(int)
    differs = np.abs(shown - asked.image).max(axis=2)
    assert (differs <= 2).mean() > 0.96
    assert differs[np.hypot(xs - 50, ys - 50) > 22].max() == 0


def test_a_region_that_moves_is_where_it_goes_and_the_plate_where_it_was() -> None:
    asked = task("relocation")
    shown = draw(asked.image, ghost_of(asked), [((1, 0, 50), (0, 1, 0))]).astype(int)
    assert np.abs(shown[50, 100] - (200, 60, 50)).max() <= 12
    assert np.abs(shown[50, 50] - (70, 120, 90)).max() <= 20


def test_what_is_around_an_attached_part_goes_along_less_and_less() -> None:
    mesh = mesh_around(BALL)
    assert mesh.weights[[0, -1]].max() == mesh.weights[:, [0, -1]].max() == 0
    middle = mesh.weights[np.abs(mesh.ys - 50).argmin()]
    assert middle[np.abs(mesh.xs - 50) <= 12].min() == 1
    assert (np.diff(middle[mesh.xs > 66]) <= 0).all()
    to = moved_vertices(mesh, ((1, 0, 10), (0, 1, 0)))
    x, _ = np.meshgrid(mesh.xs, mesh.ys)
    np.testing.assert_allclose(to[..., 0] - x, 10 * mesh.weights, atol=1e-4)


def test_around_a_joint_everything_follows_the_middle_of_the_joint() -> None:
    joint = BALL & (ys > 60)
    mesh: Any = mesh_around(BALL, joint)
    turn = ((0.0, -1.0, 100.0), (1.0, 0.0, 0.0))
    dx, dy = np.subtract(apply(turn, mesh.lead), mesh.lead)
    x, y = np.meshgrid(mesh.xs, mesh.ys)
    np.testing.assert_allclose(
        moved_vertices(mesh, turn) - np.stack([x, y], axis=-1), mesh.weights[..., None] * (dx, dy), atol=1e-3
    )


def test_a_shadow_keeps_its_offset_while_its_region_turns() -> None:
    turn = ((0.0, -1.0, 100.0), (1.0, 0.0, 0.0))
    at, offset = (30.0, 40.0), (8.0, 6.0)
    cast = (at[0] + offset[0], at[1] + offset[1])
    np.testing.assert_allclose(apply(shadow_motion(turn, offset), cast), np.add(apply(turn, at), offset))


def test_a_coarse_ghost_has_a_plate_and_no_shadow() -> None:
    asked = task("relocation")
    found = ghost_of(asked, coarse_layers(asked))
    assert found.plate is not None
    assert found.regions[0].shadow is None
