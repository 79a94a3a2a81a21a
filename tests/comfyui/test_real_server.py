"""The example workflows, and what goes wrong, on a real server of ComfyUI: that of the environment."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graphs import api_graph
from run_workflows import PACK, Server, from_environment, run_all

from dragflow import load_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("COMFYUI_DIR" not in os.environ, reason="COMFYUI_DIR names no checkout of ComfyUI"),
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(out: Path) -> Iterator[Server]:
    with from_environment(out) as server:
        yield server


def ended(server: Server, change: Callable[[dict[str, Any]], object], cancelled_after: float | None = None) -> Any:
    """The last message about the example `move` with other widgets."""
    workflow = json.loads((PACK / "example_workflows" / "move.json").read_text(encoding="utf-8"))
    graph = api_graph(workflow, server.info())
    change({node["class_type"]: node["inputs"] for node in graph.values()})
    name = server.post("prompt", json.dumps({"prompt": graph}).encode())["prompt_id"]
    if cancelled_after is not None:
        time.sleep(cancelled_after)
        server.post("interrupt", b"{}")
    while not (told := json.loads(server.get(f"history/{name}")).get(name)):
        time.sleep(0.5)
    return told["status"]["messages"][-1]


def test_the_examples_run(server: Server, out: Path) -> None:
    for name, outputs in run_all(server):
        saved = [one for told in outputs.values() for one in told.get("images", ()) if one["type"] == "output"]
        files = [out / "output" / one["subfolder"] / one["filename"] for one in saved]
        assert any(load_recipe(file).weights.options.name == "nano" for file in files if file.stem.startswith(name[:4]))


def test_errors_are_said_on_their_node(server: Server) -> None:
    kind, told = ended(server, lambda nodes: nodes["DragFlowMove"].update(x=900.0))
    assert kind == "execution_error"
    assert told["node_type"] in ("DragFlowEdit", "DragFlowPreview")  # whichever comes first
    assert "target (900, 139) is outside of the picture" in told["exception_message"]


def test_a_run_is_cancelled_and_the_next_one_ends(server: Server) -> None:
    kind, _ = ended(server, lambda nodes: nodes["DragFlowEdit"].update(preset="paper"), cancelled_after=5)
    assert kind == "execution_interrupted"
    kind, _ = ended(server, lambda nodes: nodes["DragFlowEdit"].update(seed=1))
    assert kind == "execution_success"
