"""Run the example workflows on a real server of ComfyUI, over its HTTP API.

    COMFYUI_DIR=~/ComfyUI python comfyui/scripts/run_workflows.py OUT

`COMFYUI_DIR` is a checkout of ComfyUI, `COMFYUI_PYTHON` the Python that runs it (this one if it is not set), in which
dragflow is installed, and `COMFYUI_MAIN` what starts it in place of its `main.py`. The server is started on the CPU
with this pack as its only one of `custom_nodes`, in folders of its own below OUT, where the results are left.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

PACK = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PACK / "scripts"))

from graphs import api_graph  # noqa: E402

_START_SECONDS, _RUN_SECONDS = 300, 900


class Server:
    """A server of ComfyUI at an address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str) -> bytes:
        """What is at an address of it."""
        with urllib.request.urlopen(f"{self.address}/{path}", timeout=30) as answer:
            return answer.read()

    def info(self) -> dict[str, Any]:
        """What it says of its nodes."""
        return json.loads(self.get("object_info"))

    def post(self, path: str, body: bytes, kind: str = "application/json") -> Any:
        """Its answer to a body."""
        request = urllib.request.Request(f"{self.address}/{path}", body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path}: {error.read().decode()}") from error

    def upload(self, picture: Path) -> None:
        """Put a picture into its folder of inputs."""
        bound = uuid.uuid4().hex
        head = f'--{bound}\r\nContent-Disposition: form-data; name="image"; filename="{picture.name}"\r\n\r\n'
        tail = f'\r\n--{bound}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{bound}--\r\n'
        body = head.encode() + picture.read_bytes() + tail.encode()
        self.post("upload/image", body, f"multipart/form-data; boundary={bound}")

    def run(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """What its history says of a workflow that has ended.

        Raises:
            SystemExit: a node failed, or it takes too long.
        """
        graph = api_graph(workflow, self.info())
        asked = {"prompt": graph, "extra_data": {"extra_pnginfo": {"workflow": workflow}}}
        name = self.post("prompt", json.dumps(asked).encode())["prompt_id"]
        for _ in range(_RUN_SECONDS):
            told = json.loads(self.get(f"history/{name}")).get(name)
            if told and told["status"]["completed"]:
                return told["outputs"]
            if told and told["status"]["status_str"] == "error":
                raise SystemExit(json.dumps(told["status"]["messages"][-1], indent=2))
            time.sleep(1)
        raise SystemExit(f"the workflow has not ended after {_RUN_SECONDS} seconds")


@contextmanager
def serving(checkout: Path, python: str, out: Path) -> Iterator[Server]:
    """A server that runs meanwhile."""
    custom = out / "custom_nodes"
    custom.mkdir(parents=True, exist_ok=True)
    link = custom / "dragflow"
    if not link.exists():
        link.symlink_to(PACK, target_is_directory=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, os.environ.get("COMFYUI_MAIN", "main.py"), "--cpu", "--port", str(port)]
    command += ["--base-directory", str(out), "--preview-method", "auto"]
    with (out / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=checkout, stdout=log, stderr=subprocess.STDOUT)
    try:
        server = Server(f"http://127.0.0.1:{port}")
        _wait(server, process, out / "server.log")
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(_START_SECONDS):
        try:
            server.get("system_stats")
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(1)
    raise SystemExit(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def run_all(server: Server) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and outputs of every example, as they end."""
    for picture in sorted((PACK / "example_inputs").glob("*.png")):
        server.upload(picture)
    for path in sorted((PACK / "example_workflows").glob("*.json")):
        yield path.stem, server.run(json.loads(path.read_text(encoding="utf-8")))


def from_environment(out: Path) -> AbstractContextManager[Server]:
    """The server that the environment names.

    Raises:
        SystemExit: it names none.
    """
    checkout = os.environ.get("COMFYUI_DIR")
    if not checkout:
        raise SystemExit("COMFYUI_DIR is not set: give the folder of a checkout of ComfyUI")
    out.mkdir(parents=True, exist_ok=True)
    return serving(Path(checkout), os.environ.get("COMFYUI_PYTHON", sys.executable), out)


def main() -> None:
    """Run every example, and say where its pictures are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the server's files and the results")
    out = parser.parse_args().out.resolve()
    with from_environment(out) as server:
        begun = time.monotonic()
        for name, outputs in run_all(server):
            print(f"{name}: {time.monotonic() - begun:.1f} s")
            for node, told in outputs.items():
                for one in told.get("images", ()):
                    print(f"  node {node}: {out / one['type'] / one['subfolder'] / one['filename']}")
            begun = time.monotonic()


if __name__ == "__main__":
    main()
