"""A model's bridge in an edit: one call, nothing inverted, and exactly the change that it says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dragflow.backbones.registry import load_backbone
from dragflow.backbones.usual import BRIDGE, usual_preset
from dragflow.core.config import EditConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, DragTask, Operation
from dragflow.editor import correction
from dragflow.editor.editor import Editor
from dragflow.editor.session import Session
from dragflow.files.presets import load_preset
from dragflow.method.backbone import Latent
from dragflow.pixels.preview import draw_preview

BOX = Operation(Box(16, 16, 40, 40), Translate((90.0, 90.0), "relocation"), cut="hard")
CONFIG = load_preset("bridge")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    y, x = np.mgrid[:128, :128]
    drawn = np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)
    drawn[16:40, 16:40] = (200, 40, 90)
    return drawn


@pytest.fixture(scope="module")
def editor(dummy_folder: Path, dummy_bridge: Path) -> Editor:
    return Editor.load(dummy_folder, bridge=dummy_bridge)


def seen_by(session: Session) -> DragTask:
    return session.edit(BOX).task


def test_it_is_the_models_own_preset_and_inverts_nothing(editor: Editor, picture: np.ndarray) -> None:
    result = editor.open(picture).edit(BOX)
    assert result.provenance.recipe.config == replace(CONFIG, size=result.provenance.recipe.config.size)
    assert [(timing.phase, timing.calls) for timing in result.provenance.timings] == [("bridge", 1)]
    assert np.array_equal(result.pixels[~result.task.area], picture[~result.task.area])
    assert not np.array_equal(result.pixels, draw_preview(result.task))


def test_the_result_is_the_preview_and_what_the_bridge_says(
    editor: Editor, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A velocity that is known: the latent of the preview less that of a picture. What is faint is tested elsewhere."""
    monkeypatch.setattr(correction, "distinct", lambda change: change)
    session = editor.open(picture)
    task, wanted = seen_by(session), np.full_like(picture, 128)
    told: list[torch.Tensor] = []

    def known(preview: Latent, source: Latent, masks: torch.Tensor) -> Latent:
        told.extend([source, masks])
        return preview - editor.backbone.encode(correction.frames.as_image(wanted, (128, 128)))

    monkeypatch.setattr(editor.backbone, "bridge", known)
    config = CONFIG.with_(area={"feather": 0.0})
    drawn, result = draw_preview(task, texture=True), session.edit(task, config).pixels
    round_trip, aim = (
        editor.backbone.decode(editor.backbone.encode(correction.frames.as_image(x, (128, 128))))[0]
        .permute(1, 2, 0)
        .numpy()
        for x in (draw_preview(task), wanted)
    )
    expected = np.rint(np.clip(drawn + 255 * (aim - round_trip), 0, 255))
    assert np.abs(result[task.area] - expected[task.area]).max() <= 1
    source, masks = told
    assert torch.equal(source, editor.backbone.encode(correction.frames.as_image(picture, (128, 128))))
    assert masks.shape == (1, 3, 16, 16)
    assert masks[0, 1].sum() == pytest.approx(25 * 25 / 64)  # the box
    assert masks[0, 2].sum() == pytest.approx(25 * 25 / 64)  # at its target
    assert float(masks[0, 0].sum()) == pytest.approx(task.area.sum() / 64)


