"""Finding samples below a folder: names, orders, links, and data sets of several kinds."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import data_makers as make
from dragflow.bench.data.folders import natural
from dragflow.bench.data.registry import check, open_data
from dragflow.bench.data.world import World
from dragflow.core.errors import UserError
from dragflow.world import drag_case
from dragflow.world.export import export_cases


def problems(root: Path) -> dict[str, str]:
    return {problem.sample: problem.text for problem in check(open_data(str(root))).problems}


def test_a_folder_may_be_one_sample_or_hold_them_at_any_depth(tmp_path: Path) -> None:
    make.drag100(tmp_path / "a" / "b" / "img10")
    make.drag100(tmp_path / "a" / "b" / "img2")
    make.vfd(tmp_path / "c")
    (tmp_path / "notes" / "empty").mkdir(parents=True)
    make.drag100(tmp_path / ".hidden" / "x")
    make.drag100(tmp_path / "c" / "inside")  # part of the sample c, no sample itself
    data = open_data(str(tmp_path))
    assert list(data.ids) == ["a/b/img2", "a/b/img10", "c"]
    assert data.name == "VFD-Bench, Drag100"
    assert [data.load(name).category for name in data.ids] == ["a/b", "a/b", ""]
    one = open_data(str(tmp_path / "a" / "b" / "img2"))
    assert list(one.ids) == ["img2"]
    assert (one.load("img2").id, one.load("img2").category) == ("img2", "")
    found = check(data)
    assert (found.loaded, found.categories, found.truths, found.inferred) == (3, {"a/b": 2, "": 1}, 1, 3)
    assert "3 samples, 0 with a problem" in found.text()


def test_all_kinds_may_lie_below_one_root(tmp_path: Path) -> None:
    import numpy as np

    export_cases([drag_case(3, "translate", 128)], tmp_path / "world")
    make.redbench(tmp_path / "red")
    make.regiondrag(tmp_path / "region", np.array([[20, 30]]), np.array([[40, 30]]))
    make.dragbench(tmp_path / "bench")
    make.vfd(tmp_path / "video")
    make.drag100(tmp_path / "hundred")
    make.sdedrag(tmp_path / "s")
    data = open_data(str(tmp_path))
    assert data.name == "dragflow world, ReD Bench, DragBench-DR/SR, DragBench, VFD-Bench, Drag100, DragBench-S"
    assert check(data).problems == ()


FAR = """
from dragflow.bench.data import vfd
from dragflow.bench.data.parts import Kind

