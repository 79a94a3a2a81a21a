"""Pictures, previews, layers, selections and intents over HTTP."""

from __future__ import annotations

import base64
import gc
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from http_makers import BALL, asked, b64, opened, picture, png

import dragflow
from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.config import EditConfig
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Instruction, MaskArray, Operation, PromptForm
from dragflow.files.instructions import to_file
from dragflow.files.pictures import SourceImage, from_pixels
from dragflow.http.app import create_app
from dragflow.http.pictures import Pictures
from dragflow.http.refused import Refused
from dragflow.http.settings import ServerSettings
from dragflow.pixels import layers
from dragflow.pixels.masks import dilate
from dragflow.pixels.matte import cut_out
from dragflow.select import Selector
from dragflow.service import Service


def test_a_picture_is_sent_once_and_then_named(client: TestClient) -> None:
    kept = client.post("/v1/pictures", files={"picture": png(picture())}).json()
    assert (kept["width"], kept["height"]) == (128, 96)
    assert np.array_equal(opened(client.get(f"/v1/pictures/{kept['id']}").content), picture())
    named = asked() | {"picture": None, "picture_id": kept["id"]}
    one, two = (client.post("/v1/previews", json=json).content for json in (named, asked()))
    assert one == two
    assert client.delete(f"/v1/pictures/{kept['id']}").status_code == 204
    assert client.post("/v1/previews", json=named).status_code == 404
    assert client.delete(f"/v1/pictures/{kept['id']}").status_code == 404


def test_a_preview_is_that_of_the_library(client: TestClient) -> None:
    answer = client.post("/v1/previews", json=asked())
    expected = dragflow.preview(picture(), Operation(MaskArray(BALL), Translate((80, 48))))
    assert np.array_equal(opened(answer.content), np.asarray(expected))


def test_layers_hold_what_a_page_draws(client: TestClient) -> None:
    for coarse in (True, False):
        found = client.post("/v1/layers", json=asked(coarse=coarse)).json()
        (region,) = found["regions"]
        cutout = opened(base64.b64decode(region["cutout"]["png"]))
        assert cutout.shape[2] == 4
        middle = cutout[48 - region["cutout"]["top"], 40 - region["cutout"]["left"]]
        assert np.abs(middle.astype(int) - (200, 60, 50, 255)).max() <= 2
        plate = opened(base64.b64decode(found["plate"]["png"]))
        ground = plate[48 - found["plate"]["top"], 40 - found["plate"]["left"]]
        assert np.abs(ground.astype(int) - (70, 120, 90)).max() < 20
        assert region["mesh"] is None
        assert found["instruction"]["operations"][0]["motion"]["label"] == "relocation"


def test_refined_layers_are_made_once_for_ghost_and_preview(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Mask] = []
    monkeypatch.setattr(layers, "cut_out", lambda image, mask, cut: made.append(mask) or cut_out(image, mask, cut))
    for path in ("/v1/layers", "/v1/previews"):
        assert client.post(path, json=asked()).status_code == 200
    assert len([mask for mask in made if mask.shape == BALL.shape]) == 1  # others are of the ghost that warms up


def test_layers_tell_whether_a_region_was_moved_to_an_edge(client: TestClient) -> None:
    careless = asked()
    mask = dilate(BALL, 4)
    careless["instruction"] = to_file(Instruction(Operation(MaskArray(mask), Translate((80, 48)), cut="snap")))
    (found,) = client.post("/v1/layers", json=careless).json()["regions"]
    assert found["snapped"]
    careless["instruction"]["operations"][0]["cut"] = "hard"
    (found,) = client.post("/v1/layers", json=careless).json()["regions"]
    assert not found["snapped"]


def test_layers_of_an_attached_part_have_a_mesh(client: TestClient) -> None:
    part = asked()
    part["instruction"]["operations"][0]["motion"]["label"] = "deformation"
    (region,) = client.post("/v1/layers", json=part).json()["regions"]
    weights = np.array(region["mesh"]["weights"])
    assert weights.shape == (len(region["mesh"]["ys"]), len(region["mesh"]["xs"]))
    assert (weights.min(), weights.max()) == (0, 1)


