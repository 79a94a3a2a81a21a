"""Edits of pictures of 16 bits a channel: outside of the area every bit stays, inside the model's own floats count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragflow import Box, EditConfig, Editor, EditResult, Operation, Translate, load_preset
from dragflow.core.config import SizeConfig
from dragflow.files.pictures import load_image

MOVE = Operation(Box(20, 20, 43, 43), Translate((70, 60), label="relocation"), cut="hard")
QUICK = replace(load_preset("fast"), size=SizeConfig(max_pixels=96 * 96)).with_(
    inversion={"steps": 3, "skip": 1}, optimise={"moving": 1, "refining": 1}
)


@pytest.fixture(scope="module")
def editor(dummy_folder: Path, dummy_bridge: Path) -> Editor:
    return Editor.load(dummy_folder, bridge=dummy_bridge, device="cpu")


def picture(channels: int = 3) -> Any:
    return np.random.default_rng(5).integers(0, 65_536, (120, 160, channels), dtype=np.uint16)


@pytest.mark.parametrize(
    "config", [QUICK, load_preset("paste"), load_preset("bridge")], ids=["fast", "paste", "bridge"]
)
def test_outside_every_bit_stays_and_inside_both_depths_agree(editor: Editor, config: EditConfig) -> None:
    result = editor.open(picture(), config=config).edit(MOVE, config)
    assert result.deep is not None
    assert np.array_equal(result.deep[~result.area], picture()[~result.area])
    assert not np.array_equal(result.deep[result.area], picture()[result.area])
    apart = np.abs(result.deep / 257.0 - result.pixels)
    assert apart.max() <= 1.0  # of 255: the eight bits are rounded before they are blended, too


def test_inside_the_model_gives_more_than_eight_bits(editor: Editor) -> None:
    result = editor.open(picture(), config=QUICK).edit(MOVE, QUICK)
    assert result.deep is not None
    assert np.mean(result.deep[result.area] % 257 != 0) > 0.9


def test_eight_bits_are_the_same_with_and_without_the_further_ones(editor: Editor) -> None:
    deep = editor.open(picture(), config=QUICK)
    plain = editor.open(deep.source.pixels, config=QUICK)
    assert plain.source.deep is None
    assert np.array_equal(deep.edit(MOVE, QUICK).pixels, plain.edit(MOVE, QUICK).pixels)


def saved(result: EditResult, path: Path) -> Any:
    result.save(path)
    return load_image(path).deep


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_is_saved_and_continued_has_sixteen_bits(editor: Editor, suffix: str, tmp_path: Path) -> None:
    paste = load_preset("paste")
    session = editor.open(picture(4), config=paste)
    first = session.edit(MOVE, paste)
    found = saved(first, tmp_path / f"first{suffix}")
    assert np.array_equal(found[..., :3], first.deep)  # pyright: ignore[reportArgumentType]
    assert np.array_equal(found[..., 3], picture(4)[..., 3])
    again = session.accept(first, config=paste).edit(MOVE, paste)
    assert np.array_equal(saved(again, tmp_path / f"again{suffix}")[~again.area], found[~again.area])
    opened = editor.open(tmp_path / f"first{suffix}", config=paste).edit(MOVE, paste)
    assert np.array_equal(opened.deep, again.deep)  # pyright: ignore[reportArgumentType]
    assert opened.provenance.recipe == again.provenance.recipe  # whichever way it was continued
    assert opened.provenance.recipe.parent == load_image(tmp_path / f"first{suffix}").recipe_sha256
