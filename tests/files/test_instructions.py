"""Instruction files: round trips, and errors that name the path in the file."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from dragflow.core.errors import UserError
from dragflow.core.motion import Affine, Remove, Rotate, Scale, Translate
from dragflow.core.task import Box, Instruction, MaskArray, Operation, Polygon, Region
from dragflow.files.instructions import (
    dump_instruction,
    json_schema,
    load_instruction,
    parse_instruction,
    save_instruction,
)
from dragflow.files.swaps import swap
from dragflow.pixels.masks import centroid, rasterise
from dragflow.pixels.resolve import resolve

numbers = st.floats(-1e6, 1e6)
degrees = st.floats(-36_000, 36_000)
factors = st.floats(0.01, 100)
points = st.tuples(numbers, numbers)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
arrays = npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, max_side=12)).filter(np.any)
regions = (
    st.builds(Box, numbers, numbers, numbers, numbers)
    | st.builds(Polygon, st.lists(points, min_size=3, max_size=6).map(tuple))
    | st.builds(MaskArray, arrays, invert=st.just(value=False))
)
motions = (
    st.builds(Translate, points, st.sampled_from(["relocation", "deformation", "copy"]))
    | st.just(Remove())
    | st.builds(lambda about, to: Rotate(about, to=to), points, points)
    | st.builds(lambda about, degrees: Rotate(about, degrees=degrees), points, degrees)
    | st.builds(Scale, points, factors | st.tuples(factors, factors))
    | st.builds(lambda a, b: Affine((a, b)), st.tuples(*[numbers] * 3), st.tuples(*[numbers] * 3))
)
operations = st.builds(
    Operation,
    regions,
    motions,
    st.none() | points,
    st.sampled_from([None, "hard", "soft", "snap"]),
    st.none() | st.booleans() | regions,
)
instructions = st.builds(
    Instruction,
    st.lists(operations, min_size=1, max_size=3).map(tuple),
    texts,
    texts,
    st.none() | regions,
    st.sampled_from(["replace", "extend", "subtract"]),
    st.none() | regions,
)


def same(ours: Region | bool | None, theirs: Region | bool | None) -> bool:
    if isinstance(ours, MaskArray) and isinstance(theirs, MaskArray):
        return np.array_equal(ours.array, theirs.array)
    return ours == theirs


@given(instructions)
def test_an_instruction_comes_back_from_its_file_as_it_was(asked: Instruction) -> None:
    back = parse_instruction(dump_instruction(asked), "here")
    assert (back.prompt, back.edit_prompt, back.editable_mode) == (asked.prompt, asked.edit_prompt, asked.editable_mode)
    assert same(back.editable, asked.editable)
    assert same(back.protect, asked.protect)
    for ours, theirs in zip(back.operations, asked.operations, strict=True):
        assert (ours.motion, ours.handle, ours.cut) == (theirs.motion, theirs.handle, theirs.cut)
        assert same(ours.region, theirs.region)
        assert same(ours.behind, theirs.behind)
    assert dump_instruction(back) == dump_instruction(asked)


def test_masks_are_read_with_the_file_that_names_them_and_embedded_when_it_is_written_again(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), dtype=np.bool_)
    mask[5:10, 5:10] = True
    mask[20:25, 30:35] = True
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "m.png")
    entry = {"region": {"mask": "m.png", "at": [7, 7]}, "motion": {"type": "translate", "to": [20, 20]}}
    (tmp_path / "t.json").write_text(json.dumps({"operations": [entry]}))
    asked = load_instruction(tmp_path / "t.json")
    (tmp_path / "m.png").unlink()
    save_instruction(tmp_path / "again.json", asked)
    region = load_instruction(tmp_path / "again.json").operations[0].region
    assert isinstance(region, MaskArray)
    mask[20:, :] = False
    assert np.array_equal(region.array, mask)


def test_a_swap_is_read_as_two_relocations_to_each_others_centroid(tmp_path: Path) -> None:
    Image.fromarray(np.pad(np.full((5, 5), 255, np.uint8), ((20, 5), (30, 5)))).save(tmp_path / "m.png")
    box = {"type": "box", "left": 3.5, "top": 4, "right": 8, "bottom": 8.7}
    entry = {"swap": [box, {"type": "mask", "path": "m.png"}], "cut": "hard", "behind": False}
    (tmp_path / "t.json").write_text(json.dumps({"version": 2, "operations": [entry]}))
    first, second = load_instruction(tmp_path / "t.json").operations
    assert (first.handle, first.motion) == ((6, 6), Translate((32, 22), "relocation"))
    assert (second.handle, second.motion) == ((32, 22), Translate((6, 6), "relocation"))
    assert {(op.cut, op.behind) for op in (first, second)} == {("hard", False)}
    triangle = Polygon(((0, 0), (8, 0), (0, 8)))
    assert swap(triangle, Box(3.5, 4, 8, 8.7))[0].handle == centroid(rasterise(triangle, (30, 40)))
    with pytest.raises(UserError, match=r"operations\.0\.swap"):
        parse_instruction(json.dumps({"version": 2, "operations": [{"swap": [box]}]}), "here")


def test_the_target_prompt_is_both_prompts() -> None:
    assert Instruction((), "a cat", "moved").target_prompt == "a cat moved"
    assert Instruction((), "", "moved").target_prompt == "moved"


def test_the_schema_is_the_documented_one() -> None:
    documented = Path(__file__).parents[2] / "docs" / "instruction.schema.json"
    assert json_schema() == documented.read_text()


# -- bad files ---------------------------------------------------------------------------------------------------------

BOX = {"box": [5, 5, 10, 10]}
MOVE = {"type": "translate", "to": [20, 20]}


def one(region: object = BOX, motion: object = MOVE, **more: object) -> str:
    return json.dumps({"operations": [{"region": region, "motion": motion}], **more})


BAD: dict[str, tuple[str, str]] = {
    "empty": ("", "not JSON"),
    "cut": ('{"operations": [', "not JSON.*line 1"),
    "a list": ("[]", "top level|object"),
    "a number": ("3", "top level|object"),
    "null": ("null", "top level|object"),
    "nothing": ("{}", "operations is missing"),
    "no operations": ('{"operations": []}', "operations"),
    "operations no list": ('{"operations": 3}', r"operations.*3"),
    "an operation no object": ('{"operations": [3]}', r"operations\.0"),
    "misspelt key": (one(promt="a cat"), "promt is not a known key"),
    "misspelt key of an operation": (
        json.dumps({"operations": [{"region": BOX, "motion": MOVE, "handel": [1, 2]}]}),
        r"operations\.0\.handel is not a known key",
    ),
    "misspelt key of a motion": (one(motion={**MOVE, "lable": "x"}), r"operations\.0\.motion.*lable"),
    "misspelt key of a region": (one({**BOX, "att": [1, 2]}), r"operations\.0\.region.*att"),
    "unknown version": (one(version=3), r"version.*3"),
    "version as text": (one(version="1"), "version"),
    "version as truth": (one(version=True), "version"),
    "unknown motion": (one(motion={"type": "teleport"}), r"operations\.0\.motion.*teleport"),
    "unknown label": (one(motion={**MOVE, "label": "transmutation"}), r"operations\.0\.motion.*label.*transmutation"),
    "a label of the benchmark": (one(motion={**MOVE, "label": "transformation"}), r"label.*transformation"),
    "no motion": (json.dumps({"operations": [{"region": BOX}]}), r"operations\.0\.motion is missing"),
    "no region": (json.dumps({"operations": [{"motion": MOVE}]}), r"operations\.0\.region is missing"),
    "region null": (one(None), r"operations\.0\.region"),
    "region empty": (one({}), r"operations\.0\.region has no `type`"),
    "two kinds of region": (one({**BOX, "mask": "m.png"}), r"operations\.0\.region has no `type`"),
    "mask without a name": (one({"mask": ""}), "is a folder"),
    "no target": (one(motion={"type": "translate"}), r"operations\.0\.motion.*to is missing"),
    "no anchor": (one(motion={"type": "rotate", "degrees": 3.0}), r"operations\.0\.motion.*about is missing"),
    "no factor": (one(motion={"type": "scale", "about": [3, 3]}), r"operations\.0\.motion.*factor"),
    "target with one number": (one(motion={**MOVE, "to": [20]}), r"operations\.0\.motion.*to"),
    "target with three": (one(motion={**MOVE, "to": [20, 20, 20]}), r"operations\.0\.motion.*to"),
    "target as text": (one(motion={**MOVE, "to": ["20", 20]}), r"operations\.0\.motion.*to\.0.*'20'"),
    "target true": (one(motion={**MOVE, "to": [True, 20]}), r"operations\.0\.motion.*to\.0.*True"),
    "target null": (one(motion={**MOVE, "to": None}), r"operations\.0\.motion.*to"),
    "target NaN": (one().replace("20", "NaN"), r"motion\.to\.0: .*finite.*nan"),
    "target infinite": (one().replace("20", "-Infinity"), r"motion\.to\.0: .*finite.*-inf"),
    "target too large to be finite": (one().replace("20", "1e999"), r"operations\.0\.motion.*to"),
    "a number of five thousand digits": (one().replace("20", "2" * 5000), "t.json"),
    "box of three": (one({"box": [1, 2, 3]}), r"operations\.0\.region\.bottom is missing"),
    "polygon of two": (one({"polygon": [[1, 2], [3, 4]]}), r"operations\.0\.region\.points: .* 3 items"),
    "matrix of one row": (one(motion={"type": "affine", "matrix": [[1, 0, 0]]}), r"operations\.0\.motion.*matrix"),
    "embedded mask no base64": (one({"png": "§§"}), "embedded mask"),
    "embedded mask no picture": (one({"png": base64.b64encode(b"text").decode()}), "embedded mask"),
    "prompt a number": (one(prompt=3), "prompt.*3"),
    "prompt null": (one(prompt=None), "prompt"),
    "prompt of half a letter": (one(prompt="X").replace("X", r"\ud800"), "t.json"),
    "unknown mode of the area": (one(editable=BOX, editable_mode="both"), "editable_mode.*both"),
    "area of no kind": (one(editable={"circle": 3}), "editable has no `type`"),
    "key twice": ('{"operations": [], "prompt": "a", "prompt": "b"}', "duplicate key 'prompt'"),
    "key twice inside": (one().replace('"type"', '"type": "scale", "type"'), "duplicate key 'type'"),
    "too deep": ("[" * 200_000, "t.json"),
    "benchmark file": ('{"region_operations": {}}', "give its folder"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_where_it_is_wrong(kind: str, tmp_path: Path) -> None:
    text, words = BAD[kind]
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as error:
        load_instruction(path)
    assert "t.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    for name in ("b.json", "none.json"):
        with pytest.raises(UserError, match=name):
            load_instruction(tmp_path / name)
    with pytest.raises(UserError, match="not a ReD Bench sample"):
        load_instruction(tmp_path)


def truncated_png() -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()[:300]).decode()


def test_a_truncated_embedded_mask_is_refused() -> None:
    with pytest.raises(UserError, match="embedded mask"):
        parse_instruction(one({"png": truncated_png()}), "here")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
GOOD: dict[str, Any] = {
    "version": 1,
    "operations": [
        {
            "region": {"polygon": [[5, 5], [15, 5], [10, 15]]},
            "motion": {"type": "rotate", "about": [20, 20], "degrees": 30},
        },
        {
            "region": {"box": [30, 5, 35, 10]},
            "motion": {"type": "scale", "about": [32, 7], "factor": 2.0},
            "handle": [31, 6],
        },
    ],
    "prompt": "a cat",
    "editable": {"box": [2, 2, 37, 27]},
    "editable_mode": "extend",
}


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [prefix, *(path for key, inner in items for path in paths(inner, (*prefix, key)))][0 if prefix else 1 :]


@pytest.mark.slow
@settings(max_examples=300)
@given(st.sampled_from(paths(GOOD)), json_values)
def test_whatever_stands_anywhere_is_taken_or_refused_but_never_crashes(path: tuple[Any, ...], value: Any) -> None:
    data = json.loads(json.dumps(GOOD))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    image = np.zeros((30, 40, 3), dtype=np.uint8)
    try:
        task = resolve(image, parse_instruction(json.dumps(data), "here"))
    except UserError:
        return
    assert task.area.any()


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../m.png", "masks/../../m.png", "C:/m.png", "\\\\server\\share\\m.png", "..\\m.png"]
)
@pytest.mark.parametrize("place", ["region", "behind", "editable"])
def test_a_mask_elsewhere_on_the_machine_is_not_read(path: str, place: str, tmp_path: Path) -> None:
    folder = tmp_path / "below"
    (folder / "masks").mkdir(parents=True)
    Image.new("L", (20, 20), 255).save(tmp_path / "m.png")
    mask, box = {"type": "mask", "path": path}, {"type": "box", "left": 2, "top": 2, "right": 8, "bottom": 8}
    data = {
        "version": 2,
        "operations": [
            {
                "region": mask if place == "region" else box,
                "motion": {"type": "translate", "to": [12, 12]},
                "behind": mask if place == "behind" else False,
            }
        ],
        "editable": mask if place == "editable" else box,
    }
    (folder / "a.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match="only masks in its own folder") as refused:
        load_instruction(folder / "a.json")
    assert ": it names the mask" in str(refused.value)