KIND = Kind("far set", "far.json", lambda files: bool(files & {"far.json", vfd.POINTS}), lambda place, rule: place)
"""


def test_a_package_brings_a_format_and_takes_no_folder_of_ours(
    install: Callable[[str, str, dict[str, str]], Path], tmp_path: Path
) -> None:
    make.drag100(tmp_path / "ours")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "far.json").write_text("{}")
    assert list(open_data(str(tmp_path)).ids) == ["ours"]
    with pytest.raises(UserError, match="holds no sample"):
        open_data(str(tmp_path / "theirs"))
    install(FAR, "dragflow.data", {"far": "KIND", "drag100": "KIND"})
    data = open_data(str(tmp_path))
    assert list(data.ids) == ["ours", "theirs"]
    assert data.name == "Drag100, far set"
    assert data.load("ours").category == ""


def test_numbers_in_names_count_and_names_of_all_scripts_are_kept(tmp_path: Path) -> None:
    names = ["a2", "a10", "日本 語/é", "猫/2", "猫/10", "٣x"]
    for name in names:
        make.drag100(tmp_path / name)
    assert list(open_data(str(tmp_path)).ids) == sorted(names, key=natural)
    assert sorted(["b/10", "b/9", "b", "a1b2", "a1b10", "01", "1"], key=natural) == [
        "01", "1", "a1b2", "a1b10", "b", "b/9", "b/10",
    ]  # fmt: skip
    assert problems(tmp_path) == {}


def test_a_name_that_is_no_utf8_is_a_problem(tmp_path: Path) -> None:
    make.drag100(tmp_path / "good")
    bad = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        (make.drag100(tmp_path / "x")).rename(os.fsdecode(bad))
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    assert problems(tmp_path) == {"caf\\xe9": "caf\\xe9 has a name that is not UTF-8: rename it"}


@pytest.mark.parametrize("spec", ["", "absent", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="no data set is named" if not spec else f"{spec} (does not exist|is a file)"):
        open_data(spec)


def test_a_folder_without_samples_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no sample: it and every folder below it were searched for world\.json"):
        open_data(str(tmp_path))


def test_an_unknown_sample_is_refused(tmp_path: Path) -> None:
    make.drag100(tmp_path / "a")
    with pytest.raises(UserError, match=r"has no sample '\.\./a'"):
        open_data(str(tmp_path)).load("../a")


def test_links_out_of_the_data_are_problems_and_not_followed(tmp_path: Path) -> None:
    outside = make.drag100(tmp_path / "outside" / "one")
    root = tmp_path / "root"
    make.drag100(root / "good")
    (root / "folder").symlink_to(outside)
    (root / "parent").symlink_to(outside.parent)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    mask = make.drag100(root / "file") / "mask.png"
    mask.unlink()
    mask.symlink_to(outside / "mask.png")
    marker = make.drag100(root / "marker") / "points.json"
    marker.unlink()
    marker.symlink_to(outside / "points.json")
    (make.redbench(root / "red") / "temp").symlink_to(outside)
    (root / "readme").symlink_to(outside / "points.json")  # no sample
    found = problems(root)
    assert set(found) == {"folder", "parent", "gone", "file", "marker", "red"}
    assert "is a broken link" in found.pop("gone")
    assert all("is a link that points outside the data set" in text for text in found.values())
    assert "mask.png" in found["file"]
    assert check(open_data(str(root))).loaded == 1


def test_links_inside_the_data_are_no_second_samples_and_loops_end(tmp_path: Path) -> None:
    sample = make.drag100(tmp_path / "root" / "a" / "one")
    (tmp_path / "root" / "again").symlink_to(sample)
    (tmp_path / "root" / "a" / "up").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "self").symlink_to(tmp_path / "root" / "self")
    (sample / "loop").symlink_to(sample)
    shared = make.drag100(tmp_path / "root" / "b")
    (shared / "mask.png").unlink()
    (shared / "mask.png").symlink_to(sample / "mask.png")
    data = open_data(str(tmp_path / "root"))
    assert list(data.ids) == ["a/one", "b", "self"]
    assert set(problems(tmp_path / "root")) == {"self"}


def test_a_root_that_is_itself_a_link_is_opened(tmp_path: Path) -> None:
    make.drag100(tmp_path / "real" / "one")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert check(open_data(str(tmp_path / "link"))).loaded == 1


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    folder = make.drag100(tmp_path / "one")
    (folder / "points.json").unlink()
    os.mkfifo(folder / "points.json")
    assert "is not a regular file" in problems(tmp_path)["one"]


def test_deep_folders_are_searched(tmp_path: Path) -> None:
    depth = "/".join("d" for _ in range(600))
    make.drag100(tmp_path / depth)
    assert list(open_data(str(tmp_path)).ids) == [depth]


def test_broken_samples_are_listed_and_harm_no_other(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'canary'}",)

    make.drag100(tmp_path / "data" / "good")
    (make.drag100(tmp_path / "data" / "jpeg") / "original.jpg").write_bytes(b"no picture")
    (make.dragbench(tmp_path / "data" / "evil") / "meta_data.pkl").write_bytes(pickle.dumps({"prompt": Evil()}))
    make.drag100(tmp_path / "data" / "outside", [[1, 2], [300, 4]])
    found = check(open_data(str(tmp_path / "data")))
    assert found.loaded == 1
    assert {problem.sample for problem in found.problems} == {"jpeg", "evil", "outside"}
    assert all(str(tmp_path / "data" / problem.sample) in problem.text for problem in found.problems)
    assert not (tmp_path / "canary").exists()
    assert "4 samples, 3 with a problem" in found.text()
    assert "problem in evil: " in found.text()


def test_what_breaks_a_rule_of_instructions_names_its_folder(tmp_path: Path) -> None:
    still = {"task": "relocation", "centroids": [[20, 30], [20, 30]], "anchors": None}
    folder = make.redbench(tmp_path / "one", region_operations={"0": still})
    assert problems(tmp_path)["one"].startswith(f"{folder}: operation 0: the motion is zero")


def test_the_built_in_scenes_are_opened_by_a_word() -> None:
    assert open_data("world:3") == World(0, 3)
    assert open_data("world:2@40") == World(40, 2)
    found = check(open_data("world:2@40"))
    assert (found.loaded, found.truths, found.problems) == (2, 2, ())


@pytest.mark.parametrize("count", ["", "x", "-1", "3@", "3@-1", "1.5", "٣", "0", "999999999", "9" * 5000])
def test_a_count_that_is_none_is_refused(count: str) -> None:
    with pytest.raises(UserError, match="world:"):
        open_data(f"world:{count}")


@pytest.mark.parametrize("rule", ["disc", pytest.param("thing", marks=pytest.mark.slow), "mask"])
def test_every_published_sample_at_hand_loads(samples_dir: Path, rule: Any) -> None:
    data = open_data(str(samples_dir), rule)
    found = check(data)
    assert found.problems == ()
    assert data.name == "ReD Bench, DragBench, VFD-Bench, Drag100"
    assert found.loaded == len(data.ids) == 15
    assert found.truths == 3
    for name in data.ids:
        sample = data.load(name)
        assert sample.begin_points
        for operation in sample.task.operations:
            assert (operation.mask & sample.task.area).sum() == operation.mask.sum()
        assert bool(sample.inferred) == ("red_bench" not in name)


def test_a_published_pickle_agrees_with_the_files_beside_it(samples_dir: Path) -> None:
    import json

    import numpy as np

    from dragflow.bench.data.dragbench import read_meta
    from dragflow.files.masks import load_mask
    from dragflow.files.pictures import load_image

    folders = sorted((samples_dir / "dragbench").glob("*/*"))
    assert folders
    for folder in folders:
        meta = read_meta(folder / "meta_data.pkl", load_image(folder / "original_image.png").size)
        told = json.loads((folder / "drag_instruction.json").read_text())
        assert meta.prompt == told["prompt"]
        assert [list(p) for pair in zip(meta.begins, meta.targets, strict=True) for p in pair] == told["points"]
        np.testing.assert_array_equal(meta.mask, load_mask(folder / "mask.png"))
