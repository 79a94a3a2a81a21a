"""Requests that must not reach the application do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from http_makers import asked, picture, png

from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.http.app import check_address, create_app
from dragflow.http.settings import ServerSettings, public_name
from dragflow.service import Service

TOKEN = "a token that nobody guesses"


@pytest.fixture
def guarded(service: Service, settings: ServerSettings) -> Iterator[TestClient]:
    app = create_app(service, replace(settings, token=TOKEN))
    with TestClient(app, base_url="http://example.org") as client:
        yield client


def test_a_token_is_needed_where_there_is_one(guarded: TestClient) -> None:
    assert guarded.get("/healthz").status_code == 200
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN[:-1]},
        {"Cookie": "dragflow_session=x"},
        {"Cookie": f"dragflow_session={TOKEN}"},
    ):
        answer = guarded.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert TOKEN not in answer.text
    assert guarded.get("/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_token_is_never_shown(settings: ServerSettings) -> None:
    assert TOKEN not in repr(replace(settings, token=TOKEN))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_other_machines_are_served_only_with_a_token(host: str, settings: ServerSettings) -> None:
    with pytest.raises(UserError, match="DRAGFLOW_TOKEN"):
        check_address(host, settings)
    check_address(host, replace(settings, token=TOKEN))
    check_address("127.0.0.1", settings)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[::1", "\u00e9"])
def test_a_name_that_resolves_to_this_machine_is_not_its_name(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"Host": host.encode()})  # pyright: ignore[reportArgumentType]
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "[::1]:8765"])
def test_its_own_names_are(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://[bad"},
    ],
)
def test_pages_of_other_sites_change_nothing(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/v1/previews", json=asked(), headers=headers).status_code == 403
    assert client.post("/v1/previews", json=asked(), headers={"Origin": "http://localhost"}).status_code == 200


def test_a_request_that_is_too_large_is_not_read(service: Service, settings: ServerSettings) -> None:
    app = create_app(service, replace(settings, upload_bytes=2048))
    with TestClient(app, base_url="http://localhost") as client:
        for answer in (
            client.post("/v1/pictures", files={"picture": png(picture())}),
            client.post("/v1/pictures", content=iter([b"x" * 1500] * 3), headers={"Content-Type": "application/json"}),
        ):
            assert answer.status_code == 413
            assert "over 2048 bytes" in answer.json()["detail"]


def test_a_folder_is_known_by_its_last_name_alone(settings: ServerSettings, tmp_path: object) -> None:
    assert public_name(ModelOptions(str(tmp_path))) == str(tmp_path).rpartition("/")[2]
    assert public_name(ModelOptions("black-forest-labs/FLUX.1-dev")) == "black-forest-labs/FLUX.1-dev"


def test_models_metrics_and_the_interface_are_told(client: TestClient) -> None:
    assert [one["name"] for one in client.get("/v1/models").json()["models"]] == ["flux-dummy", "dummy"]
    client.get("/v1/edits/secret-id")
    numbers = client.get("/metrics").text
    assert 'dragflow_requests_total{route="/v1/edits/{name}",status="404"}' in numbers
    assert "secret-id" not in numbers
    assert 'dragflow_jobs{state="done"} 0.0' in numbers
    assert "/v1/edits" in client.get("/openapi.json").json()["paths"]
    page = client.get("/docs").text
    assert "http://" not in page.replace("http://localhost", "")
    assert "https://" not in page


def test_unknown_addresses_and_methods_are_problems(client: TestClient) -> None:
    for answer, status in ((client.get("/nowhere"), 404), (client.put("/v1/edits"), 405)):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
