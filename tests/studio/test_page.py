"""What the page consists of comes from this machine, and nothing else is asked for."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from dragflow.core.models import ModelOptions
from dragflow.http.app import create_app
from dragflow.http.settings import ServerSettings
from dragflow.service import Service
from dragflow.studio.page import mount_studio
from dragflow.world import EXAMPLES


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = mount_studio(create_app(Service(), ServerSettings(models=(ModelOptions("nano"),))), ["nano"])
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def test_the_page_and_the_interface_are_one_server(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert '"title":"dragflow"' in page.text
    assert client.get("/v1/models").json()["models"][0]["name"] == "nano"
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_every_module_that_is_imported_is_served(client: TestClient) -> None:
    for folder in ("canvas", "page"):
        for entry in files("dragflow.studio").joinpath(folder).iterdir():
            address = f"/studio-files/{folder}/{entry.name}"
            answer = client.get(address)
            assert answer.status_code == 200, address
            text = entry.read_text(encoding="utf-8")
            assert not re.search(r"https?://", text), f"{address} names another server"
            for name in re.findall(r'from "(\.[^"]+)"', text):
                assert client.get(f"/studio-files/{folder}/{name}").status_code == 200, name


def test_a_first_visit_has_pictures_to_begin_with(client: TestClient) -> None:
    assert len(EXAMPLES) == 5
    for number in range(5):
        answer = client.get(f"/studio-files/examples/{number}.png")
        assert Image.open(io.BytesIO(answer.content)).size == (512, 512)


def test_nothing_outside_of_the_modules_is_served(client: TestClient) -> None:
    for address in ("/studio-files/page.py", "/studio-files/canvas/../page.py", "/studio-files/canvas/%2e%2e/page.py"):
        assert b"mount_studio" not in client.get(address).content