def test_without_anything_to_say_the_preview_stays(
    editor: Editor, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor.backbone, "bridge", lambda preview, source, masks: torch.zeros_like(preview))
    grainy = (picture // 2 + np.random.default_rng(0).integers(0, 99, picture.shape)).astype(np.uint8)
    result = editor.open(grainy).edit(BOX)
    assert np.array_equal(result.pixels, draw_preview(result.task, texture=True))
    smooth = editor.open(grainy).edit(BOX, CONFIG.with_(area={"texture": False}))
    assert np.array_equal(smooth.pixels, draw_preview(smooth.task))
    assert not np.array_equal(smooth.pixels, result.pixels)


def test_a_drag_may_follow_it(editor: Editor, picture: np.ndarray) -> None:
    config = CONFIG.with_(optimise={"refining": 2}, inversion={"steps": 4, "skip": 1})
    result = editor.open(picture, config=config).edit(BOX, config)
    phases = [timing.phase for timing in result.provenance.timings]
    assert phases == ["encode", "invert", "bridge", "start", "drag", "denoise", "decode"]


def test_it_works_in_a_window_of_a_larger_picture(editor: Editor, picture: np.ndarray) -> None:
    large = np.pad(picture, ((0, 200), (0, 200), (0, 0)), mode="edge")
    config = CONFIG.with_(size={"max_pixels": 128 * 128})
    result = editor.open(large, config=config).edit(BOX, config)
    window = result.provenance.recipe.config.size.box
    assert window is not None
    assert np.array_equal(result.pixels[~result.task.area], large[~result.task.area])
    assert not np.array_equal(result.pixels, draw_preview(result.task))


def test_a_model_without_one_says_so_before_any_work(dummy_folder: Path, picture: np.ndarray) -> None:
    plain = Editor.load(dummy_folder)
    assert plain.backbone.spec.preset == "default"
    with pytest.raises(CapabilityError, match="has no bridge: give `bridge` a file"):
        plain.open(picture, config="bridge")
    with pytest.raises(CapabilityError, match="has no bridge"):
        plain.open(picture, config=EditConfig().with_(inversion={"steps": 2, "skip": 1})).edit(BOX, "bridge")


def in_folder(folder: Path, bridge: Path, to: Path) -> ModelOptions:
    shutil.copytree(folder, to / "model")
    shutil.copy(bridge, to / "model" / BRIDGE)
    return ModelOptions(str(to / "model"))


def named(folder: Path, bridge: Path, to: Path) -> ModelOptions:
    return ModelOptions(str(folder), bridge=str(bridge))


def narrow(folder: Path, bridge: Path, to: Path) -> ModelOptions:
    return ModelOptions(str(folder), bridge=str(bridge), dtype="bfloat16")


@pytest.mark.parametrize("given", [in_folder, named, narrow])
def test_it_is_loaded_from_the_models_folder_or_by_name(
    dummy_folder: Path, dummy_bridge: Path, tmp_path: Path, given: Callable[[Path, Path, Path], ModelOptions]
) -> None:
    options = given(dummy_folder, dummy_bridge, tmp_path)
    loaded = load_backbone(options)
    assert loaded.spec.preset == usual_preset(options) == "bridge"
    assert loaded.weights.fingerprint != load_backbone(ModelOptions(str(dummy_folder))).weights.fingerprint
    assert loaded.bridge is not None
    generator = torch.Generator().manual_seed(1)
    z, source = (torch.randn(1, 16, 8, 8, generator=generator) for _ in range(2))
    v = loaded.bridge(z, source, torch.rand(1, 3, 8, 8, generator=generator))
    assert v.shape == z.shape
    assert v.dtype == z.dtype
    assert float(v.abs().max()) > 0


def test_a_gguf_file_takes_no_bridge(dummy_folder: Path, dummy_bridge: Path, tmp_path: Path) -> None:
    held = in_folder(dummy_folder, dummy_bridge, tmp_path)
    assert usual_preset(replace(held, quantize="gguf:x.gguf")) == "default"


def test_a_pipeline_takes_one(dummy_folder: Path, dummy_bridge: Path, picture: np.ndarray) -> None:
    from diffusers import FluxPipeline

    made = Editor.from_pipeline(FluxPipeline.from_pretrained(dummy_folder), bridge=dummy_bridge)
    assert [timing.phase for timing in made.open(picture).edit(BOX).provenance.timings] == ["bridge"]


def test_a_bridge_that_is_none_is_refused(dummy_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read as a bridge"):
        Editor.load(dummy_folder, bridge=tmp_path / "nowhere.safetensors")


def test_the_source_is_encoded_once_for_all_edits(
    editor: Editor, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    real = editor.backbone.encode

    def encode(image: torch.Tensor) -> Latent:
        seen.append(float(image.sum()))
        return real(image)

    monkeypatch.setattr(editor.backbone, "encode", encode)
    session = editor.open(picture)
    first = session.edit(BOX)
    assert np.array_equal(session.edit(BOX).pixels, first.pixels)
    assert len(seen) == 3  # the source, and the preview of each edit
    assert len(set(seen)) == 2
