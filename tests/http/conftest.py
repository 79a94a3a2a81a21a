"""A server on the embedded dummy model: without a socket, and by tests of its own on a cluster, too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from dragflow.core.models import ModelOptions
from dragflow.http.app import create_app
from dragflow.http.settings import ServerSettings
from dragflow.intent.options import ProviderOptions
from dragflow.service import GuessOptions, ModelPool, Service
from dragflow.service.limits import Limits
from ray_clusters import ray_cluster

ON_CLUSTER = ("test_edits", "test_drafts", "test_http_exports")
"""Of their tests, those that only send requests also run on a cluster."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    needed = set(metafunc.fixturenames)
    name = getattr(metafunc.module, "__name__", "")
    if "client" in needed and name in ON_CLUSTER and not needed & {"service", "monkeypatch"}:
        metafunc.parametrize("client", ["here", pytest.param("cluster", marks=pytest.mark.cluster)], indirect=True)


@pytest.fixture
def settings(dummy_folder: Path) -> ServerSettings:
    models = (ModelOptions(str(dummy_folder), device="cpu"), ModelOptions("dummy", device="cpu"))
    return ServerSettings(models=models, preview_seconds=3600)  # none, however slow the machine is


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service(ModelPool(2), Limits(queue=4))
    yield service
    service.close()


@pytest.fixture
def here(service: Service, settings: ServerSettings) -> Iterator[TestClient]:
    guesses = GuessOptions(ProviderOptions("rules"), cache=False)
    with TestClient(create_app(service, settings, guesses), base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    if sys.platform == "win32":
        pytest.skip("Ray Serve is tried on Linux")
    with ray_cluster() as address:
        yield address


@pytest.fixture(scope="session")
def cluster(ray_address: str, dummy_folder: Path) -> Iterator[httpx.Client]:
    from dragflow.http.ray_front import Deployment, deployed
    from dragflow.service.scale import Scale

    made = Deployment(
        (ModelOptions(str(dummy_folder), device="cpu"), ModelOptions("dummy", device="cpu")),
        ProviderOptions("rules"),
        Scale(2, 2),
        preview_seconds=3600,
    )
    with deployed(made, ray_address, "127.0.0.1", 0) as at, httpx.Client(base_url=at, timeout=120) as client:
        yield client


@pytest.fixture
def client(request: pytest.FixtureRequest) -> TestClient | httpx.Client:
    return request.getfixturevalue(getattr(request, "param", "here"))
