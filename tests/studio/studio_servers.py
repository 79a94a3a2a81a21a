"""Studios with the embedded model that tests start and end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from dragflow.core.models import ModelOptions
from dragflow.http.app import create_app
from dragflow.http.settings import ServerSettings
from dragflow.intent.options import ProviderOptions
from dragflow.service import GuessOptions, ModelPool, Service
from dragflow.studio.page import mount_studio


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def served(port: int, **settings: Any) -> Iterator[str]:
    """A studio at a port; gives its address. At the end connections are cut and edits stopped, as when it is killed."""
    service = Service(ModelPool())
    about = ServerSettings(models=(ModelOptions("nano", device="cpu"),), preview_seconds=0.5, **settings)
    app = mount_studio(create_app(service, about, GuessOptions(ProviderOptions("rules"), cache=False)), ["nano"])
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = server.force_exit = True
    thread.join(10)
    for handle in service.handles:
        handle.cancel()
    service.close()


def join_workers() -> None:
    """Wait for what ended servers still compute: a thread inside a library aborts the program at its end."""
    end = time.monotonic() + 30
    for worker in threading.enumerate():
        if worker.name.startswith("AnyIO worker"):
            worker.join(max(0.0, end - time.monotonic()))
