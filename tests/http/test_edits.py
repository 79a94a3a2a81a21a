"""Edits over HTTP: submitted, followed, fetched, cancelled; what comes out is what the library makes."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from http_makers import SHORT, asked, opened, picture, png

from dragflow.core.events import Event
from dragflow.core.motion import Translate
from dragflow.files.recipes import load_recipe
from dragflow.http.app import create_app
from dragflow.http.settings import ServerSettings
from dragflow.service import ModelPool, Service, run
from dragflow.service.jobs import EditJob

NOISY = ["inversion.steps=4", "inversion.skip=1", "inversion.mode=noised"]
"""Changes after which every seed gives another picture."""


def begun(client: TestClient, settings: list[str] = SHORT, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/edits", json=asked(settings=settings, **more))
    assert answer.status_code == 202, answer.text
    return answer.json()


def ended(client: TestClient, name: str) -> dict[str, Any]:
    for _ in range(600):
        state = client.get(f"/v1/edits/{name}").json()
        if state["state"] not in ("queued", "running"):
            return state
        time.sleep(0.05)
    raise AssertionError("it does not end")


def test_an_edit_gives_the_bytes_that_the_library_gives(client: TestClient, service: Service, tmp_path: Any) -> None:
    state = ended(client, begun(client, seed=7)["id"])
    assert (state["state"], state["model"]) == ("done", "flux-dummy")
    result = client.get(state["variants"][0]["result"])
    assert result.headers["content-type"] == "image/png"
    (handle,) = service.handles
    assert result.content == run(handle.job, ModelPool()).png()
    assert np.array_equal(opened(result.content)[0, 0], picture()[0, 0])
    (tmp_path / "result.png").write_bytes(result.content)
    assert load_recipe(tmp_path / "result.png").config.seed == 7


def test_an_estimate_is_told_before_and_known_after_an_edit(client: TestClient, service: Service) -> None:
    def estimated(**more: Any) -> dict[str, Any]:
        answer = client.post("/v1/estimates", json=asked(settings=NOISY, **more))
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert estimated() == {"seconds": None, "load_seconds": None, "memory_mib": None}
    assert client.post("/v1/estimates", json=asked(model="/etc/passwd")).status_code == 400
    ended(client, begun(client, NOISY)["id"])
    service.close()  # which waits until the edit was counted
    one, two = estimated(), estimated(variants=2)
    assert one["seconds"] > 0
    assert two["seconds"] == pytest.approx(2 * one["seconds"], abs=0.15)
    assert (one["load_seconds"], one["memory_mib"] > 10) == (0, True)
    assert estimated(model="dummy")["seconds"] is None


def test_variants_are_one_edit_with_seeds_one_apart(client: TestClient) -> None:
    state = ended(client, begun(client, NOISY, seed=3, variants=2)["id"])
    assert [variant["seed"] for variant in state["variants"]] == [3, 4]
    first, second = (client.get(variant["result"]).content for variant in state["variants"])
    assert first != second
    alone = ended(client, begun(client, NOISY, seed=4)["id"])
    assert client.get(alone["variants"][0]["result"]).content == second


@pytest.mark.parametrize("address", ["/v1/edits", "/v1/estimates"])
def test_variants_that_would_be_alike_are_refused(client: TestClient, service: Service, address: str) -> None:
    answer = client.post(address, json=asked(preset="fast", variants=3))
    assert answer.status_code == 400
    why = next(one["alike"] for one in client.get("/v1/models").json()["presets"] if one["name"] == "fast")
    assert answer.json()["detail"] == f"3 variants are asked for, but {why}"
    assert "preset fast draws no noise" in why
    assert not service.handles


def test_a_form_is_taken_like_json(client: TestClient) -> None:
    fields = asked(settings=SHORT, seed=5)
    form = {key: json.dumps(value) for key, value in fields.items() if key not in ("picture", "seed")} | {"seed": "5"}
    answer = client.post("/v1/edits", data=form, files={"picture": ("me.png", png(picture()), "image/png")})
    assert answer.status_code == 202, answer.text
    state = ended(client, answer.json()["id"])
    same = ended(client, begun(client, seed=5)["id"])
    assert client.get(state["variants"][0]["result"]).content == client.get(same["variants"][0]["result"]).content


def test_events_are_streamed_to_every_listener_until_the_end(client: TestClient) -> None:
    name = begun(client)["id"]
    streams = [client.get(f"/v1/edits/{name}/events").text for _ in range(2)]
    for text in streams:
        kinds = [line.partition(": ")[2].strip() for line in text.splitlines() if line.startswith("event")]
        assert kinds[-2:] == ["ended", "end"]
        data = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        phases = [one["phase"] for one in data if one.get("event") == "finished"]
        assert phases[-1] == "decode"
    assert streams[0] == streams[1]


def test_a_preview_is_decoded_on_the_way(service: Service, settings: ServerSettings) -> None:
    with TestClient(
        create_app(service, replace(settings, preview_seconds=0.001)), base_url="http://localhost"
    ) as client:
        name = begun(client)["id"]
        assert "event: preview" in client.get(f"/v1/edits/{name}/events").text
        shown = opened(client.get(ended(client, name)["variants"][0]["preview"]).content)
    assert shown.shape == picture().shape


def test_no_preview_is_decoded_before_one_is_due(client: TestClient) -> None:
    name = begun(client)["id"]
    assert "preview" not in ended(client, name)["variants"][0]
    assert client.get(f"/v1/edits/{name}/preview.jpg").status_code == 409


def hold(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Jobs stop at their first event until they are let go."""
    reached, go = threading.Event(), threading.Event()

    def held(job: EditJob, pool: ModelPool, observer: Any) -> Any:
        def observe(event: Event) -> None:
            reached.set()
            go.wait(20)
            observer(event)

        return run(job, pool, observe)

    monkeypatch.setattr(sys.modules["dragflow.service.run"], "run", held)
    return reached, go


