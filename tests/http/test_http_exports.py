"""What is taken away over HTTP, and what a result's recipe tells."""

from __future__ import annotations

import base64
import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

import numpy as np
import pytest
from fastapi.testclient import TestClient
from http_makers import BALL, SHORT, asked, b64, opened, picture, png

from dragflow.core.config import EditConfig
from dragflow.core.models import ModelOptions, WeightsId
from dragflow.core.motion import Rotate, Translate
from dragflow.core.result import Recipe
from dragflow.core.task import Box, Instruction, MaskArray, Operation, Polygon
from dragflow.files.pictures import from_pixels
from dragflow.files.presets import load_preset, override
from dragflow.files.recipes import encode_result
from dragflow.files.red_bench import load_red_bench
from dragflow.http.app import create_app
from dragflow.http.settings import ServerSettings
from dragflow.service import Service


def done(client: TestClient, edit: dict[str, Any]) -> bytes:
    while client.get(f"/v1/edits/{edit['id']}").json()["state"] in ("queued", "running"):
        time.sleep(0.02)
    return client.get(f"/v1/edits/{edit['id']}/result.png").content


def result(asked: Instruction, config: EditConfig, model: str, **options: Any) -> bytes:
    """A result with a recipe, of a model that may be anywhere."""
    source = from_pixels(picture())
    weights = WeightsId(ModelOptions(model, **options), "0123456789abcdef")
    recipe = Recipe(asked, config, config.hash, weights, source.sha256, {})
    return encode_result(source, 255 - source.pixels, recipe)


def test_everything_of_an_edit_is_one_zip(client: TestClient) -> None:
    edit = client.post("/v1/edits", json=asked(preset="fast", settings=SHORT)).json()
    made = done(client, edit)
    named = client.post("/v1/exports", json=asked(names=["Ball"], edit=edit["id"]))
    assert (named.status_code, named.headers["content-type"]) == (200, "application/zip")
    assert client.post("/v1/exports", json=asked(names=["Ball"], result=b64(made))).content == named.content
    with ZipFile(io.BytesIO(named.content)) as file:
        assert file.read("result.png") == made
        assert (opened(file.read("masks/1-ball.png")) > 127)[48, 40]
        layer = opened(file.read("layers/1-ball.png"))
        assert np.abs(layer[48, 80].astype(int) - (200, 60, 50, 255)).max() <= 12
        assert layer[48, 40, 3] == 0
        ground = opened(file.read("layers/0-background.png"))[48, 40, :3]
        assert np.abs(ground.astype(int) - (70, 120, 90)).max() < 20
        assert file.read("layers.ora").startswith(b"PK")
    assert "left-out" not in named.headers


def test_a_sample_that_is_left_out_is_told_with_its_reason(client: TestClient) -> None:
    scaled = asked()
    scaled["instruction"]["operations"][0]["motion"] = {"type": "scale", "about": [40, 48], "factor": 1.2}
    answer = client.post("/v1/exports", json=scaled)
    assert "deformation and rotation only, not scale" in unquote(answer.headers["left-out"])
    assert "left-out" not in client.post("/v1/exports", json=scaled | {"what": "layers"}).headers


