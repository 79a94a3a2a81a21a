"""Scenes of the world as samples: the editor is asked for exactly the motion that the truth shows."""

from __future__ import annotations

import numpy as np

from dragflow.bench.data.world import World, case_of, spread_points
from dragflow.core.motion import Affine, Rotate, Scale, Translate


def test_the_editor_is_asked_for_the_motion_of_the_world() -> None:
    kinds: set[type] = set()
    for scene in range(24):
        case = case_of(scene)
        (operation,) = World(0, 24).load(str(scene)).task.operations
        kinds.add(type(operation.motion))
        assert np.allclose(operation.matrix(), case.motion.matrix, atol=1e-6)
    assert kinds == {Translate, Rotate, Scale, Affine}


def test_points_lie_in_the_region_and_move_with_it() -> None:
    for scene in range(6):
        sample, case = World(0, 6).load(str(scene)), case_of(scene)
        assert 1 <= len(sample.begin_points) == len(sample.target_points) <= 3
        for begin, target in zip(sample.begin_points, sample.target_points, strict=True):
            assert case.mask[round(begin[1]), round(begin[0])]
            assert np.allclose(case.motion.apply(begin), target, atol=1e-6)


def test_a_sample_tells_its_truth_and_its_context() -> None:
    for number in World(3, 5).ids:
        sample, case = World(3, 5).load(number), case_of(int(number))
        assert (sample.truth == case.target).all()
        assert (sample.target_mask == case.target_mask).all()
        assert sample.category == case.kind
        assert (sample.tags[0] == "plain") != ("context" in sample.tags)
        assert ("shadow" in sample.tags) == case.context.shadow


def test_points_are_spread_from_the_innermost() -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[10:31, 5:56] = True
    first, *others = spread_points(mask, 3)
    assert 15 <= first[0] <= 45
    assert first[1] == 20  # the middle row is the deepest
    assert min(abs(a[0] - b[0]) for a in others for b in (first, *others) if a is not b) > 10
    assert len(spread_points(mask[:, 5:6], 99)) <= 21
