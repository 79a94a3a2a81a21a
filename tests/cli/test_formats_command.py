"""`dragflow edit` with the formats that people bring and ask for: the recipe in each, repeated from each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.files.pictures import load_image
from dragflow.files.recipes import load_recipe

MOVE = ("--to", "60,40", "--preset", "paste")


@pytest.mark.parametrize("suffix", ["tif", "webp", "avif", "jpg"])
def test_a_result_is_repeated_from_any_format_to_the_same_bytes(
    suffix: str, run: Any, desk: Any, dummy_folder: Path
) -> None:
    first, again = desk.folder / f"first.{suffix}", desk.folder / f"again.{suffix}"
    done = run("edit", desk.image, "--mask", desk.mask, *MOVE, "--model", dummy_folder, "-o", first)
    assert done.code == 0, done.err
    assert ("pixels are not kept exactly" in done.err) == (suffix in ("avif", "jpg"))
    assert load_recipe(first).weights.options.model == str(dummy_folder)
    second = run("edit", desk.image, "--from", first, "--trust", "-o", again)
    assert second.code == 0, second.err
    assert first.read_bytes() == again.read_bytes()


def test_pictures_in_other_formats_are_edited(run: Any, desk: Any, dummy_folder: Path) -> None:
    for name in ("in.avif", "in.webp", "in.tif"):
        Image.open(desk.image).save(desk.folder / name)
        out = desk.folder / f"{name}.png"
        done = run("edit", desk.folder / name, "--mask", desk.mask, *MOVE, "--model", dummy_folder, "-o", out)
        assert done.code == 0, done.err
        source, result = load_image(desk.folder / name), load_image(out)
        assert np.mean((source.pixels != result.pixels).any(axis=2)) < 0.7


def test_a_preview_is_named_for_a_format_too(run: Any, desk: Any) -> None:
    out = desk.folder / "preview.webp"
    assert run("preview", desk.image, "--mask", desk.mask, "--to", "60,40", "-o", out).code == 0
    assert Image.open(out).format == "WEBP"
    wrong = run("preview", desk.image, "--mask", desk.mask, "--to", "60,40", "-o", desk.folder / "out.gif")
    assert (wrong.code, "use .png" in wrong.err) == (2, True)
