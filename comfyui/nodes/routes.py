"""Addresses on ComfyUI's server that the canvas asks: its own files, selections, ghosts and previews."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragflow.files.pictures import SourceImage

ADDRESS = "/dragflow"
_JSON = "application/json"
_FOLDERS = ("input", "output", "temp")
_log = logging.getLogger(__name__)


def add_routes() -> None:
    """Add the addresses, where a server of ComfyUI runs in this process."""
    if find_spec("server") is None:
        return
    try:
        from server import PromptServer

        routes = PromptServer.instance.routes
    except (ImportError, AttributeError):
        _log.warning("the canvas of dragflow has no server in this process: its other nodes work")
        return
    routes.static(f"{ADDRESS}/canvas", canvas_files())
    for name in _ANSWERS:
        routes.post(f"{ADDRESS}/{name}")(_handler(name))


def canvas_files() -> Path:
    """The studio's canvas, as it is installed with the library; the library itself is not imported."""
    spec = find_spec("dragflow")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "studio" / "canvas"


def answered(name: str, asked: Any) -> tuple[int, str, bytes]:
    """Status, type and body of the answer to a request.

    Args:
        name: of the address: picture, select, ghost or preview.
        asked: its JSON: `picture` as ComfyUI names pictures, and `points`, or `instruction` and `coarse`.
    """
    from dragflow import DragFlowError

    try:
        found = _ANSWERS[name](_named(asked.get("picture")), asked)
    except DragFlowError as error:
        return 400, _JSON, json.dumps({"detail": str(error)}).encode()
    except (AttributeError, KeyError, TypeError, ValueError):
        return 400, _JSON, json.dumps({"detail": f"this is no request that {ADDRESS}/{name} answers"}).encode()
    return (200, "image/png", found) if isinstance(found, bytes) else (200, _JSON, json.dumps(found).encode())


def _handler(name: str) -> Any:
    async def handle(request: Any) -> Any:
        from aiohttp import web  # pyright: ignore[reportMissingImports] ComfyUI has it

        asked = await request.json()
        status, kind, body = await asyncio.get_running_loop().run_in_executor(None, answered, name, asked)
        return web.Response(status=status, body=body, content_type=kind)

    return handle


def _named(named: Any) -> SourceImage:
    """The picture that ComfyUI's own address /view gives by the same name.

    Raises:
        UserError: it is not in one of ComfyUI's folders, or not a picture.
    """
    import folder_paths

    from dragflow import UserError
    from dragflow.files.pictures import load_image

    kind, subfolder, file = (str((named or {}).get(key) or "") for key in ("type", "subfolder", "filename"))
    if kind not in _FOLDERS or not file:
        raise UserError("no picture of ComfyUI is named: run the node once, or connect Load Image")
    root = Path(folder_paths.get_directory_by_type(kind)).resolve()
    path = (root / subfolder / file).resolve()
    if not path.is_relative_to(root):
        raise UserError(f"picture {file} is not in ComfyUI's folder of {kind} files")
    return load_image(path)


def _picture(source: SourceImage, asked: dict[str, Any]) -> bytes:
    """It, upright and without alpha, as the nodes get it."""
    from dragflow.service.canvas import as_png

    return as_png(source.pixels)


def _select(source: SourceImage, asked: dict[str, Any]) -> bytes:
    import numpy as np

    from dragflow.service.canvas import as_png

    from .library import canvas

    points = [(float(x), float(y)) for x, y in asked["points"]]
    return as_png(canvas().select(source, points).astype(np.uint8) * 255)


def _ghost(source: SourceImage, asked: dict[str, Any]) -> dict[str, Any]:
    from .library import canvas

    return canvas().ghost(source, _instruction(asked), coarse=bool(asked.get("coarse")))


def _preview(source: SourceImage, asked: dict[str, Any]) -> bytes:
    from dragflow.service.canvas import as_png

    from .library import canvas

    return as_png(canvas().preview(source, _instruction(asked)))


def _instruction(asked: dict[str, Any]) -> Any:
    from dragflow.files.instructions import embedded_instruction

    return embedded_instruction(asked["instruction"], "what is drawn")


_ANSWERS: dict[str, Callable[[SourceImage, dict[str, Any]], bytes | dict[str, Any]]] = {
    "picture": _picture,
    "select": _select,
    "ghost": _ghost,
    "preview": _preview,
}