def test_a_point_selects_the_thing_there(client: TestClient) -> None:
    answer = client.post("/v1/selections", json={"picture": b64(png(picture())), "points": [[40, 48]]})
    mask = opened(answer.content) > 127
    assert (mask & BALL).sum() > 0.9 * (mask | BALL).sum()
    outside = client.post("/v1/selections", json={"picture": b64(png(picture())), "points": [[400, 48]]})
    assert (outside.status_code, "outside of the picture (128 x 96)" in outside.text) == (400, True)


def test_intents_come_with_the_instruction_that_each_makes(client: TestClient) -> None:
    said = client.post("/v1/intents", json=asked()).json()
    assert said["candidates"]
    for candidate in said["candidates"]:
        again = asked() | {"instruction": candidate["instruction"]}
        assert client.post("/v1/previews", json=again).status_code == 200


def test_guesses_are_worded_for_the_model_that_is_asked_for(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, tuple[str, ...]]] = []

    def prompts(model: ModelOptions, config: EditConfig) -> PromptForm:
        told.append((model.name, config.references))
        return "instructions"

    monkeypatch.setattr("dragflow.http.drafts.usual_prompts", prompts)
    more = {"preset": "instant", "settings": ['references=["moved"]']}
    said = client.post("/v1/intents", json=asked() | more).json()
    assert all(candidate["prompt"].startswith("Blend the ") for candidate in said["candidates"])
    assert [references for _, references in told] == [("moved",)]
    wrong = client.post("/v1/intents", json=asked() | {"preset": "/etc/passwd"})
    assert (wrong.status_code, "is not known" in wrong.text) == (400, True)


def test_unused_pictures_go_first_when_there_are_too_many_and_all_after_their_time() -> None:
    now = 0.0
    small = from_pixels(np.zeros((64, 64, 3), np.uint8))
    pictures = Pictures(ServerSettings(kept_bytes=3 * small.pixels.nbytes, keep_seconds=10), lambda: now)

    def there(name: str) -> bool:
        try:
            return pictures.get(name) is small
        except Refused:
            return False

    names: list[Any] = [pictures.add(small) for _ in range(3)]
    assert there(names[0])
    names.append(pictures.add(small))
    assert [there(name) for name in names] == [True, False, True, True]
    now = 11.0
    assert not any(there(name) for name in names)


def test_what_a_first_ghost_needs_is_loaded_before() -> None:
    script = (
        "import sys; from dragflow.http.drafts import warm; name = 'scipy.sparse.linalg'; "
        "before = name in sys.modules; warm(); print(before, name in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == "False True\n"


def test_a_picture_is_freed_after_its_time_though_nobody_asks(
    service: Service, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[weakref.ref[Any]] = []
    add = Pictures.add

    def watched(pictures: Pictures, source: SourceImage) -> str:
        kept.append(weakref.ref(source))
        return add(pictures, source)

    monkeypatch.setattr(Pictures, "add", watched)
    app = create_app(service, replace(settings, keep_seconds=2))
    with TestClient(app, base_url="http://localhost") as client:
        client.post("/v1/pictures", files={"picture": png(picture())})
        gc.collect()
        assert kept[0]() is not None
        end = time.monotonic() + 40
        while kept[0]() is not None and time.monotonic() < end:
            time.sleep(0.1)
            gc.collect()
        assert kept[0]() is None


def test_what_finds_things_is_told_and_used(service: Service, settings: ServerSettings) -> None:
    def corner(image: Pixels, points: Sequence[Point]) -> Mask:
        found = np.zeros(image.shape[:2], np.bool_)
        found[: round(points[0][1]), : round(points[0][0])] = True
        return found

    app = create_app(service, settings, selector=Selector("corners", corner))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/v1/models").json()["selects_by"] == "corners"
        answer = client.post("/v1/selections", files={"picture": png(picture())}, data={"points": "[[7, 5]]"})
    assert (opened(answer.content) > 0).sum() == 35