def test_a_form_takes_away_a_sample_and_an_openraster_file(client: TestClient, tmp_path: Path) -> None:
    fields = {"background_prompt": "a red ball", "tasks": ["transformation"]}
    form = {"instruction": json.dumps(asked()["instruction"]), "sample": json.dumps(fields), "names": '["Ball"]'}
    files = {"picture": png(picture())}
    answer = client.post("/v1/exports", files=files, data=form | {"what": "red_bench"})
    with ZipFile(io.BytesIO(answer.content)) as file:
        file.extractall(tmp_path)
    sample = load_red_bench(tmp_path / "red_bench")
    assert sample.instruction.prompt == "a red ball"
    assert np.array_equal(sample.image.pixels, picture())
    raster = client.post(
        "/v1/exports", files=files | {"result": png(picture())}, data=form | {"what": "openraster", "variant": "0"}
    )
    assert raster.headers["content-type"] == "image/openraster"
    with ZipFile(io.BytesIO(raster.content)) as file:
        names = file.read("stack.xml").decode()
    assert names.index('"Result"') < names.index('"Ball"') < names.index('"Background"') < names.index('"Picture"')


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"what": "psd"}, 400, "what"),
        ({"edit": "none"}, 404, "no such edit"),
        ({"edit": "none", "result": "AAAA"}, 400, "say the result in one way"),
        ({"result": "?"}, 400, "`result` is not in base64"),
        ({"result": "AAAA"}, 400, "picture in `result` is not in a format that can be read"),
        ({"picture": "AAAA"}, 400, "picture in `picture` is not in a format"),
        ({"names": ["x" * 300]}, 400, "names.0"),
        ({"names": ["a", "b"]}, 400, "2 `names` are given for 1 regions"),
        ({"sample": {"tasks": ["flight"]}}, 400, "sample.tasks.0"),
        ({"what": "red_bench", "sample": {"begin_points": [[1, 1]]}}, 400, "give pairs"),
    ],
)
def test_what_cannot_be_taken_away_is_said(client: TestClient, more: Any, status: int, words: str) -> None:
    answer = client.post("/v1/exports", json=asked(**more))
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


def test_an_empty_file_is_called_by_its_field(client: TestClient) -> None:
    form = {"instruction": json.dumps(asked()["instruction"])}
    answer = client.post("/v1/exports", files={"picture": png(picture()), "result": b""}, data=form)
    assert (answer.status_code, answer.json()["detail"]) == (400, "`result` is empty: choose another file")


@pytest.mark.parametrize(
    ("served", "made", "offered"),
    [
        (ModelOptions("a/b"), ModelOptions("a/b", "abc", None, "bfloat16"), True),
        (ModelOptions("a/b"), ModelOptions("c/b"), False),
        (ModelOptions("/srv/mine"), ModelOptions("/home/anna/mine"), True),
        (ModelOptions("/srv/mine"), ModelOptions("models/mine"), True),
        (ModelOptions("/srv/mine"), ModelOptions("models/notmine"), False),
        (ModelOptions("dummy"), ModelOptions("/home/anna/dummy"), False),
        (ModelOptions("a/b", dtype="float32"), ModelOptions("a/b", dtype="float32"), True),
        (ModelOptions("a/b", dtype="float32"), ModelOptions("a/b", dtype="bfloat16"), False),
        (ModelOptions("a/b", "abc"), ModelOptions("a/b", "def"), False),
        (ModelOptions("a/b", quantize="gguf:q8.gguf"), ModelOptions("a/b", quantize="gguf:/home/anna/q8.gguf"), True),
        (ModelOptions("a/b", quantize="gguf:q8.gguf"), ModelOptions("a/b", quantize="gguf:/home/anna/q4.gguf"), False),
        (
            ModelOptions("a/b", lora=("mine/cat.safetensors:0.5",)),
            ModelOptions("a/b", lora=("cat.safetensors:0.5",)),
            True,
        ),
        (ModelOptions("a/b", lora=("cat.safetensors:0.5",)), ModelOptions("a/b", lora=("cat.safetensors:0.7",)), False),
        (ModelOptions("a/b", lora=("cat.safetensors",)), ModelOptions("a/b"), False),
    ],
)
def test_a_served_model_is_known_by_its_names_and_its_dtype(
    service: Service, settings: ServerSettings, served: ModelOptions, made: ModelOptions, offered: bool
) -> None:
    asked = Instruction(Operation(MaskArray(BALL), Translate((80, 48), "relocation"), None, "soft", False))
    body = {"picture": b64(result(asked, EditConfig(), **vars(made)))}
    with TestClient(create_app(service, replace(settings, models=(served,))), base_url="http://localhost") as client:
        assert (client.post("/v1/recipes", json=body).json()["served"] is not None) == offered


def test_a_broken_recipe_says_which_region_is_wrong(client: TestClient) -> None:
    outside = Operation(Box(300, 0, 310, 10), Translate((80, 48), "relocation"), (40, 50), "soft", False)
    body = {"picture": b64(result(Instruction(outside), EditConfig(), "dummy"))}
    answer = client.post("/v1/recipes", json=body)
    assert (answer.status_code, "`operations.0.region` has the point" in answer.json()["detail"]) == (400, True)


