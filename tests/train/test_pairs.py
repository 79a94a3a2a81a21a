"""Pairs of preview and truth: what they show is what was asked, and a folder holds them as they were made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("skimage")

from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError
from dragflow.core.task import DragTask
from dragflow.pixels.layers import Layers
from dragflow.train import drags, pairs
from dragflow.train.drags import Drag, Pair, PhotographScene
from dragflow.train.pairs import Pairs
from dragflow.world.cases import part

SIZE = 96


def same(a: Pair, b: Pair) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in Pair.__dataclass_fields__)


def found(content: drags.Content, moves: int = 1) -> Drag:
    """A drag of this content with so many moves."""
    drawn = (drags.drag(np.random.default_rng(seed), SIZE, content=content) for seed in range(60))
    return next(drag for drag in drawn if len(drag.moves) == moves)


@pytest.mark.parametrize("number", range(4))
def test_pairs_are_the_same_every_time_and_change_in_their_areas_alone(number: int) -> None:
    made = drags.pairs_of(number, SIZE)
    assert len(made) == drags.TARGETS
    assert all(map(same, made, drags.pairs_of(number, SIZE)))
    for pair in made:
        assert set(np.unique(pair.masks)) <= {0, 255}
        area = pair.masks[..., 0] > 0
        assert area.any()
        assert not area.all()
        assert np.array_equal(pair.preview[~area], pair.source[~area])
        assert not np.array_equal(pair.truth[area], pair.source[area])


def test_pairs_of_a_scene_share_the_source_and_the_regions_and_differ_in_the_target() -> None:
    first, *others = drags.pairs_of(0, SIZE)
    for pair in others:
        assert np.array_equal(pair.source, first.source)
        assert np.array_equal(pair.masks[..., 1], first.masks[..., 1])
        assert not np.array_equal(pair.masks[..., 2], first.masks[..., 2])
        assert not np.array_equal(pair.truth, first.truth)


def test_a_request_that_cannot_be_made_is_drawn_again_and_a_fault_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = iter([UserError("overlaps"), ValueError("a fault")])

    drawn, real = drags.pairs_of(0, SIZE)[0], drags.pair_of
    calls: list[int] = []

    def twice(task: DragTask, truth: Pixels, layers: Layers) -> Pair:
        calls.append(len(calls))
        if (failure := next(failures, None)) is not None:
            raise failure
        return real(task, truth, layers)

    monkeypatch.setattr(drags, "pair_of", twice)
    assert not same(drags.pairs_of(0, SIZE)[0], drawn)
    assert len(calls) == 2 + drags.TARGETS
    assert [record.getMessage() for record in caplog.records] == ["scene 0, attempt 1, is left out"]
    monkeypatch.setattr(drags, "_TRIED", 0)
    with pytest.raises(UserError, match="scene 0 has no request"):
        drags.pairs_of(0, SIZE)


def test_the_splits_share_no_pair() -> None:
    assert not same(drags.pairs_of(0, SIZE)[0], drags.pairs_of(0, SIZE, "test")[0])


def test_a_photograph_shows_where_nothing_stands_and_the_same_before_and_after() -> None:
    drawn = found("photograph")
    before, after = drawn.before, drawn.after
    assert isinstance(before, PhotographScene)
    assert isinstance(after, PhotographScene)
    assert np.array_equal(before.photograph, after.photograph)
    pictures = [scene.render().astype(int) for scene in (before, after)]
    free = np.ones(before.size, np.bool_)
    for scene in (before, after):
        for layer in scene.layers:
            free &= layer[..., 3] == 0
    if not before.light.shadows:
        assert np.array_equal(pictures[0][free], pictures[1][free])
    if not before.light.varies and not before.light.shadows:
        assert np.array_equal(pictures[0][free], before.photograph[free])
    assert np.abs(pictures[0] - pictures[1])[drawn.area].max() > 6
    assert np.abs(pictures[0] - pictures[1])[~drawn.area].max(initial=0) <= 6


def test_two_motions_move_two_things_at_once() -> None:
    drawn = found("world", moves=2)
    (first, motion), (second, further) = drawn.moves
    assert drawn.after.things == drawn.before.moved(first, motion).moved(second, further).things
    assert not (part(drawn.before, first) & part(drawn.before, second)).any()
    operations = drags.asked(np.random.default_rng(0), drawn).operations
    assert len(operations) == 2


def test_careless_regions_are_off_by_as_many_pixels() -> None:
    exact = np.zeros((40, 40), np.bool_)
    exact[10:30, 12:28] = True
    painted = drags.painted(exact, 3)
    assert (painted["small"] <= exact).all()
    assert (exact <= painted["large"]).all()
    assert painted["small"].sum() < exact.sum() < painted["large"].sum()
    assert not painted["large"][:6].any()
    assert painted["large"][7, 20]
    assert np.array_equal(painted["shifted"], np.roll(exact, (2, 2), (0, 1)))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of two pairs, those of one scene."""
    monkeypatch.setattr(pairs, "SHARD", 2)
    monkeypatch.setattr(drags, "TARGETS", 2)


