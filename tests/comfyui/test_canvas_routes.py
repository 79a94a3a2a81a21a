"""What the canvas on a node asks ComfyUI's server."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

EAGLE = {"filename": "dragflow-eagle.png", "subfolder": "", "type": "input"}
BOX = {"type": "box", "left": 45, "top": 20, "right": 120, "bottom": 95}
MOVE = {"version": 2, "operations": [{"region": BOX, "motion": {"type": "translate", "to": [150, 130]}}]}


@pytest.fixture
def routes(pack: Any, folders: Path) -> Any:
    return importlib.import_module(f"{pack.__name__}.nodes.routes")


def picture(answer: tuple[int, str, bytes]) -> np.ndarray:
    assert answer[:2] == (200, "image/png")
    return np.asarray(Image.open(io.BytesIO(answer[2])))


def test_the_server_has_the_canvas_and_its_addresses(pack: Any) -> None:
    from server import PromptServer

    found = PromptServer.instance.routes
    assert found.posts.keys() == {f"/dragflow/{name}" for name in ("picture", "select", "ghost", "preview")}
    assert (found.folders["/dragflow/canvas"] / "canvas.js").is_file()
    own = list((Path(pack.__file__ or "").parent / "web").rglob("*.js"))
    assert [path.name for path in own] == ["dragflow.js"]  # the canvas is the studio's, not a copy


def test_answers_are_those_of_the_library(routes: Any, folders: Path) -> None:
    shown = picture(routes.answered("picture", {"picture": EAGLE}))
    assert (shown == np.asarray(Image.open(folders / "input" / "dragflow-eagle.png"))[..., :3]).all()
    mask = picture(routes.answered("select", {"picture": EAGLE, "points": [[80, 60]]}))
    assert mask[60, 80] == 255
    assert 0 < (mask > 0).mean() < 0.2
    drawn = picture(routes.answered("preview", {"picture": EAGLE, "instruction": MOVE}))
    assert drawn.shape == (256, 256, 3)
    for coarse in (True, False):
        status, kind, body = routes.answered("ghost", {"picture": EAGLE, "instruction": MOVE, "coarse": coarse})
        assert (status, kind) == (200, "application/json")
        assert json.loads(body)["regions"][0]["cutout"]["png"]


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("select", {"picture": EAGLE, "points": [[800, 60]]}, "outside of the picture"),
        ("select", {"picture": EAGLE}, "no request that /dragflow/select answers"),
        ("select", {"points": [[1, 2]]}, "no picture of ComfyUI is named"),
        ("select", [], "no request"),
        ("preview", {"picture": {"filename": "x.png", "type": "models"}, "instruction": MOVE}, "no picture of ComfyUI"),
        (
            "preview",
            {"picture": EAGLE | {"filename": "../../secret.png"}, "instruction": MOVE},
            "not in ComfyUI's folder",
        ),
        ("preview", {"picture": EAGLE | {"filename": "/etc/passwd"}, "instruction": MOVE}, "not in ComfyUI's folder"),
        ("preview", {"picture": EAGLE | {"filename": "none.png"}, "instruction": MOVE}, "none.png"),
        ("preview", {"picture": EAGLE, "instruction": {"version": 2, "operations": [], "more": 1}}, "what is drawn"),
    ],
)
def test_what_cannot_be_answered_is_said(routes: Any, name: str, asked: Any, said: str) -> None:
    status, kind, body = routes.answered(name, asked)
    assert (status, kind) == (400, "application/json")
    assert said in json.loads(body)["detail"]


def test_no_file_is_read_for_what_is_drawn(routes: Any) -> None:
    stolen = {"version": 2, "operations": [MOVE["operations"][0] | {"region": {"type": "mask", "path": "/etc/passwd"}}]}
    status, _, body = routes.answered("preview", {"picture": EAGLE, "instruction": stolen})
    assert status == 400
    assert "embed" in json.loads(body)["detail"]
