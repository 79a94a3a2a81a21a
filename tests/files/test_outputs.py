"""What is read is never written onto, by whatever name, and what exists is replaced only when that is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Instruction, MaskArray, MaskFile, Operation
from dragflow.files.outputs import check_outputs, check_writable, named_files


@pytest.mark.parametrize("name", ["picture.png", "link.png", "hard.png", "folder/../picture.png", "."])
def test_the_input_is_no_output(name: str, tmp_path: Path) -> None:
    source = tmp_path / "picture.png"
    source.touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    with pytest.raises(UserError):
        check_writable(tmp_path / name, inputs=[source])
    check_writable(tmp_path / "other.png", inputs=[source])


def test_an_input_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "picture.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "picture.png")
    with pytest.raises(UserError, match="itself an input"):
        check_writable(tmp_path / "picture.png", inputs=[tmp_path / "link.png"])


@pytest.mark.parametrize("name", ["model/part/weights", "link", "hard", "blob"])
def test_no_file_of_a_folder_that_is_read_is_an_output(name: str, tmp_path: Path) -> None:
    part = tmp_path / "model" / "part"
    part.mkdir(parents=True)
    (part / "weights").touch()
    (tmp_path / "link").symlink_to(part / "weights")
    (tmp_path / "hard").hardlink_to(part / "weights")
    (tmp_path / "blob").touch()
    (part / "cached").symlink_to(tmp_path / "blob")  # as the hub's cache lays models out
    with pytest.raises(UserError, match="itself an input"):
        check_writable(tmp_path / name, inputs=[tmp_path / "model"])
    check_writable(part / "new", inputs=[tmp_path / "model"])


@pytest.mark.parametrize("name", ["there.png", "nowhere.png"])
def test_what_exists_is_replaced_by_force_only(name: str, tmp_path: Path) -> None:
    (tmp_path / "there.png").touch()
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match=rf"{name} exists already: choose another name, or replace it with `force`"):
        check_outputs(tmp_path / name, inputs=(), force=False)
    check_outputs(tmp_path / name, inputs=(), force=True)
    check_outputs(tmp_path / "new.png", inputs=(), force=False)


@pytest.mark.parametrize("name", ["a.png", "folder/../a.png", "other/a.png", "hard.png"])
def test_two_outputs_have_two_paths(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").symlink_to(tmp_path)
    if name == "hard.png":
        (tmp_path / "a.png").touch()
        (tmp_path / "hard.png").hardlink_to(tmp_path / "a.png")
    with pytest.raises(UserError, match="two outputs"):
        check_outputs(tmp_path / "a.png", tmp_path / name, inputs=(), force=True)
    check_outputs(tmp_path / "a.png", tmp_path / "b.png", inputs=(), force=True)


def test_every_file_that_options_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (
        "model",
        "lora",
        "odd:1",
        "q.gguf",
        "weights",
        "siglip",
        "dinov2",
        "clip",
        "mask",
        "array",
        "area",
        "default",
    )
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAGFLOW_MODEL", "default")
    subject = SubjectOptions("ip-adapter", weights="weights", siglip="siglip", dinov2="dinov2", clip="clip")
    options = ModelOptions("model", quantize="gguf:q.gguf", lora=("lora:0.5", "odd:1"), subject=subject)
    array = MaskArray(np.ones((4, 4), dtype=bool), "array")
    asked = Instruction(
        [Operation(MaskFile(Path("mask")), Translate((1, 1))), Operation(array, Translate((1, 1)))],
        prompt="model",
        editable=Path("area"),
    )
    found = named_files(options, ModelOptions(), asked, None, "", "no\0name", "x" * 5000)
    assert {str(path) for path in found} == set(names)
