"""Projects come back as they were, name what continued what, and hostile ones are refused in a sentence."""

from __future__ import annotations

import hashlib
import io
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import pytest
from PIL import Image

from dragflow import Project
from dragflow.core.errors import UserError
from dragflow.files.encoding import encode_png
from dragflow.files.project_layers import project_raster
from dragflow.files.zips import zipped
from project_makers import MOVE, chained, made, picture, result, unzipped

Files = dict[str, bytes]
Change = Callable[[Files, dict[str, Any]], object]


def test_a_project_comes_back_as_it_was(tmp_path: Path) -> None:
    project, results = chained()
    project.save(tmp_path / "hill.dragflow")
    back = Project.load(tmp_path / "hill.dragflow")
    assert back.encoded() == project.encoded() == (tmp_path / "hill.dragflow").read_bytes()
    assert [(edit.parent, edit.names, edit.seconds) for edit in back.edits] == [
        (0, ("Box",), None),
        (1, (), 2.5),
        (0, (), None),
        (2, ("Box",), None),
    ]
    assert [back.stored(number).data for number in (1, 2, 3)] == results
    assert np.array_equal(back.picture().pixels, picture().pixels)
    assert {repr(edit.instruction) for edit in back.edits} == {repr(MOVE)}
    recipe = back.edits[1].recipe
    assert recipe is not None
    assert recipe.parent == made(results[0]).recipe_sha256
    assert unzipped(project.encoded()).keys() == {
        *("project.json", "source.png", "edits/1/instruction.json", "edits/1/result.png"),
        *("edits/2/result.webp", "edits/3/result.png", "edits/4/instruction.json"),
    }


def test_results_are_put_after_what_they_continue(tmp_path: Path) -> None:
    source = picture()
    first = result(source, 1)
    second = result(made(first), 2)
    for name, data in (("first.png", first), ("second.png", second), ("third.png", result(made(second), 3))):
        (tmp_path / name).write_bytes(data)
    project = Project.of(source).joined([tmp_path / name for name in ("third.png", "second.png", "first.png")])
    assert [(edit.parent, edit.result and Path(edit.result.name).name) for edit in project.edits] == [
        (0, "first.png"),
        (1, "second.png"),
        (2, "third.png"),
    ]
    with pytest.raises(UserError, match=r"third\.png was made from a picture that is not in the project"):
        Project.of(source).joined([tmp_path / "third.png", tmp_path / "first.png"])


def test_of_results_that_look_the_same_the_recipe_names_the_parent() -> None:
    source = picture()
    one, two = result(source, 1), result(source, 1, model="nano")  # the same pixels by another recipe
    project = Project.of(source).added(one).added(two)
    assert [project.added(result(made(data), 5)).edits[-1].parent for data in (one, two)] == [1, 2]


@pytest.mark.parametrize("channels", [3, 4])
def test_the_layers_of_a_chain_look_like_its_result(channels: int) -> None:
    project, results = chained(channels)
    files = unzipped(project_raster(project, 2))
    merged = np.asarray(Image.open(io.BytesIO(files["mergedimage.png"])).convert("RGBA"))
    last = made(results[1])
    seen = np.ones(last.size, np.bool_) if last.alpha is None else last.alpha > 0
    assert np.array_equal(merged[seen][:, :3], last.pixels[seen])
    stack = files["stack.xml"].decode()
    assert stack.index('"Edit 2"') < stack.index('"Edit 1: Box"') < stack.index('"hill.png"')
    with pytest.raises(UserError, match=r"no result of that number; it has 0 \(the first picture\), 1, 2, 3"):
        project_raster(project, 4)


def test_the_name_of_a_project_and_the_number_of_its_edits_are_checked(tmp_path: Path) -> None:
    project, _ = chained()
    with pytest.raises(UserError, match=r"end in \.dragflow"):
        project.save(tmp_path / "hill.zip")
    large = Project(replace(project.source, size=(8000, 8000)), project.edits * 9)
    with pytest.raises(UserError, match="8000 x 8000 holds at most 33 edits"):
        large.marked(MOVE)


# -- hostile -----------------------------------------------------------------------------------------------------------


def _named(files: Files, contents: dict[str, Any], path: str, data: bytes) -> None:
    """Put a file in the place of another, with its digest."""
    files[path] = data
    entries = [
        contents["source"],
        *(e[key] for e in contents["edits"] for key in ("result", "instruction") if key in e),
    ]
    next(entry for entry in entries if entry["file"] == path)["sha256"] = hashlib.sha256(data).hexdigest()


def _wide() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (9000, 8000)).save(buffer, "PNG")
    return buffer.getvalue()


