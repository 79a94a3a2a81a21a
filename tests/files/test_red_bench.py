"""ReD Bench samples: read, written, and refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from dragflow.core.errors import UserError
from dragflow.core.motion import Affine, Rotate, Scale, Translate
from dragflow.core.task import Box, Instruction, MaskArray, Operation
from dragflow.files.pictures import from_pixels, load_image
from dragflow.files.red_bench import load_red_bench, save_red_bench
from dragflow.pixels.resolve import resolve

Mask = NDArray[np.bool_]
SIZE = (50, 80)


def box(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE, dtype=np.bool_)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def entry(begin: tuple[float, float], to: tuple[float, float] = (60, 40), **more: Any) -> dict[str, Any]:
    return {"task": "relocation", "centroids": [begin, to], "anchors": None} | more


def sample(folder: Path, regions: Mask, *entries: dict[str, Any], **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "original_image.png")
    Image.fromarray(regions.astype(np.uint8) * 255).save(folder / "operation.png")
    data = {"region_operations": {str(i): each for i, each in enumerate(entries)}} | more
    (folder / "instruction.json").write_text(json.dumps(data))
    return folder


def masks_of(instruction: Instruction) -> list[Mask]:
    return [op.region.array for op in instruction.operations if isinstance(op.region, MaskArray)]


def test_a_published_sample_is_read(samples_dir: Path) -> None:
    loaded = load_red_bench(samples_dir / "red_bench" / "cat")
    (operation,) = loaded.instruction.operations
    assert operation.motion == Rotate((298, 351), to=(324, 278))
    assert operation.handle == (356, 300)
    assert loaded.instruction.prompt.startswith("A calico cat")
    assert loaded.begin_points[0] == (385, 250)
    resolve(loaded.image.pixels, loaded.instruction)


def test_every_task_is_its_motion_and_transformation_is_relocation(tmp_path: Path) -> None:
    regions = box(5, 5, 10, 10) | box(20, 5, 25, 10) | box(35, 5, 40, 10) | box(50, 5, 55, 10)
    folder = sample(
        tmp_path / "s",
        regions,
        entry((7, 7)),
        entry((22, 7), task="transformation"),
        entry((37, 7), task="deformation"),
        entry((52, 7), task="rotation", anchors=[40, 40]),
    )
    motions = [op.motion for op in load_red_bench(folder).instruction.operations]
    assert motions == [
        Translate((60, 40), "relocation"),
        Translate((60, 40), "relocation"),
        Translate((60, 40), "deformation"),
        Rotate((40, 40), to=(60, 40)),
    ]


def test_regions_go_to_the_operations_that_begin_in_them_or_nearest(tmp_path: Path) -> None:
    ring = box(5, 5, 25, 25) & ~box(9, 9, 25, 21)  # concave: its centroid lies outside
    block = box(50, 20, 60, 30)
    folder = sample(tmp_path / "s", ring | block, entry((55, 25)), entry((13, 15)))
    first, second = masks_of(load_red_bench(folder).instruction)
    assert np.array_equal(first, block)
    assert np.array_equal(second, ring)


def test_the_area_and_the_masks_in_temp_are_used(tmp_path: Path) -> None:
    folder = sample(tmp_path / "s", box(5, 5, 20, 20), entry((8, 12)), entry((16, 12)))
    (folder / "temp").mkdir()
    halves = [box(5, 5, 12, 20), box(13, 5, 20, 20)]
    for i, half in enumerate(halves):
        Image.fromarray(half.astype(np.uint8) * 255).save(folder / "temp" / f"mask_orig__{i}.png")
    Image.fromarray(box(2, 2, 70, 45).astype(np.uint8) * 255).save(folder / "mask.png")
    loaded = load_red_bench(folder).instruction
    assert all(np.array_equal(a, b) for a, b in zip(masks_of(loaded), halves, strict=True))
    assert isinstance(loaded.editable, MaskArray)
    assert np.array_equal(loaded.editable.array, box(2, 2, 70, 45))


ONE, TWO = box(5, 5, 20, 20), box(5, 5, 20, 20) | box(40, 5, 50, 20)
BAD: dict[str, tuple[Mask, list[dict[str, Any]], str]] = {
    "no region": (np.zeros(SIZE, np.bool_), [entry((8, 8))], "operation.png|no region"),
    "two operations in touching regions": (ONE, [entry((8, 8)), entry((16, 8))], "0.*1|touch"),
    "a region for nobody": (TWO, [entry((8, 8))], r"2 regions.*1 operations.*\(45, 12"),
    "unknown task": (ONE, [entry((8, 8), task="teleport")], r"region_operations\.0\.task.*teleport"),
    "rotation without an anchor": (ONE, [entry((8, 8), task="rotation")], r"region_operations\.0\.anchors"),
    "begin outside": (ONE, [entry((80, 8))], r"region_operations\.0\.centroids.*\(80, 8\)"),
    "one centroid": (ONE, [entry((8, 8), centroids=[[8, 8]])], r"region_operations\.0\.centroids"),
    "a centroid as text": (ONE, [entry((8, 8), centroids=[["8", 8], [60, 40]])], r"region_operations\.0\.centroids"),
    "a centroid null": (ONE, [entry((8, 8), centroids=[None, [60, 40]])], r"region_operations\.0\.centroids"),
    "misspelt key": (ONE, [entry((8, 8), anchor=[3, 3])], r"region_operations\.0\.anchor is not a known key"),
    "no operation": (ONE, [], "region_operations"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_sample_is_refused_where_it_is_wrong(kind: str, tmp_path: Path) -> None:
    regions, entries, words = BAD[kind]
    with pytest.raises(UserError, match=words):
        load_red_bench(sample(tmp_path / "s", regions, *entries))


@pytest.mark.parametrize("name", ["original_image.png", "operation.png", "instruction.json"])
def test_a_missing_or_empty_file_is_named(name: str, tmp_path: Path) -> None:
    folder = sample(tmp_path / "s", ONE, entry((8, 8)))
    (folder / name).write_bytes(b"")
    with pytest.raises(UserError, match=name):
        load_red_bench(folder)
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        load_red_bench(folder)


def test_regions_of_another_size_than_the_picture_are_refused(tmp_path: Path) -> None:
    folder = sample(tmp_path / "s", ONE, entry((8, 8)))
    Image.new("L", (30, 20), 255).save(folder / "operation.png")
    with pytest.raises(UserError, match=r"30 x 20.*80 x 50"):
        load_red_bench(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "instruction.json"),
        ('{"region_operations": {"0": 3}}', r"region_operations\.0"),
        ('{"region_operations": {"0": {}, "0": {}}}', "duplicate key '0'"),
        ('{"region_operations": NaN}', "region_operations: .*finite.*nan"),
    ],
)
def test_a_broken_instruction_is_refused(text: str, words: str, tmp_path: Path) -> None:
    folder = sample(tmp_path / "s", ONE, entry((8, 8)))
    (folder / "instruction.json").write_text(text)
    with pytest.raises(UserError, match=words):
        load_red_bench(folder)


# -- and written -------------------------------------------------------------------------------------------------------

coordinates = st.tuples(st.floats(0, 79), st.floats(0, 49))


@st.composite
def translatable(draw: st.DrawFn) -> Instruction:
    left = draw(st.integers(0, 20))
    first = Box(left, 3, left + draw(st.integers(0, 10)), 12)
    second = Box(40, 20, 40 + draw(st.integers(1, 10)), 30)
    motions = (
        Translate(draw(coordinates), draw(st.sampled_from(["relocation", "deformation"]))),
        Rotate(draw(coordinates), to=draw(coordinates)),
    )
    operations = tuple(
        Operation(region, motion, draw(st.none() | coordinates))
        for region, motion in zip((first, second), motions, strict=True)
    )
    editable = draw(st.none() | st.just(Box(0, 0, 79, 48)))
    return Instruction(operations, "a cat", "moved", editable)


def test_a_rotation_to_a_target_is_written_however_near_its_anchor_is(tmp_path: Path) -> None:
    source = from_pixels(np.zeros((*SIZE, 3), np.uint8))
    near = Instruction((Operation(Box(10, 3, 20, 12), Rotate((15.6, 7.5), to=(40, 30))),), "a cat", "turned")
    save_red_bench(tmp_path / "sample", source, near)
    assert load_red_bench(tmp_path / "sample").instruction.operations[0].motion == Rotate((15.6, 7.5), to=(40, 30))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(translatable())
def test_what_is_written_is_read_again_as_the_same_task(
    tmp_path_factory: pytest.TempPathFactory, asked: Instruction
) -> None:
    source = from_pixels(np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    try:
        before = resolve(source.pixels, asked)
    except UserError:
        return
    folder = tmp_path_factory.mktemp("written") / "sample"
    save_red_bench(folder, source, asked)
    loaded = load_red_bench(folder)
    after = resolve(loaded.image.pixels, loaded.instruction)
    assert np.array_equal(after.image, before.image)
    assert np.array_equal(after.area, before.area)
    assert (after.prompt, after.target_prompt) == (before.prompt, before.target_prompt)
    for ours, theirs in zip(after.operations, before.operations, strict=True):
        assert np.array_equal(ours.mask, theirs.mask)
        assert (ours.motion, ours.handle) == (theirs.motion, theirs.handle)


@pytest.mark.parametrize(
    ("motion", "words"),
    [
        (Scale((20, 20), 2.0), "scale"),
        (Affine(((1, 0, 5), (0, 1, 5))), "affine"),
        (Rotate((20, 20), degrees=270), "rotation"),
        (Rotate((10, 10), degrees=30), "rotation"),
    ],
)
def test_what_the_format_cannot_say_is_refused_and_nothing_is_written(motion: Any, words: str, tmp_path: Path) -> None:
    source = from_pixels(np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(UserError, match=words):
        save_red_bench(tmp_path / "s", source, Instruction((Operation(Box(5, 5, 15, 15), motion),)))
    assert list(tmp_path.iterdir()) == []


def test_the_sample_is_complete_and_in_the_published_layout(tmp_path: Path) -> None:
    source = from_pixels(np.zeros((*SIZE, 3), np.uint8))
    save_red_bench(tmp_path / "s", source, Instruction((Operation(Box(5, 5, 15, 15), Translate((40, 30))),)))
    data = json.loads((tmp_path / "s" / "instruction.json").read_text())
    assert data["region_operations"] == {
        "0": {"task": "relocation", "centroids": [[10, 10], [40, 30]], "anchors": None}
    }
    assert data["point_operations"] == {"begin_points": [[10, 10]], "target_points": [[40, 30]]}
    assert set(data) == {"region_operations", "point_operations", "background_prompt", "editing_prompt"}
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert np.array_equal(load_image(tmp_path / "s" / "original_image.png").pixels, source.pixels)
