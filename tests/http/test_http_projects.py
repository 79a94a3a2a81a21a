"""Projects over HTTP: put together, and told to a page after they were verified."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from http_makers import b64, opened

from dragflow import Project
from dragflow.files.encoding import encode_png
from dragflow.files.instructions import to_file
from project_makers import MOVE, chained, made, picture, result, unzipped

SOURCE = encode_png(picture(), picture().pixels)


def edits() -> list[dict[str, Any]]:
    first = result(picture(), 1)
    return [
        {"result": b64(first), "instruction": to_file(MOVE), "names": ["Box"], "seconds": 1.5},
        {"result": b64(result(made(first), 2))},
        {"instruction": to_file(MOVE), "parent": 2, "names": ["Box"]},
    ]


def test_a_project_is_put_together_and_told(client: TestClient) -> None:
    saved = client.post("/v1/projects", json={"name": "hill.png", "picture": b64(SOURCE), "edits": edits()})
    assert (saved.status_code, saved.headers["content-type"]) == (200, "application/vnd.dragflow.project+zip")
    project = Project.decode(saved.content, "saved")
    assert [(edit.parent, edit.names, edit.seconds) for edit in project.edits] == [
        (0, ("Box",), 1.5),
        (1, (), None),
        (2, ("Box",), None),
    ]
    told = client.post("/v1/projects/contents", files={"project": saved.content}).json()
    assert told == client.post("/v1/projects/contents", json={"project": b64(saved.content)}).json()
    assert told["name"] == "hill.png"
    assert base64.b64decode(told["picture"]) == SOURCE
    assert np.array_equal(opened(base64.b64decode(told["upright"])), picture().pixels)
    first, second, marked = told["edits"]
    assert [edit["parent"] for edit in told["edits"]] == [0, 1, 2]
    assert first["made_with"]["served"] == "dummy"
    assert (second["made_with"]["seed"], marked["made_with"], marked["result"]) == (2, None, None)
    assert base64.b64decode(second["result"]) == project.stored(2).data
    assert marked["source"]["sha256"] == project.stored(2).sha256
    assert (opened(base64.b64decode(marked["regions"][0]["mask"])) > 127).sum() == 11 * 11
    again = client.post("/v1/projects", json={"name": "hill.png", "picture": told["picture"], "edits": edits()})
    assert again.content == saved.content


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"picture": "AAAA"}, "is not in a format that can be read"),
        ({"picture": "?"}, "`picture` is not in base64"),
        ({"edits": [{}]}, "`edits.0` has neither `result` nor `instruction`"),
        ({"edits": [{"result": b64(SOURCE)}]}, "has no recipe"),
        ({"edits": [edits()[1]]}, "was made from a picture that is not in the project"),
        ({"edits": [edits()[2]]}, "edit 1: it continues edit 2, of which there is no result before it"),
        (
            {"edits": [{"instruction": {"operations": [{"region": {"type": "mask", "path": "/etc/passwd"}}]}}]},
            "edits.0",
        ),
        ({"path": "/etc/passwd"}, "path is not a known key"),
    ],
)
def test_what_makes_no_project_is_said(client: TestClient, body: Any, words: str) -> None:
    answer = client.post("/v1/projects", json={"picture": b64(SOURCE)} | body)
    assert (answer.status_code, words in answer.json()["detail"]) == (400, True), answer.text


def test_what_is_no_project_is_refused(client: TestClient) -> None:
    data = chained()[0].encoded()
    for broken, words in (
        (data[:-40], "the project cannot be read as a zip"),
        (data.replace(unzipped(data)["source.png"], bytes(len(unzipped(data)["source.png"]))), "source.png is damaged"),
        (b"", "`project` is empty"),
    ):
        answer = client.post("/v1/projects/contents", files={"project": broken})
        assert (answer.status_code, words in answer.json()["detail"]) == (400, True), answer.text
