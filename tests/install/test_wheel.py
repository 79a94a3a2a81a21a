"""The wheel holds all that is needed: commands work in a fresh environment, and show nothing of other libraries."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
DRAG = ("picture.png", "--box", "20,20,43,43", "--to", "60,40")


@pytest.fixture(scope="module", autouse=True)
def picture(installed: Any) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(90, 110, (96, 96, 3), dtype=np.uint8))
    ImageDraw.Draw(image).rectangle((20, 20, 43, 43), fill="red")
    image.save(installed.folder / "picture.png")


def test_every_file_of_the_package_is_in_it(wheel: Path) -> None:
    package = ROOT / "src" / "dragflow"
    files = {path.relative_to(ROOT / "src").as_posix() for path in package.rglob("*") if path.is_file()}
    kept = {name for name in files if "__pycache__" not in name}
    if wheel.suffix == ".whl":
        with zipfile.ZipFile(wheel) as archive:
            assert kept <= set(archive.namelist())
    else:
        with tarfile.open(wheel) as archive:
            assert {f"src/{name}" for name in kept} <= {name.partition("/")[2] for name in archive.getnames()}


def test_the_version_is_that_of_the_wheel(installed: Any, wheel: Path) -> None:
    said = installed.run("dragflow", "--version")
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == wheel.name.removesuffix(".tar.gz").split("-")[1]
    place = installed.run("python", "-c", "import dragflow; print(dragflow.__file__)").stdout
    assert Path(place.strip()).is_relative_to(installed.environment)


def test_the_doctor_loads_the_embedded_model(installed: Any) -> None:
    done = installed.run("dragflow", "doctor", "nano", "--device", "cpu")
    assert "gradients reach the latent" in done.stdout, done.stderr
    assert done.stderr == ""


def test_a_preview_and_an_edit_are_made_without_a_word_of_other_libraries(installed: Any) -> None:
    preview = installed.run("dragflow", "preview", *DRAG, "-o", "preview.png")
    assert preview.returncode == 0, preview.stderr
    edit = installed.run("dragflow", "edit", *DRAG, "--json", "-o", "edited.png")
    assert edit.returncode == 0, edit.stderr
    (line,) = edit.stderr.splitlines()
    assert line.startswith("no model is chosen, so the built-in nano is used")
    for name in ("preview.png", "edited.png"):
        assert Image.open(installed.folder / name).size == (96, 96)


def test_the_library_loads_in_silence(installed: Any) -> None:
    code = "from dragflow import Editor; Editor.load('nano', quantize='int8', subject='nano', device='cpu')"
    done = installed.run("python", "-c", code)
    assert done.returncode == 0
    assert (done.stdout, done.stderr) == ("", "")


def test_the_studio_answers(installed: Any) -> None:
    command = [str(installed.programs / "dragflow"), "studio", "--no-browser", "--port", "0", "--model", "nano"]
    with subprocess.Popen(
        command, cwd=installed.folder, env=installed.variables | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as studio:  # fmt: skip
        try:
            assert studio.stdout is not None
            address = studio.stdout.readline().removeprefix("the studio is at ").split()[0]
            with urlopen(address, timeout=60) as answer:
                assert b"dragflow" in answer.read()
        finally:
            studio.terminate()
