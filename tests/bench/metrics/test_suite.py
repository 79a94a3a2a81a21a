"""The whole suite: what applies to a sample, with what, and which tools are absent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dragflow.bench.data.world import World, case_of
from dragflow.bench.metrics import suite as suite_module
from dragflow.bench.metrics import truth
from dragflow.bench.metrics.catalogue import BY_KEY, MATCHED, PERCEPTUAL
from dragflow.bench.metrics.suite import Suite, load_suite
from dragflow.bench.sample import Sample
from dragflow.core.errors import UserError
from dragflow.core.motion import Affine, Motion, Rotate, Scale, Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import from_pixels

H, W = 48, 64
ALWAYS = {"PSNR_bg", "outside", "DAI_1", "DAI_5", "DAI_10", "DAI_20"}
OF_TRUTH = {"PSNR_area", "SSIM_area", "PSNR_target", "PSNR_vacated", "SSIM_vacated"}


@dataclass(frozen=True)
class MeanSquare:
    """A perceptual distance that can be worked out."""

    name: str = "mean square"

    def __call__(self, x: Tensor, y: Tensor) -> float:
        return float((x - y).square().mean())


@dataclass(frozen=True)
class Colours:
    """A picture's own colours as its features, and a note of what was asked for."""

    prompted: bool
    name: str = "colours"
    asked: list[tuple[bytes, str]] = field(default_factory=list)

    def __call__(self, image: np.ndarray, prompt: str) -> Tensor:
        self.asked.append((image.tobytes(), prompt))
        return torch.tensor(image).permute(2, 0, 1).float() - 128


def scene(left: int, top: int) -> np.ndarray:
    """A square of four colours on grey."""
    image = np.full((H, W, 3), 90, np.uint8)
    image[top : top + 4, left : left + 8] = (200, 30, 30)
    image[top + 4 : top + 8, left : left + 8] = (30, 200, 30)
    image[top : top + 8, left : left + 4, 2] = 220
    return image


def sample(motion: Motion | None = None, **changes: Any) -> Sample:
    """The square goes 20 to the right."""
    region = Operation(Box(10, 16, 17, 23), motion or Translate((33.5, 19.5)))
    made = Sample(
        id="square",
        category="",
        image=from_pixels(scene(10, 16)),
        instruction=Instruction((region,), "a square", "it is further right"),
        begin_points=((12, 18), (15, 21)),
        target_points=((32, 18), (35, 21)),
    )
    return replace(made, **changes)


def target_mask() -> np.ndarray:
    mask = np.zeros((H, W), np.bool_)
    mask[16:24, 30:38] = True
    return mask


DONE, UNDONE = scene(30, 16), scene(10, 16)
KNOWN: dict[str, Any] = {"truth": DONE, "target_mask": target_mask()}


def test_without_truth_and_tools_what_needs_pixels_only_is_measured() -> None:
    done, undone = (Suite().score(sample(), image) for image in (DONE, UNDONE))
    assert set(done) == ALWAYS
    assert (done["PSNR_bg"], done["outside"], done["DAI_1"], done["DAI_5"]) == (100, 1, 0, 0)
    assert undone["DAI_1"] > 0.1


def test_every_key_is_in_the_catalogue_and_in_its_order() -> None:
    found = Suite(MeanSquare(), Colours(True)).score(sample(**KNOWN), DONE)
    assert list(found) == [key for key in BY_KEY if key in found]
    assert set(found) == ALWAYS | OF_TRUTH | {"landing", "landed"} | set(PERCEPTUAL) | set(MATCHED)


def test_a_perfect_edit_is_perfect() -> None:
    found = Suite(MeanSquare(), Colours(False)).score(sample(**KNOWN), DONE)
    assert found["IF_bg"] == found["IF_s2t"] == pytest.approx(1)
    assert found["IF_s2s"] < 0.999
    assert found["LPIPS_area"] == found["LPIPS_vacated"] == found["landing"] == 0
    assert found["SSIM_area"] == pytest.approx(1)
    assert min(found[key] for key in ("PSNR_area", "PSNR_target", "PSNR_vacated")) > 100