def test_an_edit_that_its_recipe_describes_has_the_same_bytes(client: TestClient) -> None:
    first = asked(preset="fast", settings=[*SHORT, "area.margin=3"], seed=11, model="dummy")
    made = done(client, client.post("/v1/edits", json=first).json())
    told = client.post("/v1/recipes", files={"picture": made}).json()
    assert told == client.post("/v1/recipes", json={"picture": b64(made)}).json()
    assert (told["served"], told["model"]["name"], told["seed"]) == ("dummy", "dummy", 11)
    assert told["source"] == {"sha256": from_pixels(picture()).sha256, "width": 128, "height": 96}
    again = {key: told[key] for key in ("instruction", "preset", "settings", "seed")} | {"model": told["served"]}
    assert done(client, client.post("/v1/edits", json=again | {"picture": asked()["picture"]}).json()) == made


def test_a_recipe_tells_masks_and_motions_whatever_their_kind(client: TestClient) -> None:
    outline = Polygon(((60, 10), (90, 10), (90, 30), (60, 30)))
    operations = [
        Operation(MaskArray(BALL), Translate((80, 48), "relocation"), (40, 50), "soft", MaskArray(~BALL, invert=False)),
        Operation(outline, Rotate((75, 20), degrees=90, label="relocation"), None, "hard", False),
    ]
    editable = Instruction(operations, "a ball", "moved", Box(0, 0, 127, 95), "extend")
    config = override(load_preset("text"), ["seed=5", "area.detail=true"])
    told = client.post("/v1/recipes", json={"picture": b64(result(editable, config, "dummy"))}).json()
    first, second = told["regions"]
    assert np.array_equal(opened(base64.b64decode(first["mask"])) > 127, BALL)
    assert np.array_equal(opened(base64.b64decode(first["front"])) > 127, ~BALL)
    assert told["alike"].startswith("preset text (1 setting changed) draws no noise")
    assert first["matrix"] == [[1, 0, 40], [0, 1, -2]]
    assert (opened(base64.b64decode(second["mask"])) > 127).sum() == 31 * 21
    assert np.allclose(second["matrix"], [[0, -1, 95], [1, 0, -55]])
    assert second["front"] is None
    assert (opened(base64.b64decode(told["area"])) > 127).all()
    assert told["instruction"]["operations"][1]["region"]["type"] == "polygon"
    assert told["instruction"]["editable_mode"] == "extend"
    assert override(load_preset(told["preset"]), [*told["settings"], "seed=5"]) == config


@pytest.mark.parametrize(
    ("model", "options", "name"),
    [
        ("some/other", {}, "some/other"),
        ("/home/anna/models/mine", {}, "mine"),
        ("C:\\models\\mine", {}, "mine"),
        ("dummy", {"lora": ("/home/anna/cat.safetensors:0.5",)}, "dummy"),
        ("dummy", {"quantize": "int8"}, "dummy"),
    ],
)
def test_a_model_that_is_not_served_is_named_without_its_place(
    client: TestClient, model: str, options: dict[str, Any], name: str
) -> None:
    asked = Instruction(Operation(MaskArray(BALL), Translate((80, 48), "relocation"), None, "soft", False))
    answer = client.post("/v1/recipes", json={"picture": b64(result(asked, EditConfig(), model, **options))})
    assert (answer.json()["served"], answer.json()["model"]["name"]) == (None, name)
    assert "anna" not in answer.text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"picture": b64(png(picture()))}, "has no recipe: it was not made by dragflow"),
        ({"picture": b64(png(picture(), "JPEG"))}, "has no recipe: it was not made by dragflow"),
        ({"picture": "?"}, "`picture` is not in base64"),
        ({}, "picture"),
        ({"picture": b64(png(picture())), "path": "/etc/passwd"}, "path"),
    ],
)
def test_what_holds_no_recipe_is_refused(client: TestClient, body: Any, words: str) -> None:
    answer = client.post("/v1/recipes", json=body)
    assert (answer.status_code, words in answer.json()["detail"]) == (400, True), answer.text
