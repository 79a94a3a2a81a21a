"""Every format as its authors write it, and what is refused of each."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import data_makers as make
from data_makers import PAIR, SIZE, box, picture, save
from dragflow.bench.data.registry import open_data
from dragflow.bench.data.world import World, case_of
from dragflow.bench.sample import Sample
from dragflow.core.errors import UserError
from dragflow.core.motion import Translate
from dragflow.core.task import MaskArray
from dragflow.world.export import export_case


def load(folder: Path) -> Sample:
    (name,) = open_data(str(folder)).ids
    return open_data(str(folder)).load(name)


POINT_FORMATS: list[tuple[Callable[..., Path], str, str]] = [
    (make.drag100, "Drag100", ""),
    (make.vfd, "VFD-Bench", "a deer"),
    (make.dragbench, "DragBench", "a shoe"),
    (make.sdedrag, "DragBench-S", "a cup"),
]


@pytest.mark.parametrize(("write", "name", "prompt"), POINT_FORMATS)
def test_point_formats_are_read_whole(tmp_path: Path, write: Callable[..., Path], name: str, prompt: str) -> None:
    folder = write(tmp_path / "sample")
    assert open_data(str(folder)).name == name
    sample = load(folder)
    assert sample.begin_points == ((20, 30),)
    assert sample.target_points == ((40, 30),)
    assert sample.instruction.prompt == prompt
    assert sample.image.size == SIZE
    if write is not make.drag100:  # a JPEG is not exact
        np.testing.assert_array_equal(sample.image.pixels, picture())
    assert sample.inferred == "the thing at the points, translation from 1 pair"
    discs = open_data(str(folder), "disc")
    assert discs.load(*discs.ids).inferred == "disc of radius 6 px, translation from 1 pair"
    assert sample.instruction.operations[0].motion == Translate((40, 30))
    assert isinstance(sample.instruction.editable, MaskArray)
    np.testing.assert_array_equal(sample.instruction.editable.array, box())
    assert sample.instruction.editable_mode == "extend"
    if write is make.vfd:
        assert sample.truth is not None
        np.testing.assert_array_equal(sample.truth, picture(1))
    else:
        assert sample.truth is None


@pytest.mark.parametrize("write", [make.drag100, make.vfd, make.sdedrag])
def test_a_mask_of_everything_leaves_the_area_to_the_motion(tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write(tmp_path / "sample")
    save(folder / "mask.png", np.ones(SIZE, np.bool_))
    sample = load(folder)
    assert sample.instruction.editable is None
    assert sample.inferred.endswith("the mask covers everything, the area is derived")
    assert not sample.task.area.all()


def test_the_target_is_editable_where_the_mask_ends_short_of_it(tmp_path: Path) -> None:
    sample = load(make.drag100(tmp_path / "sample", [[20, 30], [70, 30]]))
    assert sample.task.area[30, 70]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "points",
    [
        PAIR,
        [tuple(p) for p in PAIR],
        np.array(PAIR),
        [np.array(p, np.float32) for p in PAIR],
        [[np.int64(v) for v in p] for p in PAIR],
        [[np.array(v) for v in p] for p in PAIR],
    ],
)
def test_points_of_a_meta_file_may_be_lists_tuples_or_arrays(tmp_path: Path, protocol: int, points: Any) -> None:
    sample = load(make.dragbench(tmp_path / "sample", protocol, points=points))
    assert (sample.begin_points, sample.target_points) == (((20, 30),), ((40, 30),))


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.int64, np.float32])
def test_a_mask_may_be_of_any_number_type(tmp_path: Path, dtype: Any) -> None:
    sample = load(make.dragbench(tmp_path / "sample", mask=box().astype(dtype)))
    assert isinstance(sample.instruction.editable, MaskArray)
    np.testing.assert_array_equal(sample.instruction.editable.array, box())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra": 1}, "extra is not a known key"),
        ({"prompt": 5}, "prompt: input should be a valid string"),
        ({"prompt": "\ud800"}, "meta_data.pkl"),
        ({"points": []}, "points: list should have at least 2"),
        ({"points": [*PAIR, [1, 1]]}, "points holds 3 points"),
        ({"points": [[1, 2], [3, 70]]}, r"points.1: \(3, 70\) is outside of the picture \(80 x 60\)"),
        ({"points": [[1, 2], [3, float("nan")]]}, r"points.1.1: input should be a finite number"),
        ({"points": [[1, 2], [3, float("inf")]]}, r"points.1.1"),
        ({"points": [[1, 2, 3], [3, 4]]}, "points.0"),
        ({"points": [["1", 2], [3, 4]]}, "points.0.0: input should be a valid number"),
        ({"points": [[True, 2], [3, 4]]}, "points.0.0"),
        ({"points": "text"}, "points: input should be a valid array"),
        ({"points": np.array(3)}, "points: input should be a valid array"),
        ({"points": [PAIR[0], PAIR[0]]}, r"no point pair moves"),
        ({"mask": np.zeros(SIZE, np.uint8)}, "mask is empty"),
        ({"mask": np.ones((60, 81), np.uint8)}, "mask is 81 x 60, the picture 80 x 60"),
        ({"mask": np.ones((*SIZE, 3), np.uint8)}, "mask is 3 x 80 x 60"),
        ({"mask": box() * 7}, r"mask has the values \[0, 7\]"),
        ({"mask": np.full(SIZE, np.nan)}, r"mask has the values \[nan\]"),
        ({"mask": [[0, 1]]}, "mask is not an array"),
    ],
)
def test_a_meta_file_that_breaks_a_rule_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    folder = make.dragbench(tmp_path / "sample", **changes)
    with pytest.raises(UserError, match=said) as caught:
        load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("key", ["prompt", "points", "mask"])
def test_a_meta_file_without_a_key_is_refused(tmp_path: Path, key: str) -> None:
    folder = make.dragbench(tmp_path / "sample")
    meta = {"prompt": "a", "points": PAIR, "mask": box().astype(np.uint8)}
    del meta[key]
    (folder / "meta_data.pkl").write_bytes(pickle.dumps(meta))
    with pytest.raises(UserError, match=f"{key} is missing"):
        load(folder)


@pytest.mark.parametrize("write", [make.drag100, make.vfd])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"points": [[1, 2], [3, 4]], "more": 1}', "more is not a known key"),
        ('{"points": [[1, 2], [3, 4]], "points": []}', "duplicate key"),
        ('{"points": [[1, 2], [3, NaN]]}', r"points\.1\.1: .*finite number \(given nan\)"),
        ('{"points": [[1, 2], [3, 1e999]]}', "points.1.1"),
        ('{"points": [[1, 2], [3, ' + "9" * 4000 + "]]}", "points"),
        ('{"points": [[1, 2], [3, ' + "9" * 5000 + "]]}", "points.json"),
        ('{"points": [[1, 2], [3, "4"]]}', "points.1.1: input should be a valid number"),
        ('{"points": [[1, 2], [3, 4], [5, 6]]}', "points holds 3 points"),
        ('{"points": [[1, 2], [3, 61]]}', "points.1: .* is outside of the picture"),
        ('{"points": [[1, 2]]}', "at least 2"),
        ("[]", "points.json"),
        ('{"points": [[1, 2]', "is not JSON"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ("", "is not JSON"),
        ("\x00\x01", "is not JSON"),
        ("é".encode("latin1"), "cannot be read as UTF-8 text"),
    ],
)
def test_a_points_file_that_breaks_a_rule_is_refused(
    tmp_path: Path, write: Callable[..., Path], text: str | bytes, said: str
) -> None:
    folder = write(tmp_path / "sample")
    (folder / "points.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError, match=said) as caught:
        load(folder)
    assert str(folder / "points.json") in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra": 1}, "extra is not a known key"),
        ({"source": [[1, 2], [3, 4]]}, "2 source and 1 target points"),
        ({"source": [], "target": []}, "source: list should have at least 1"),
        ({"source": [[1, 99]]}, "source.0: .* is outside"),
        ({"target": [[1, 99]]}, "target.0: .* is outside"),
        ({"prompt": None}, "prompt: input should be a valid string"),
    ],
)
def test_a_prompt_file_of_dragbench_s_that_breaks_a_rule_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = make.sdedrag(tmp_path / "sample", **changes)
    with pytest.raises(UserError, match=said) as caught:
        load(folder)
    assert str(folder / "prompt.json") in str(caught.value)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (make.drag100, "original.jpg"),
        (make.drag100, "mask.png"),
        (make.vfd, "input.png"),
        (make.vfd, "gt.png"),
        (make.vfd, "mask.png"),
        (make.vfd, "prompt.json"),
        (make.dragbench, "original_image.png"),
        (make.sdedrag, "mask.png"),
        (make.sdedrag, "prompt.json"),
        (make.redbench, "original_image.png"),
        (make.redbench, "operation.png"),
    ],
)
def test_files_that_are_missing_damaged_or_of_another_size_are_named(
    tmp_path: Path, write: Callable[..., Path], name: str
) -> None:
    folder = write(tmp_path / "sample")
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=name):
        load(folder)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=name):
        load(folder)
    if name.endswith((".png", ".jpg")):
        save(path, np.ones((61, 80), np.bool_))
        with pytest.raises(UserError, match=r"80 x 6[01]"):
            load(folder)
    if name == "mask.png":
        save(path, np.zeros(SIZE, np.bool_))
        with pytest.raises(UserError, match=r"mask\.png is empty"):
            load(folder)
    path.unlink()
    with pytest.raises(UserError, match=f"has no {name}"):
        load(folder)
    path.mkdir()
    with pytest.raises(UserError, match=name):
        load(folder)


def test_red_bench_has_its_points_and_its_target(tmp_path: Path) -> None:
    points = {"begin_points": [[18, 30], [22, 30]], "target_points": [[38, 30], [42, 30]]}
    folder = make.redbench(tmp_path / "sample", point_operations=points)
    save(folder / "target_image.png", picture(2))
    save(folder / "target_mask.png", box(35, 25, 45, 35))
    sample = load(folder)
    assert sample.begin_points == ((18, 30), (22, 30))
    assert sample.target_points == ((38, 30), (42, 30))
    assert (sample.instruction.prompt, sample.instruction.edit_prompt) == ("a cat", "it sits")
    assert sample.inferred == ""
    assert sample.truth is not None
    assert sample.target_mask is not None
    np.testing.assert_array_equal(sample.truth, picture(2))
    np.testing.assert_array_equal(sample.target_mask, box(35, 25, 45, 35))


def test_red_bench_without_points_has_its_centroids(tmp_path: Path) -> None:
    turn = {"task": "rotation", "centroids": [[20, 30], [30, 20]], "anchors": [20, 20]}
    sample = load(make.redbench(tmp_path / "sample", region_operations={"0": turn}))
    assert (sample.begin_points, sample.target_points) == (((20, 30),), ((30, 20),))
    assert (sample.truth, sample.target_mask) == (None, None)


@pytest.mark.parametrize(
    ("begins", "targets", "said"),
    [
        ([[1, 2]], [], "1 begin_points and 0 target_points"),
        ([[1, 99]], [[1, 2]], "point_operations.begin_points.0"),
        ([[1, 2], [3, 4]], [[1, 2], [-3, 4]], "point_operations.target_points.1"),
    ],
)
def test_red_bench_points_that_break_a_rule_are_refused(tmp_path: Path, begins: Any, targets: Any, said: str) -> None:
    points = {"begin_points": begins, "target_points": targets}
    folder = make.redbench(tmp_path / "sample", point_operations=points)
    with pytest.raises(UserError, match=said):
        load(folder)


@pytest.mark.parametrize("scene", [0, 1, 2, 3, 4, 6])  # every kind of motion; the object of scene 1 is hidden in parts
def test_an_exported_scene_is_the_built_in_one(tmp_path: Path, scene: int) -> None:
    drawn = World(scene, 1).load(str(scene))
    read = load(export_case(case_of(scene), tmp_path / str(scene)))
    assert open_data(str(tmp_path)).name == "dragflow world"
    assert (read.category, read.tags) == (drawn.category, drawn.tags)
    assert (read.instruction.prompt, read.instruction.edit_prompt) == (
        drawn.instruction.prompt,
        drawn.instruction.edit_prompt,
    )
    assert read.instruction.operations[0].motion == drawn.instruction.operations[0].motion
    assert read.begin_points == drawn.begin_points
    np.testing.assert_allclose(read.target_points, drawn.target_points)
    for ours, theirs in (
        (read.image.pixels, drawn.image.pixels),
        (read.task.operations[0].mask, drawn.task.operations[0].mask),
        (read.task.area, drawn.task.area),
        (read.truth, drawn.truth),
        (read.target_mask, drawn.target_mask),
    ):
        assert ours is not None
        assert theirs is not None
        np.testing.assert_array_equal(ours, theirs)


def test_the_scenes_above_are_of_every_kind() -> None:
    assert {case_of(scene).kind for scene in (0, 1, 2, 3, 4, 6)} == {"translate", "rotate", "scale", "stretch"}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("extra",), 1, "extra is not a known key"),
        (("motion", "type"), "fly", r"motion\.type.*'fly'"),
        (("motion", "degrees"), "20", r"motion\.degrees"),
        (("motion", "matrix"), [[1, 0, 0]], r"motion\.matrix"),
        (("context", "shadow"), 1, r"context\.shadow"),
        (("context", "fog"), True, r"context\.fog is not a known key"),
        (("seed",), "0", "seed"),
    ],
)
def test_a_world_file_that_breaks_its_schema_is_refused(
    tmp_path: Path, path: tuple[str, ...], value: object, said: str
) -> None:
    file = export_case(case_of(0), tmp_path / "scene") / "world.json"
    told = json.loads(file.read_text())
    inner = told if len(path) == 1 else told[path[0]]
    inner[path[-1]] = value
    file.write_text(json.dumps(told))
    with pytest.raises(UserError, match=said):
        load(tmp_path / "scene")