def test_an_edit_that_did_nothing_is_where_it_was() -> None:
    found = Suite(MeanSquare()).score(sample(**KNOWN), UNDONE)
    assert found["landing"] == pytest.approx(20)
    assert found["landed"] == 0
    assert found["IF_s2s"] == pytest.approx(1)
    assert found["PSNR_vacated"] == pytest.approx(truth.psnr(UNDONE, DONE, np.roll(target_mask(), -20, 1)))
    blacked = target_mask()  # where the source, moved, differs from the edit
    error = ((scene(30, 16) / 127.5 - scene(10, 16) / 127.5)[blacked] ** 2).sum() / (H * W * 3)
    assert found["IF_s2t"] == pytest.approx(1 - error, abs=1e-5)


def test_a_change_outside_of_the_area_is_seen() -> None:
    edit = DONE.copy()
    edit[2, 3] += 8
    found = Suite(MeanSquare()).score(sample(), edit)
    outside = ~sample().task.area
    assert found["outside"] == 0
    assert found["PSNR_bg"] == pytest.approx(10 * math.log10(255**2 * outside.sum() / 64))
    assert found["IF_bg"] == pytest.approx(1 - (8 / 127.5) ** 2 / (H * W), abs=1e-7)


def test_an_edit_of_another_size_is_resized_bicubically_and_never_identical_outside() -> None:
    large = np.asarray(Image.fromarray(DONE).resize((2 * W, 2 * H), Image.Resampling.NEAREST))
    small = np.asarray(Image.fromarray(large).resize((W, H), Image.Resampling.BICUBIC))
    found = Suite(MeanSquare()).score(sample(**KNOWN), large)
    expected = Suite(MeanSquare()).score(sample(**KNOWN), small)
    assert found | {"outside": 0} == expected | {"outside": 0}
    grey = np.full((H, W, 3), 90, np.uint8)
    plain = sample(image=from_pixels(grey))
    assert Suite().score(plain, grey)["outside"] == 1
    assert Suite().score(plain, np.full((2 * H, 2 * W, 3), 90, np.uint8))["outside"] == 0


def test_without_a_target_mask_the_moved_region_stands_in() -> None:
    bare = Suite().score(sample(truth=DONE), UNDONE)
    full = Suite().score(sample(**KNOWN), UNDONE)
    assert bare == {key: value for key, value in full.items() if key not in ("landing", "landed")}


def test_what_is_not_vacated_has_no_score() -> None:
    """A target mask that holds the source region leaves nothing vacated."""
    everything = np.ones((H, W), np.bool_)
    found = Suite(MeanSquare()).score(sample(truth=DONE, target_mask=everything), DONE)
    assert not {"PSNR_vacated", "SSIM_vacated", "LPIPS_vacated"} & set(found)
    assert "PSNR_target" in found


@pytest.mark.parametrize(
    ("motion", "key"),
    [
        (Translate((33.5, 19.5), "deformation"), "landing"),
        (Rotate((13.5, 19.5), degrees=90), "angle"),
        (Scale((13.5, 19.5), 1.5), "ratio"),
        (Affine(((1, 0, 20), (0, 1, 0))), None),
    ],
)
def test_the_error_of_the_motion_is_the_one_of_its_kind(motion: Motion, key: str | None) -> None:
    found = Suite().score(sample(motion, **KNOWN), DONE)
    assert {"landing", "angle", "ratio"} & set(found) == ({key} if key else set())
    if key is not None:
        assert found[key] == pytest.approx(0, abs=0.01)


def test_two_operations_land_only_when_both_are_translated() -> None:
    first = Operation(Box(10, 16, 17, 23), Translate((33.5, 19.5)))
    turned = Operation(Box(10, 30, 17, 37), Rotate((13.5, 33.5), degrees=40))
    shifted = Operation(Box(10, 30, 17, 37), Translate((20, 33)))
    both, mixed = (sample(instruction=Instruction((first, other)), **KNOWN) for other in (shifted, turned))
    assert "landing" in Suite().score(both, DONE)
    assert not {"landing", "angle"} & set(Suite().score(mixed, DONE))


