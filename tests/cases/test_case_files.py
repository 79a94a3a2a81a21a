"""Pictures and instructions of users whose metadata are odd, or that would start a program: read, or refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.files.pictures import load_image


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists as soon as any program `gs` is started."""
    canary, programs = tmp_path / "canary", tmp_path / "programs"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch {canary}\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return canary


@pytest.fixture(scope="session")
def files(cases_dir: Path) -> Path:
    return cases_dir / "files"


def test_the_canary_sings(ghostscript: Path) -> None:
    os.system("gs -q")
    assert ghostscript.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("embedded-eps.json", "is not a PNG"), ("embedded-bomb.json", "limit of 64")],
)
@pytest.mark.parametrize("command", ["check", "show", "preview", "edit"])
def test_an_embedded_picture_starts_nothing_and_is_sized_first(
    command: str, name: str, words: str, files: Path, ghostscript: Path, run: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    given = {
        "preview": ("preview", files / "scene.png", "--task", files / name, "-o", out),
        "edit": ("edit", files / "scene.png", "--task", files / name, "-o", out, "--model", "dummy"),
    }
    done = run(*given.get(command, ("task", command, files / name, files / "scene.png")))
    assert done.code == 2
    assert words in done.err
    assert name in done.err
    assert len(done.err) < 600
    assert done.err.count("\n") == 1
    assert not out.exists()
    assert not ghostscript.exists()


def test_a_recipe_starts_nothing(files: Path, ghostscript: Path, run: Any, tmp_path: Path) -> None:
    done = run("edit", files / "scene.png", "--from", files / "stranger_eps.png", "-o", tmp_path / "out.png")
    assert done.code == 2
    assert "stranger_eps.png" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out.png").exists()
    assert not ghostscript.exists()


@pytest.mark.parametrize("name", ["ori6.tif", "ch_exif_bad.png", "ch_exif_ori_str.png"])
def test_odd_metadata_are_kept_or_left_out(name: str, files: Path, run: Any, tmp_path: Path) -> None:
    source = load_image(files / name)
    h, w = source.size
    out = tmp_path / "out.png"
    box = f"{w // 4},{h // 4},{w // 2},{h // 2}"
    done = run("preview", files / name, "--box", box, "--to", f"{w // 2},{h // 2}", "--plain", "-o", out)
    assert done.code == 0, done.err
    again = load_image(out)
    assert (again.size, again.orientation) == (source.size, source.orientation)
    with Image.open(files / name) as theirs, Image.open(out) as ours:
        raw = theirs.tag_v2[0x112] if name.endswith(".tif") else 1  # pyright: ignore[reportAttributeAccessIssue]
        assert ours.getexif().get(0x112, 1) == raw


@pytest.mark.parametrize("name", ["ori6.tif", "ch_exif_bad.png", "ch_exif_ori_str.png"])
def test_an_edit_repeats_from_its_result(name: str, files: Path, run: Any, dummy_folder: Path, tmp_path: Path) -> None:
    h, w = load_image(files / name).size
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    base = ("--model", dummy_folder, "--set", "size.max_pixels=4096")
    moved = ("--box", f"{w // 4},{h // 4},{w // 2},{h // 2}", "--to", f"{w // 2},{h // 2}", "--preset", "paste")
    assert run("edit", files / name, *moved, *base, "-o", first).code == 0
    done = run("edit", files / name, "--from", first, "--model", dummy_folder, "-o", second)
    assert done.code == 0, done.err
    assert first.read_bytes() == second.read_bytes()
    outside = ~np.all(load_image(first).pixels == load_image(files / name).pixels, axis=-1)
    assert outside.mean() < 0.9
