"""What the pages show of the server is done against one that listens."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from http_makers import asked, opened, picture, png

from dragflow.http.app import create_app
from dragflow.http.settings import ServerSettings
from dragflow.service import Service

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/http.md")
SHOWN = "http://127.0.0.1:8765"


@pytest.fixture
def address(service: Service, settings: ServerSettings) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(service, settings), "127.0.0.1", 0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    for _ in range(400):
        if server.started:
            break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the picture and the instruction that the pages speak of."""
    (tmp_path / "photo.jpg").write_bytes(png(picture(), "JPEG"))
    (tmp_path / "task.json").write_text(json.dumps(asked()["instruction"]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: str, language: str, address: str) -> list[str]:
    """The examples of a page that speak of the server, for ours, with the quickest preset."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [one for one in re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S) if SHOWN in one]
    return [one.replace(SHOWN, address).replace("fast", "paste") for one in found]


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_the_pages_edits_a_picture(page: str, address: str, folder: Path) -> None:
    (block,) = blocks(page, "python", address)
    exec(compile(block, page, "exec"), {})
    assert_edited(folder / "edited.png")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("page", PAGES)
def test_the_curl_of_the_pages_edits_a_picture(page: str, address: str, folder: Path) -> None:
    found = reversed(blocks(page, "sh", address))  # the last one makes the result that the others take
    lines = [line for block in found for line in block.splitlines() if line.startswith("curl")]
    answer = json.loads(subprocess.check_output(lines[0].split(), timeout=60))
    assert answer["events"] == f"/v1/edits/{answer['id']}/events"
    for line in lines[1:] or [f"curl -N {address}/v1/edits/ID/events"]:
        subprocess.check_output(line.replace("ID", answer["id"]).split(), timeout=60)
    if lines[1:]:
        assert_edited(folder / "edited.png")


def assert_edited(path: Path) -> None:
    edited = opened(path.read_bytes())
    assert edited.shape == picture().shape
    assert not np.array_equal(edited, opened((path.parent / "photo.jpg").read_bytes()))