BROKEN: dict[str, tuple[Change, str]] = {
    "unknown kind": (lambda f, c: f.update({"edits/1/run.sh": b"x"}), "no project holds a file like 'edits/1/run.sh'"),
    "picture beside": (
        lambda f, c: f.update({"edits/9/result.png": b"x"}),
        "project.json does not name edits/9/result",
    ),
    "missing": (lambda f, c: f.pop("edits/1/result.png"), "has no file edits/1/result.png"),
    "no contents": (lambda f, c: f.pop("project.json"), "has no file project.json"),
    "digest": (lambda f, c: f.update({"source.png": f["source.png"] + b"x"}), "is not what project.json says"),
    "no digest": (lambda f, c: c["source"].update(sha256="0" * 63), "source.sha256"),
    "twice": (lambda f, c: c["edits"][2].update(result=c["edits"][0]["result"]), "names edits/1/result.png twice"),
    "itself": (lambda f, c: c["source"].update(file="project.json"), "names project.json twice, or itself"),
    "newer": (lambda f, c: c.update(version=2), "of version 2, and 1 is read"),
    "no version": (lambda f, c: c.pop("version"), "of version None"),
    "unknown key": (lambda f, c: c["edits"][0].update(script="x"), "edits.0.script is not a known key"),
    "folder in the name": (lambda f, c: c["source"].update(name="../x.png"), "source.name"),
    "no picture": (lambda f, c: _named(f, c, "source.png", b"<html>"), "of the source is not in a format"),
    "huge picture": (lambda f, c: _named(f, c, "source.png", _wide()), "over the limit of 64"),
    "huge result": (lambda f, c: _named(f, c, "edits/1/result.png", _wide()), "over the limit of 64"),
    "no recipe": (
        lambda f, c: _named(f, c, "edits/1/result.png", encode_png(picture(), picture().pixels)),
        "edit 1 has no recipe",
    ),
    "another picture": (
        lambda f, c: _named(f, c, "edits/1/result.png", result(picture(4))),
        "edit 1: it was not made from the picture that it is said to continue (hill.png)",
    ),
    "parent to come": (
        lambda f, c: c["edits"][0].update(parent=2),
        "edit 1: it continues edit 2, of which there is no result",
    ),
    "parent not run": (
        lambda f, c: c["edits"].append({**c["edits"].pop(2), "parent": 4}) or c["edits"][2].update(parent=3),
        "edit 3: it continues edit 3",
    ),
    "nothing asked": (lambda f, c: c["edits"].append({"parent": 0}), "edit 5: an edit without a result has no"),
    "names": (lambda f, c: c["edits"][0].update(names=["a", "b"]), "edit 1: 2 `names` are given for 1 regions"),
    "mask file": (
        lambda f, c: _named(
            f,
            c,
            "edits/4/instruction.json",
            f["edits/4/instruction.json"].replace(b'"type": "box"', b'"type": "mask", "path": "/etc/passwd"'),
        ),
        "edit 4: the instruction: operations.0.region",
    ),
    "no text": (lambda f, c: _named(f, c, "edits/4/instruction.json", b"\xff{"), "is not in UTF-8"),
    "nested": (lambda f, c: _named(f, c, "edits/4/instruction.json", b"[" * 100_000), "nested too deeply"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_or_hostile_project_is_refused_in_a_sentence(kind: str) -> None:
    change, words = BROKEN[kind]
    files = unzipped(chained()[0].encoded())
    contents = json.loads(files.pop("project.json"))
    files["project.json"] = b""
    change(files, contents)
    if "project.json" in files:
        files["project.json"] = json.dumps(contents).encode()
    with pytest.raises(UserError) as told:
        Project.decode(zipped(files), "hill.dragflow")
    assert words in str(told.value)
    assert str(told.value).startswith(("hill.dragflow", "project.json of hill.dragflow"))


def _entry(path: str, mode: int = stat.S_IFREG | 0o644) -> ZipInfo:
    info = ZipInfo(path)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (_entry("../hill.png"), "is not the path of a file inside a folder"),
        (_entry("edits/../../hill.png"), "is not the path of a file inside a folder"),
        (_entry("/etc/passwd"), "is not the path of a file inside a folder"),
        (_entry("C:\\hill.png"), "is not the path of a file inside a folder"),
        (_entry("edits/9/result.png", stat.S_IFLNK | 0o777), "is not a regular file"),
        (_entry("source.png"), "is there twice"),
    ],
    ids=["above", "further above", "absolute", "drive", "link", "duplicate"],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_leads_elsewhere_is_refused(info: ZipInfo, words: str) -> None:
    buffer = io.BytesIO(chained()[0].encoded())
    with ZipFile(buffer, "a") as file:
        file.writestr(info, b"/etc/passwd")
    with pytest.raises(UserError, match=words):
        Project.decode(buffer.getvalue(), "hill.dragflow")


def test_a_bomb_is_not_unpacked_and_what_is_no_zip_is_said(tmp_path: Path) -> None:
    buffer = io.BytesIO(chained()[0].encoded())
    with ZipFile(buffer, "a", ZIP_DEFLATED) as file:
        file.writestr("edits/9/result.png", bytes(50_000_000))
    with pytest.raises(UserError, match="when unpacked: at most 10000000 are read"):
        Project.decode(buffer.getvalue(), "hill.dragflow", 10_000_000)
    path = tmp_path / "hill.dragflow"
    for data in (b"", b"PK", chained()[0].encoded()[:-30]):
        path.write_bytes(data)
        with pytest.raises(UserError, match="cannot be read as a zip"):
            Project.load(path)
    for other, words in ((tmp_path, "is a folder"), (tmp_path / "none.dragflow", "does not exist")):
        with pytest.raises(UserError, match=words):
            Project.load(other)
