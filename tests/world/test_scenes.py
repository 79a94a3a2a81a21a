"""Scenes: repeatable to the byte, with exact masks, shadows that stay out of them, and the split of sprites kept."""

import subprocess
import sys

import numpy as np
import pytest

from dragflow import world
from dragflow.core.errors import UserError
from dragflow.world import backgrounds, light, things


def test_atlas_has_enough_sprites_and_thirty_held_out():
    assert len(world.names("all")) >= 150
    assert len(world.names("test")) == 30
    assert not set(world.names("train")) & set(world.names("test"))


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="'valid'"):
        world.names("valid")


@pytest.mark.parametrize("size", [256, (96, 160)])
def test_a_scene_is_the_same_every_time(size):
    first, second = (world.scene(5, size) for _ in range(2))
    assert first == second
    picture = first.render()
    assert picture.tobytes() == second.render().tobytes()
    assert picture.shape == (*first.size, 3)
    assert picture.dtype == np.uint8
    assert picture.tobytes() != world.scene(6, size).render().tobytes()


def test_a_scene_is_the_same_in_another_process():
    code = "import zlib; from dragflow import world; print(zlib.crc32(world.scene(9).render().tobytes()))"
    digests = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(digests) == 1


def test_the_world_does_not_import_torch():
    code = "import sys; import dragflow.world; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("split", ["train", "test"])
def test_scenes_hold_only_sprites_of_their_split(split):
    allowed = set(world.names(split))
    for seed in range(300):
        scene = world.scene(seed, 64, split)
        assert {scene.things[i].name for i in scene.objects} <= allowed


def test_scenes_have_one_to_four_objects():
    assert {len(world.scene(seed, 64).objects) for seed in range(100)} == {1, 2, 3, 4}


@pytest.mark.parametrize("kind", backgrounds.KINDS)
def test_every_background_fills_the_picture(kind):
    rng = np.random.default_rng(1)
    picture = backgrounds.paint(backgrounds.background(rng, kind), (64, 80))
    picture = np.broadcast_to(picture, (64, 80, 3))
    assert np.isfinite(picture).all()
    assert picture.min() > -0.3
    assert picture.max() < 1.3


def test_the_mask_is_exact():
    """Without light and shadow, taking the object away changes the picture inside its mask and nowhere else."""
    scene = world.scene(3, 128, count=1, limb=False)
    flat = light.Light("flat", 0, 0, 0, (0.5, 0.5), 0, (0, 0), 0.01)
    with_it = world.Scene(scene.seed, scene.size, scene.background, flat, scene.things)
    without = world.Scene(scene.seed, scene.size, scene.background, flat, ())
    changed = (with_it.render() != without.render()).any(-1)
    covered = with_it.alpha(0) > 0
    assert not (changed & ~covered).any()
    assert changed[with_it.alpha(0) > 0.5].mean() > 0.95


def test_shadows_darken_outside_the_object():
    flat = light.Light("flat", 0, 0, 0, (0.5, 0.5), 0.5, (0.04, 0.05), 0.015)
    scene = world.scene(3, 128, count=1, limb=False)
    lit = world.Scene(scene.seed, scene.size, scene.background, flat, scene.things)
    bare = world.Scene(scene.seed, scene.size, scene.background, flat, ())
    difference = bare.render().astype(int) - lit.render().astype(int)
    outside = lit.alpha(0) == 0
    assert difference[outside].max() > 10
    assert difference[outside].min() >= 0


def test_light_shades_the_same_object_differently_in_two_places():
    scene = world.scene(3, 128, count=1, limb=False)
    ramp = light.Light("ramp", 0.0, 0.6, 0.0, (0.5, 0.5), 0, (0, 0), 0.01)
    lit = world.Scene(scene.seed, scene.size, scene.background, ramp, scene.things)
    x = lit.things[0].pose[0][2] * 128
    moved = lit.moved(0, world.translate((96 - x if x < 64 else 32 - x, 0)))
    tones = [s.render()[s.alpha(0) > 0.99].mean() for s in (lit, moved)]
    assert abs(tones[0] - tones[1]) > 8


def test_what_is_in_front_hides():
    drawn = world.scene(3, 128, count=2, limb=False)
    first, second = drawn.things
    behind = things.Thing("sprite", first.name, things.pose((second.pose[0][2], second.pose[1][2]), 0.3))
    scene = world.Scene(0, drawn.size, drawn.background, drawn.light, (behind, second))
    assert scene.hidden(0) > 0.3
    assert scene.hidden(1) < 1e-6


def test_captions_name_the_objects_and_stay_in_the_vocabulary():
    words = set(world.vocabulary())
    rng = np.random.default_rng(0)
    for seed in range(200):
        facts = world.facts(world.scene(seed, 64, "train" if seed % 2 else "test"))
        assert all(name in world.caption(facts) for name, _ in facts.objects)
        for text in (world.caption(facts), world.caption(facts, rng)):
            assert set(text.replace(",", " ,").split()) <= words, text
