"""Edits by the built-in model: batches, progress, cancelling, memory, recipes."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dragflow import UserError, load_recipe
from dragflow.files.pictures import load_image
from dragflow.service import repeat, run

SIDE = 64


@pytest.fixture
def picture() -> torch.Tensor:
    image = torch.full((1, SIDE, SIDE, 3), 90 / 255)
    image[:, 12:28, 12:28] = torch.tensor([200.0, 60.0, 50.0]) / 255
    return image


@pytest.fixture
def plan(classes: dict[str, Any]) -> Any:
    box = classes["DragFlowRegionFromBox"]().make(12, 12, 16, 16)[0]
    return classes["DragFlowMove"]().add(box, mode="by", x=24.0, y=16.0, label="whole object")[0]


def edited(classes: dict[str, Any], *given: Any, preset: str = "fast", **more: Any) -> Any:
    with torch.inference_mode():  # as the server calls nodes
        return classes["DragFlowEdit"]().edit(*given, preset, 0, **more)


def test_a_batch_is_edited_and_nothing_changes_outside_of_the_area(
    classes: dict[str, Any], nano: Any, picture: torch.Tensor, plan: Any
) -> None:
    batch = torch.cat([picture, 1 - picture])
    image, area, results = edited(classes, nano, batch, plan, prompt=" a red box ", edit_prompt="the box moved")
    assert (image.shape, area.shape, len(results.each)) == ((2, SIDE, SIDE, 3), (2, SIDE, SIDE), 2)
    assert (image == batch)[area == 0].all()
    assert (image != batch)[area == 1].any()
    asked = results.each[1].provenance.recipe.instruction
    assert (asked.prompt, asked.edit_prompt) == ("a red box", "the box moved")


def test_alpha_stays(classes: dict[str, Any], nano: Any, picture: torch.Tensor, plan: Any) -> None:
    alpha = torch.full((1, SIDE, SIDE, 1), 128 / 255)
    image, _, _ = edited(classes, nano, torch.cat([picture, alpha], dim=-1), plan, preset="best for the model")
    assert image.shape[-1] == 4
    assert (image[..., 3:] == alpha).all()


def test_the_bar_only_grows_and_shows_previews(
    classes: dict[str, Any], nano: Any, picture: torch.Tensor, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfy import cli_args, utils

    progress = importlib.import_module(f"{classes['DragFlowEdit'].__module__.rsplit('.', 1)[0]}.progress")
    monkeypatch.setattr(progress, "_PREVIEW_SECONDS", 0.0)
    utils.SHOWN.clear()
    edited(classes, nano, torch.cat([picture, picture]), plan)
    values = [value for value, _, _ in utils.SHOWN]
    assert values == sorted(values)
    assert values[-1] == utils.SHOWN[-1][1]
    kind, shown, size = next(preview for _, _, preview in utils.SHOWN if preview is not None)
    assert (kind, shown.size, size) == ("JPEG", (SIDE, SIDE), 512)
    utils.SHOWN.clear()
    monkeypatch.setattr(cli_args.args, "preview_method", cli_args.LatentPreviewMethod.NoPreviews)
    edited(classes, nano, picture, plan, preset="best for the model")
    assert all(preview is None for _, _, preview in utils.SHOWN)


def test_cancelling_stops_at_once_and_the_next_edit_is_as_ever(
    classes: dict[str, Any], nano: Any, picture: torch.Tensor, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfy import model_management

    before, _, _ = edited(classes, nano, picture, plan)
    for questions in (0, 4, 9):
        monkeypatch.setattr(model_management, "cancelled_after", questions)
        with pytest.raises(model_management.InterruptProcessingException):
            edited(classes, nano, picture, plan)
        assert model_management.CALLS[-1] == "empty"
    after, _, _ = edited(classes, nano, picture, plan)
    assert (before == after).all()


def test_comfyuis_models_leave_before_dragflows_come_which_leave_at_the_end(
    classes: dict[str, Any], nano: Any, picture: torch.Tensor, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights come to the device after ComfyUI's manager has been asked, and are gone from it before the end."""
    from comfy import model_management

    from dragflow import Editor
    from dragflow.backbones.devices import Rest

    calls = model_management.CALLS
    loaded, working = nano.pool.get(nano.options), Rest.working

    def noted(self: Rest, lock: Any) -> Any:
        calls.append("work")
        return working(self, lock)

    monkeypatch.setattr(Editor, "load", classmethod(lambda cls, *given: calls.append("load") or loaded))
    monkeypatch.setattr(Rest, "working", noted)
    calls.clear()
    kept = classes["DragFlowLoadModel"]().load("nano")[0]
    edited(classes, kept, picture, plan, preset="paste")
    assert calls == ["unload", "empty", "load", "work", "empty", "unload", "empty", "work", "empty"]
    calls.clear()
    dropped = classes["DragFlowLoadModel"]().load("nano", keep_in="nowhere")[0]
    edited(classes, dropped, picture, plan, preset="paste")
    assert calls.count("load") == 2
    assert dropped.pool.loaded(dropped.options) is None


def test_a_saved_edit_is_repeated_by_its_recipe_and_holds_its_workflow(
    classes: dict[str, Any], nano: Any, picture: torch.Tensor, plan: Any, folders: Path
) -> None:
    Image.fromarray(np.rint(picture[0].numpy() * 255).astype(np.uint8)).save(folders / "source.png")
    _, _, results = edited(classes, nano, picture, plan, settings="optimise.refining=1\n")
    workflow = {"nodes": [], "extra": {"ds": 1}}
    told = classes["DragFlowSaveEdit"]().save(results, "some/where", {"1": {}}, {"workflow": workflow})
    (saved,) = told["ui"]["images"]
    path = folders / "output" / saved["subfolder"] / saved["filename"]
    recipe = load_recipe(path)
    assert recipe.config.optimise.refining == 1
    again = run(repeat(load_image(folders / "source.png"), recipe), nano.pool)
    assert (again.pixels == np.asarray(Image.open(path))).all()
    texts = Image.open(path).text  # pyright: ignore[reportAttributeAccessIssue]
    written = json.loads(texts["workflow"])["extra"]
    assert (written["ds"], written["dragflow"]) == (1, json.loads(texts["dragflow"]))
    assert json.loads(texts["prompt"]) == {"1": {}}
    assert workflow["extra"] == {"ds": 1}


def test_no_metadata_means_none(
    classes: dict[str, Any], nano: Any, picture: torch.Tensor, plan: Any, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfy import cli_args

    monkeypatch.setattr(cli_args.args, "disable_metadata", True)
    _, _, results = edited(classes, nano, picture, plan, preset="paste")
    (saved,) = classes["DragFlowSaveEdit"]().save(results, "plain", {}, {"workflow": {}})["ui"]["images"]
    assert not Image.open(folders / "output" / saved["filename"]).info


def test_errors_are_sentences_before_any_model_call(
    classes: dict[str, Any], nano: Any, picture: torch.Tensor, plan: Any
) -> None:
    from comfy import utils

    utils.SHOWN.clear()
    with pytest.raises(UserError, match=r"optimise\.refininng is not a known key"):
        edited(classes, nano, picture, plan, settings="optimise.refininng=1")
    box = classes["DragFlowRegionFromBox"]().make(60, 60, 16, 16)[0]
    with pytest.raises(UserError, match="operation 0"):
        edited(classes, nano, picture, classes["DragFlowMove"]().add(box, mode="by", x=500.0, y=0.0)[0])
    assert not utils.SHOWN