def test_a_folder_gives_back_the_pairs_that_its_shards_are_named_for(tmp_path: Path, small: None) -> None:
    shards = pairs.lacking(tmp_path, 3, SIZE)
    assert [shard.first for shard in shards] == [0, 2]
    assert [path.name for path in pairs.make(shards)] == ["pairs-0000000.zip", "pairs-0000002.zip"]
    held = Pairs(tmp_path)
    assert len(held) == 4
    taken = held.take([3, 0])
    for i, number in enumerate((3, 0)):
        assert same(
            taken.map(lambda pictures, i=i: pictures[i]),
            drags.pairs_of(number // 2, SIZE)[number % 2],
        )


def test_what_is_there_is_not_made_again(tmp_path: Path, small: None) -> None:
    first, _ = pairs.lacking(tmp_path, 4, SIZE)
    list(pairs.make([first]))
    assert [shard.first for shard in pairs.lacking(tmp_path, 6, SIZE)] == [2, 4]


def test_shards_that_are_added_are_taken_in(tmp_path: Path, small: None) -> None:
    shards = pairs.lacking(tmp_path, 4, SIZE)
    list(pairs.make(shards[1:]))
    held = Pairs(tmp_path)
    assert len(held) == 2
    list(pairs.make(shards[:1]))
    held.refresh()
    assert len(held) == 4


def test_the_manifest_names_every_commit_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for commit in ("one", "two", "one"):
        monkeypatch.setattr(pairs, "commit", lambda commit=commit: commit)
        pairs.lacking(tmp_path, 2, SIZE)
    assert pairs.read_manifest(tmp_path) == pairs.Manifest(size=SIZE, split="train", commits=("two", "one"))


def test_other_pairs_do_not_go_into_the_same_folder(tmp_path: Path) -> None:
    pairs.lacking(tmp_path, 2, SIZE)
    with pytest.raises(UserError, match="holds pairs of 96 pixels of the split train, not of 96 of test"):
        pairs.lacking(tmp_path, 2, SIZE, "test")


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no manifest"):
        Pairs(tmp_path)
    pairs.lacking(tmp_path, 2, SIZE)
    with pytest.raises(UserError, match="holds no pairs yet"):
        Pairs(tmp_path)
    (tmp_path / pairs.MANIFEST).write_text(json.dumps({"format": 0}))
    with pytest.raises(UserError, match="of format 0, this version reads 1"):
        Pairs(tmp_path)
    (tmp_path / pairs.MANIFEST).write_text(json.dumps({"format": 1, "size": "large", "split": "train", "commits": []}))
    with pytest.raises(UserError, match=r"manifest\.json: size: input should be a valid integer"):
        Pairs(tmp_path)
    (tmp_path / pairs.MANIFEST).write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json is not JSON"):
        Pairs(tmp_path)


def test_a_shard_made_twice_has_the_same_bytes(tmp_path: Path, small: None) -> None:
    shards = [pairs.lacking(tmp_path / name, 2, SIZE)[0] for name in ("one", "two")]
    one, two = (path.read_bytes() for path in pairs.make(shards))
    assert one == two
