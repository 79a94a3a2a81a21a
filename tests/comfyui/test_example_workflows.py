"""The example workflows, run as the server runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_runner import Blocked, Invalid, object_info, run
from graphs import api_graph
from PIL import Image

from dragflow import load_recipe

EXAMPLES = Path(__file__).parents[2] / "comfyui" / "example_workflows"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.json"))


def opened(name: str) -> dict[str, Any]:
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def ready(classes: dict[str, Any], nano: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The nodes, whose model is loaded already."""
    monkeypatch.setattr(classes["DragFlowLoadModel"], "load", lambda self, model, **widgets: (nano,))
    return classes


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs(name: str, ready: dict[str, Any], folders: Path) -> None:
    workflow = opened(name)
    done = run(api_graph(workflow, object_info(ready)), ready, workflow)
    saves = {str(node["id"]) for node in workflow["nodes"] if node["type"] == "DragFlowSaveEdit"}
    (node,) = saves
    (saved,) = done[node]["ui"]["images"]
    path = folders / "output" / saved["subfolder"] / saved["filename"]
    source = next(node for node in workflow["nodes"] if node["type"] == "LoadImage")["widgets_values"][0]
    before, after = (np.asarray(Image.open(one).convert("RGB")) for one in (folders / "input" / source, path))
    assert 0.02 < (before != after).any(axis=2).mean() < 0.5
    assert load_recipe(path).weights.options.name == "nano"
    assert json.loads(Image.open(path).text["workflow"])["nodes"] == workflow["nodes"]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_a_picture_and_its_inputs(name: str) -> None:
    assert Image.open(EXAMPLES / f"{name}.jpg").size[0] >= 512
    for node in opened(name)["nodes"]:
        if node["type"] == "LoadImage":
            assert (EXAMPLES.parent / "example_inputs" / node["widgets_values"][0]).is_file()


def test_a_canvas_on_which_nothing_is_dragged_blocks_what_follows(ready: dict[str, Any]) -> None:
    graph = api_graph(opened("canvas-and-layers"), object_info(ready))
    (canvas,) = (node for node in graph.values() if node["class_type"] == "DragFlowCanvas")
    for drawn in ("", '{"instruction": {"version": 2, "operations": []}, "state": {}}'):
        canvas["inputs"]["drawn"] = drawn
        with pytest.raises(Blocked, match="Nothing is dragged yet"):
            run(graph, ready)


def test_the_runner_refuses_what_the_server_refuses(ready: dict[str, Any]) -> None:
    for node, key, value in (("Move", "mode", "off"), ("Move", "region", ["1", 0]), ("Edit", "seed", -1)):
        graph = api_graph(opened("move"), object_info(ready))
        next(one for one in graph.values() if one["class_type"] == f"DragFlow{node}")["inputs"][key] = value
        with pytest.raises(Invalid, match=key):
            run(graph, ready)
