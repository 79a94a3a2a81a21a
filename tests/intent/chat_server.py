"""A small chat-completions server for tests: it follows a script, and writes down what it was asked."""

from __future__ import annotations

import base64
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Act = Callable[["_Handler"], None]
"""What the server does with one call."""


@dataclass(frozen=True, eq=False)
class Call:
    """A call as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    pictures: tuple[NDArray[np.uint8], ...]
    """All image parts, decoded."""


@dataclass
class ChatServer:
    """Where it is, what it was asked, and what it does: one act a call, the last of them for ever."""

    url: str
    acts: list[Act] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def script(self, *acts: Act) -> None:
        self.acts = list(acts)


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A server on a free port of this machine, while the block runs."""
    http = _Server(("127.0.0.1", 0), _Handler)
    server = ChatServer(f"http://127.0.0.1:{http.server_address[1]}/v1")
    http.chat = server  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may hang up; that is not the server's fault."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def chat(self) -> ChatServer:
        return self.server.chat  # pyright: ignore[reportAttributeAccessIssue]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        call = Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body, _pictures(body))
        self.chat.calls.append(call)
        act = self.chat.acts[min(len(self.chat.calls), len(self.chat.acts)) - 1]
        act(self)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        if not headers or "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


def _pictures(body: dict[str, Any]) -> tuple[NDArray[np.uint8], ...]:
    parts = [p for m in body["messages"] if isinstance(m["content"], list) for p in m["content"]]
    return tuple(_picture(part["image_url"]["url"]) for part in parts if part["type"] == "image_url")


def _picture(url: str) -> NDArray[np.uint8]:
    kind, _, data = url.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)), formats=["PNG", "JPEG"])
    assert kind == f"data:image/{str(image.format).lower()}"
    return np.asarray(image)


def says(text: str | None, *, refusal: str | None = None, finish: str = "stop", usage: object = (700, 90)) -> Act:
    """A chat completion with this answer."""
    counts = (
        dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True)) if isinstance(usage, tuple) else usage
    )
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    whole = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": counts}
    return raw(json.dumps(whole).encode())


def fails(status: int, message: str = "no", *, code: str | None = None, **headers: str) -> Act:
    """An error as OpenAI writes it; headers with _ for -."""
    body = json.dumps({"error": {"message": message, "type": "t", "param": None, "code": code}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(status, body, named)


def raw(body: bytes, status: int = 200, **headers: str) -> Act:
    """These bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(status, body, named)


def hangs(handler: _Handler) -> None:
    """No answer as long as the server lives."""
    handler.chat.closing.wait(20)


def drips(handler: _Handler) -> None:
    """An answer that comes byte by byte and never ends, so that no wait for the next byte is long."""
    handler.send(200, b" ", {"Content-Length": "100000"})
    while not handler.chat.closing.wait(0.05):
        handler.wfile.write(b" ")


def breaks_off(handler: _Handler) -> None:
    """Less than was announced, then the end."""
    handler.send(200, b'{"choices": [{"mess', {"Content-Length": "5000"})
    handler.close_connection = True


def without_end(sent: list[int]) -> Act:
    """An answer that goes on as long as somebody reads; counts the bytes that were taken."""

    def act(handler: _Handler) -> None:
        handler.send(200, b'{"choices": "', {"Content-Length": str(1 << 40)})
        while not handler.chat.closing.is_set():
            handler.wfile.write(b"x" * 65536)
            sent[0] += 65536

    return act


def picky(act: Act) -> Act:
    """The act, for calls without `response_format` alone."""

    def choose(handler: _Handler) -> None:
        strict = "response_format" in handler.chat.calls[-1].body
        (fails(400, "Unknown parameter: 'response_format'.") if strict else act)(handler)

    return choose
