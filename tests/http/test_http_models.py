"""What a server says of its models, and loading and unloading them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from huggingface_hub import constants

from dragflow.core.models import ModelOptions
from dragflow.http.app import create_app
from dragflow.http.settings import ServerSettings, models_of


def listed(client: Any) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in client.get("/v1/models").json()["models"]}


def test_a_model_is_loaded_before_an_edit_and_unloaded(client: Any, settings: ServerSettings) -> None:
    first = listed(client)["flux-dummy"]
    assert (first["loaded"], first["default"], first["here"]) == (False, True, True)
    assert first["bytes"] > 1e6
    assert listed(client)["dummy"]["licence"].startswith("Apache-2.0")
    assert client.post("/v1/models/load", json={"model": "flux-dummy"}).json()["loaded"]
    assert [one["loaded"] for one in listed(client).values()] == [True, False]
    assert not client.post("/v1/models/unload", json={"model": "flux-dummy"}).json()["loaded"]
    assert not listed(client)["flux-dummy"]["loaded"]
    for address in ("load", "unload"):
        refused = client.post(f"/v1/models/{address}", json={"model": "/etc"})
        assert (refused.status_code, "not served here" in refused.json()["detail"]) == (400, True)


def test_a_server_for_others_downloads_nothing_that_a_page_asks_for(
    service: Any, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network is asked"))
    far = replace(settings, models=(ModelOptions("someone/model"),), token="secret")
    with TestClient(create_app(service, far), base_url="http://localhost") as client:
        headers = {"Authorization": "Bearer secret"}
        refused = client.post("/v1/models/load", json={"model": "someone/model"}, headers=headers)
    assert refused.status_code == 409
    assert "dragflow model download someone/model" in refused.json()["detail"]


def test_a_short_name_is_what_requests_call_a_model(models_file: Any, run: Any, dummy_folder: Any) -> None:
    from dragflow.http.settings import public_name

    run("model", "add", "mine", dummy_folder)
    run("model", "use", "mine")
    models = models_of(["dummy"], ModelOptions())
    assert [public_name(one) for one in models] == ["mine", "dummy"]
    settings = ServerSettings(models=models)
    assert settings.model("mine") is models[0]