def test_mean_distances_follow_the_object() -> None:
    """Colours as features: the square's corner colours are found where the square is."""
    corner = sample(begin_points=((10, 16),), target_points=((30, 16),))
    done, undone = (Suite(features=Colours(False)).score(corner, image) for image in (DONE, UNDONE))
    assert done["MD"] == done["m-MD"] == 0
    assert undone["MD"] == undone["m-MD"] == 20
    assert done["MD_rd"] < undone["MD_rd"]
    assert done["MD1"] < undone["MD1"]


@pytest.mark.parametrize(("prompted", "runs"), [(True, 4), (False, 2)])
def test_features_are_extracted_once_a_picture_and_prompt(prompted: bool, runs: int) -> None:
    colours = Colours(prompted)
    Suite(features=colours).score(sample(), DONE)
    assert len(colours.asked) == len(set(colours.asked)) == runs
    assert {prompt for _, prompt in colours.asked} == ({"", "a square"} if prompted else {""})


def test_a_rotation_by_a_point_is_measured_to_that_point() -> None:
    """The point may lie nearer or farther than the handle; MD1 is defined to it."""
    turned = sample(Rotate((30, 19.5), to=(30, 9)))
    (operation,) = turned.task.operations
    assert suite_module._end(operation) == (30, 9)
    (plain,) = sample(Rotate((30, 19.5), degrees=90)).task.operations
    assert suite_module._end(plain) == pytest.approx((30, 19.5 - 16.5))


def test_points_that_are_not_there_have_no_score() -> None:
    found = Suite(features=Colours(False)).score(sample(begin_points=(), target_points=()), DONE)
    assert set(found) == {"PSNR_bg", "outside", "MD1", "MD2"}


def test_a_scene_of_the_world_is_scored_against_its_truth() -> None:
    case = case_of(0)
    perfect, untouched = (Suite(MeanSquare()).score(World(0, 1).load("0"), p) for p in (case.target, case.source))
    assert set(perfect) >= ALWAYS | OF_TRUTH
    assert perfect["PSNR_area"] > untouched["PSNR_area"]
    assert perfect["LPIPS_area"] == 0 < untouched["LPIPS_area"]


def test_tools_say_what_was_used_and_what_is_absent() -> None:
    tools = Suite(None, Colours(True), "get it there").tools()
    assert (tools.perceptual, tools.features) == ("", "colours")
    assert tools.absent == dict.fromkeys(PERCEPTUAL, "get it there")
    tools = Suite(MeanSquare(), None, "", "choose some").tools()
    assert (tools.perceptual, tools.features) == ("mean square", "")
    assert tools.absent == dict.fromkeys(MATCHED, "choose some")


def test_what_is_not_asked_for_may_be_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DRAGFLOW_LPIPS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    absent = load_suite().tools().absent
    assert set(absent) == {*PERCEPTUAL, *MATCHED}
    assert "pip download --no-deps lpips" in absent["IF_bg"]
    assert "dift, dinov2 or taps" in absent["MD1"]


def test_what_is_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="do not exist"):
        load_suite(lpips=tmp_path / "gone.pth")
    monkeypatch.setenv("DRAGFLOW_LPIPS", str(tmp_path))
    with pytest.raises(UserError, match="no alex"):
        load_suite()
    monkeypatch.delenv("DRAGFLOW_LPIPS")
    with pytest.raises(UserError, match="no features to take from it"):
        load_suite(model="owner/name")
    with pytest.raises(UserError, match="is not known"):
        load_suite(features="clip")


def test_taps_of_a_model_measure_distances(dummy_folder: Path) -> None:
    made = load_suite(features="taps", model=str(dummy_folder), device="cpu")
    assert made.tools().features == "taps of flux-dummy"
    found = made.score(sample(), DONE)
    assert all(math.isfinite(found[key]) for key in MATCHED)
