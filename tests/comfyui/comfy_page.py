"""A page that has what the canvas on a node uses of ComfyUI's, and shows the node scaled, as its graph does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = """<!doctype html><meta charset="utf-8"><title>graph</title>
<div id="node" style="transform: scale(0.6); transform-origin: 40px 20px; width: 560px"></div>
<script type="module" src="/extensions/dragflow/dragflow.js"></script>"""
API = """export const api = {
  fileURL: (path) => path,
  fetchApi: (path, options) => fetch(`/api${path}`, options),
};"""
APP = """
const loader = { comfyClass: "LoadImage", widgets: [{ name: "image", value: "dragflow-eagle.png" }] };
const drawn = { name: "drawn", value: sessionStorage.drawn ?? "", element: document.createElement("textarea") };
window.outside = [];
for (const kind of ["pointerdown", "wheel", "keydown"])
  document.addEventListener(kind, () => window.outside.push(kind));
export const app = {
  async registerExtension(extension) {
    extension.setup();
    const node = {
      comfyClass: "DragFlowCanvas", size: [200, 200], widgets: [drawn],
      setSize(size) { this.size = size; },
      findInputSlot: (name) => (name === "image" ? 0 : -1),
      getInputNode: () => window.connected ?? loader,
      addDOMWidget(name, type, element, options) {
        element.style.height = "640px";
        document.querySelector("#node").append(element);
        const widget = { name, type, element, options };
        this.widgets.push(widget);
        return widget;
      },
    };
    window.node = node;
    window.loader = loader;
    window.drawn = drawn;
    await extension.nodeCreated(node);
    document.body.classList.add("ready");
  },
};"""
_KINDS = {".js": "text/javascript", ".css": "text/css"}
Answer = Callable[[str, object], tuple[int, str, bytes]]


@contextmanager
def page(web: Path, canvas: Path, answered: Answer) -> Iterator[str]:
    """The address of such a page, which is served meanwhile.

    Args:
        web: the pack's folder of scripts.
        canvas: the studio's.
        answered: answers what is posted.
    """
    made = {"/": ("text/html", PAGE), "/scripts/api.js": (_KINDS[".js"], API), "/scripts/app.js": (_KINDS[".js"], APP)}
    folders = {"/extensions/dragflow/": web, "/dragflow/canvas/": canvas}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, text = made.get(self.path, ("", ""))
            for start, folder in folders.items():
                if self.path.startswith(start):
                    file = folder / self.path.removeprefix(start)
                    kind, text = _KINDS[file.suffix], file.read_text(encoding="utf-8")
            self.give(200 if kind else 404, kind or "text/plain", text.encode())

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.give(*answered(self.path.removeprefix("/api/dragflow/"), asked))

        def give(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
