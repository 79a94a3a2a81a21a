"""Models distilled to few steps: how they are told, which presets make sense for them, and what an inversion loses."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from dragflow.backbones import round_trip as checks
from dragflow.backbones.dummy import write_dummy
from dragflow.backbones.family import best_preset
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.registry import load_backbone
from dragflow.backbones.round_trip import LIMIT, round_trip
from dragflow.backbones.usual import preset_of_few_steps, usual_preset
from dragflow.core.config import EditConfig
from dragflow.core.errors import CapabilityError
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.editor.editor import Editor
from dragflow.files.presets import configure, load_preset, preset_names
from dragflow.service.jobs import plan
from small_flux2 import write_flux2

MOVE = Instruction(Operation(Box(20, 20, 44, 44), Translate((60, 40))), "a cat")
INVERTING = ("default", "fast", "paper", "paste", "point", "reference", "regiondrag", "text")


def picture() -> Any:
    return np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that is made as schnell is."""
    return write_dummy(tmp_path_factory.mktemp("model") / "schnell", guidance=False, shifted=False)


@pytest.fixture(scope="module")
def editor(folder: Path) -> Editor:
    return Editor.load(folder, device="cpu")


# -- how they are told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guidance", "shifted", "preset"),
    [(False, False, "turbo"), (True, False, "default"), (False, True, "default"), (True, True, "default")],
)
def test_a_model_without_guidance_and_shift_is_distilled(
    guidance: bool, shifted: bool, preset: str, tmp_path: Path
) -> None:
    options = ModelOptions.of(write_dummy(tmp_path / "model", guidance=guidance, shifted=shifted), device="cpu")
    spec = load_backbone(options).spec
    assert (spec.distilled, spec.preset) == (preset == "turbo", preset)
    assert (usual_preset(options), preset_of_few_steps(options)) == (preset, preset if spec.distilled else None)
    assert (spec.round_trip is not None) == spec.distilled


@pytest.mark.parametrize("distilled", [True, False])
def test_a_distilled_edit_model_has_the_preset_of_edit_models(distilled: bool, tmp_path: Path) -> None:
    options = ModelOptions.of(write_flux2(tmp_path / "model", distilled=distilled), device="cpu")
    spec = load_backbone(options).spec
    assert (spec.distilled, spec.preset, usual_preset(options)) == (distilled, "instant", "instant")
    assert preset_of_few_steps(options) == ("instant" if distilled else None)


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("black-forest-labs/FLUX.1-schnell", "turbo"),
        ("black-forest-labs/FLUX.1-dev", None),
        ("black-forest-labs/FLUX.2-klein-4B", "instant"),
        ("black-forest-labs/FLUX.2-klein-base-4B", None),
        ("Tongyi-MAI/Z-Image-Turbo", "turbo"),
        ("Tongyi-MAI/Z-Image", None),
        ("nano", None),
    ],
)
def test_it_is_known_before_a_download(
    name: str, preset: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert preset_of_few_steps(ModelOptions(name)) == preset


def test_a_transformer_alone_does_not_tell(editor: Editor) -> None:
    assert not Flux1(cast("PipelineBackbone", editor.backbone).transformer).spec.distilled


def test_a_bridge_and_an_edit_models_own_preset_come_first() -> None:
    assert best_preset("default", distilled=True, bridged=True) == "bridge"
    assert best_preset("instant", distilled=True, bridged=False) == "instant"
    assert best_preset("default", distilled=True, bridged=False) == "turbo"


# -- which presets make sense ------------------------------------------------------------------------------------------


def test_presets_that_invert_are_refused_in_steps_that_nobody_chose(folder: Path, editor: Editor) -> None:
    assert {name for name in preset_names() if load_preset(name).solves_back} == set(INVERTING)
    session, model = editor.open(picture()), ModelOptions.of(folder, device="cpu")
    for preset in INVERTING:
        steps = load_preset(preset).inversion.steps
        words = rf"preset {preset} inverts the picture in {steps} steps.*use preset turbo, or set inversion\.steps"
        with pytest.raises(CapabilityError, match=words):
            session.edit(MOVE, preset)
        with pytest.raises(CapabilityError, match=words):
            plan(picture(), MOVE, preset, model)


def test_steps_that_are_chosen_are_taken(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError):
        configure("fast", ["inversion.skip=1"], few="turbo")
    assert configure("fast", ["inversion.steps = 10"], few="turbo") == load_preset("fast")
    assert configure("fast", ["inversion.mode=noised"], few="turbo").inversion.steps == 10
    assert configure("fast") == load_preset("fast")
    (tmp_path / "own.toml").write_text("[inversion]\nsteps = 30")
    assert configure(str(tmp_path / "own.toml"), few="turbo").inversion.steps == 30


def test_a_configuration_of_a_programs_own_is_taken(editor: Editor) -> None:
    config = EditConfig().with_(
        inversion={"steps": 3, "skip": 1}, kv={"rule": "none"}, optimise={"moving": 0, "refining": 0}
    )
    assert editor.open(picture(), config=config).edit(MOVE, config).pixels.shape == picture().shape


def test_the_usual_edit_is_three_calls_at_the_models_own_times(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []
    velocity = editor.backbone.velocity

    def watched(z: Any, t: float, cond: Any, **more: Any) -> Any:
        times.append(t)
        return velocity(z, t, cond, **more)

    monkeypatch.setattr(editor.backbone, "velocity", watched)
    result = editor.open(picture()).edit(MOVE)
    assert times == [0.375, 0.25, 0.125]
    assert result.provenance.recipe.config.inversion == load_preset("turbo").inversion
    assert np.array_equal(result.pixels[~result.area], picture()[~result.area])
    assert (result.pixels != picture())[result.area].any()


# -- what an inversion loses -------------------------------------------------------------------------------------------


def test_the_round_trip_is_measured_and_told_at_load(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dragflow"):
        spec = load_backbone(ModelOptions.of(folder, device="cpu")).spec
    assert spec.round_trip is not None
    assert 0 < spec.round_trip < LIMIT
    (record,) = (record for record in caplog.records if "distilled" in record.message)
    assert record.levelno == logging.INFO
    assert f"sampled back differs by {100 * spec.round_trip:.1f} %" in record.message


def test_a_flow_that_does_not_lead_back_is_warned_of(
    editor: Editor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    draw = torch.Generator().manual_seed(0)
    monkeypatch.setattr(editor.backbone, "velocity", lambda z, t, cond: torch.randn(z.shape, generator=draw))
    error = checks.told_round_trip(editor.backbone)
    assert error > LIMIT
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "leave inversions out, as preset turbo does" in record.message
    monkeypatch.setattr(editor.backbone, "velocity", lambda z, t, cond: z * float("nan"))
    checks.told_round_trip(editor.backbone)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_flow_that_is_straight_leads_back(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editor.backbone, "velocity", lambda z, t, cond: torch.ones_like(z))
    assert round_trip(editor.backbone) < 1e-6


@pytest.mark.parametrize("name", ["nano", "dummy"])
def test_models_that_no_distillation_has_touched_are_below_the_limit(name: str) -> None:
    assert round_trip(load_backbone(ModelOptions(name, device="cpu"))) < LIMIT / 2