def test_a_running_and_a_waiting_edit_are_cancelled(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go = hold(monkeypatch)
    running, waiting = begun(client)["id"], begun(client)["id"]
    assert reached.wait(20)
    assert client.get(f"/v1/edits/{waiting}").json()["variants"][0]["position"] == 1
    assert client.delete(f"/v1/edits/{waiting}").json()["state"] == "cancelled"
    client.delete(f"/v1/edits/{running}")
    go.set()
    assert ended(client, running)["state"] == "cancelled"
    assert client.get(f"/v1/edits/{running}/result.png").json()["detail"] == "the edit was cancelled"
    monkeypatch.undo()
    assert ended(client, begun(client)["id"])["state"] == "done"


def test_a_full_queue_is_said(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    _, go = hold(monkeypatch)
    begun(client, NOISY, variants=4)
    answer = client.post("/v1/edits", json=asked(settings=SHORT))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "4 edits wait already" in answer.json()["detail"]
    go.set()


def test_what_fails_says_why_and_the_next_one_runs(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr(sys.modules["dragflow.service.run"], "run", broken)
    state = ended(client, begun(client)["id"])
    assert state["state"] == "failed"
    assert "secret" not in json.dumps(state)
    assert client.get(f"/v1/edits/{state['id']}/result.png").status_code == 409
    monkeypatch.undo()
    assert ended(client, begun(client)["id"])["state"] == "done"


def test_nobody_sees_the_edit_of_another(client: TestClient) -> None:
    name = begun(client)["id"]
    assert len(name) >= 20
    for other in (name[:-1] + ("A" if name[-1] != "A" else "B"), "1", "..", "%2e%2e"):
        for address in ("", "/result.png", "/events", "/preview.jpg"):
            assert client.get(f"/v1/edits/{other}{address}").status_code == 404
    assert client.get("/v1/edits").status_code == 405


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no picture": ({"picture": None}, "either `picture` or `picture_id`"),
    "not base64": ({"picture": "%%%"}, "not in base64"),
    "not a picture": ({"picture": "AAAA"}, "cannot be read|not in a format"),
    "an unknown model": ({"model": "/etc/passwd"}, "is not served here: choose one of flux-dummy, dummy"),
    "a preset of the disk": ({"preset": "/etc/passwd"}, "is not known: choose one of"),
    "an unknown setting": ({"settings": ["nothing=1"]}, "nothing"),
    "a mask of the disk": (
        {
            "instruction": {
                "version": 2,
                "operations": [
                    {"region": {"type": "mask", "path": "/etc/passwd"}, "motion": {"type": "translate", "to": [1, 2]}}
                ],
            }
        },
        "only embedded masks are allowed",
    ),
    "too many variants": ({"variants": 99}, "variants"),
    "an unknown field": ({"outputs": "x"}, "outputs"),
}


@pytest.mark.parametrize(("change", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_said_in_a_sentence(client: TestClient, change: dict[str, Any], sentence: str) -> None:
    answer = client.post("/v1/edits", json=asked() | change)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    detail = answer.json()["detail"]
    assert any(part in detail for part in sentence.split("|")), detail
    assert len(detail) < 600


def test_the_motion_is_that_of_the_request(client: TestClient, service: Service) -> None:
    begun(client)
    (handle,) = service.handles
    motion = handle.job.instruction.operations[0].motion
    assert isinstance(motion, Translate)
    assert motion.to == (80, 48)
