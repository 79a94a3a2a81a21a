"""Drag cases: the target is the moved scene rendered again, motions are in range, exports follow ReD Bench."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from dragflow import world
from dragflow.core.errors import UserError
from dragflow.world import things

CASES = [
    world.drag_case(seed, kind, 128, split)
    for kind in world.KINDS
    for seed, split in ((0, "train"), (1, "test"), (2, "test"))
]


@pytest.fixture(params=CASES, ids=lambda c: f"{c.kind}-{c.seed}")
def case(request):
    return request.param


def test_a_case_is_the_same_every_time(case):
    split = "train" if case.seed == 0 else "test"
    again = world.drag_case(case.seed, case.kind, 128, split)
    assert again.source.tobytes() == case.source.tobytes()
    assert again.target.tobytes() == case.target.tobytes()
    assert again.motion == case.motion


def test_the_target_is_the_scene_rendered_after_the_motion(case):
    moved = case.scene.moved(case.index, case.motion)
    assert moved.render().tobytes() == case.target.tobytes()
    assert case.scene.render().tobytes() == case.source.tobytes()
    assert case.scene.background == case.moved.background
    assert case.scene.light == case.moved.light


def test_the_motion_carries_the_mask_to_the_target_mask(case):
    """Where nothing hides the object, every mask pixel lands in the target mask (a pixel or two of rounding apart)."""
    if case.context.occluder:
        pytest.skip("partly hidden")
    ys, xs = np.nonzero(case.mask)
    landed = (
        np.array([case.motion.apply((float(x), float(y))) for x, y in zip(xs, ys, strict=True)]).round().astype(int)
    )
    near = np.zeros_like(case.target_mask)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near |= np.roll(case.target_mask, (dy, dx), (0, 1))
    inside = (landed >= 0).all(1) & (landed[:, 0] < 128) & (landed[:, 1] < 128)
    assert inside.mean() > 0.9
    assert near[landed[inside, 1], landed[inside, 0]].mean() > 0.97


def test_nothing_changes_outside_the_editable_area(case):
    changed = np.abs(case.source.astype(int) - case.target.astype(int)).max(-1)
    assert changed[~case.area].max(initial=0) <= 6
    assert case.area[case.mask].all()
    assert case.area[case.target_mask].all()


def test_motions_are_in_the_range_a_person_would_drag(case):
    m = case.motion
    if case.kind == "translate":
        assert 0.10 * 128 <= np.hypot(m.matrix[0][2], m.matrix[1][2]) <= 0.45 * 128
    elif case.kind == "rotate":
        assert 20 <= abs(m.degrees) <= 150
        assert m.apply(m.about) == pytest.approx(m.about)
    elif case.kind == "scale":
        assert 0.6 <= m.factor <= 1.6
    else:
        assert m.type == "affine"
        assert m.apply(m.about) == pytest.approx(m.about)
        assert case.context.joint


def test_a_stretched_body_keeps_its_seam_whole():
    case = next(c for c in CASES if c.kind == "stretch")
    before, after = case.scene.alpha(case.index), case.moved.alpha(case.index)
    rest = ~things.beyond_seam(case.scene.things[case.index], case.scene.size)
    assert np.abs(before - after)[rest].max() < 0.35
    assert not np.array_equal(before, after)


def test_a_limb_turns_about_its_shoulder_alone():
    case = next(c for s in range(40) if (c := world.drag_case(s, "rotate", 128)).scene.things[c.index].role == "limb")
    assert case.context.joint
    changed = [i for i, (a, b) in enumerate(zip(case.scene.things, case.moved.things, strict=True)) if a != b]
    assert changed == [case.index]


def test_all_kinds_of_context_occur():
    contexts = [asdict(world.drag_case(seed, None, 96).context) for seed in range(40)]
    for name in contexts[0]:
        assert {c[name] for c in contexts} == {True, False}, name


def test_a_bad_kind_is_refused():
    with pytest.raises(UserError, match="'shear'"):
        world.drag_case(0, "shear")


def test_export_follows_the_red_bench_format(case, tmp_path):
    folder = world.export_case(case, tmp_path / "0000")
    instruction = json.loads((folder / "instruction.json").read_text())
    operation = instruction["region_operations"]["0"]
    assert operation["task"] in {"relocation", "deformation", "rotation"}
    (bx, by), end = operation["centroids"]
    ys, xs = np.nonzero(np.asarray(Image.open(folder / "operation.png")) > 127)
    assert (bx, by) == pytest.approx((xs.mean(), ys.mean()))
    assert end == pytest.approx(case.motion.apply((bx, by)))
    assert (operation["anchors"] is not None) == (case.kind == "rotate")
    assert instruction["background_prompt"] == case.caption
    assert instruction["editing_prompt"] == case.edit
    target = np.asarray(Image.open(folder / "target_image.png"))
    assert np.array_equal(target, case.target)
    motion = json.loads((folder / "world.json").read_text())["motion"]
    assert motion["type"] == case.motion.type
    assert np.allclose(motion["matrix"], case.motion.matrix)


def test_export_numbers_the_folders(tmp_path):
    assert [p.name for p in world.export_cases(CASES[:2], tmp_path)] == ["0000", "0001"]
