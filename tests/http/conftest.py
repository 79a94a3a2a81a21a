"""A server on the embedded dummy model, without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dragflow.core.models import ModelOptions
from dragflow.http.app import create_app
from dragflow.http.settings import ServerSettings
from dragflow.intent.options import ProviderOptions
from dragflow.service import GuessOptions, ModelPool, Service
from dragflow.service.limits import Limits


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
def client(service: Service, settings: ServerSettings) -> Iterator[TestClient]:
    guesses = GuessOptions(ProviderOptions("rules"), cache=False)
    with TestClient(create_app(service, settings, guesses), base_url="http://localhost") as client:
        yield client
