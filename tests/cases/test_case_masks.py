"""Masks as people paint them (`../shared/cases/masks`): the ball's region, or a sentence that says what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.cli.app import main
from dragflow.core.arrays import Mask
from dragflow.core.errors import UserError
from dragflow.core.task import MaskArray, MaskFile, MaskImage
from dragflow.files.instructions import dump_instruction, load_instruction
from dragflow.files.masks import frozen

UNDERSTOOD = ["mask_red_on_black", "mask_white_40percent", "mask16"]
REFUSED = {
    "mask_red_over_photo": ("photograph", "#ff0000", "3.3 %", "`mask.label`"),
    "mask_comfy_clipspace": ("photograph", "3.3 % is transparent", "ComfyUI", "`mask.invert`"),
    "mask_inverted": ("covers 97 % of the picture", "inverted?", "`mask.invert`"),
    "mask_labels": ("0 (96 %), 1 (3.3 %), 2 (0.7 %)", "`mask.label`"),
    "scene": ("photograph", "white in the region and black elsewhere"),
}
CHOSEN: dict[str, dict[str, Any]] = {
    "mask_red_over_photo": {"label": "#ff0000"},
    "mask_comfy_clipspace": {"invert": True},
    "mask_inverted": {"invert": True},
    "mask_labels": {"label": 1},
}


@pytest.fixture
def masks_dir(cases_dir: Path) -> Path:
    return cases_dir / "masks"


@pytest.fixture
def ball(masks_dir: Path) -> Mask:
    region = np.asarray(Image.open(masks_dir / "ball.png"))
    assert region.sum() == 6392
    return region


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_paint_of_any_colour_strength_and_depth_is_the_region(name: str, masks_dir: Path, ball: Mask) -> None:
    path = masks_dir / f"{name}.png"
    assert np.array_equal(frozen(MaskFile(path)).array, ball)
    with Image.open(path) as image:
        assert np.array_equal(frozen(MaskImage(image)).array, ball)
        assert np.array_equal(frozen(MaskArray(np.asarray(image))).array, ball)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_several_readings_is_refused_by_what_it_looks_like(name: str, masks_dir: Path) -> None:
    path = masks_dir / f"{name}.png"
    with Image.open(path) as image:
        for region in (MaskFile(path), MaskImage(image), MaskArray(np.asarray(image))):
            with pytest.raises(UserError) as raised:
                frozen(region)
            assert [word for word in REFUSED[name] if word not in str(raised.value)] == []
            assert len(str(raised.value)) < 600


@pytest.mark.parametrize("name", CHOSEN)
def test_what_the_sentence_offers_is_the_ball(name: str, masks_dir: Path, ball: Mask) -> None:
    path = masks_dir / f"{name}.png"
    assert np.array_equal(frozen(MaskFile(path, **CHOSEN[name])).array, ball)


@pytest.mark.parametrize("name", CHOSEN)
def test_an_instruction_file_says_the_choice_and_is_written_without_it(
    name: str, masks_dir: Path, ball: Mask, tmp_path: Path
) -> None:
    shutil.copyfile(masks_dir / f"{name}.png", tmp_path / "m.png")
    region = {"type": "mask", "path": "m.png", **CHOSEN[name]}
    motion = {"type": "translate", "to": [268, 306]}
    (tmp_path / "task.json").write_text(
        json.dumps({"version": 2, "operations": [{"region": region, "motion": motion}]})
    )
    loaded = load_instruction(tmp_path / "task.json")
    (tmp_path / "again.json").write_text(dump_instruction(loaded))
    again = load_instruction(tmp_path / "again.json").operations[0].region
    assert isinstance(again, MaskArray)
    assert np.array_equal(again.array, ball)


@pytest.mark.parametrize("name", [*UNDERSTOOD, "mask_inverted"])
def test_an_area_is_read_by_the_same_rule_and_may_cover_most(name: str, masks_dir: Path, ball: Mask) -> None:
    area = frozen(MaskFile(masks_dir / f"{name}.png"), "editable area", area="area")
    assert np.array_equal(area.array, ~ball if name == "mask_inverted" else ball)


def test_an_area_of_labels_names_its_own_choice(masks_dir: Path) -> None:
    with pytest.raises(UserError, match=r"^editable area: mask .*mask_labels.png.*`area.label`"):
        frozen(MaskFile(masks_dir / "mask_labels.png"), "editable area", area="area")


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("mask_red_over_photo", "--mask-label=#ff0000"),
        ("mask_comfy_clipspace", "--mask-invert"),
        ("mask_inverted", "--mask-invert"),
        ("mask_labels", "--mask-label=1"),
    ],
)
def test_the_command_line_names_the_choice_and_takes_it(
    name: str, choice: str, masks_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, chosen = tmp_path / "plain.png", tmp_path / "chosen.png"
    scene, mask = str(masks_dir / "scene.png"), str(masks_dir / f"{name}.png")
    assert typed("preview", scene, "--mask", mask, "--to", "268,306", "-o", str(chosen)) == 2
    told = capsys.readouterr().err
    assert choice.split("=")[0] in told
    assert len(told) < 600
    assert not chosen.exists()
    assert typed("preview", scene, "--mask", mask, choice, "--to", "268,306", "-o", str(chosen)) == 0
    assert typed("preview", scene, "--mask", str(masks_dir / "ball.png"), "--to", "268,306", "-o", str(plain)) == 0
    assert chosen.read_bytes() == plain.read_bytes()


def test_two_labels_of_one_file_are_two_operations_on_the_command_line(masks_dir: Path, tmp_path: Path) -> None:
    labels = str(masks_dir / "mask_labels.png")
    first = ("--mask", labels, "--mask-label", "1", "--to", "268,306")
    second = ("--mask", labels, "--mask-label", "2", "--to", "60,60")
    output = tmp_path / "two.json"
    assert typed("task", "new", str(masks_dir / "scene.png"), *first, *second, "-o", str(output)) == 0
    regions = [operation.region for operation in load_instruction(output).operations]
    assert [int(np.asarray(region.array).sum()) for region in regions if isinstance(region, MaskArray)] == [6392, 1377]


def typed(*args: str) -> int:
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(args)
    return int(ended.value.code or 0)
