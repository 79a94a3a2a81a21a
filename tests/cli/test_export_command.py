"""`dragflow export`: an edit as files for other programs."""

from __future__ import annotations

import io
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from dragflow.files.red_bench import load_red_bench


def drag(desk: Any) -> tuple[Any, ...]:
    return (desk.image, "--mask", desk.mask, "--to", "61.5,31.5")


def test_a_zip_holds_layers_that_look_like_the_preview(run: Any, desk: Any) -> None:
    output = desk.folder / "out.zip"
    assert run("preview", *drag(desk), "--plain", "-o", desk.out).code == 0
    done = run("export", *drag(desk), "--result", desk.out, "-o", output)
    assert done.code == 0, done.err
    assert "--label" in done.out  # what was guessed is told
    with ZipFile(output) as file:
        names = [name for name in file.namelist() if "/" not in name or name.startswith("layers/")]
        assert names == ["result.png", "instruction.json", "layers/0-background.png", "layers/1-mask.png", "layers.ora"]
        assert file.read("result.png") == desk.out.read_bytes()
        layers = [Image.open(io.BytesIO(file.read(name))).convert("RGBA") for name in names[2:4]]
        file.extractall(desk.folder / "unpacked")
    shown = np.asarray(Image.alpha_composite(*layers).convert("RGB")).astype(int)
    assert np.abs(shown - np.asarray(Image.open(desk.out).convert("RGB"))).max() <= 4
    sample = load_red_bench(desk.folder / "unpacked" / "red_bench")
    assert sample.centroids == (((31.5, 31.5), (61.5, 31.5)),)


def test_the_name_of_the_output_says_what_it_is(run: Any, desk: Any) -> None:
    raster, sample = desk.folder / "out.ora", desk.folder / "sample.zip"
    assert run("export", *drag(desk), "--names", "Square", "-o", raster).code == 0
    with ZipFile(raster) as file:
        assert file.namelist()[0] == "mimetype"
        assert 'name="Square"' in file.read("stack.xml").decode()
    assert run("export", *drag(desk), "--what", "red_bench", "-o", sample).code == 0
    with ZipFile(sample) as file:
        assert {name.split("/")[0] for name in file.namelist()} == {"red_bench"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("-o", "out.psd"), "out.psd is not named .zip or .ora"),
        (("-o", "out.ora", "--what", "layers"), "--what says what is in a zip"),
        (("-o", "out.zip", "--names", "a", "--names", "b"), "2 --names are given for 1 regions"),
        (("-o", "out.zip", "--result", "missing.png"), "missing.png does not exist"),
        (("-o", "out.zip", "--what", "psd"), "--what"),
    ],
)
def test_what_cannot_be_written_is_said(run: Any, desk: Any, more: Any, words: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(desk.folder)
    before = desk.files()
    done = run("export", *drag(desk), *more)
    assert (done.code, words in done.err) == (2, True), done.err
    assert desk.files() == before
