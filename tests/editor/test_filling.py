"""Models that fill: what they are told of the picture and of the preview, and when."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dragflow import Box, Cancelled, Editor, Event, Instruction, Operation, Stepped, Translate
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.usual import usual_preset
from dragflow.bench.metrics.taps import Taps
from dragflow.bench.reconstruction import reconstruct
from dragflow.bench.sample import Sample
from dragflow.core.config import EditConfig, InversionConfig
from dragflow.core.errors import CapabilityError
from dragflow.core.models import ModelOptions
from dragflow.files.pictures import from_pixels
from dragflow.files.presets import load_preset, override
from dragflow.method.backbone import Fill
from dragflow.pixels.preview import draw_preview, hole
from dragflow.pixels.resolve import resolve
from small_flux import hooks

ASKED = Operation(Box(16, 16, 39, 39), Translate((67.5, 43.5), "relocation"), cut="hard")
MOVE = Instruction(ASKED, prompt="a cat")
GONE, NEW = np.s_[16:40, 16:40], np.s_[32:56, 56:80]
SHORT = ("inversion.steps=4", "start.stride=1")
INVERTED = ("inversion.skip=1", "optimise.refining=1")


@pytest.fixture(scope="module")
def editor(fill_folder: Path) -> Editor:
    return Editor.load(fill_folder, device="cpu")


@pytest.fixture
def told(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> list[Fill]:
    """The fill of every conditioning that is made."""
    seen: list[Fill] = []
    condition = editor.backbone.condition

    def watched(prompt: str, **more: Any) -> Any:
        seen.append(more["fill"])
        return condition(prompt, **more)

    monkeypatch.setattr(editor.backbone, "condition", watched)
    return seen


def picture(h: int = 64, w: int = 96) -> NDArray[np.uint8]:
    return np.random.default_rng(h * w).integers(0, 256, (h, w, 3), dtype=np.uint8)


def config_of(preset: str, *settings: str) -> EditConfig:
    return override(load_preset(preset), [*SHORT, *settings])


def calls(events: list[Event]) -> dict[str, int]:
    return dict(Counter(event.phase for event in events if isinstance(event, Stepped)))


def as_image(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.tensor(pixels).permute(2, 0, 1)[None] / 255


# -- what is to be drawn -----------------------------------------------------------------------------------------------


def test_the_hole_is_what_was_left_and_the_seams_but_not_what_moved() -> None:
    task = resolve(picture(), MOVE)
    found = hole(task, 4)
    assert found[GONE].all()
    assert not found[NEW].any()
    assert not found[~task.area].any()
    ring = np.zeros_like(found)
    ring[28:60, 52:84] = True
    ring[NEW] = False
    assert found[ring & task.area].mean() > 0.9  # all but the corners, which a disc leaves out
    far = np.ones_like(found)
    far[12:44, 12:44] = far[28:60, 52:84] = False
    assert not found[far].any()


def test_what_lands_where_something_left_is_kept() -> None:
    first = replace(ASKED, motion=Translate((67.5, 27.5), "relocation"))
    second = Operation(Box(20, 44, 35, 59), Translate((27.5, 27.5), "relocation"), cut="hard")
    found = hole(resolve(picture(), Instruction((first, second))), 2)
    assert not found[20:36, 20:36].any()
    assert found[16:19, 16:40].all()


def test_what_stays_in_front_is_kept() -> None:
    behind = replace(ASKED, behind=Box(70, 20, 79, 60))
    found = hole(resolve(picture(), Instruction(behind)), 4)
    assert not found[20:61, 70:80].any()
    assert found[GONE].all()


def test_a_part_that_leaves_some_of_its_place_is_drawn_around_its_free_rim_alone() -> None:
    part = Operation(Box(40, 20, 63, 43), Translate((38.0, 31.5), "deformation"), cut="hard")
    task = resolve(picture(), Instruction(part, editable=Box(16, 8, 87, 55)))
    joint = np.zeros_like(task.area)
    joint[20:44, 62:64] = True  # on its right, where something goes on that it pulls along
    found = hole(replace(task, operations=(replace(task.operations[0], joint=joint),)), 4)
    assert not found[20:44, 26:50].any()
    assert found[22:42, 22:26].all()
    assert not found[20:44, 50:54].any()
    behind = hole(
        replace(task, operations=(replace(task.operations[0], motion=Translate((38.0, 31.5), "relocation")),)), 4
    )
    assert behind[20:44, 50:64].all()
    assert found[20:44, 50:64].sum() < 0.5 * behind[20:44, 50:64].sum()  # most is what was pulled along


def test_a_part_that_stretches_what_it_belongs_to_leaves_nothing() -> None:
    part = replace(ASKED, motion=Translate((37.5, 29.5), "deformation"))
    assert not hole(resolve(picture(), Instruction(part)), 4).any()


# -- what the model is told --------------------------------------------------------------------------------------------


def test_an_edit_is_told_the_preview_without_its_hole(editor: Editor, told: list[Fill]) -> None:
    config, source = config_of("fill"), picture()
    session = editor.open(source, config=config)
    assert not told
    session.edit(MOVE, config)
    task = resolve(source, MOVE)
    drawn, mask = as_image(draw_preview(task)), torch.tensor(hole(task, 8))
    fills = [fill for fill in told if fill.mask.any()]
    assert len({id(fill) for fill in fills}) == 1
    assert torch.equal(fills[0].mask, mask)
    assert torch.equal(fills[0].z, editor.backbone.encode(torch.where(mask, 0.5, drawn)))


def test_at_a_smaller_working_size_the_seam_is_still_a_latent_cell(editor: Editor, told: list[Fill]) -> None:
    config, source = config_of("fill", "size.max_pixels=6144", "size.window=whole"), picture(128, 192)
    editor.open(source, config=config).edit(MOVE, config)
    (fill, *_) = (fill for fill in told if fill.mask.any())
    assert fill.mask.shape == (64, 96)
    wide = torch.tensor(hole(resolve(source, MOVE), 16)).reshape(64, 2, 96, 2).any(3).any(1)
    assert torch.equal(fill.mask, wide)


def test_the_source_is_told_whole_so_one_inversion_serves_every_drag(editor: Editor, told: list[Fill]) -> None:
    config, events = config_of("default", *INVERTED), list[Event]()
    session = editor.open(picture(), "a cat", config=config, observer=events.append)
    assert calls(events)["invert"] == 4
    (source,) = told
    assert not source.mask.any()
    assert torch.equal(source.z, editor.backbone.encode(as_image(picture())))
    for target in ((67.5, 43.5), (60.0, 30.0)):
        events.clear()
        told.clear()
        session.edit(
            replace(MOVE, operations=(replace(ASKED, motion=Translate(target, "relocation")),)), config, events.append
        )
        assert "invert" not in calls(events)
        whole = [fill for fill in told if not fill.mask.any()]
        assert torch.equal(whole[-1].z, source.z)  # features of the source as it is
        assert not torch.equal(whole[0].z, source.z)  # the preview, while it is inverted
        assert any(fill.mask.any() for fill in told)


def test_what_is_measured_is_told_as_what_is_edited(editor: Editor, told: list[Fill]) -> None:
    whole = editor.backbone.encode(as_image(picture()))
    Taps("taps", editor.backbone, ensemble=1)(picture(), "a cat")
    sample = Sample("a", "", from_pixels(picture()), MOVE, (), ())
    next(reconstruct(editor.backbone, sample, EditConfig(inversion=InversionConfig(2, 1)), None))
    assert len(told) > 2
    assert all(torch.equal(fill.z, whole) and not fill.mask.any() for fill in told)


def test_other_models_are_told_no_fill(dummy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor, seen = Editor.load(dummy_folder, device="cpu"), list[object]()
    condition = editor.backbone.condition

    def watched(prompt: str, **more: Any) -> Any:
        seen.append(more["fill"])
        return condition(prompt, **more)

    monkeypatch.setattr(editor.backbone, "condition", watched)
    config = config_of("default", *INVERTED)
    editor.open(picture(), config=config).edit(MOVE, config)
    assert set(seen) == {None}


# -- the preset --------------------------------------------------------------------------------------------------------


def test_the_preset_begins_with_noise_and_inverts_nothing(editor: Editor) -> None:
    config, events = config_of("fill"), list[Event]()
    session = editor.open(picture(), "a cat", config=config, observer=events.append)
    assert calls(events) == {"encode": 1}
    events.clear()
    result = session.edit(MOVE, config, events.append)
    assert calls(events) == {"denoise": 5, "decode": 1}
    assert (result.pixels == picture())[~result.area].all()
    assert (result.pixels != picture())[result.area].any()
    other = session.edit(MOVE, replace(config, seed=1))
    assert not np.array_equal(other.pixels, result.pixels)


def test_a_cancelled_edit_leaves_the_model_as_it_was(editor: Editor) -> None:
    config = config_of("fill")
    session = editor.open(picture(), config=config)
    expected = session.edit(MOVE, config).pixels

    def cancel(event: Event) -> None:
        if isinstance(event, Stepped) and (event.phase, event.index) == ("denoise", 2):
            raise Cancelled

    with pytest.raises(Cancelled):
        session.edit(MOVE, config, cancel)
    assert hooks(cast("PipelineBackbone", editor.backbone)) == 0
    assert np.array_equal(session.edit(MOVE, config).pixels, expected)


@pytest.mark.parametrize("model", [None, "black-forest-labs/FLUX.1-Fill-dev"])
def test_it_runs_where_none_is_named(
    model: str | None, editor: Editor, fill_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert editor.backbone.spec.preset == usual_preset(ModelOptions(model or str(fill_folder))) == "fill"


def test_a_model_that_would_see_noise_alone_is_refused_it(dummy_folder: Path) -> None:
    session = Editor.load(dummy_folder, device="cpu").open(picture())
    with pytest.raises(CapabilityError, match=r"inversion\.skip is 0 .* flux1 are told nothing .* preset `default`"):
        session.edit(MOVE, "fill")
    session.edit(MOVE, config_of("fill", "inversion.skip=1"))
    session.edit(
        MOVE, config_of("default", *INVERTED, "inversion.skip=0")
    )  # which inverts: noise that holds the picture


def test_an_edit_model_may_begin_with_noise(kontext_folder: Path) -> None:
    session = Editor.load(kontext_folder, device="cpu").open(picture(), config="instant")
    config = config_of("instant", "inversion.skip=0", "size.max_pixels=6144", "size.window=whole")
    assert session.edit(MOVE, config).losses == ()
