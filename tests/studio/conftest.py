"""A real browser on a real studio with the embedded model."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from studio_pages import Visitor

from dragflow.core.models import ModelOptions
from dragflow.http.app import create_app
from dragflow.http.settings import ServerSettings
from dragflow.intent.options import ProviderOptions
from dragflow.service import GuessOptions, ModelPool, Service
from dragflow.studio.page import mount_studio

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZES = {"desk": (1440, 900), "phone": (390, 844)}


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A studio that runs as long as the tests do."""
    service = Service(ModelPool())
    settings = ServerSettings(models=(ModelOptions("nano", device="cpu"),), preview_seconds=0.5)
    app = mount_studio(create_app(service, settings, GuessOptions(ProviderOptions("rules"), cache=False)), ["nano"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)
    service.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium of the system; none is downloaded."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--force-color-profile=srgb"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Any]:
    """Opens the studio in a browser of its own; fails at the end if the page said an error or asked another server."""
    visitors: list[Visitor] = []

    def open_page(device: str = "desk") -> Visitor:
        width, height = SIZES[device]
        context = browser.new_context(viewport={"width": width, "height": height}, has_touch=device == "phone")
        visitors.append(Visitor(context.new_page(), address))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.page.context.close()
        assert visitor.complaints == []
